"""One run: one scenario with one pair of endpoints, from making the namespaces to the checked files."""

import itertools
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from . import scenario as scenarios
from . import wire
from .capture import Capture
from .endpoints import Endpoint, await_all
from .namespaces import Topology
from .truth import truth, written

START_DELAY_S = 0.15
NUMBERS = itertools.count(1)


class Failed(Exception):
    """The recording did not come out as intended; nothing was kept."""


class Run:
    def __init__(self, scenario, pair, known, tag):
        self.scenario, self.pair, self.known, self.tag = scenario, pair, known, tag
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="wsclose-lab-"))
        self.endpoints, self.captures, self.helpers = {}, [], []

    def record(self, out):
        """Records and checks; then puts the files below `out`. Returns their paths."""
        try:
            with Topology(self.tag, self.scenario["network"]) as topology:
                self.topology = topology
                try:
                    reports = self._play()
                finally:
                    self._stop()
            return self._keep(out, reports)
        finally:
            shutil.rmtree(self.folder)

    def _play(self):
        for role, library in zip(("server", "client"), reversed(self.pair)):
            self.endpoints[role] = Endpoint(self.topology, role, library, self._plan(role), self.folder)
        self._start_relay()
        for number, settings in enumerate(self.scenario["capture"]):
            suffix = settings.get("format", "pcap")
            self.captures.append(Capture(self.topology, settings, self.folder / f"{number}-{settings['vantage']}.{suffix}"))
        for endpoint in self.endpoints.values():
            endpoint.await_ready()
        late = [one for one, settings in zip(self.captures, self.scenario["capture"]) if "start_at" in settings]
        for capture in self.captures:
            if capture not in late:
                capture.start()
        t0 = time.time() + START_DELAY_S
        for endpoint in self.endpoints.values():
            endpoint.start(t0)
        self._inject(t0, late)
        return self._reports(t0)

    def _plan(self, role):
        return {
            "role": role,
            "host": self.topology.addresses["server"],
            "port": wire.SERVER_PORT,
            "bind": self.topology.addresses["client"],
            "options": {**self.scenario.get("options", {}), **self.scenario.get(f"{role}_options", {})},
            "connections": [scenarios.steps(one, role) for one in self.scenario["connections"]],
        }

    def _start_relay(self):
        relay = self.scenario["network"].get("relay")
        if relay is None:
            return
        macs = {"left": self.topology.mac("client"), "right": self.topology.mac("server")}
        settings = json.dumps({**relay, "family": self.topology.family, "mac": macs})
        script = str(pathlib.Path(__file__).with_name("relay.py"))
        helper = subprocess.Popen(self.topology.command("middle", sys.executable, script, settings), stdout=subprocess.PIPE)
        helper.stdout.readline()
        self.helpers.append(helper)

    def _inject(self, t0, late):
        """Does what the scenario asks of the recorder itself, each at its time."""
        planned = [(one["at"], lambda one=one: self._act(one)) for one in self.scenario["inject"]]
        starts = [settings["start_at"] for settings in self.scenario["capture"] if "start_at" in settings]
        planned += [(at, capture.start) for at, capture in zip(starts, late)]
        for at, act in sorted(planned, key=lambda one: one[0]):
            time.sleep(max(0.0, t0 + at - time.time()))
            act()

    def _act(self, one):
        if "signal" in one:
            self.endpoints[one["who"]].signal(one["signal"])
        if "nft" in one:
            self.topology.nft(one["nft"])

    def _reports(self, t0):
        everything = self.scenario["connections"]
        awaited = {
            self.endpoints["client"]: [one["name"] for one in everything],
            self.endpoints["server"]: [one["name"] for one in everything if scenarios.reaches_server(one)],
        }
        until = t0 + self.scenario["settle_s"] - time.time()
        await_all(awaited, time.monotonic() + until)
        for capture in self.captures:
            capture.stop()
        return {
            role: {"said": dict(endpoint.reports), "library": endpoint.library, "alive": endpoint.process.poll() is None, "stderr": endpoint.stderr()}
            for role, endpoint in self.endpoints.items()
        }

    def _stop(self):
        for capture in self.captures:
            capture.stop()
        for endpoint in self.endpoints.values():
            endpoint.stop()
        for helper in self.helpers:
            helper.kill()
            helper.wait()

    def _keep(self, out, reports):
        checked = [(capture, self._checked(capture, reports)) for capture in self.captures]
        folder = out / self.scenario["name"]
        folder.mkdir(parents=True, exist_ok=True)
        kept = []
        for capture, shown in checked:
            extra = "" if len({one.vantage for one in self.captures}) == len(self.captures) else "-" + capture.path.name.split("-")[0]
            target = folder / f"{self.pair[0]}--{self.pair[1]}.{capture.vantage}{extra}{capture.path.suffix}"
            shown["capture"]["file"] = target.name
            shutil.copyfile(capture.path, target)
            (target.parent / (target.stem + ".truth.json")).write_text(written(shown), encoding="utf-8")
            kept.append(target)
        return kept

    def _checked(self, capture, reports):
        found, sends = wire.events(capture.path)
        faults = []
        for one in self.scenario["connections"]:
            answers = scenarios.expected(one, capture.vantage)
            key = (one["port"], one["use"])
            fault = wire.fault(one, answers, found[key], sends[key]) if capture.checked else None
            if fault:
                faults.append(f"  {capture.vantage} {one['name']}: {fault}")
        extra = set(found) - {(one["port"], one["use"]) for one in self.scenario["connections"]}
        if extra:
            faults.append(f"  {capture.vantage}: connections that nobody planned: {sorted(extra)}")
        if faults:
            said = "".join(f"  {role}: {report['stderr'].strip()[-600:]}\n" for role, report in reports.items() if report["stderr"].strip())
            raise Failed("\n".join(faults) + "\n" + said)
        return truth(self.scenario, self.pair, self.topology, capture, reports, (found, sends), self.known)
