"""A network namespace of the tests' own, and pairs of interfaces in it. Nothing outside of it is touched."""

import os
import pathlib
import shutil
import socket
import subprocess
import sys

TOOLS = ["ip", "tcpdump", "editcap"]
ETH_P_ALL = 3


def run(*args):
    done = subprocess.run(args, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(args)}: {done.stderr.strip()}")


def enter(script):
    """Runs `script` again inside a fresh namespace; returns there. The namespace ends with it."""
    if os.environ.get("WSCLOSE_LIVE_SPACE"):
        run("ip", "link", "set", "lo", "up")
        return
    if os.geteuid() != 0:
        raise SystemExit("the live tests make network namespaces: run them as root")
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    if lacking:
        raise SystemExit(f"missing: {', '.join(lacking)} (make test-live installs them)")
    name = f"wsclose-live-{os.getpid()}"
    run("ip", "netns", "add", name)
    try:
        environment = {**os.environ, "WSCLOSE_LIVE_SPACE": name}
        command = ["ip", "netns", "exec", name, sys.executable, str(pathlib.Path(script).resolve()), *sys.argv[1:]]
        raise SystemExit(subprocess.run(command, env=environment).returncode)
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


class Pair:
    """Two interfaces joined back to back, without addresses: what is sent on the one is captured on the other."""

    def __init__(self, tag, mtu=65535):
        self.near, self.far = f"a{tag}", f"b{tag}"
        run("ip", "link", "add", self.near, "type", "veth", "peer", "name", self.far)
        for device in (self.near, self.far):
            setting = pathlib.Path(f"/proc/sys/net/ipv6/conf/{device}/disable_ipv6")
            if setting.exists():
                setting.write_text("1")
            run("ip", "link", "set", device, "mtu", str(mtu), "up")

    def sender(self):
        """A socket that puts whole frames on the far interface."""
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sender.bind((self.far, 0))
        return sender

    def remove(self):
        subprocess.run(["ip", "link", "del", self.near], check=False, capture_output=True)
