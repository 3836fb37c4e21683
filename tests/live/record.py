"""The flight recorder: a file for each abnormal end, whole, with the verdict in it; memory and disk keep to their budgets."""

import pathlib
import subprocess
import tempfile
import time

from ends import awaited, types
from packets import ACK, Connection
from program import Live, analyze, binary
from soak import resident_kib
from space import Pair


def comments(path):
    shown = subprocess.run(["tshark", "-r", str(path), "-T", "fields", "-e", "frame.comment"], capture_output=True, text=True)
    return shown.returncode, len(shown.stdout.splitlines()), shown.stdout


def abnormal_ends_are_kept_with_their_verdict(folder):
    pair, records = Pair("rec"), folder / "records"
    live = Live(pair.near, folder / "r.ndjson", "--record", str(records), "--limit", "linger=1s").await_start()
    lost, closed = Connection(1), Connection(2)
    with pair.sender() as sender:
        frames = lost.connect() + lost.upgrade() + closed.whole(1000)
        for _ in range(200):
            frames += lost.message(False, bytes(1000))
        for frame in frames + lost.resets():
            sender.send(frame)
    faults = [] if awaited(lambda: types(live).count("connection") == 2) else ["not both were told"]
    status = live.stop()
    pair.remove()
    files = sorted(records.glob("*"))
    if len(files) != 1 or status != 0:
        return [*faults, f"{[file.name for file in files]} recorded; status {status}: {live.errors.read_text()}"]
    code, packets, said = comments(files[0])
    told = [(one["verdict"]["label"], one["verdict"]["cause"], one["client"]["port"]) for one in analyze(files[0])]
    if code != 0 or "1006" not in said or told != [("1006", "rst", lost.client[1])]:
        faults.append(f"tshark {code}, comments {said.strip()!r}, read as a file {told}")
    return faults + ([] if 25 <= packets <= 60 else [f"{packets} packets of 206 kept, where 32 kB of the end are asked for"])


def packets_of_each_interface_are_commented_and_an_open_connection_is_joined(folder):
    """Routes differ: the client's packets pass one interface, the server's another."""
    one, other, records = Pair("rec1"), Pair("rec2"), folder / "records"
    joined, lost = Connection(1), Connection(2)
    joined.connect(), joined.upgrade()
    live = Live(one.near, folder / "r.ndjson", "-i", other.near, "--record", str(records), "--limit", "linger=1s").await_start()
    frames = [frame for number in range(20) for frame in joined.message(number % 2 == 0, b"hello")] + joined.resets()
    frames += lost.connect() + lost.upgrade() + lost.message(True, b"hello") + lost.closes(1011)[:1] + lost.resets()
    with one.sender() as of_client, other.sender() as of_server:
        for frame in frames:
            (of_server if frame[26:30] == bytes([10, 99, 0, 1]) else of_client).send(frame)
            time.sleep(0.002)
    faults = [] if awaited(lambda: types(live).count("connection") == 2) else [f"told {types(live)}"]
    told = {c["client"]["port"]: (c["verdict"]["label"], c["handshake"]["seen"]) for c in live.connections()}
    status = live.stop()
    one.remove(), other.remove()
    files = {int(file.name.rsplit("-", 2)[1].split("_")[1]): file for file in records.glob("*.pcapng")}
    if status != 0 or told.get(joined.client[1]) != ("1006", "none") or joined.client[1] not in files:
        return [*faults, f"status {status}, told {told}, files {sorted(files)}: {live.errors.read_text()}"]
    shown = subprocess.run(["tshark", "-r", str(files[joined.client[1]]), "-T", "fields", "-e", "frame.interface_name", "-e", "frame.comment"], capture_output=True, text=True).stdout
    rows = [line.split("\t") for line in shown.splitlines()]
    faults += [] if len(rows) == 21 else [f"{len(rows)} packets of 21"]
    verdict = [row for row in rows if "1006" in row[1]]
    if [row[0] for row in verdict] != [other.near] or rows.index(verdict[0]) != 20:
        faults.append(f"the verdict stands on {verdict}")
    return faults


def budgets_hold(folder):
    pair, records = Pair("rec"), folder / "records"
    options = ["--record", str(records), "--record-budget", "32M", "--record-disk", "64K", "--record-only", "coded:1011", "--limit", "linger=1s", "--buffer", "16"]
    live = Live(pair.near, folder / "b.ndjson", *options).await_start()
    connections = [Connection(number) for number in range(2_000)]
    with pair.sender() as sender:
        for connection in connections:
            for frame in connection.connect() + connection.upgrade():
                sender.send(frame)
        for _ in range(30):
            for connection in connections:
                for frame in connection.message(False, bytes(1200)):
                    sender.send(frame)
            time.sleep(0.1)
        time.sleep(0.5)
        largest = resident_kib(live.process.pid)
        for connection in connections[:20]:
            for frame in connection.closes(1011) + connection.fins():
                sender.send(frame)
        for frame in connections[20].resets():
            sender.send(frame)
    faults = [] if awaited(lambda: types(live).count("connection") == 21) else [f"told {types(live).count('connection')} of 21"]
    if (status := live.stop()) != 0:
        faults.append(f"status {status}: {live.errors.read_text()}")
    faults += [f"dropped {line['dropped_by_kernel']}" for line in live.lines() if faults and line["type"] == "stats"][-1:]
    pair.remove()
    files = sorted(records.glob("*"))
    size = sum(file.stat().st_size for file in files)
    print(f"record: {largest >> 10} MiB with 72 MB of messages on open connections, {len(files)} files of {size >> 10} KiB")
    if not files or size > 64 << 10 or any("1011" not in file.name for file in files):
        faults.append(f"{len(files)} files of {size} bytes on disk")
    return faults + ([] if largest < 100 << 10 else [f"{largest} KiB of memory"])


def killed_it_leaves_files_that_open(folder):
    pair, records = Pair("rec"), folder / "records"
    faults, opened = [], 0
    for turn in range(3):
        live = Live(pair.near, folder / f"{turn}.ndjson", "--record", str(records), "--limit", "linger=1s").await_start()
        end, number = time.monotonic() + 1.4 + turn * 0.1, 0
        with pair.sender() as sender:
            while time.monotonic() < end:
                number += 1
                for frame in Connection(number).whole(1006):
                    sender.send(frame)
                time.sleep(0.0005)
        live.process.kill()
        live.process.wait()
    for file in sorted(records.glob("*.pcapng"))[::50]:
        opened += 1
        code, packets, _ = comments(file)
        faults += [] if code == 0 and packets == 8 else [f"{file.name}: tshark says {code}, {packets} packets"]
    pair.remove()
    print(f"record: {opened} of {len(list(records.glob('*.pcapng')))} files looked at after kill -9")
    return faults + ([] if opened > 2 else ["too few files for the test to mean anything"])


def a_folder_that_cannot_be_written_costs_recordings_alone(folder):
    """Without its capabilities root writes where its own permissions let it."""
    pair, records = Pair("rec"), folder / "records"
    records.mkdir(mode=0o500)
    refused = subprocess.run([binary(), "live", "-i", pair.near, "--record", str(records)], capture_output=True, text=True, timeout=20)
    faults = [] if refused.returncode == 2 and str(records) in refused.stderr else [f"at the start: {refused.returncode}, {refused.stderr!r}"]
    records.chmod(0o700)
    live = Live(pair.near, folder / "f.ndjson", "--record", str(records), "--limit", "linger=1s").await_start()
    told = lambda: types(live).count("connection")
    for number, mode in [(1, 0o500), (2, 0o500), (3, 0o700), (4, 0o500)]:
        records.chmod(mode)
        with pair.sender() as sender:
            for frame in Connection(number).whole(1006):
                sender.send(frame)
        faults += [] if awaited(lambda: told() == number) else [f"{told()} of {number} ends were told"]
    status, said, last = live.stop(), live.errors.read_text(), live.lines()
    pair.remove()
    expected = ["recordings fail", "2 recordings lost so far", "recordings fail", "3 recordings lost so far"]
    lines = said.splitlines()
    if len(lines) != 4 or any(words not in line for words, line in zip(expected, lines)):
        faults.append(f"it said {said!r}")
    counted = [line["recordings"] for line in last if line["type"] == "stats"][-1]
    if (status, counted, last[-1]["type"]) != (0, {"written": 1, "lost": 3, "dropped_packets": 0}, "summary"):
        faults.append(f"status {status}, counted {counted}, last {last[-1]['type']}")
    return faults


def what_is_taken_back_leaves_no_recording(folder):
    pair, records, connection = Pair("rec"), folder / "records", Connection(1)
    live = Live(pair.near, folder / "t.ndjson", "--record", str(records), "--dead-after", "1s", "--limit", "linger=1s").await_start()
    frames = connection.connect() + connection.upgrade() + connection.message(False, b"hello")
    question = connection.message(True, b"anyone there?")
    with pair.sender() as sender:
        for frame in frames + question:
            sender.send(frame)
        for _ in range(3):
            time.sleep(0.1)
            for frame in question:
                sender.send(frame)
        faults = [] if awaited(lambda: list(records.glob("*.pcapng"))) else ["the dead peer was not recorded"]
        sender.send(connection.step(False, ACK))
    faults += [] if awaited(lambda: "revised" in types(live)) else ["a peer that spoke again was not taken back"]
    faults += [f"{file.name} is left" for file in records.glob("*")]
    status = live.stop()
    pair.remove()
    return faults + ([] if status == 0 else [f"status {status}"])


def check():
    """Returns complaints."""
    complaints = []
    checks = [abnormal_ends_are_kept_with_their_verdict, packets_of_each_interface_are_commented_and_an_open_connection_is_joined]
    checks += [a_folder_that_cannot_be_written_costs_recordings_alone, what_is_taken_back_leaves_no_recording]
    for one in [*checks, budgets_hold, killed_it_leaves_files_that_open]:
        with tempfile.TemporaryDirectory(prefix="wsclose-live-") as folder:
            complaints += [f"{one.__name__}: {fault}" for fault in one(pathlib.Path(folder))]
    return complaints
