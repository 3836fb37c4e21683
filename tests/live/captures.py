"""Recorded captures as frames to send again."""

import pathlib
import struct
import subprocess
import tempfile

ETHERNET, SLL2 = 1, 276


def frames(path):
    """(seconds since the first packet, Ethernet frame) of each packet, as far as it was captured."""
    with tempfile.NamedTemporaryFile(suffix=".pcap") as plain:
        subprocess.run(["editcap", "-F", "nsecpcap", str(path), plain.name], check=True, capture_output=True)
        raw = pathlib.Path(plain.name).read_bytes()
    (link,) = struct.unpack_from("<I", raw, 20)
    offset, result, first = 24, [], None
    while offset + 16 <= len(raw):
        seconds, nanos, captured, _ = struct.unpack_from("<IIII", raw, offset)
        data = raw[offset + 16 : offset + 16 + captured]
        offset += 16 + captured
        at = seconds + nanos / 1e9
        first = at if first is None else first
        result.append((at - first, ethernet(data, link & 0xFFFF)))
    return result


def ethernet(data, link):
    if link == ETHERNET:
        return data
    if link == SLL2:
        # Protocol, then 18 bytes about the interface and the sender's address.
        return bytes(12) + data[:2] + data[20:]
    raise ValueError(f"link type {link} can't be sent on Ethernet")
