"""Floods: caps hold, what is dropped is counted, and real WebSockets beside the flood get their verdict.

Some hundred and fifty thousand packets of each by default; FULL=1 for a million connections, half-open and idle, and a million packets of
the others; FLOODS="idle fragments" for some of them.
"""

import os
import pathlib
import struct
import tempfile
import time

from packets import ACK, PSH, SERVER, SERVER_PORT, SYN, Connection, address, frame, ws_frame
from program import Live
from soak import processor_seconds, resident_kib
from space import Pair

IS_FULL = bool(os.environ.get("FULL"))
COUNT = 1_000_000 if IS_FULL else 150_000
MEMORY_MIB = 64 if IS_FULL else 32
# The program, libpcap's ring as mapped, and what the allocator keeps.
BESIDES_MIB = 60
CODES = [1000, 1006, 1011]


def syn_flood():
    """SYNs from as many addresses, never answered."""
    return (frame((address(number), 1024 + number % 60_000), (SERVER, 80), SYN, number, 0) for number in range(COUNT))


def half_open():
    """The same, answered, but never acknowledged."""
    for number in range(COUNT):
        client, server = (address(number), 1024 + number % 60_000), (SERVER, 85)
        yield frame(client, server, SYN, number, 0)
        yield frame(server, client, SYN | ACK, 7, number + 1)


def idle():
    """Connections that open and never say a word."""
    for number in range(COUNT):
        connection = Connection(100_000 + number)
        connection.server = (SERVER, 81)
        yield from connection.connect()


def fragments():
    """First fragments of datagrams that never complete."""
    body = bytes(512)
    for number in range(COUNT):
        whole = frame((address(number), 1), (SERVER, 82), ACK, number, 0, body, fragment=0x2000, ip_id=number & 0xFFFF)
        yield whole


def slow_heads():
    """Requests whose head never ends."""
    for number in range(COUNT // 6):
        connection = Connection(200_000 + number)
        connection.server = (SERVER, 83)
        yield from connection.connect()
        yield connection.step(True, ACK | PSH, b"GET /" + b"a" * 300)
        yield connection.step(True, ACK | PSH, b"b" * 300)
        yield connection.step(True, ACK | PSH, b"c" * 300)


def out_of_order():
    """One peer after another that leaves a hole and sends only what lies behind it."""
    message = ws_frame(2, bytes(992), True)
    for number in range(COUNT // 20):
        connection = Connection(300_000 + number)
        connection.server = (SERVER, 84)
        yield from connection.connect()
        connection.sent[True] += 1
        for _ in range(24):
            yield connection.step(True, ACK | PSH, message)
            connection.sent[True] += 1


def one(kind, folder):
    pair = Pair("flood")
    output = folder / f"{kind.__name__}.ndjson"
    live = Live(pair.near, output, "--memory", f"{MEMORY_MIB}M", "--limit", "linger=1s", "--interval", "1s", "--buffer", "32").await_start()
    real = [Connection(900_000 + number) for number in range(len(CODES))]
    largest = 0
    with pair.sender() as sender:
        for connection in real:
            for sent in connection.connect() + connection.upgrade() + connection.message(True, b"hello"):
                sender.send(sent)
        for number, sent in enumerate(kind()):
            sender.send(sent)
            if number % 10_000 == 0:
                # What is measured is what a flood costs, not how fast Python can send.
                time.sleep(0.05)
                largest = max(largest, resident_kib(live.process.pid))
                for connection in real:
                    for message in connection.message(number % 2 == 0, struct.pack("!I", number)):
                        sender.send(message)
        for connection, code in zip(real, CODES):
            end = connection.resets() if code == 1006 else connection.closes(code) + connection.fins()
            for last in end:
                sender.send(last)
    time.sleep(1.5)
    largest = max(largest, resident_kib(live.process.pid))
    spent = processor_seconds(live.process.pid)
    status = live.stop()
    pair.remove()
    return verdict(kind.__name__, live, real, largest, spent, status)


def verdict(name, live, real, largest, spent, status):
    lines = live.lines()
    stats = [line for line in lines if line["type"] == "stats"][-1]
    anomalies = lines[-1]["anomalies"]
    print(f"flood: {name}: {stats['packets']} packets at {spent / stats['packets'] * 1e9:.0f} ns, {largest >> 10} MiB, dropped {stats['dropped_by_kernel']}, {anomalies}", flush=True)
    told = {one["client"]["port"]: one["verdict"]["label"] for one in lines if one["type"] == "connection" and one["server"]["port"] == SERVER_PORT}
    expected = {connection.client[1]: str(code) for connection, code in zip(real, CODES)}
    complaints = [] if (told, status) == (expected, 0) else [f"{name}: told {told}, not {expected}; status {status}"]
    if largest > (MEMORY_MIB + BESIDES_MIB) << 10:
        complaints.append(f"{name}: {largest >> 10} MiB of memory")
    counted = {"syn_flood": "flow_evicted", "half_open": "flow_evicted", "idle": "flow_evicted", "fragments": "fragment_incomplete", "out_of_order": "tcp_out_of_order_limit"}
    if name in counted and not anomalies.get(counted[name]) and not stats["evicted"]:
        complaints.append(f"{name}: no {counted[name]} counted: the flood was too small")
    return complaints


KINDS = [syn_flood, half_open, idle, fragments, slow_heads, out_of_order]


def check():
    """Returns complaints."""
    with tempfile.TemporaryDirectory(prefix="wsclose-live-") as folder:
        wanted = os.environ.get("FLOODS", "").split()
        kinds = [kind for kind in KINDS if not wanted or kind.__name__ in wanted]
        return [fault for kind in kinds for fault in one(kind, pathlib.Path(folder))]
