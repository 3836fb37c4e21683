"""Simulated connections whose ends' truth is known, through captures with flaws: wsclose may not know, but claim nothing false.

Usage: run.py WSCLOSE [--first N] [--captures N] [--keep FOLDER]

A capture holds 300 connections, made by seed: the same number gives the same capture. The flaws of the capture change from one
to the next. Exit status 1 where a claim is false; `--keep` writes the capture of each such connection.
"""

import argparse
import collections
import json
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile

from path import Path
from tcp import SYN
from websocket import End

import truth

CONNECTIONS = 300
EPOCH_S = 1_700_000_000
FLAWS = ((), ("loss",), ("late",), ("early",), ("one-way",), ("loss", "late", "early", "one-way"), ("double",), ("loss", "double"))


def simulate(seed, flaws):
    path = Path(seed, flaws)
    number = seed % 50_000
    client = End(path, "c", (f"10.{seed // 250 % 250}.{seed % 250}.1", 10_000 + number))
    server = End(path, "s", ("10.251.0.1", 9001))
    client.peer, server.peer, path.ends = server, client, {"c": client, "s": server}
    server.state = "listen"
    path.at(0, client.connect)
    path.run(path.rng.choice((15, 40, 100)))
    return path


def bytes_of(path, packet):
    """Ethernet, IPv4, TCP; checksums are left at zero, as offload leaves them."""
    end = path.ends[packet.sender]
    options = b"\x02\x04\x05\xb4" if packet.flags & SYN else b""
    offset = (5 + len(options) // 4) << 4
    ports = (end.address[1], end.peer.address[1])
    tcp = struct.pack("!HHIIBBHHH", *ports, packet.seq, packet.ack, offset, packet.flags, packet.window, 0, 0) + options
    length = 20 + len(tcp) + len(packet.payload)
    addresses = (socket.inet_aton(end.address[0]), socket.inet_aton(end.peer.address[0]))
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, 0, 0x4000, packet.ttl, 6, 0, *addresses)
    return b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0" + ip + tcp + packet.payload


def write_pcap(file, packets):
    """Nanoseconds, Ethernet."""
    with open(file, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))
        for time, data in sorted(packets, key=lambda packet: packet[0]):
            seconds, rest = divmod(round(time * 1e9), 10**9)
            out.write(struct.pack("<IIII", EPOCH_S + seconds, rest, len(data), len(data)) + data)


def capture_of(path, start=0.0):
    return [(start + time, bytes_of(path, packet)) for time, packet in path.capture.packets]


def rows(wsclose, file):
    done = subprocess.run([wsclose, "--format", "ndjson", file], capture_output=True, check=True)
    report = [json.loads(line) for line in done.stdout.splitlines()]
    return [row for row in report if row["type"] == "connection"]


def check(wsclose, number, folder, keep):
    """The kinds of verdicts on one capture, and the false claims."""
    flaws = FLAWS[number % len(FLAWS)]
    paths = [simulate(number * CONNECTIONS + index, flaws) for index in range(CONNECTIONS)]
    by_client = {path.ends["c"].address: path for path in paths}
    file = folder / "simulated.pcap"
    write_pcap(file, [packet for index, path in enumerate(paths) for packet in capture_of(path, index * 0.013)])
    kinds, faults = collections.Counter(), []
    for row in rows(wsclose, file):
        path = by_client.get((row["client"]["address"], row["client"]["port"]))
        if path is None:  # Of one side alone, the roles may stay unknown.
            continue
        kinds[row["verdict"]["kind"]] += 1
        for fault in truth.false_claims(path, row):
            faults.append(f"seed {path.seed} ({', '.join(flaws) or 'no flaw'}): {fault}: {row['verdict']['why']}")
            if keep:
                write_pcap(keep / f"{path.seed}.pcap", capture_of(path))
    return kinds, faults


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("wsclose")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--captures", type=int, default=40)
    parser.add_argument("--keep", type=pathlib.Path)
    arguments = parser.parse_args()
    kinds, faults = collections.Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.first, arguments.first + arguments.captures):
            told, false = check(arguments.wsclose, number, pathlib.Path(folder), arguments.keep)
            kinds, faults = kinds + told, faults + false
    print("\n".join(faults))
    print(f"{sum(kinds.values())} simulated connections: {dict(kinds.most_common())}; {len(faults)} false claims")
    # A simulation in which next to nothing ends, or is told, shows nothing.
    is_told = kinds["coded"] > sum(kinds.values()) / 3 and kinds["abnormal"] > sum(kinds.values()) / 20
    return 0 if is_told and not faults else 1


if __name__ == "__main__":
    sys.exit(main())
