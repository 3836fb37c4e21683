"""wsclose itself, run as users run it."""

import json
import os
import pathlib
import signal
import subprocess
import time

from schema import sound

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_LIMIT_S = 20


def binary():
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return str(target / os.environ.get("WSCLOSE_PROFILE", "release") / "wsclose")


def lines(text):
    """The lines, each one checked against the schema."""
    return [sound(json.loads(line)) for line in text.splitlines()]


def connections(text):
    return [line for line in lines(text) if line["type"] == "connection"]


def analyze(path, *options):
    done = subprocess.run([binary(), "--format", "ndjson", *options, str(path)], capture_output=True, text=True)
    return connections(done.stdout)


class Live:
    """`wsclose live`, writing NDJSON into a file."""

    def __init__(self, interface, output, *options, program=None, environment=None):
        self.output = pathlib.Path(output)
        self.errors = self.output.with_suffix(".err")
        command = [program or binary(), "live", "-i", interface, "--format", "ndjson", "-o", str(output), *options]
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(command, stderr=errors, env={**os.environ, **(environment or {})})

    def await_start(self):
        """Returns once it captures: its first line is written behind the opening of the interface."""
        deadline = time.monotonic() + START_LIMIT_S
        while not (self.output.exists() and self.output.read_bytes().endswith(b"\n")):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"wsclose live did not start: {self.errors.read_text()}")
            time.sleep(0.02)
        return self

    def stop(self, by=signal.SIGTERM):
        """Asks it to end; returns its exit status."""
        self.process.send_signal(by)
        return self.process.wait(timeout=60)

    def lines(self):
        return lines(self.output.read_text())

    def connections(self):
        return connections(self.output.read_text())

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Tcpdump:
    """tcpdump beside it, as the witness."""

    def __init__(self, interface, path, buffer_kib=8192, snaplen=65535):
        command = ["tcpdump", "-i", interface, "-s", str(snaplen), "-B", str(buffer_kib), "-n", "-Z", "root", "-w", str(path)]
        # Each packet as it comes; that costs it a ring of few places, so not where its speed is what matters.
        at_once = ["--immediate-mode", "-U"] if str(path) != "/dev/null" else []
        self.process = subprocess.Popen([*command, *at_once], stderr=subprocess.PIPE, text=True)
        # It names the interface once its socket is open.
        for line in self.process.stderr:
            if "listening on" in line:
                break

    def stop(self):
        """Returns what it says at its end."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=30)[1]
