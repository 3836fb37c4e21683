"""tcpdump or dumpcap at one vantage point."""

import re
import subprocess
import time

DEVICES = {"client": ("client", "eth0"), "server": ("server", "eth0"), "middle": ("middle", "left"), "any": ("middle", "any")}
START_LIMIT_S = 10.0
RING_KIB = "32768"


class Capture:
    """One capture file being written. `settings`: vantage, snaplen, filter, format (pcap or pcapng)."""

    def __init__(self, topology, settings, path, places, proxied):
        self.vantage = settings["vantage"]
        self.places = places
        self.proxied = proxied
        self.format = settings.get("format", "pcap")
        self.snaplen = settings.get("snaplen", 0)
        self.filter = settings.get("filter", "tcp").format(**topology.addresses)
        self.checked = settings.get("check", True)
        self.path = path
        self.place, self.device = DEVICES[self.vantage]
        self.topology = topology
        self.process = None
        self.lost = None

    def shows(self, role):
        """Whether it may hold the connection at which this endpoint sits."""
        return not self.proxied or self.vantage == "any" or (role == "server") == (self.vantage == "server")

    def _command(self):
        snaplen = ["-s", str(self.snaplen)] if self.snaplen else []
        if self.format == "pcapng":
            return ["dumpcap", "-q", "-i", self.device, *snaplen, "-f", self.filter, "-w", str(self.path)]
        # Without -s and -B its ring on `any` has room for eight packets, and loses some of every burst.
        # -Z root: keeps the right to write into a folder that only root may write.
        return ["tcpdump", "-i", self.device, *(snaplen or ["-s", "65535"]), "-B", RING_KIB, "-n", "-U", "--immediate-mode", "-Z", "root", "-w", str(self.path), self.filter]

    def start(self):
        self.log = self.path.with_suffix(".log").open("w+")
        self.process = subprocess.Popen(self.topology.command(self.place, *self._command()), stderr=self.log, stdout=self.log)
        deadline = time.monotonic() + START_LIMIT_S
        # Both tools name the file or interface on stderr once the socket is open.
        while not any(word in self._logged() for word in ("listening on", "File:")):
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError(f"capture at {self.vantage} did not start: {self._logged()}")
            time.sleep(0.02)
        time.sleep(0.1)

    def _logged(self):
        return self.path.with_suffix(".log").read_text()

    def terminate(self):
        self.process.terminate()

    def stop(self):
        if self.process is None:
            return
        time.sleep(0.15 if self.format == "pcap" else 0.6)
        self.terminate()
        self.process.wait(timeout=10)
        self.log.close()
        self.lost = re.search(r"([1-9]\d*) packets dropped", self._logged())
        self.path.with_suffix(".log").unlink()
        self.process = None
