"""Starts the endpoint programs in their namespaces and collects their reports."""

import json
import os
import pathlib
import signal
import subprocess
import threading
import time

LAB = pathlib.Path(__file__).resolve().parent.parent
PYTHON = str(LAB / ".venv" / "bin" / "python")
# What follows a hyphen in a server's name is an option of its program: `uvicorn-wsproto`.
PROGRAMS = {
    ("ws", "client"): ["node", "ws_client.mjs"],
    ("ws", "server"): ["node", "ws_server.mjs"],
    ("websockets", "client"): [PYTHON, "websockets_endpoint.py"],
    ("websockets", "server"): [PYTHON, "websockets_endpoint.py"],
    ("aiohttp", "client"): [PYTHON, "aiohttp_endpoint.py"],
    ("aiohttp", "server"): [PYTHON, "aiohttp_endpoint.py"],
    ("tornado", "client"): [PYTHON, "tornado_endpoint.py"],
    ("tornado", "server"): [PYTHON, "tornado_endpoint.py"],
    ("uvicorn", "server"): [PYTHON, "uvicorn_endpoint.py"],
    ("chromium", "client"): [PYTHON, "chromium_endpoint.py"],
    ("raw", "client"): [PYTHON, "raw_endpoint.py"],
    ("raw", "server"): [PYTHON, "raw_endpoint.py"],
}
READY_LIMIT_S = 40.0


class Endpoint:
    """One endpoint process. `plan` is what `endpoints/common.py` documents."""

    def __init__(self, topology, role, library, plan, folder, tls=None):
        self.role, self.library = role, library
        self.reports = {}
        self.ready = threading.Event()
        path = folder / f"{role}.plan.json"
        path.write_text(json.dumps(plan), encoding="utf-8")
        program, script = PROGRAMS[(library.split("-")[0], role)]
        # Node writes its key log itself, and reads OpenSSL's settings only if told to.
        options = [f"--tls-keylog={tls.keylog(role)}"] if tls and program == "node" else []
        command = topology.command(role, program, *options, str(LAB / "endpoints" / script), str(path))
        self.errors = (folder / f"{role}.stderr").open("w+")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env={**os.environ, **(tls.environment() if tls else {})},
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            said = json.loads(line)
            if said.pop("event") == "ready":
                self.ready.set()
            else:
                self.reports.setdefault(said.pop("name"), said)

    def await_ready(self):
        if not self.ready.wait(READY_LIMIT_S):
            raise RuntimeError(f"{self.role} {self.library} did not start: {self.stderr()}")

    def start(self, t0):
        self.process.stdin.write(f"{t0}\n")
        self.process.stdin.flush()

    def stderr(self):
        self.errors.flush()
        return pathlib.Path(self.errors.name).read_text(encoding="utf-8")

    def signal(self, name):
        self.process.send_signal(getattr(signal, name))

    def finished(self, names):
        return self.process.poll() is not None or all(name in self.reports for name in names)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join(timeout=2)
        self.errors.close()


def await_all(awaited, deadline):
    """Waits until every endpoint reported all connections awaited of it, or until the deadline."""
    while time.monotonic() < deadline:
        if all(endpoint.finished(names) for endpoint, names in awaited.items()):
            return
        time.sleep(0.03)
