"""nginx or haproxy on the router: it accepts from the client and opens a connection of its own to the server."""

import os
import pathlib
import signal
import subprocess
import time

LAB = pathlib.Path(__file__).resolve().parent.parent
START_LIMIT_S = 10.0
LISTENING = "0A"


class Proxy:
    """`settings`: kind (nginx, haproxy), and what its configuration's template in tests/lab/proxies leaves open."""

    def __init__(self, topology, settings, port, folder, tls=None):
        self.kind = settings["kind"]
        self.topology, self.port = topology, port
        path = folder / f"{self.kind}.conf"
        values = {"listen": topology.addresses["left"], "server": topology.addresses["server"], "port": port, "folder": folder, **settings}
        values["tls"] = tls.proxy(self.kind) if tls else ""
        path.write_text(filled((LAB / "proxies" / path.name).read_text(encoding="utf-8"), values), encoding="utf-8")
        command = {
            "nginx": ["nginx", "-p", str(folder), "-c", str(path), "-g", "daemon off;"],
            # Master and worker, as Debian's unit starts it: a reload leaves the old worker to its connections.
            "haproxy": ["haproxy", "-W", "-f", str(path)],
        }[self.kind]
        self.log = (folder / f"{self.kind}.log").open("w+")
        self.process = subprocess.Popen(
            topology.command("middle", *command), stdout=self.log, stderr=self.log, start_new_session=True
        )

    def await_ready(self):
        deadline = time.monotonic() + START_LIMIT_S
        while not self._listens():
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.log.flush()
                raise RuntimeError(f"{self.kind} did not start: {pathlib.Path(self.log.name).read_text()}")
            time.sleep(0.05)

    def _listens(self):
        shown = subprocess.run(self.topology.command("middle", "cat", "/proc/net/tcp"), capture_output=True, text=True, check=True).stdout
        rows = [line.split() for line in shown.splitlines()[1:]]
        return any(row[1].endswith(f":{self.port:04X}") and row[3] == LISTENING for row in rows)

    def signal(self, name, whole_group=False):
        """To the master process, or to it and all its workers."""
        number = getattr(signal, name)
        if whole_group:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.log.close()


def filled(template, values):
    """`@name@` replaced; not braces, which these configurations have themselves."""
    for name, value in values.items():
        template = template.replace(f"@{name}@", str(value))
    return template
