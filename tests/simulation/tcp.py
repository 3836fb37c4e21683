"""One end's TCP, as far as it shows in a capture (RFC 9293, RFC 5961, RFC 6298; Linux where they leave a choice)."""

from collections import namedtuple

SYN, ACK, FIN, RST, PSH = 0x02, 0x10, 0x01, 0x04, 0x08
WINDOW, MOST_RETRIES, FIRST_TIMEOUT_S = 64000, 7, 0.2

Packet = namedtuple("Packet", "sender flags seq ack payload ttl window")


def signed(number):
    number &= 0xFFFFFFFF
    return number - (1 << 32) if number > 0x7FFFFFFF else number


class Tcp:
    """Offsets count from the SYN, which is 0. An application is told by `connected`, `readable` and `ended_by_peer`."""

    def __init__(self, path, name, address):
        self.path, self.name, self.address, rng = path, name, address, path.rng
        self.ttl = rng.choice((64, 128)) - rng.choice((0, 1, 2, 3))
        self.segment_size, self.ack_delay = rng.choice((1460, 1460, 536, 100, 13)), rng.choice((0, 0, 0.04))
        self.first, self.peers_first = rng.choice((rng.getrandbits(32), 0xFFFFFF00, 0)), None
        self.state, self.is_alive, self.is_orphan = "closed", True, False
        self.sent, self.acked, self.next, self.fin_at = b"", 0, 0, None
        self.expected, self.early, self.peers_fin, self.has_peers_fin, self.unread = 0, {}, None, False, b""
        self.retries, self.timeout, self.timer, self.ack_timer, self.repeated_acks = 0, FIRST_TIMEOUT_S, 0, 0, 0
        self.over = None  # When and how the application's socket ended.

    def is_established(self):
        return self.state == "established"

    def is_known(self):
        return self.peers_first is not None

    def expected_of(self, sender):
        """What this end expects next of `sender`, as a sequence number."""
        return (sender.first + self.expected) & 0xFFFFFFFF

    def packet(self, flags, seq, payload=b""):
        ack = (self.peers_first + self.expected) & 0xFFFFFFFF if flags & ACK and self.is_known() else 0
        return Packet(self.name, flags, seq & 0xFFFFFFFF, ack, payload, self.ttl, WINDOW)

    def emit(self, flags, offset, payload=b""):
        self.path.send(self.packet(flags, self.first + offset, payload))
        self.ack_timer += 1

    def connect(self):
        self.state = "syn-sent"
        self.emit(SYN, 0)
        self.next = 1
        self.arm()

    def write(self, payload):
        if not self.is_established() or self.fin_at is not None or not self.is_alive:
            return False
        self.sent += payload
        self.push()
        return True

    def push(self):
        while self.is_established():
            payload = self.sent[self.next - 1 :][: self.segment_size]
            is_last = self.fin_at is not None and self.next - 1 + len(payload) >= len(self.sent)
            if not payload and not (is_last and self.next <= 1 + len(self.sent)):
                break
            self.emit(ACK | (PSH if payload else 0) | (FIN if is_last else 0), self.next, payload)
            self.next += len(payload) + is_last
        self.arm()

    def send_again(self):
        start = max(self.acked, 1) - 1
        payload = self.sent[start:][: self.path.rng.choice((self.segment_size, 1460))][: max(0, self.next - 1 - start)]
        is_last = self.fin_at is not None and start + len(payload) >= len(self.sent) and self.next > 1 + len(self.sent)
        if payload or is_last:
            self.emit(ACK | (PSH if payload else 0) | (FIN if is_last else 0), start + 1, payload)

    def arm(self):
        self.timer += 1
        if self.acked < self.next:
            self.path.after(self.timeout * (1 + self.path.rng.random() / 20), self.time_out, self.timer)

    def time_out(self, timer):
        if timer != self.timer or not self.is_alive or self.state == "closed":
            return
        self.retries += 1
        if self.retries > MOST_RETRIES:
            return self.die("timeout")
        self.timeout = min(self.timeout * 2, 10)
        if self.is_established():
            self.send_again()
        else:
            self.emit(SYN | (ACK if self.state == "syn-received" else 0), 0)
        self.arm()

    def shut_down(self):
        if self.is_established() and self.fin_at is None and self.is_alive:
            self.fin_at = len(self.sent)
            self.push()

    def close(self):
        """What was not read makes it an abort (RFC 2525 §2.17)."""
        if self.state == "closed" or not self.is_alive:
            return
        self.end("close")
        if self.unread:
            return self.abort()
        self.is_orphan = True
        self.shut_down()
        self.path.after(60, self.forget)

    def forget(self):
        self.state = "closed"

    def abort(self):
        if self.is_established() and self.is_alive:
            self.emit(RST | ACK, self.next)
        self.die("abort")

    def die(self, how):
        self.end(how)
        self.state = "closed"
        self.timer += 1

    def vanish(self):
        self.is_alive = False
        self.end("vanish")

    def end(self, how):
        self.over = self.over or (self.path.now, how)

    def receive(self, packet):
        if not self.is_alive:
            return
        if self.state == "closed" or (self.state == "listen" and not packet.flags & SYN):
            return self.refuse(packet)
        if self.state == "listen":
            self.peers_first, self.expected, self.state, self.next = packet.seq, 1, "syn-received", 1
            self.emit(SYN | ACK, 0)
            return self.arm()
        if self.state == "syn-sent":
            return self.receive_answer(packet)
        offset = signed(packet.seq - self.peers_first)
        if packet.flags & RST:
            return self.receive_reset(offset)
        if packet.flags & SYN:
            return self.emit(ACK, self.next)
        if packet.flags & ACK:
            self.receive_ack(packet)
        if self.is_established() and (packet.payload or packet.flags & FIN):
            self.receive_stream(offset, packet)

    def refuse(self, packet):
        """RFC 9293 §3.10.7.1."""
        if packet.flags & RST:
            return
        length = len(packet.payload) + bool(packet.flags & (SYN | FIN))
        flags, seq, ack = (RST, packet.ack, 0) if packet.flags & ACK else (RST | ACK, 0, packet.seq + length)
        self.path.send(Packet(self.name, flags, seq, ack & 0xFFFFFFFF, b"", self.ttl, 0))

    def receive_answer(self, packet):
        if packet.flags & RST:
            self.die("refused")
        elif packet.flags & SYN and packet.flags & ACK:
            self.peers_first, self.expected = packet.seq, 1
            self.establish(1)
            self.emit(ACK, 1)
            self.connected()

    def establish(self, acked):
        self.state, self.acked, self.retries, self.timeout = "established", acked, 0, FIRST_TIMEOUT_S

    def receive_reset(self, offset):
        """RFC 5961 §3.2."""
        if offset == self.expected:
            self.die("reset")
        elif self.expected < offset < self.expected + WINDOW:
            self.emit(ACK, self.next)

    def receive_ack(self, packet):
        acked = signed(packet.ack - self.first)
        if self.state == "syn-received" and acked >= 1:
            self.establish(1)
        if self.acked < acked <= self.next:
            self.acked, self.retries, self.timeout, self.repeated_acks = acked, 0, FIRST_TIMEOUT_S, 0
            self.arm()
        elif acked == self.acked < self.next and not packet.payload:
            self.repeated_acks += 1
            if self.repeated_acks == 3:
                self.send_again()

    def receive_stream(self, offset, packet):
        end = offset + len(packet.payload)
        if self.is_orphan and packet.payload and end > self.expected:
            self.emit(self.path.rng.choice((RST, RST | ACK)), self.next)
            return self.die("orphan")
        if packet.flags & FIN:
            self.peers_fin = end
        if end + bool(packet.flags & FIN) <= self.expected:
            return self.emit(ACK, self.next)
        if packet.payload:
            self.early[offset] = max(self.early.get(offset, b""), packet.payload, key=len)
        new, is_over = self.take_early(), False
        if self.expected == self.peers_fin and not self.has_peers_fin:
            self.expected, self.has_peers_fin, is_over = self.expected + 1, True, True
        if self.ack_delay and new and not is_over and not self.early:
            self.ack_timer += 1
            self.path.after(self.ack_delay, self.ack_late, self.ack_timer)
        else:
            self.emit(ACK, self.next)
        if new:
            self.readable(new)
        if is_over:
            self.ended_by_peer()

    def take_early(self):
        new = b""
        for offset in sorted(self.early):
            payload = self.early[offset]
            if offset > self.expected:
                break
            if offset + len(payload) > self.expected:
                new += payload[self.expected - offset :]
                self.expected = offset + len(payload)
            del self.early[offset]
        return new

    def ack_late(self, timer):
        if timer == self.ack_timer and self.is_established() and self.is_alive:
            self.emit(ACK, self.next)
