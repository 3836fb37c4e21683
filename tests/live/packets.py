"""Frames of made-up connections: cheap to make by the million, with addresses that tell them apart."""

import base64
import hashlib
import socket
import struct

SYN, ACK, FIN, RST, PSH = 0x02, 0x10, 0x01, 0x04, 0x08
SERVER = "10.99.0.1"
SERVER_PORT = 9001
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
REQUEST = (
    b"GET /live HTTP/1.1\r\nHost: live.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %s\r\n\r\n"
)


def address(number):
    """10.0.0.0/9, which the server's address is not in."""
    return socket.inet_ntoa(struct.pack("!I", 0x0A000000 | number & 0x3FFFFF))


def frame(source, destination, flags, seq, ack, payload=b"", fragment=0, ip_id=0):
    """Ethernet, IPv4, TCP; checksums are left at zero, as offload leaves them."""
    (from_address, from_port), (to_address, to_port) = source, destination
    tcp = struct.pack("!HHIIBBHHH", from_port, to_port, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 5 << 4, flags, 64000, 0, 0) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), ip_id, fragment, 64, 6, 0, socket.inet_aton(from_address), socket.inet_aton(to_address))
    return b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0" + head + tcp


def ws_frame(opcode, payload=b"", masked=False):
    head = bytes([0x80 | opcode])
    length = len(payload)
    mask = 0x80 if masked else 0
    head += bytes([mask | length]) if length < 126 else bytes([mask | 126]) + struct.pack("!H", length)
    return head + (bytes(4) if masked else b"") + payload


class Connection:
    """One connection, step by step; each step gives its frames."""

    def __init__(self, number, key=None):
        self.client = (address(number), 1024 + number * 7 % 60000)
        self.server = (SERVER, SERVER_PORT)
        # Each its own, as clients do: those with the same key may be legs of one, and wait for each other.
        self.key = key or base64.b64encode(struct.pack("!QQ", 0, number))
        self.sent = {True: 1000 + number, False: 5000 + number}

    def step(self, by_client, flags, payload=b""):
        source, destination = (self.client, self.server) if by_client else (self.server, self.client)
        ack = 0 if flags == SYN else self.sent[not by_client]
        made = frame(source, destination, flags, self.sent[by_client], ack, payload)
        self.sent[by_client] += len(payload) + bool(flags & (SYN | FIN))
        return made

    def connect(self):
        return [self.step(True, SYN), self.step(False, SYN | ACK), self.step(True, ACK)]

    def upgrade(self):
        accept = base64.b64encode(hashlib.sha1(self.key + GUID).digest())
        return [self.step(True, ACK | PSH, REQUEST % self.key), self.step(False, ACK | PSH, ANSWER % accept)]

    def message(self, by_client, payload):
        return [self.step(by_client, ACK | PSH, ws_frame(2, payload, by_client))]

    def closes(self, code):
        body = struct.pack("!H", code)
        return [self.step(False, ACK | PSH, ws_frame(8, body)), self.step(True, ACK | PSH, ws_frame(8, body, True))]

    def fins(self):
        return [self.step(False, FIN | ACK), self.step(True, FIN | ACK), self.step(False, ACK)]

    def resets(self):
        return [self.step(False, RST | ACK)]

    def whole(self, code):
        """From SYN to the last ACK; code 1006 is a reset."""
        frames = self.connect() + self.upgrade() + self.message(True, b"hello") + self.message(False, b"world" * 40)
        return frames + (self.resets() if code == 1006 else self.closes(code) + self.fins())


def write_pcap(path, frames):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for number, one in enumerate(frames):
            file.write(struct.pack("<IIII", 1_700_000_000, number % 1_000_000, len(one), len(one)) + one)
