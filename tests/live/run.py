#!/usr/bin/env python3
"""The live tests: tests/live/run.py [STAGE...]. Needs root, and a release build.

Without stages all of them run: mostly they wait, so several run at a time, but for `rate`, which measures the machine.
FULL=1: floods of a million, and every scenario of the lab.
"""

import importlib
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import space

# What runs side by side, each lane one after another; then what needs the machine for itself.
LANES = [["replay", "flood"], ["ends", "scenarios", "top"], ["soak", "record", "metrics", "rights", "kill"]]
ALONE = ["rate"]


def main():
    space.enter(__file__)
    named = sys.argv[1:sys.argv.index("--seconds")] if "--seconds" in sys.argv else sys.argv[1:]
    if named:
        return 1 if sum(in_process(stage) for stage in named) else 0
    began = time.monotonic()
    with ThreadPoolExecutor(len(LANES)) as pool:
        faults = sum(pool.map(lambda lane: sum(apart(stage) for stage in lane), LANES))
    faults += sum(apart(stage) for stage in ALONE)
    print(f"all stages: {time.monotonic() - began:.0f} s")
    return 1 if faults else 0


def in_process(stage):
    began = time.monotonic()
    complaints = importlib.import_module(stage).check()
    for complaint in complaints:
        print(f"FAIL {stage}: {complaint}", flush=True)
    print(f"{stage}: {'ok' if not complaints else 'failed'} after {time.monotonic() - began:.0f} s", flush=True)
    return len(complaints)


def apart(stage):
    """The stage as a process of its own; what it says is shown at its end, in one piece."""
    done = subprocess.run([sys.executable, __file__, stage], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout, end="", flush=True)
    return done.returncode != 0


if __name__ == "__main__":
    sys.exit(main())
