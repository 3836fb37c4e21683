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
    parser.add_argument("--out", type=pathlib.Path, help="default: fixtures/captures, with --tls fixtures/tls-twins")
    parser.add_argument("--tls", action="store_true", help="what the scenarios' tables [tls] name, over TLS")
    parser.add_argument("--suite", help="over TLS with this suite: every scenario and pair that --only names")
    parser.add_argument("--jobs", type=int, default=3, help="runs at the same time")
    options = parser.parse_args()
    options.tls = options.tls or bool(options.suite)
    options.out = options.out or ROOT / "fixtures" / ("tls-twins" if options.tls else "captures")
    return options


def planned(only):
    for path in sorted((ROOT / "fixtures" / "scenarios").glob("*.toml")):
        loaded = scenario.load(path)
        for pair in loaded["pairs"]:
            name = f"{loaded['name']}/{pair}"
            if fnmatch.fnmatch(name, only) or fnmatch.fnmatch(loaded["name"], only):
                yield name, loaded, tuple(pair.split("--"))


def planned_over_tls(only, suite):
    """The same with each run's suite: those of the scenario's table `[tls]`, or all with `suite`."""
    for name, loaded, pair in planned(only):
        chosen = loaded.get("tls", {}).get("pairs", {}).get("--".join(pair))
        if suite or chosen:
            yield name, scenario.over_tls(loaded), pair, suite or chosen


def record(number, name, loaded, pair, known, out, suite=None):
    """Returns (name, files, complaint). A run disturbed by a busy machine gets a second try."""
    complaint = ""
    for attempt in range(TRIES):
        try:
            tag = f"{os.getpid()}-{number}-{attempt}"
            return name, Run(loaded, pair, known, tag, suite).record(out), None
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
        if options.tls:
            plan = [(name, loaded, pair, known, options.out, suite) for name, loaded, pair, suite in planned_over_tls(options.only, options.suite)]
        else:
            plan = [(*one, known, options.out) for one in planned(options.only)]
        runs = [pool.submit(record, number, *one) for number, one in enumerate(plan)]
        for run in concurrent.futures.as_completed(runs):
            name, files, complaint = run.result()
            failures += complaint is not None
            print(f"{'FAIL' if complaint else 'ok  '} {name}  {sum(file.stat().st_size for file in files)} bytes", flush=True)
            if complaint:
                print(complaint, flush=True)
    if not options.tls:
        prune(options.out)
    if not failures and not options.tls:
        readme.refresh(ROOT / "fixtures" / "README.md", {loaded["name"]: loaded for _, loaded, _ in planned("*")}, known)
    print(f"{len(runs) - failures} of {len(runs)} runs recorded")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
