"""Client and server on a bare socket: for what no library's API can be made to do.

It does the opening handshake by itself unless the first step is `no-open`. It reads only when a step says so,
and answers nothing by itself.
"""

import base64
import hashlib
import shlex
import socket
import sys
import threading
import time

from common import LINGER_ZERO, Plan, emit, report

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
MASK = bytes.fromhex("37fa213d")
SEGMENT_PAUSE_S = 0.004
READ_LIMIT_S = 20.0


def frame(opcode, payload, masked, fin=True, rsv=0, length_bytes=None):
    """One frame, RFC 6455 §5.2. `length_bytes` (0, 2 or 8) forces the length's form."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    size = len(payload)
    if length_bytes is None:
        length_bytes = 0 if size < 126 else 2 if size < 65536 else 8
    form = {0: size, 2: 126, 8: 127}[length_bytes]
    head = bytes([first, (0x80 if masked else 0) | form]) + (size.to_bytes(length_bytes, "big") if length_bytes else b"")
    if not masked:
        return head + payload
    return head + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))


def close_body(code, reason=""):
    return int(code).to_bytes(2, "big") + reason.encode()


class Actor:
    def __init__(self, plan, sock, name):
        self.plan, self.sock, self.name = plan, sock, name
        self.path = name
        self.masked = plan.role == "client"
        self.received = b""
        self.request = b""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(READ_LIMIT_S)

    def play(self, steps):
        for step in steps:
            verb, *args = shlex.split(step)
            getattr(self, verb.replace("-", "_"))(*args)

    # Opening handshake

    def read_head(self):
        head = b""
        while b"\r\n\r\n" not in head:
            more = self.sock.recv(4096)
            if not more:
                raise ConnectionError("EOF in the HTTP head")
            head += more
        head, _, rest = head.partition(b"\r\n\r\n")
        self.received += rest
        return head

    def read_request(self):
        self.request = self.read_head()

    def accept_lines(self, accept=None):
        key = next((line.split(b":", 1)[1].strip() for line in self.request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")), b"")
        accept = accept or base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        return f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode()

    def accept(self):
        self.sock.sendall(self.accept_lines())

    def accept_wrong(self):
        self.sock.sendall(self.accept_lines("d3Jvbmcgd3Jvbmcgd3Jvbmch"))

    def accept_part(self, size):
        self.sock.sendall(self.accept_lines()[: int(size)])

    def accept_and_close(self, code, reason=""):
        """The 101 and a Close frame in one segment."""
        self.sock.sendall(self.accept_lines() + frame(8, close_body(code, reason), self.masked))

    def answer(self, status):
        self.sock.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    def host(self):
        return self.plan.url("").split("://")[1].rstrip("/")

    def request_lines(self):
        return (
            f"GET /{self.path} HTTP/1.1\r\nHost: {self.host()}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {KEY.decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()

    def open(self):
        """Client: the whole opening handshake."""
        self.sock.sendall(self.request_lines())
        self.read_head()

    def open_each_byte(self):
        """The same, each byte of the request in a segment of its own."""
        for byte in self.request_lines():
            self.sock.sendall(bytes([byte]))
            time.sleep(SEGMENT_PAUSE_S)
        self.read_head()

    def open_and_say(self):
        """A first frame in the same segment as the request, before the 101."""
        self.sock.sendall(self.request_lines() + frame(1, b"eager", self.masked))
        self.read_head()

    def get(self, path):
        """An ordinary request on the same connection, and its answer."""
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {self.host()}\r\n\r\n".encode())
        head = self.read_head()
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        self.exactly(int(length.split(b":")[1]))

    # Time

    def at(self, seconds):
        time.sleep(self.plan.until(float(seconds)))

    def sleep(self, seconds):
        time.sleep(float(seconds))

    # Sending

    def send_bytes(self, hexadecimal):
        self.sock.sendall(bytes.fromhex(hexadecimal))

    def send(self, *fields):
        """`send op=1 text=hello fin=0 rsv=4 mask=0 length=8 hex=03e8`: one frame, each field optional but op."""
        self.sock.sendall(self.built(fields))

    def send_each_byte(self, *fields):
        """The same, each byte in a segment of its own."""
        for byte in self.built(fields):
            self.sock.sendall(bytes([byte]))
            time.sleep(SEGMENT_PAUSE_S)

    def send_in_two(self, at, *fields):
        """The same, cut into two segments at byte `at`."""
        built, at = self.built(fields), int(at)
        self.sock.sendall(built[:at])
        time.sleep(SEGMENT_PAUSE_S)
        self.sock.sendall(built[at:])

    def send_first(self, count, *fields):
        """Only the first `count` bytes of the frame."""
        self.sock.sendall(self.built(fields)[: int(count)])

    def built(self, fields):
        named = dict(field.split("=", 1) for field in fields)
        payload = bytes.fromhex(named["hex"]) if "hex" in named else named.get("text", "").encode()
        if "code" in named:
            payload = close_body(named["code"], named.get("reason", ""))
        if "size" in named:
            payload = b"." * int(named["size"])
        masked = named["mask"] == "1" if "mask" in named else self.masked
        length_bytes = int(named["length"]) if "length" in named else None
        return frame(int(named["op"]), payload, masked, named.get("fin", "1") == "1", int(named.get("rsv", "0")), length_bytes)

    def talk(self, count):
        for number in range(int(count)):
            self.sock.sendall(frame(1, f"message {number}".encode(), self.masked))
            self.next_frame()

    def say(self, count):
        for number in range(int(count)):
            self.sock.sendall(frame(1, f"message {number}".encode(), self.masked))

    def close(self, code=None, reason=""):
        self.sock.sendall(frame(8, close_body(code, reason) if code else b"", self.masked))

    # Receiving

    def next_frame(self):
        """Reads one frame; returns (opcode, payload)."""
        first, second = self.exactly(2)
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(self.exactly(2 if size == 126 else 8), "big")
        mask = self.exactly(4) if second & 0x80 else b"\0\0\0\0"
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(self.exactly(size)))
        return first & 0x0F, payload

    def exactly(self, size):
        while len(self.received) < size:
            more = self.sock.recv(65536)
            if not more:
                raise ConnectionError("EOF")
            self.received += more
        taken, self.received = self.received[:size], self.received[size:]
        return taken

    def await_close(self):
        while self.next_frame()[0] != 8:
            pass

    def await_messages(self, count):
        for _ in range(int(count)):
            self.next_frame()

    def answer_close(self):
        """Waits for the peer's Close and echoes it."""
        while True:
            opcode, payload = self.next_frame()
            if opcode == 8:
                self.sock.sendall(frame(8, payload, self.masked))
                return

    def await_end(self):
        """Reads until the peer's FIN or RST."""
        try:
            while self.sock.recv(65536):
                pass
        except OSError:
            pass

    # Ending

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def fin(self):
        """close(2): a FIN, or a RST where unread data waits."""
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        self.sock.close()


def finish(actor, steps):
    error = None
    try:
        actor.play(steps)
        LAST["session"] = getattr(actor.sock, "session", None)
        actor.await_end()
    except (OSError, ConnectionError) as raised:
        error = f"{type(raised).__name__}: {raised}"
    actor.sock.close()
    report(actor.name, error=error)


# The last session, which the next connection resumes where the plan says so.
LAST = {}
SERVER = {}


def secured(plan, sock):
    """The socket over TLS, if the plan says so."""
    if not plan.tls:
        return sock
    if plan.role == "server":
        return SERVER["context"].wrap_socket(sock, server_side=True)
    context = LAST.setdefault("context", plan.tls_context())
    return context.wrap_socket(sock, session=LAST.get("session") if plan.tls["resume"] else None)


def client(plan, one):
    time.sleep(plan.until(one["connect_at"]))
    family = socket.AF_INET6 if ":" in plan.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if plan.option("receive_buffer"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, plan.option("receive_buffer"))
    sock.bind((plan.bind, one["port"]))
    sock.settimeout(plan.option("open_timeout", 5))
    try:
        sock.connect((plan.host, plan.port))
        sock = secured(plan, sock)
    except OSError as error:
        return report(one["name"], error=f"{type(error).__name__}: {error}")
    steps = one["steps"]
    actor = Actor(plan, sock, one["name"])
    actor.path = one["path"]
    finish(actor, steps[1:] if steps[:1] == ["no-open"] else ["open", *steps])
    return None


def converse(plan, sock):
    """The request's path names the connection, so it is read first, except where `blind` steps say otherwise."""
    actor = Actor(plan, sock, "?")
    if plan.option("blind"):
        actor.name = plan.connections[0]["name"]
        finish(actor, plan.option("blind"))
        return
    try:
        actor.read_request()
    except OSError as error:
        report(actor.name, error=str(error))
        return
    one = plan.take(actor.request.split(b" ")[1].decode())
    actor.name, steps = one["name"], one["steps"]
    finish(actor, steps[1:] if steps[:1] == ["no-open"] else ["accept", *steps])


def server(plan):
    family = socket.AF_INET6 if ":" in plan.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((plan.host, plan.port))
    listener.listen(64)
    SERVER["context"] = plan.tls_context()
    common_start(plan)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=accepted, args=(plan, sock), daemon=True).start()


def accepted(plan, sock):
    try:
        sock = secured(plan, sock)
    except OSError as error:
        report("?", error=str(error))
        return
    converse(plan, sock)


def common_start(plan):
    emit(event="ready")
    plan.t0 = float(sys.stdin.readline())


def main():
    plan = Plan(sys.argv[1])
    if plan.role == "server":
        server(plan)
        return
    common_start(plan)
    threads = [threading.Thread(target=client, args=(plan, one)) for one in plan.connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main()
