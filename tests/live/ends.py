"""What only an interface shows: verdicts in time, losses of the kernel, signals, interfaces that come and go."""

import fcntl
import pathlib
import re
import signal
import socket
import struct
import subprocess
import tempfile
import time

from packets import ACK, Connection
from program import Live, binary, lines
from space import Pair, run

# linux/if_tun.h, linux/if_arp.h
TUNSETIFF, TUNSETLINK, IFF_TAP_NO_PI, ARPHRD_IEEE80211_RADIOTAP = 0x400454ca, 0x400454cd, 0x1002, 803


def send(pair, frames):
    with pair.sender() as sender:
        for one in frames:
            sender.send(one)


def awaited(condition, seconds=8):
    """Does it become true in time?"""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def whole_lines(live):
    """The lines written whole so far."""
    text = live.output.read_text()
    return lines(text[:text.rfind("\n") + 1])


def types(live):
    return [line["type"] for line in whole_lines(live)]


def a_dead_peer_is_told_in_silence_and_taken_back(folder):
    pair, connection = Pair("dead"), Connection(1)
    live = Live(pair.near, folder / "dead.ndjson", "--dead-after", "1s", "--limit", "linger=1s").await_start()
    send(pair, connection.connect() + connection.upgrade() + connection.message(False, b"hello"))
    question = connection.message(True, b"anyone there?")
    for _ in range(4):
        send(pair, question)
        time.sleep(0.1)
    faults = [] if awaited(lambda: "connection" in types(live)) else ["a dead peer was not told in silence"]
    send(pair, [connection.step(False, ACK)])
    faults += [] if awaited(lambda: "revised" in types(live)) else ["a peer that spoke again was not taken back"]
    send(pair, connection.closes(1000) + connection.fins())
    told = lambda: [one["verdict"]["label"] for one in live.connections()]
    faults += [] if awaited(lambda: told() == ["1006", "1000"]) else [f"told {told()}, not 1006 and then 1000"]
    status = live.stop()
    summary = live.lines()[-1]["summary"]
    pair.remove()
    advised = [finding["id"] for finding in summary["findings"]]
    before = [diagnosis["advice"] for diagnosis in live.connections()[0]["diagnosis"]]
    faults += [] if any(before) and not advised else [f"advice {before} for the dead peer, then findings {advised}"]
    return faults + ([] if (status, summary["by_label"]) == (0, {"1000": 1}) else [f"status {status}, summary {summary}"])


def losses_lower_claims_and_leave_a_close_that_was_seen(folder):
    pair, lost, closed, before = Pair("loss"), Connection(1), Connection(2), Connection(3)
    live = Live(pair.near, folder / "loss.ndjson", "--buffer", "1", "--interval", "1s").await_start()
    send(pair, before.whole(1006))
    time.sleep(1.5)
    live.process.send_signal(signal.SIGSTOP)
    send(pair, lost.whole(1006) + closed.whole(1001))
    flood = Connection(4).message(True, bytes(60_000))
    send(pair, flood * 300)
    live.process.send_signal(signal.SIGCONT)
    time.sleep(1)
    status = live.stop()
    told = {one["client"]["port"]: (one["verdict"]["label"], one["verdict"]["blind"]) for one in live.connections()}
    expected = {before.client[1]: ("1006", None), lost.client[1]: ("unknown", "dropped"), closed.client[1]: ("1001", None)}
    dropped = [line["dropped_by_kernel"] for line in live.lines() if line["type"] == "stats"][-1]
    pair.remove()
    faults = [] if told == expected and status == 0 else [f"told {told}, not {expected}; status {status}"]
    return faults + ([] if dropped else ["the kernel dropped nothing: the test is void"])


def signals_do_what_the_manual_says(folder):
    pair, still_open = Pair("sig"), Connection(3)
    live = Live(pair.near, folder / "sig.ndjson", "--limit", "linger=1s").await_start()
    send(pair, Connection(1).whole(1001) + still_open.connect() + still_open.upgrade())
    faults = [] if awaited(lambda: "connection" in types(live)) else ["an ended connection was not told"]
    live.process.send_signal(signal.SIGUSR1)
    said = lambda: "1001 Going Away" in live.errors.read_text() and "Open now: 1 WebSocket, " in live.errors.read_text()
    faults += [] if awaited(said) else [f"SIGUSR1 said {live.errors.read_text()!r}"]
    moved = folder / "moved.ndjson"
    live.output.rename(moved)
    live.process.send_signal(signal.SIGHUP)
    faults += [] if awaited(lambda: live.output.exists() and types(live) == ["begin"]) else ["SIGHUP did not reopen the file"]
    send(pair, Connection(2).whole(1000)[:-1])
    time.sleep(1.0)
    status = live.stop(signal.SIGINT)
    told = [one["verdict"]["label"] for one in live.connections()]
    total = live.lines()[-1]["summary"]["by_label"]
    pair.remove()
    if (status, sorted(told), total) != (0, ["1000", "open"], {"1000": 1, "1001": 1, "open": 1}):
        faults.append(f"status {status}, then told {told}, in all {total}")
    return faults


def an_interface_may_go_down_and_up_but_not_away(folder):
    pair = Pair("down")
    live = Live(pair.near, folder / "down.ndjson", "--limit", "linger=1s").await_start()
    run("ip", "link", "set", pair.near, "down")
    time.sleep(1)
    run("ip", "link", "set", pair.near, "up")
    time.sleep(0.5)
    send(pair, Connection(1).whole(1000) + Connection(2).connect() + Connection(2).upgrade())
    faults = [] if awaited(lambda: "connection" in types(live)) else ["nothing was seen once the interface was up again"]
    pair.remove()
    status = live.process.wait(timeout=10)
    said = live.errors.read_text()
    if status != 1 or "disappeared" not in said or types(live)[-1] != "summary":
        faults.append(f"without its interface it ended with {status}, said {said!r}, wrote {types(live)}")
    return faults


def several_interfaces_are_one_capture(folder):
    """A client's packets on one interface, the server's on another, as where routes differ."""
    one, other = Pair("m1"), Pair("m2")
    live = Live(one.near, folder / "many.ndjson", "-i", other.near, "--limit", "linger=1s").await_start()
    connections = [Connection(number) for number in range(50)]
    with one.sender() as of_client, other.sender() as of_server:
        for connection in connections:
            for frame in connection.whole(1001):
                is_client = frame[26:30] != bytes([10, 99, 0, 1])
                (of_client if is_client else of_server).send(frame)
    faults = [] if awaited(lambda: types(live).count("connection") == 50) else ["not all were seen"]
    one.remove()
    time.sleep(0.5)
    if live.process.poll() is not None:
        faults.append("with one of two interfaces gone it ended")
    status, told = live.stop(), {(c["verdict"]["label"], c["verdict"]["closed_by"]) for c in live.connections()}
    other.remove()
    return faults + ([] if (status, told) == (1, {("1001", "server")}) else [f"status {status}, told {told}"])


def a_clock_that_steps_is_followed(folder):
    """The program's clock goes ahead by an hour and back again, the kernel's, which stamps the packets, does not."""
    library = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        return ["libfaketime is not there (Debian package faketime)"]
    pair, open_one, short_one, clock = Pair("clock"), Connection(1), Connection(2), folder / "clock"
    set_clock = lambda offset: clock.write_text(f"{offset}\n")
    set_clock("+0")
    faked = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"}
    options = ["--dead-after", "1s", "--limit", "linger=1s", "--no-sandbox"]
    live = Live(pair.near, folder / "clock.ndjson", *options, environment=faked).await_start()
    send(pair, open_one.connect() + open_one.upgrade() + open_one.message(True, b"before") + [open_one.step(False, ACK)])
    time.sleep(0.5)
    set_clock("+3600")
    time.sleep(1)
    faults = [] if "connection" not in types(live) else ["an hour's step ahead ended an open connection"]
    set_clock("+0")
    said = lambda: re.search(r"the clock has stepped back by (3599|3600)\.", live.errors.read_text())
    faults += [] if awaited(said) else [f"of the step back it said {live.errors.read_text()!r}"]
    send(pair, short_one.whole(1001) + open_one.closes(1000) + open_one.fins())
    told = lambda: sorted(one["verdict"]["label"] for one in live.connections())
    faults += [] if awaited(lambda: told() == ["1000", "1001"]) else [f"behind the step it told {told()} in 8 s"]
    status = live.stop()
    pair.remove()
    return faults + ([] if status == 0 else [f"status {status}"])


def what_came_just_before_the_stop_is_told(folder):
    """The kernel gathers packets for up to 100 ms before it hands them over."""
    faults = []
    for count in (1, 2):
        pairs = [Pair(f"stop{number}") for number in range(2)]
        more = [option for pair in pairs[1:count] for option in ("-i", pair.near)]
        live = Live(pairs[0].near, folder / f"stop{count}.ndjson", *more).await_start()
        for number in range(20):
            send(pairs[number % count], Connection(number).whole(1000))
            time.sleep(0.01)
        status, told = live.stop(), [one["verdict"]["label"] for one in live.connections()]
        for pair in pairs:
            pair.remove()
        if (status, told) != (0, ["1000"] * 20):
            faults.append(f"on {count} interfaces: status {status}, told {len(told)} of 20: {told}")
    return faults


def a_namespace_that_ends_is_said(folder):
    name = f"wsclose-gone-{time.monotonic_ns()}"
    run("ip", "netns", "add", name)
    run("ip", "link", "add", "gone0", "type", "veth", "peer", "name", "gone1", "netns", name)
    run("ip", "link", "set", "gone0", "up")
    live = Live("gone0", folder / "gone.ndjson").await_start()
    run("ip", "netns", "del", name)
    status = live.process.wait(timeout=10)
    said = live.errors.read_text()
    return [] if status == 1 and "gone0" in said else [f"status {status}, said {said!r}"]


def rotated_files_hold_every_connection_once(folder):
    pair = Pair("rot")
    live = Live(pair.near, folder / "rot.ndjson", "--rotate", "20K", "--limit", "linger=1s").await_start()
    for number in range(100):
        send(pair, Connection(number).whole(1000))
    time.sleep(2.5)
    live.stop()
    parts = sorted(folder.glob("rot.ndjson*"))
    held_by = [lines(part.read_text()) for part in parts]
    ids = sorted(line["id"] for part in held_by for line in part if line["type"] == "connection")
    pair.remove()
    faults = [] if ids == list(range(1, 101)) else [f"{len(ids)} connections in {len(parts)} files"]
    return faults + [f"{part.name} does not begin with `begin`" for part, held in zip(parts, held_by) if held[0]["type"] != "begin"] + ([] if len(parts) > 3 else [f"only {len(parts)} files"])


def a_report_that_cannot_be_written_ends_with_its_summary_elsewhere(folder):
    pair, disk = Pair("full"), folder / "disk"
    disk.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk))
    try:
        (folder / "full.ndjson").symlink_to(disk / "full.ndjson")
        live = Live(pair.near, folder / "full.ndjson", "--limit", "linger=1s", "--no-sandbox")
        time.sleep(1)
        for number in range(20):
            send(pair, Connection(number).whole(1000))
        status = live.process.wait(timeout=20)
        said = live.errors.read_text()
    except subprocess.TimeoutExpired:
        live.kill()
        return ["a full disk did not end it"]
    finally:
        pair.remove()
        run("umount", str(disk))
    is_told = "No space left" in said and "full.ndjson" in said and "1000 Normal Closure" in said
    return [] if status == 2 and is_told else [f"status {status}, said {said!r}"]


def interfaces_are_listed(_folder):
    listed = subprocess.run([binary(), "interfaces"], capture_output=True, text=True).stdout
    line = next((line.split() for line in listed.splitlines() if line.startswith("lo ")), [])
    return [] if line[:3] == ["lo", "up", "ETHERNET"] and "127.0.0.1" in line else [f"lo is listed as {line}"]


def an_interface_of_an_unsupported_link_type_is_refused(_folder):
    with open("/dev/net/tun", "rb", buffering=0) as tap:
        fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", b"radio0", IFF_TAP_NO_PI))
        fcntl.ioctl(tap, TUNSETLINK, ARPHRD_IEEE80211_RADIOTAP)
        run("ip", "link", "set", "radio0", "up")
        done = subprocess.run([binary(), "live", "-i", "radio0", "--duration", "5s"], capture_output=True, text=True)
    expected = "wsclose: can't capture on radio0: its link type, IEEE802_11_RADIOTAP, is not supported\n"
    return [] if (done.returncode, done.stderr) == (2, expected) else [f"status {done.returncode}: {done.stderr}"]


def a_client_with_one_key_for_all_is_told_in_time(folder):
    key = b"dGhlIHNhbXBsZSBub25jZQ=="
    pair, still_open, unanswered = Pair("key"), Connection(1, key), Connection(2, key)
    options = ["--limit", "linger=1s", "--limit", "leg_patience=3s", "--interval", "1s"]
    live = Live(pair.near, folder / "key.ndjson", *options).await_start()
    send(pair, still_open.connect() + still_open.upgrade() + Connection(3, key).whole(1001))
    faults = [] if awaited(lambda: types(live).count("connection") == 1, 2.5) else ["an end waited for one that is no leg of it"]
    send(pair, unanswered.connect() + unanswered.upgrade()[:1] + Connection(4, key).whole(1001) + Connection(5, key).whole(1001))
    time.sleep(2.5)
    told, stats = types(live).count("connection"), [line for line in whole_lines(live) if line["type"] == "stats"][-1]
    if (told, stats["ended"], stats["websockets"]) != (1, {"1001": 3}, {"opened": 5, "open": 2}):
        faults.append(f"of two that may be legs {told - 1} were told at once; {stats}")
    faults += [] if awaited(lambda: types(live).count("connection") == 3, 4) else ["they were not told in time"]
    status = live.stop()
    labels = live.lines()[-1]["summary"]["by_label"]
    pair.remove()
    return faults + ([] if (status, labels.get("1001")) == (0, 3) else [f"status {status}, told {labels}"])


def what_netfilter_logs_is_read(folder):
    log = "table inet logged { chain sent { type filter hook output priority 0; tcp dport 9 log group 7; tcp sport 9 log group 7; }; }"
    try:
        run("nft", log)
    except RuntimeError as error:
        print(f"SKIPPED: what_netfilter_logs_is_read (a kernel without nfnetlink_log: {error})")
        return []
    live = Live("nflog:7", folder / "nflog.ndjson", "--limit", "linger=1s").await_start()
    with socket.create_server(("127.0.0.1", 9)) as listening, socket.create_connection(("127.0.0.1", 9)) as client:
        server, _ = listening.accept()
        # The key and the answer of RFC 6455 §1.3.
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                       b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        server.recv(1000)
        server.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x88\x02\x03\xe9")
        client.recv(1000)
        client.sendall(b"\x88\x82\0\0\0\0\x03\xe9")
        server.recv(1000)
        server.close()
    told = lambda: [(one["verdict"]["label"], one["verdict"]["closed_by"]) for one in whole_lines(live) if one["type"] == "connection"]
    faults = [] if awaited(lambda: told() == [("1001", "server")]) else [f"told {told()}: {live.errors.read_text()}"]
    status, link_types = live.stop(), live.lines()[-1]["inputs"][0]["link_types"]
    run("nft", "delete table inet logged")
    return faults + ([] if (status, link_types) == (0, ["NFLOG"]) else [f"status {status}, link types {link_types}"])


CHECKS = [
    a_client_with_one_key_for_all_is_told_in_time,
    a_dead_peer_is_told_in_silence_and_taken_back,
    losses_lower_claims_and_leave_a_close_that_was_seen,
    signals_do_what_the_manual_says,
    an_interface_may_go_down_and_up_but_not_away,
    several_interfaces_are_one_capture,
    a_clock_that_steps_is_followed,
    what_came_just_before_the_stop_is_told,
    a_namespace_that_ends_is_said,
    rotated_files_hold_every_connection_once,
    a_report_that_cannot_be_written_ends_with_its_summary_elsewhere,
    interfaces_are_listed,
    an_interface_of_an_unsupported_link_type_is_refused,
    what_netfilter_logs_is_read,
]


def check():
    """Returns complaints."""
    complaints = []
    with tempfile.TemporaryDirectory(prefix="wsclose-live-") as folder:
        for one in CHECKS:
            complaints += [f"{one.__name__}: {fault}" for fault in one(pathlib.Path(folder))]
    print(f"ends: {len(CHECKS)} checks")
    return complaints
