"""The router's forwarding done in user space, to delay, lose, reorder or double packets.

Stands in for tc netem, which many kernels lack. Reads IP packets from one interface and sends them out of the
other with the TTL one lower. Its choices come from a seed, so that a scenario meets about the same faults each time.

Usage: relay.py SETTINGS_JSON
"""

import heapq
import json
import random
import select
import socket
import sys
import time

ETHERTYPE = {4: 0x0800, 6: 0x86DD}
SO_RCVBUF_BYTES = 1 << 20
PACKET_OUTGOING = 4


def lower_ttl(packet, family):
    """RFC 791: TTL one lower, header checksum adjusted as RFC 1624 says."""
    packet = bytearray(packet)
    if family == 6:
        packet[7] -= 1
        return bytes(packet)
    packet[8] -= 1
    checksum = int.from_bytes(packet[10:12], "big") + 0x0100
    packet[10:12] = ((checksum & 0xFFFF) + (checksum >> 16)).to_bytes(2, "big")
    return bytes(packet)


class Relay:
    def __init__(self, settings):
        self.settings = settings
        self.family = settings["family"]
        self.random = random.Random(settings.get("seed", 1))
        self.queue = []
        self.count = 0
        self.sockets = {}
        for device in ("left", "right"):
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETHERTYPE[self.family]))
            sock.bind((device, ETHERTYPE[self.family]))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SO_RCVBUF_BYTES)
            self.sockets[device] = sock

    def is_tcp(self, packet):
        return packet[9] == 6 if self.family == 4 else packet[6] == 6

    def receive(self, device):
        packet, address = self.sockets[device].recvfrom(65535)
        # [2] is the packet type: what this relay itself sent comes back as outgoing.
        if address[2] == PACKET_OUTGOING or not self.is_tcp(packet):
            return
        out = "right" if device == "left" else "left"
        self.schedule(out, lower_ttl(packet, self.family))

    def schedule(self, out, packet):
        chance = lambda name: self.random.random() < self.settings.get(name, 0)
        if chance("loss"):
            return
        copies = 2 if chance("duplicate") else 1
        for _ in range(copies):
            delay = self.settings.get("delay_s", 0) + (self.settings.get("late_s", 0.012) if chance("reorder") else 0)
            self.count += 1
            heapq.heappush(self.queue, (time.monotonic() + delay, self.count, out, packet))

    def send_due(self):
        while self.queue and self.queue[0][0] <= time.monotonic():
            _, _, out, packet = heapq.heappop(self.queue)
            mac = bytes.fromhex(self.settings["mac"][out].replace(":", ""))
            self.sockets[out].sendto(packet, (out, ETHERTYPE[self.family], 0, 0, mac))

    def run(self):
        print("ready", flush=True)
        while True:
            wait = max(0.0, self.queue[0][0] - time.monotonic()) if self.queue else 1.0
            readable, _, _ = select.select(list(self.sockets.values()), [], [], wait)
            for device, sock in self.sockets.items():
                if sock in readable:
                    self.receive(device)
            self.send_due()


if __name__ == "__main__":
    Relay(json.loads(sys.argv[1])).run()
