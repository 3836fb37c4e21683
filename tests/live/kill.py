"""kill -9 in the middle of writing leaves whole lines; only the last one may be cut."""

import json
import pathlib
import random
import tempfile
import time

from packets import Connection
from program import Live
from schema import sound
from space import Pair

TIMES = 4


def check():
    """Returns complaints."""
    complaints, whole = [], 0
    pair = Pair("kill")
    with tempfile.TemporaryDirectory(prefix="wsclose-live-") as folder, pair.sender() as sender:
        for turn in range(TIMES):
            live = Live(pair.near, pathlib.Path(folder) / f"{turn}.ndjson", "--limit", "linger=1s", "--interval", "10ms").await_start()
            end = time.monotonic() + 1.3 + random.random() * 0.4
            number = 0
            while time.monotonic() < end:
                number += 1
                for frame in Connection(number).whole(1000):
                    sender.send(frame)
            live.process.kill()
            live.process.wait()
            lines = live.output.read_bytes().split(b"\n")
            for line in lines[:-1]:
                try:
                    sound(json.loads(line))
                    whole += 1
                except ValueError:
                    complaints.append(f"turn {turn}: a cut line: {line[:80]!r}")
    pair.remove()
    print(f"kill: {TIMES} times, {whole} whole lines")
    return complaints + ([] if whole > 1_000 else ["too few lines were written for the test to mean anything"])
