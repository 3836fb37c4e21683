"""kill -9 in the middle of writing leaves whole lines; only the last one may be cut, and the next run goes on behind it."""

import json
import os
import pathlib
import random
import tempfile
import time

from ends import awaited
from packets import Connection
from program import Live
from schema import sound
from space import Pair

TIMES = 4


def gone_on(pair, output):
    """What is wrong with the file once another run has gone on behind a line that was cut."""
    os.truncate(output, output.stat().st_size - 5)
    before = output.read_bytes()
    live = Live(pair.near, output)
    begins = lambda: output.read_text().count('"type":"begin"')
    if not awaited(lambda: begins() == 2):
        live.kill()
        return [f"{begins()} begins after a second start"]
    status, after = live.stop(), output.read_bytes()
    if not after.startswith(before + b"\n"):
        return ["the lines of the run before are not there, or the cut one does not end"]
    types = [json.loads(line)["type"] for line in after[len(before):].splitlines() if line]
    return [] if (status, types[0], types[-1]) == (0, "begin", "summary") else [f"status {status}, then {types}"]


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
            complaints += [f"turn {turn}: {fault}" for fault in gone_on(pair, live.output)]
    pair.remove()
    print(f"kill: {TIMES} times, {whole} whole lines")
    return complaints + ([] if whole > 1_000 else ["too few lines were written for the test to mean anything"])
