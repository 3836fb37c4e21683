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
from .proxy import Proxy
from .tls import Tls
from .truth import truth, written

START_DELAY_S = 0.15
NUMBERS = itertools.count(1)


class Failed(Exception):
    """The recording did not come out as intended; nothing was kept."""


class Run:
    def __init__(self, scenario, pair, known, tag, suite=None):
        """`suite`: over TLS, with that cipher suite."""
        self.scenario, self.pair, self.known, self.tag = scenario, pair, known, tag
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="wsclose-lab-"))
        self.endpoints, self.captures, self.helpers = {}, [], {}
        self.proxy = None
        self.tls = Tls(suite, scenario.get("tls", {}), self.folder) if suite else None

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
            self.endpoints[role] = Endpoint(self.topology, role, library, self._plan(role), self.folder, self._tls_of(role))
        self._start_helpers()
        for number, settings in enumerate(self.scenario["capture"]):
            path = self.folder / f"{number}-{settings['vantage']}.{settings.get('format', 'pcap')}"
            places = scenarios.places(self.scenario, self.pair[0], settings["vantage"])
            self.captures.append(Capture(self.topology, settings, path, places, "proxy" in self.scenario))
        for part in [*self.endpoints.values(), *([self.proxy] if self.proxy else [])]:
            part.await_ready()
        late = [one for one, settings in zip(self.captures, self.scenario["capture"]) if "start_at" in settings]
        for capture in self.captures:
            if capture not in late:
                capture.start()
        t0 = time.time() + START_DELAY_S
        for endpoint in self.endpoints.values():
            endpoint.start(t0)
        self._inject(t0, late)
        return self._reports(t0)

    def _tls_of(self, role):
        """A proxy speaks to its server in the clear."""
        return None if role == "server" and "proxy" in self.scenario else self.tls

    def _plan(self, role):
        _, _, backend = self.pair[role == "server"].partition("-")
        options = {**self.scenario.get("options", {}), **self.scenario.get(f"{role}_options", {})}
        proxied = role == "client" and "proxy" in self.scenario
        return {
            "role": role,
            "host": self.topology.addresses["left" if proxied else "server"],
            "port": wire.SERVER_PORT,
            "bind": self.topology.addresses["client"],
            "options": {**options, **({"backend": backend} if backend else {})},
            "connections": [scenarios.steps(one, role) for one in self.scenario["connections"]],
            **({"tls": self.tls.plan(role)} if self._tls_of(role) else {}),
        }

    def _start_helpers(self):
        """What stands on the router: a relay, a forger of resets, a proxy."""
        if "relay" in self.scenario["network"]:
            self._start_helper("relay", self.scenario["network"]["relay"])
        if any("forge" in one for one in self.scenario["inject"]):
            self._start_helper("forger", {})
        if "proxy" in self.scenario:
            self.proxy = Proxy(self.topology, self.scenario["proxy"], wire.SERVER_PORT, self.folder, self.tls)

    def _start_helper(self, name, settings):
        macs = {"left": self.topology.mac("client"), "right": self.topology.mac("server")}
        settings = json.dumps({**settings, "family": self.topology.family, "mac": macs})
        script = str(pathlib.Path(__file__).with_name(f"{name}.py"))
        helper = subprocess.Popen(
            self.topology.command("middle", sys.executable, script, settings), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.helpers[name] = helper
        helper.stdout.readline()

    def _inject(self, t0, late):
        """Does what the scenario asks of the recorder itself, each at its time."""
        planned = [(one["at"], lambda one=one: self._act(one)) for one in self.scenario["inject"]]
        starts = [settings["start_at"] for settings in self.scenario["capture"] if "start_at" in settings]
        planned += [(at, capture.start) for at, capture in zip(starts, late)]
        for at, act in sorted(planned, key=lambda one: one[0]):
            time.sleep(max(0.0, t0 + at - time.time()))
            act()

    def _act(self, one):
        if "signal" in one and one["who"] == "proxy":
            self.proxy.signal(one["signal"], one.get("group", False))
        elif "signal" in one:
            self.endpoints[one["who"]].signal(one["signal"])
        if "nft" in one:
            self.topology.nft(one["nft"])
        if "forge" in one:
            self.helpers["forger"].stdin.write(json.dumps(one["forge"]) + "\n")
            self.helpers["forger"].stdin.flush()
        if "run" in one:
            self.topology.exec(self.topology.name(one["place"]), *one["run"])

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
        for helper in self.helpers.values():
            helper.kill()
            helper.wait()
        if self.proxy:
            self.proxy.stop()

    def _keep(self, out, reports):
        checked = [(capture, self._checked(capture, reports)) for capture in self.captures]
        folder = out / self.scenario["name"]
        folder.mkdir(parents=True, exist_ok=True)
        kept = []
        for capture, shown in checked:
            extra = "" if len({one.vantage for one in self.captures}) == len(self.captures) else "-" + capture.path.name.split("-")[0]
            name = f"{self.pair[0]}--{self.pair[1]}.{capture.vantage}{extra}"
            target = folder / (name + (".pcapng.gz" if self.tls else capture.path.suffix))
            shown["capture"]["file"] = target.name
            self.tls.inject(capture.path, target) if self.tls else shutil.copyfile(capture.path, target)
            (folder / (name + ".truth.json")).write_text(written(shown), encoding="utf-8")
            kept.append(target)
        return kept

    def _checked(self, capture, reports):
        seen = wire.seen(capture.path, self.tls)
        faults, planned = [], set()
        if capture.lost:
            faults.append(f"  {capture.vantage}: {capture.lost[0]} by the kernel")
        for place in capture.places:
            key = seen.key(place, self.topology.target(place.leg))
            planned.add(key)
            if key is None:
                fault = "not in the capture"
            else:
                fault = wire.fault(place, seen.events[key], seen.sends[key]) if capture.checked else None
            if fault:
                faults.append(f"  {capture.vantage} {place.name}: {fault}")
        extra = set(seen.events) - planned
        if extra:
            faults.append(f"  {capture.vantage}: connections that nobody planned: {sorted(extra)}")
        if faults:
            said = "".join(f"  {role}: {report['stderr'].strip()[-600:]}\n" for role, report in reports.items() if report["stderr"].strip())
            raise Failed("\n".join(faults) + "\n" + said)
        return truth(self.scenario, self.pair, self.topology, capture, reports, seen, self.known, self.tls)
