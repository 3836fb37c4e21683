#!/usr/bin/env python3
"""The live tests: tests/live/run.py [STAGE...]. Needs root, and a release build."""

import importlib
import sys
import time

import space

STAGES = ["replay", "ends", "rights", "top", "metrics", "record", "rate", "flood", "kill", "soak"]


def main():
    space.enter(__file__)
    faults = 0
    named = sys.argv[1:sys.argv.index("--seconds")] if "--seconds" in sys.argv else sys.argv[1:]
    for stage in named or STAGES:
        began = time.monotonic()
        complaints = importlib.import_module(stage).check()
        for complaint in complaints:
            print(f"FAIL {stage}: {complaint}", flush=True)
        faults += len(complaints)
        print(f"{stage}: {'ok' if not complaints else 'failed'} after {time.monotonic() - began:.0f} s", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
