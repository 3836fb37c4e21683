#!/usr/bin/env python3
"""Records the fixtures: python3 tests/lab/record.py [--only GLOB] [--out fixtures/captures]

Needs root (network namespaces) and what tests/lab/setup.sh installs.
"""

import argparse
import concurrent.futures
import fnmatch
import os
import pathlib
import subprocess
import sys

from lab import namespaces, readme, scenario, truth
from lab.run import Failed, Run

ROOT = pathlib.Path(__file__).resolve().parents[2]
TRIES = 2


def arguments():
    parser = argparse.ArgumentParser(description="Record the fixtures anew.")
    parser.add_argument("--only", default="*", metavar="GLOB", help="scenario or scenario/client--server")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "fixtures" / "captures")
    parser.add_argument("--jobs", type=int, default=3, help="runs at the same time")
    return parser.parse_args()


def planned(only):
    for path in sorted((ROOT / "fixtures" / "scenarios").glob("*.toml")):
        loaded = scenario.load(path)
        for pair in loaded["pairs"]:
            name = f"{loaded['name']}/{pair}"
            if fnmatch.fnmatch(name, only) or fnmatch.fnmatch(loaded["name"], only):
                yield name, loaded, tuple(pair.split("--"))


def record(number, name, loaded, pair, known, out):
    """Returns (name, files, complaint). A run disturbed by a busy machine gets a second try."""
    complaint = ""
    for attempt in range(TRIES):
        try:
            tag = f"{os.getpid()}-{number}-{attempt}"
            return name, Run(loaded, pair, known, tag).record(out), None
        except (Failed, OSError, RuntimeError, subprocess.SubprocessError) as failed:
            complaint = str(failed)
    return name, [], complaint


def prune(out):
    """Removes what no scenario records any more."""
    kept = {(scenario_name, pair) for scenario_name, pair in (name.split("/") for name, _, _ in planned("*"))}
    for path in sorted(out.glob("*/*")):
        if (path.parent.name, path.name.split(".")[0]) not in kept:
            path.unlink()
    for folder in sorted(out.glob("*")):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def main():
    options = arguments()
    namespaces.preflight()
    known = truth.versions()
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        runs = [pool.submit(record, number, *one, known, options.out) for number, one in enumerate(planned(options.only))]
        for run in concurrent.futures.as_completed(runs):
            name, files, complaint = run.result()
            failures += complaint is not None
            print(f"{'FAIL' if complaint else 'ok  '} {name}  {sum(file.stat().st_size for file in files)} bytes", flush=True)
            if complaint:
                print(complaint, flush=True)
    prune(options.out)
    if not failures:
        readme.refresh(ROOT / "fixtures" / "README.md", {loaded["name"]: loaded for _, loaded, _ in planned("*")}, known)
    print(f"{len(runs) - failures} of {len(runs)} runs recorded")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
