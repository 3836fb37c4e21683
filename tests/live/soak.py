"""A steady load of short connections: memory stays flat, and every connection that was opened has ended or is open.

`--seconds N` behind the stage's name, and `--rate N` for so many connections a second.
"""

import json
import os
import pathlib
import sys
import tempfile
import time

from packets import Connection
from program import Live
from space import Pair

OPEN = 200
BURST_S = 0.25
# Stats lines a second; how often the tests say how far they are.
INTERVAL_S, PROGRESS_S = 1, 300
# What an allocator keeps for itself.
SLACK = 1.10
CODES = [1000, 1001, 1006, 1011]


def resident_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def option(name, default):
    return float(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else default


class Books:
    """The `stats` lines of all files written: what was opened has ended or is open, at each of them."""

    def __init__(self, folder):
        self.folder, self.lines, self.faults, self.last = folder, 0, [], None

    def read(self, path):
        for line in path.read_text().splitlines():
            if not line.startswith('{"type":"stats"'):
                continue
            stats = json.loads(line)
            opened, still = stats["websockets"]["opened"], stats["websockets"]["open"]
            ended = sum(stats["ended"].values())
            self.lines, self.last = self.lines + 1, stats
            if opened != ended + still:
                self.faults.append(f"{opened} opened, {ended} ended, {still} open at {stats['at']}")

    def clear(self):
        """Reads and deletes what has been rotated away."""
        for old in sorted(self.folder.glob("soak.ndjson.*")):
            self.read(old)
            old.unlink()


def check():
    """Returns complaints."""
    pair, span, rate = Pair("soak"), option("--seconds", 20.0), option("--rate", 400.0)
    warm = min(60.0, span / 2)
    with tempfile.TemporaryDirectory(prefix="wsclose-live-") as name, pair.sender() as sender:
        folder = pathlib.Path(name)
        books = Books(folder)
        options = ["--limit", "linger=2s", "--limit", "surveyed_connections=1000", "--interval", f"{INTERVAL_S}s", "--rotate", "64M"]
        live = Live(pair.near, folder / "soak.ndjson", *options).await_start()
        if span > PROGRESS_S:
            os.nice(5)
        began, number, sizes, told, due = time.monotonic(), 0, [], 0, 0.0
        for frame in (f for n in range(OPEN) for c in [Connection(4_000_000 + n)] for f in c.connect() + c.upgrade()):
            sender.send(frame)
        while (now := time.monotonic() - began) < span:
            # A sender that was held up does not catch up: what is measured is a steady load.
            due = max(due, now - BURST_S)
            while due < now:
                due += 1 / rate
                for frame in Connection(number).whole(CODES[number % len(CODES)]):
                    sender.send(frame)
                number += 1
            if not sizes or now - sizes[-1][0] >= 1:
                sizes.append((now, resident_kib(live.process.pid)))
                books.clear()
            if now - told >= PROGRESS_S:
                told = now
                print(f"soak: {number} connections in {now:.0f} s, {sizes[-1][1]} KiB", flush=True)
            time.sleep(0.05)
        time.sleep(3.5)
        spent = processor_seconds(live.process.pid)
        status = live.stop()
        books.clear()
        lines = live.lines()
        books.read(live.output)
    pair.remove()
    print(f"soak: {spent / (number or 1) * 1e6:.0f} us of processor time a connection", flush=True)
    return ([] if status == 0 else [f"exit status {status}"]) + verdict(lines, books, sizes, warm, number)


def processor_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def verdict(lines, books, sizes, warm, opened):
    stats, labels = books.last, lines[-1]["summary"]["by_label"]
    early = max(size for at, size in sizes if at <= warm)
    print("soak: KiB after each twelfth of the time:", [sizes[len(sizes) * part // 12][1] for part in range(1, 12)])
    late, last = max(size for at, size in sizes if at > warm), sizes[-1][1]
    print(f"soak: {opened} connections in {sizes[-1][0]:.0f} s; {early} KiB after {warm:.0f} s, {late} KiB at most after that, "
          f"{last} KiB at the end; dropped {stats['dropped_by_kernel']}; {books.lines} stats lines; tables {stats['memory']}")
    expected = {str(code): opened // 4 + (index < opened % 4) for index, code in enumerate(CODES)} | {"open": OPEN}
    complaints = [] if labels == expected else [f"told {labels}, generated {expected}"]
    if stats["websockets"]["opened"] != opened + OPEN:
        complaints.append(f"{stats['websockets']['opened']} seen to open, {opened + OPEN} generated")
    if late > early * SLACK:
        complaints.append(f"memory grew from {early} to {late} KiB")
    return complaints + books.faults[:3]
