"""At the highest rate at which tcpdump with the same buffer loses nothing, wsclose live loses nothing either. What both take
of processor time a packet is told.

A packet may take 1.4 times what tcpdump needs, where connections last. Short ones show what handshakes, verdicts and report lines
take besides, of which tcpdump has nothing: their ratio is bounded so that it does not get worse unnoticed. (Beside a tcpdump in
immediate mode, whose ring takes it two to ten times as long, any bound is kept.) What else a machine does makes runs longer, never
shorter: the best of each counts, and there are more runs where the ratio is still beyond its bound.

tcpreplay sends the same connections again and again, from other addresses each time, so that all are new.
"""

import pathlib
import re
import resource
import subprocess
import tempfile
import time

from packets import Connection, write_pcap
from program import Live, Tcpdump
from space import Pair

BUFFER_MIB = 64
CONNECTIONS, BYTES = 400, 900
# How many messages a connection has, and the most that the ratio may be.
LASTING, SHORT = (300, 1.4), (60, 3.0)
SECONDS = 1.5
# Longer than the captures take to count what they were late to take.
SETTLE_S = 0.8
TRIES = range(3, 13)
# Shares of tcpreplay's top speed, the highest first.
SHARES = [1.0, 0.5, 0.25, 0.12]


def traffic(path, messages):
    opened = [Connection(number) for number in range(CONNECTIONS)]
    frames = [one for connection in opened for one in connection.connect() + connection.upgrade()]
    for number in range(messages):
        for connection in opened:
            frames += connection.message(number % 2 == 0, bytes(BYTES))
    frames += [one for connection in opened for one in connection.closes(1000) + connection.fins()]
    write_pcap(path, frames)
    return len(frames)


def replay(pair, path, packets, rate=None):
    """Sends for about SECONDS; returns (packets, packets a second)."""
    loops = max(1, int((rate or 400_000) * SECONDS / packets))
    speed = ["--topspeed"] if rate is None else ["--pps", str(int(rate))]
    command = ["tcpreplay", "-q", "--preload-pcap", "--unique-ip", "--loop", str(loops), *speed, "-i", pair.far, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    sent = int(re.search(r"Successful packets:\s+(\d+)", done.stdout).group(1))
    seconds = float(re.search(r"sent in ([\d.]+) seconds", done.stdout).group(1))
    return sent, sent / seconds


def processor_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def of_tcpdump(pair, path, packets, rate):
    """(dropped, processor nanoseconds a packet, packets a second)"""
    witness = Tcpdump(pair.near, "/dev/null", buffer_kib=BUFFER_MIB << 10, snaplen=262144)
    sent, speed = replay(pair, path, packets, rate)
    time.sleep(SETTLE_S)
    before = processor_seconds()
    said = witness.stop()
    dropped = int(re.search(r"(\d+) packets dropped by kernel", said).group(1))
    return dropped, (processor_seconds() - before) / sent * 1e9, speed


def of_wsclose(pair, path, packets, rate, folder):
    report = folder / "live.ndjson"
    report.unlink(missing_ok=True)  # else this run's lines would follow the last one's
    live = Live(pair.near, report, "--buffer", str(BUFFER_MIB), "--interval", "1s").await_start()
    sent, speed = replay(pair, path, packets, rate)
    time.sleep(SETTLE_S)
    before = processor_seconds()
    status = live.stop()
    spent = processor_seconds() - before
    stats = [line for line in live.lines() if line["type"] == "stats"][-1]
    dropped = stats["dropped_by_kernel"] + stats["dropped_by_interface"]
    seen = sum(1 for one in live.connections() if one["verdict"]["label"] == "1000")
    complaints = [] if status == 0 else [f"exit status {status}"]
    if dropped == 0 and (stats["packets"] != sent or seen != sent // packets * CONNECTIONS):
        complaints.append(f"{sent} packets sent, {stats['packets']} captured, {seen} connections closed with 1000")
    return dropped, spent / sent * 1e9, speed, complaints


def ratio_of(runs):
    """Of processor time, at each one's best."""
    return min(closed[1] for _, closed in runs) / min(dumped[1] for dumped, _ in runs)


def compare(pair, path, packets, folder, ratio_max):
    """Both at the highest rate at which tcpdump drops nothing; returns the runs as pairs, and complaints."""
    _, top = replay(pair, path, packets)
    for share in SHARES:
        rate = None if share == 1.0 else top * share
        runs, complaints = [], []
        if share != SHARES[-1] and (dropped := of_tcpdump(pair, path, packets, rate)[0]):
            print(f"rate: tcpdump drops {dropped} at {'top speed' if rate is None else f'{rate / 1e3:.0f} thousand packets a second'}", flush=True)
            continue
        while len(runs) < TRIES.start or (len(runs) < TRIES.stop and ratio_of(runs) > ratio_max):
            dumped = of_tcpdump(pair, path, packets, rate)
            closed = of_wsclose(pair, path, packets, rate, folder)
            runs.append((dumped, closed))
            print(f"rate: {dumped[2] / 1e3:.0f} and {closed[2] / 1e3:.0f} thousand packets a second: "
                  f"tcpdump dropped {dumped[0]} at {dumped[1]:.0f} ns a packet, wsclose {closed[0]} at {closed[1]:.0f} ns", flush=True)
            complaints += closed[3]
        if any(dumped[0] == 0 for dumped, _ in runs):
            break
    if all(dumped[0] for dumped, _ in runs):
        print("rate: tcpdump drops packets at every rate: this machine is too busy to tell its best one")
    if all(closed[0] for _, closed in runs):
        complaints.append("wsclose drops packets where tcpdump drops none")
    return runs, complaints


def check():
    """Returns complaints."""
    all_complaints = []
    with tempfile.TemporaryDirectory(prefix="wsclose-live-") as name:
        folder, pair = pathlib.Path(name), Pair("rate")
        path = folder / "traffic.pcap"
        for messages, ratio_max in (LASTING, SHORT):
            packets = traffic(path, messages)
            runs, complaints = compare(pair, path, packets, folder, ratio_max)
            ratio = ratio_of(runs)
            print(f"rate: {packets // CONNECTIONS} packets a connection: wsclose takes {ratio:.2f} times tcpdump's processor time "
                  f"(at most {ratio_max})", flush=True)
            if ratio > ratio_max:
                complaints.append(f"{ratio:.2f} times tcpdump's processor time is more than {ratio_max}")
            all_complaints += complaints
        pair.remove()
    return all_complaints
