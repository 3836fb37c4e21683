"""The way between two simulated ends, which loses, delays, reorders and doubles packets, and the capture in its midst."""

import heapq
import random

from tcp import ACK, RST

HOPS = (0, 1, 2, 3)
DELAYS_S = (0.00005, 0.001, 0.02, 0.1)


class Capture:
    """What a capture point keeps of what passes it."""

    def __init__(self, rng, flaws):
        self.packets, self.rng = [], rng
        self.loss = rng.choice((0.02, 0.1, 0.4)) if "loss" in flaws else 0
        self.begin = rng.random() * 3 if "late" in flaws else 0
        self.end = rng.random() * 12 if "early" in flaws else float("inf")
        self.only = rng.choice("cs") if "one-way" in flaws else None
        self.double = 0.3 if "double" in flaws else 0

    def see(self, now, packet):
        if not self.begin <= now <= self.end or self.only not in (None, packet.sender) or self.rng.random() < self.loss:
            return
        self.packets.append((now, packet))
        if self.rng.random() < self.double:
            later = now + self.rng.choice((0.000001, 0.0001))
            self.packets.append((later, packet._replace(ttl=packet.ttl - self.rng.choice((0, 1)))))


class Path:
    """Events in the order of their times, and packets on their way from one end to the other past the capture."""

    def __init__(self, seed, flaws):
        self.rng = rng = random.Random(seed)
        self.seed, self.now, self.events, self.count = seed, 0.0, [], 0
        self.delays = {"c": rng.choice(DELAYS_S), "s": rng.choice(DELAYS_S)}
        self.loss, self.jitter = rng.choice((0, 0, 0, 0.02, 0.1, 0.3)), rng.choice((0, 0, 0.0005, 0.01))
        self.double = rng.choice((0, 0, 0, 0.05))
        self.capture = Capture(rng, flaws)
        self.dark = {}  # Of a direction: since when nothing arrives, and whether the capture is behind that.
        self.latest = {}  # When the latest packet passed, of a direction before or behind the capture.
        self.ends = {}
        self.has_middlebox = False

    def at(self, time, action, *arguments):
        self.count += 1
        heapq.heappush(self.events, (time, self.count, action, arguments))

    def after(self, wait, action, *arguments):
        self.at(self.now + wait, action, *arguments)

    def run(self, until):
        while self.events and self.events[0][0] <= until:
            self.now, _, action, arguments = heapq.heappop(self.events)
            action(*arguments)

    def passes(self, part, start, delay):
        time = start + delay + self.rng.random() * self.jitter
        if self.jitter == 0 or self.rng.random() < 0.7:  # In order.
            time = max(time, self.latest.get(part, 0) + 1e-7)
            self.latest[part] = time
        return time

    def send(self, packet):
        sender, peer = packet.sender, "s" if packet.sender == "c" else "c"
        dark_since, is_seen = self.dark.get(sender, (float("inf"), False))
        is_dark = self.now >= dark_since
        for _ in range(1 + (self.rng.random() < self.double)):
            if (is_dark and not is_seen) or self.rng.random() < self.loss / 2:
                continue
            seen_at = self.passes((sender, 1), self.now, self.delays[sender])
            self.at(seen_at, self.see, packet)
            if not is_dark and self.rng.random() >= self.loss / 2:
                self.at(self.passes((sender, 2), seen_at, self.delays[peer]), self.ends[peer].receive, packet)

    def see(self, packet):
        self.capture.see(self.now, packet)

    def go_dark(self):
        for direction in self.rng.choice(("cs", "c", "s")):
            self.dark[direction] = (self.now, self.rng.choice((True, False)))

    def reset_from_between(self):
        """A middlebox resets one end or both in the other's name."""
        for end in self.ends.values():
            peer = end.peer
            if self.rng.random() < 0.7 and end.is_established() and peer.is_known():
                forged = end.packet(self.rng.choice((RST, RST | ACK)), peer.expected_of(end))
                forged = forged._replace(ttl=self.rng.choice((30, 255)), window=0, ack=forged.ack if forged.flags & ACK else 0)
                self.at(self.now + 0.00001, self.see, forged)
                self.at(self.now + 0.0001, peer.receive, forged)
                self.has_middlebox = True
