"""One end's WebSocket: it opens, talks, and ends in one of the ways in which programs end (RFC 6455 §5.5.1, §7)."""

import base64
import hashlib
import struct

from tcp import Tcp

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
NO_CODE, NO_CLOSE = 1005, 1006


def accept(key):
    return base64.b64encode(hashlib.sha1(key + GUID).digest())


def masked(payload, key):
    return bytes(byte ^ key[place % 4] for place, byte in enumerate(payload))


class End(Tcp):
    """`got`, `got_at`: the code of the first Close that its application read, and when; `said`: that of its own. `act`: how and when it began to
    end, and whether it knew of an end by then."""

    def __init__(self, path, name, address):
        super().__init__(path, name, address)
        self.buffer, self.is_open, self.is_stalled = b"", False, False
        self.got = self.got_at = self.said = self.said_until = self.act = None

    def code(self):
        """RFC 6455 §7.1.5."""
        return NO_CLOSE if self.got is None else self.got

    def frame(self, opcode, payload=b""):
        length, mask = len(payload), 0x80 if self.name == "c" else 0
        head = bytes((0x80 | opcode, mask | min(length, 126))) + (struct.pack("!H", length) if length > 125 else b"")
        if not mask:
            return head + payload
        key = self.path.rng.randbytes(4)
        return head + key + masked(payload, key)

    def acts(self, how):
        knows = self.got is not None or self.has_peers_fin or (self.over or (0, ""))[1] == "reset"
        self.act = self.act or (how, self.path.now, knows)

    def connected(self):
        key = base64.b64encode(self.path.rng.randbytes(16))
        self.write(
            b"GET /simulated HTTP/1.1\r\nHost: simulated.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n" % key
        )

    def readable(self, new):
        if self.is_stalled:
            self.unread += new
        elif not self.over:
            self.buffer += new
            if self.is_open or self.reads_head():
                self.read_frames()

    def reads_head(self):
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return False
        self.buffer, self.is_open = rest, True
        if self.name == "s":
            key = head.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
            answer = (
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept(key)
            )
            self.write(answer + (self.frame(TEXT, b"early") if self.path.rng.random() < 0.1 else b""))
        self.plan()
        return True

    def read_frames(self):
        while len(self.buffer) >= 2:
            length, start = self.buffer[1] & 0x7F, 2
            if length == 126:
                length, start = int.from_bytes(self.buffer[2:4], "big"), 4
            mask_len = 4 if self.buffer[1] & 0x80 else 0
            end = start + mask_len + length
            if len(self.buffer) < end:
                break
            opcode, key = self.buffer[0] & 0x0F, self.buffer[start : start + mask_len] or bytes(4)
            payload, self.buffer = masked(self.buffer[start + mask_len : end], key), self.buffer[end:]
            self.take_frame(opcode, payload)

    def take_frame(self, opcode, payload):
        if self.over:
            return
        if opcode == PING:
            self.write(self.frame(PONG, payload))
        elif opcode == CLOSE:
            code = struct.unpack("!H", payload[:2])[0] if payload else NO_CODE
            self.got, self.got_at = self.got or code, self.got_at or self.path.now
            if self.said is None:
                self.answer_close(code)
            elif self.name == "s" or self.path.rng.random() < 0.3:
                self.close()
            else:
                self.path.after(1, self.close)

    def answer_close(self, code):
        rng = self.path.rng
        if rng.random() < 0.75:
            self.send_close(code)
        else:
            self.acts("no answer")
        luck = rng.random() + (0 if self.name == "s" else 0.6)
        if luck < 0.6 or 1.2 <= luck < 1.4:
            self.close()
        elif 0.6 <= luck < 0.7 or 1.4 <= luck < 1.5:
            self.abort()
        else:
            self.path.after(rng.choice((rng.random() * 2, 5)), self.close)

    def send_close(self, code):
        if self.said is not None or self.over:
            return
        body = b"" if code == NO_CODE else struct.pack("!H", code) + self.path.rng.choice((b"", b"", b"bye"))
        if self.write(self.frame(CLOSE, body)):
            self.acts("close")
            self.said, self.said_until = code, len(self.sent)

    def ended_by_peer(self):
        """A FIN came, and perhaps no Close before it."""
        luck = self.path.rng.random()
        if 0.6 <= luck < 0.7:
            self.send_close(1002)
        else:
            self.acts("answers FIN")
        if luck < 0.7:
            self.close()
        elif luck < 0.8:
            self.abort()
        elif luck < 0.9:
            self.path.after(self.path.rng.random() * 3, self.close)

    def plan(self):
        """Some messages, and perhaps an end."""
        rng = self.path.rng
        for _ in range(rng.choice((0, 1, 3, 8))):
            self.path.after(rng.random() * 4, self.talk)
        if rng.random() < 0.1:
            self.path.after(rng.random() * 2, self.stall)
        wait, luck = rng.choice((rng.random() * 4, 0, 2.0)), rng.random()
        ways = ((0.35, "wait"), (0.42, "close"), (0.47, "abort"))
        if luck < 0.47:
            self.path.after(wait, self.say_goodbye, next(then for below, then in ways if luck < below))
        elif luck < 0.7:
            ways = ((0.55, self.close), (0.62, self.abort), (0.67, self.vanish), (0.7, self.shut_down))
            self.path.after(wait, self.leave, next(way for below, way in ways if luck < below))
        if self.name == "c" and rng.random() < 0.12:
            self.path.after(wait, rng.choice((self.path.go_dark, self.path.reset_from_between)))

    def talk(self):
        rng = self.path.rng
        if not self.over and self.said is None:
            opcode = rng.choice((TEXT, BINARY, PING))
            length = rng.choice((0, 5, 50, 125) if opcode == PING else (0, 5, 200, 3000))
            self.write(self.frame(opcode, bytes((97 + rng.randrange(26),)) * length))

    def stall(self):
        """The program reads no more, and still writes."""
        self.is_stalled = True

    def say_goodbye(self, then):
        if self.over:
            return
        self.send_close(self.path.rng.choice((1000, 1001, 1011, 4000, NO_CODE)))
        if then == "close":
            self.close()
        elif then == "abort":
            self.abort()
        else:
            self.path.after(self.path.rng.choice((1, 5)), self.close)

    def leave(self, way):
        if not self.over:
            self.acts(way.__name__)
            way()
