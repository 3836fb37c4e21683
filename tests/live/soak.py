"""A steady load of short connections: memory stays flat, and every connection that was opened has ended or is open."""

import pathlib
import sys
import tempfile
import time

from packets import Connection
from program import Live
from space import Pair

A_SECOND = 400
OPEN = 200
# What an allocator keeps for itself.
SLACK = 1.10
CODES = [1000, 1001, 1006, 1011]


def resident_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def seconds():
    """--seconds N behind the stage's name; else what CI has time for."""
    return float(sys.argv[sys.argv.index("--seconds") + 1]) if "--seconds" in sys.argv else 20.0


def check():
    """Returns complaints."""
    pair, span = Pair("soak"), seconds()
    warm = min(60.0, span / 2)
    with tempfile.TemporaryDirectory(prefix="wsclose-live-") as folder, pair.sender() as sender:
        options = ["--limit", "linger=2s", "--limit", "surveyed_connections=1000", "--interval", "1s", "--rotate", "64M"]
        live = Live(pair.near, pathlib.Path(folder) / "soak.ndjson", *options).await_start()
        began, number, sizes = time.monotonic(), 0, []
        for frame in (f for n in range(OPEN) for c in [Connection(4_000_000 + n)] for f in c.connect() + c.upgrade()):
            sender.send(frame)
        while (now := time.monotonic() - began) < span:
            while number < now * A_SECOND:
                for frame in Connection(number).whole(CODES[number % len(CODES)]):
                    sender.send(frame)
                number += 1
            sizes.append((now, resident_kib(live.process.pid)))
            for old in sorted(pathlib.Path(folder).glob("soak.ndjson.*"))[:-1]:
                old.unlink()
            time.sleep(0.05)
        time.sleep(3.5)
        live.stop()
        lines = live.lines()
    pair.remove()
    return verdict(lines, sizes, warm, number)


def verdict(lines, sizes, warm, opened):
    stats = [line for line in lines if line["type"] == "stats"][-1]
    labels = lines[-1]["summary"]["by_label"]
    early = max(size for at, size in sizes if at <= warm)
    late = max(size for at, size in sizes if at > warm)
    print(f"soak: {opened} connections in {sizes[-1][0]:.0f} s; {early} KiB after {warm:.0f} s, {late} KiB after that; dropped {stats['dropped_by_kernel']}")
    expected = {str(code): opened // 4 + (index < opened % 4) for index, code in enumerate(CODES)} | {"open": OPEN}
    complaints = [] if labels == expected else [f"told {labels}, generated {expected}"]
    if stats["websockets"]["opened"] != opened + OPEN:
        complaints.append(f"{stats['websockets']['opened']} seen to open, {opened + OPEN} generated")
    if late > early * SLACK:
        complaints.append(f"memory grew from {early} to {late} KiB")
    return complaints
