"""What is left of the rights once the first packet is looked at."""

import os
import pathlib
import shutil
import subprocess
import tempfile

from ends import awaited, types
from packets import Connection
from program import Live, binary
from space import Pair

NOBODY = "65534"
FORBIDDEN = ["reading /etc/shadow", "a raw socket", "a file outside of the output folders", "another program", "a TCP port"]


def status_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def what_must_fail_fails(folder):
    tried = subprocess.run([binary(), "live", "-i", "lo", "-o", str(folder / "x"), "--try-forbidden"], capture_output=True, text=True)
    lines = tried.stderr.splitlines()
    faults = [f"{what}: not refused" for what in FORBIDDEN if not any(line.startswith(f"wsclose: {what}: refused: ") for line in lines)]
    kept = subprocess.run([binary(), "live", "-i", "lo", "--no-sandbox", "--try-forbidden"], capture_output=True, text=True)
    allowed = kept.stderr.count("ALLOWED")
    # Without the drop all of it works: the refusals above are the drop's.
    return faults + ([] if (tried.returncode, allowed) == (0, len(FORBIDDEN)) else [f"status {tried.returncode}, without the drop {allowed} allowed"])


def nothing_is_left_but_what_it_needs(folder):
    os.chown(folder, int(NOBODY), int(NOBODY))
    pair = Pair("rights")
    live = Live(pair.near, folder / "r.ndjson", "--user", NOBODY, "--rotate", "1K", "--interval", "100ms", "--limit", "linger=1s").await_start()
    status = status_of(live.process.pid)
    expected = {"Uid": [NOBODY] * 4, "Gid": [NOBODY] * 4, "NoNewPrivs": ["1"], "Seccomp": ["2"]}
    expected |= {f"Cap{name}": ["0" * 16] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}
    faults = [f"{name} is {status[name]}" for name, value in expected.items() if status[name].split() != value]
    with pair.sender() as sender:
        for frame in Connection(1).whole(1001):
            sender.send(frame)
    rotated = lambda: any('"1001"' in part.read_text() for part in folder.glob("r.ndjson*"))
    faults += [] if awaited(rotated) else ["it did not go on, or could not rotate its output"]
    faults += [] if len(list(folder.glob("r.ndjson*"))) > 1 else ["nothing was rotated"]
    ended = live.stop()
    pair.remove()
    return faults + ([] if ended == 0 else [f"it ended with {ended}: {live.errors.read_text()}"])


def a_file_capability_is_enough(folder):
    if shutil.which("setcap") is None or shutil.which("setpriv") is None:
        return ["setcap or setpriv is missing"]
    program = folder / "wsclose"
    shutil.copy(binary(), program)
    subprocess.run(["setcap", "cap_net_raw+ep", str(program)], check=True)
    folder.chmod(0o777)
    pair = Pair("cap")
    command = folder / "as-nobody"
    command.write_text(f"#!/bin/sh\nexec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups {program} \"$@\"\n")
    command.chmod(0o755)
    live = Live(pair.near, folder / "cap.ndjson", "--limit", "linger=1s", program=str(command)).await_start()
    with pair.sender() as sender:
        for frame in Connection(1).whole(1001):
            sender.send(frame)
    faults = [] if awaited(lambda: "connection" in types(live)) else ["nothing was captured"]
    ended = live.stop()
    pair.remove()
    return faults + ([] if ended == 0 else [f"it ended with {ended}: {live.errors.read_text()}"])


def check():
    """Returns complaints."""
    complaints = []
    checks = [what_must_fail_fails, nothing_is_left_but_what_it_needs, a_file_capability_is_enough]
    for one in checks:
        with tempfile.TemporaryDirectory(prefix="wsclose-live-") as folder:
            complaints += [f"{one.__name__}: {fault}" for fault in one(pathlib.Path(folder))]
    print(f"rights: {len(checks)} checks")
    return complaints
