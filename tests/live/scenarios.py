"""Real endpoints in the lab's namespaces, with `wsclose live` beside the recorder: live, the verdicts are those of the file.

A few scenarios by default; FULL=1 for all that the fixtures are recorded from, or SCENARIOS="GLOB..." for some of them.
"""

import fnmatch
import itertools
import os
import pathlib
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from program import ROOT, START_LIMIT_S, analyze, binary, connections, lines
from replay import all_told

sys.path.insert(0, str(ROOT / "tests" / "lab"))
from lab import capture, namespaces, run, scenario  # noqa: E402 (the path to it stands in the line before)

# One of each way to end, with each library as client and as server, on one interface and on `any`, by IPv4 and IPv6.
FEW = [
    "close-crossed/websockets--aiohttp",
    "close-empty-by-client/ws--websockets",
    "close-then-reset/*",
    "fin-by-server/websockets--aiohttp",
    "half-close/*",
    "handshake-refused/aiohttp--websockets",
    "ipv6/*",
    "network-drop-ping/*",
    "port-reuse/*",
    "reset-by-server/ws--ws",
    "router-any/*",
    "sigkill-server/*",
    "still-open/*",
]
AT_ONCE = 3
TRIES = 2
SETTLE_S = 0.4


class LiveCapture(capture.Capture):
    """The recorder's capture, and a live one of the same packets."""

    def __init__(self, topology, settings, *rest):
        super().__init__(topology, settings, *rest)
        # Two captures that begin in the middle of a connection begin at different packets of it.
        self.is_late = "start_at" in settings

    def start(self):
        self.output = self.path.with_suffix(".ndjson")
        self.errors = self.path.with_suffix(".live.err").open("w+")
        options = ["--snaplen", str(self.snaplen or 65535), "--filter", self.filter, "--format", "ndjson", "-o", str(self.output)]
        command = self.topology.command(self.place, binary(), "live", "-i", self.device, *options)
        self.live = subprocess.Popen(command, stderr=self.errors)
        super().start()
        deadline = time.monotonic() + START_LIMIT_S
        while not (self.output.exists() and self.output.read_bytes().endswith(b"\n")):
            if self.live.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"wsclose live did not start: {pathlib.Path(self.errors.name).read_text()}")
            time.sleep(0.02)

    def stop(self):
        if self.process is None:
            return
        # What is still on its way through a slow network arrives in both.
        time.sleep(SETTLE_S)
        super().stop()
        self.status = self.live.wait(timeout=30)
        self.errors.close()

    def terminate(self):
        self.live.terminate()
        super().terminate()

    def faults(self):
        """(complaints, verdicts)"""
        written = self.output.read_text()
        live, file = all_told(connections(written)), all_told(analyze(self.path))
        if self.is_late:
            live, file = ([one[:-1] for one in all] for all in (live, file))
        dropped = [line["dropped_by_kernel"] for line in lines(written) if line["type"] == "stats"][-1]
        faults = [] if self.status == 0 else [f"exit status {self.status}"]
        if self.lost or dropped:
            # Nothing can be compared. (Each program has a buffer of its own.)
            raise run.Failed(f"tcpdump lost {self.lost}, wsclose {dropped}")
        if live != file:
            odd = [one for one in live if one not in file], [one for one in file if one not in live]
            faults.append(f"{self.vantage}: live differs from the file:\n    live {odd[0]}\n    file {odd[1]}")
        return faults, len(live)


def await_all_and_hold(awaited, deadline, await_all=run.await_all):
    """Two captures never stop at the same packet: what still talks is held before that."""
    await_all(awaited, deadline)
    for endpoint in awaited:
        if endpoint.process.poll() is None:
            endpoint.process.send_signal(signal.SIGSTOP)


class LiveRun(run.Run):
    def _keep(self, _out, _reports):
        checked = [one.faults() for one in self.captures]
        return [fault for faults, _ in checked for fault in faults], sum(count for _, count in checked)


def planned(globs):
    for path in sorted((ROOT / "fixtures" / "scenarios").glob("*.toml")):
        loaded = scenario.load(path)
        pairs = [pair for pair in loaded["pairs"] if any(fnmatch.fnmatch(f"{loaded['name']}/{pair}", glob) for glob in globs)]
        # Of the few, one pair of libraries of each.
        for pair in pairs if globs is not FEW else pairs[:1]:
            yield loaded, tuple(pair.split("--"))


def one(number, loaded, pair):
    """(complaints, verdicts). A run disturbed by a busy machine gets a second try."""
    name, failed = f"{loaded['name']}/{'--'.join(pair)}", None
    for attempt in range(TRIES):
        try:
            faults, verdicts = LiveRun(loaded, pair, {}, f"live{os.getpid()}-{number}-{attempt}").record(None)
            return [f"{name}: {fault}" for fault in faults], verdicts
        except (run.Failed, OSError, RuntimeError, subprocess.SubprocessError) as fault:
            failed = fault
    return [f"{name}: not run: {failed}"], 0


def check():
    """Returns complaints."""
    run.Capture, run.await_all = LiveCapture, await_all_and_hold
    globs = os.environ.get("SCENARIOS", "").split() or (["*"] if os.environ.get("FULL") else FEW)
    if globs is not FEW:
        namespaces.preflight()
    plan = list(planned(globs))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = list(pool.map(one, itertools.count(), *zip(*plan)))
    complaints = [fault for faults, _ in done for fault in faults]
    verdicts = sum(count for _, count in done)
    print(f"scenarios: {len(plan)} runs with real endpoints, {verdicts} verdicts live, {len(complaints)} complaints")
    return complaints + ([] if verdicts >= len(plan) else ["too few verdicts for the test to mean anything"])
