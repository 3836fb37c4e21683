"""Sends resets in the name of an end, as a censor's or a firewall's box between the ends does.

Follows the connections that pass the router; each line on standard input, a JSON object, asks for resets:
`port` (the client's), `to` (client, server or both), `seq` (added to the number that the receiver awaits; default 0),
`ack` (true: RST+ACK), `ttl`, `ip_id`, `window`, `count`.

Usage: forger.py SETTINGS_JSON
"""

import json
import select
import socket
import struct
import sys

IPV4 = 0x0800
PACKET_OUTGOING = 4
TCP = 6
FIN, SYN, RST, ACK = 1, 2, 4, 16
DEVICE_TO = {"client": "left", "server": "right"}


def ones_complement_sum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def reset_packet(source, target, seq, ack, asked):
    """RFC 791 and RFC 9293 headers; `source` and `target` are (address, port)."""
    flags = RST | (ACK if asked.get("ack") else 0)
    addresses = socket.inet_aton(source[0]) + socket.inet_aton(target[0])
    tcp = struct.pack("!HHIIBBHHH", source[1], target[1], seq, ack if asked.get("ack") else 0, 5 << 4, flags, asked.get("window", 0), 0, 0)
    checksum = ones_complement_sum(addresses + struct.pack("!BBH", 0, TCP, len(tcp)) + tcp)
    tcp = tcp[:16] + struct.pack("!H", checksum) + tcp[18:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), asked.get("ip_id", 0), 0, asked.get("ttl", 64), TCP, 0) + addresses
    return ip[:10] + struct.pack("!H", ones_complement_sum(ip)) + ip[12:] + tcp


class Forger:
    def __init__(self, settings):
        self.settings = settings
        # (client port, sender) -> the sender's (address, port) and the number of its next byte.
        self.next = {}
        self.sockets = {}
        for device in DEVICE_TO.values():
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(IPV4))
            sock.bind((device, IPV4))
            self.sockets[device] = sock

    def follow(self, device):
        packet, address = self.sockets[device].recvfrom(65535)
        if address[2] == PACKET_OUTGOING or packet[9] != TCP:
            return
        head = (packet[0] & 15) * 4
        source, target, seq = struct.unpack("!HHI", packet[head : head + 8])
        size = int.from_bytes(packet[2:4], "big") - head - (packet[head + 12] >> 4) * 4
        flags = packet[head + 13]
        sender = "client" if device == "left" else "server"
        port = source if sender == "client" else target
        size += bool(flags & SYN) + bool(flags & FIN)
        self.next[(port, sender)] = ((socket.inet_ntoa(packet[12:16]), source), (seq + size) & 0xFFFFFFFF)

    def forge(self, asked):
        for receiver in ("client", "server") if asked["to"] == "both" else (asked["to"],):
            other = "server" if receiver == "client" else "client"
            (source, seq), (target, ack) = self.next[(asked["port"], other)], self.next[(asked["port"], receiver)]
            packet = reset_packet(source, target, (seq + asked.get("seq", 0)) & 0xFFFFFFFF, ack, asked)
            device = DEVICE_TO[receiver]
            mac = bytes.fromhex(self.settings["mac"][device].replace(":", ""))
            for _ in range(asked.get("count", 1)):
                self.sockets[device].sendto(packet, (device, IPV4, 0, 0, mac))

    def run(self):
        print("ready", flush=True)
        while True:
            readable, _, _ = select.select([*self.sockets.values(), sys.stdin], [], [])
            for device, sock in self.sockets.items():
                if sock in readable:
                    self.follow(device)
            if sys.stdin in readable:
                line = sys.stdin.readline()
                if not line:
                    return
                self.forge(json.loads(line))


if __name__ == "__main__":
    Forger(json.loads(sys.argv[1])).run()
