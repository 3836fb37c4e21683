"""Three network namespaces in a row: client - middle (router) - server.

Everything lives in namespaces with unique names: no address, route or rule outside them is touched.
"""

import os
import pathlib
import shutil
import subprocess

ADDRESSES = {
    4: {"client": "10.60.1.2", "left": "10.60.1.1", "right": "10.60.2.1", "server": "10.60.2.2", "bits": "24"},
    6: {"client": "fd60:1::2", "left": "fd60:1::1", "right": "fd60:2::1", "server": "fd60:2::2", "bits": "64"},
}
LAB = pathlib.Path(__file__).resolve().parent.parent
TOOLS = ["ip", "nft", "ethtool", "sysctl", "tcpdump", "dumpcap", "tshark", "node", "nginx", "haproxy", "chromium", "conntrack"]
# The router's own connections (a proxy's to its server) keep clear of the ports that scenarios choose.
ROUTER_PORTS = "50000 60000"
OFFLOADS = ["tx", "rx", "tso", "gso", "gro"]


class Topology:
    """The namespaces of one run; a context manager that removes them again."""

    def __init__(self, tag, network):
        self.tag = tag
        self.network = network
        self.family = network.get("family", 4)
        self.addresses = ADDRESSES[self.family]

    def name(self, place):
        return f"wsclose-{self.tag}-{place}"

    def __enter__(self):
        for place in ("client", "middle", "server"):
            run("ip", "netns", "add", self.name(place))
        try:
            self._link("client", "left")
            self._link("server", "right")
            self._settings()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for place in ("client", "middle", "server"):
            subprocess.run(["ip", "netns", "del", self.name(place)], check=False, stderr=subprocess.DEVNULL)

    def _link(self, place, port):
        """Joins the host `place` (its eth0) to the router's interface `port`."""
        host, middle, bits = self.name(place), self.name("middle"), self.addresses["bits"]
        run("ip", "link", "add", "eth0", "netns", host, "type", "veth", "peer", "name", port, "netns", middle)
        for namespace, device, address in (
            (host, "eth0", self.addresses[place]),
            (middle, port, self.addresses[port]),
        ):
            nodad = ["nodad"] if self.family == 6 else []
            run("ip", "-n", namespace, "addr", "add", f"{address}/{bits}", "dev", device, *nodad)
            run("ip", "-n", namespace, "link", "set", device, "up")
            if not self.network.get("offload"):
                self.exec(namespace, "ethtool", "-K", device, *sum(([name, "off"] for name in OFFLOADS), []))
        run("ip", "-n", host, f"-{self.family}", "route", "add", "default", "via", self.addresses[port])

    def _settings(self):
        relay = "relay" in self.network
        forward = "net.ipv4.ip_forward" if self.family == 4 else "net.ipv6.conf.all.forwarding"
        self.sysctl("middle", forward, 0 if relay else 1)
        for place in ("client", "server"):
            for key, value in self.network.get("sysctl", {}).items():
                self.sysctl(place, f"net.ipv4.{key}", value)
        self.sysctl("middle", "net.ipv4.ip_local_port_range", ROUTER_PORTS)
        if "nft" in self.network:
            self.nft(self.network["nft"])
        # After the rules: the kernel has a namespace's conntrack settings only once something uses them.
        for key, value in self.network.get("router_sysctl", {}).items():
            self.sysctl("middle", key, value)

    def sysctl(self, place, key, value):
        self.exec(self.name(place), "sysctl", "-qw", f"{key}={value}")

    def target(self, leg):
        """The address to which a leg leads; without a proxy (None) the server's."""
        return self.addresses["left" if leg == "client" else "server"]

    def command(self, place, *args):
        """The argument list that runs `args` inside `place`; it execs, so that its pid is the program's."""
        return ["ip", "netns", "exec", self.name(place), *args]

    def exec(self, namespace, *args, stdin=None):
        run("ip", "netns", "exec", namespace, *args, stdin=stdin)

    def nft(self, rules):
        """Adds nftables rules on the router."""
        self.exec(self.name("middle"), "nft", "-f", "-", stdin=rules)

    def mac(self, place, device="eth0"):
        shown = subprocess.run(
            self.command(place, "cat", f"/sys/class/net/{device}/address"), check=True, capture_output=True, text=True
        )
        return shown.stdout.strip()


def run(*args, stdin=None):
    done = subprocess.run(args, input=stdin, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(args)}: {done.stderr.strip()}")


def preflight():
    """Says what is missing before anything is made."""
    if os.geteuid() != 0:
        raise SystemExit("record.py: making network namespaces needs root")
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    lacking += [part for part in (".venv", "node_modules") if not (LAB / part).is_dir()]
    if lacking:
        raise SystemExit(f"record.py: missing {', '.join(lacking)}; run tests/lab/setup.sh first")
