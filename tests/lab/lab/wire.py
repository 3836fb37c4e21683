"""What tshark finds in a capture: handshake answers, Close frames, FINs, RSTs; checked against what was meant."""

import collections
import dataclasses
import subprocess

from .scenario import BEYOND

FIELDS = [
    "frame.number", "ip.src", "ipv6.src", "tcp.srcport", "tcp.dstport", "tcp.flags.syn", "tcp.flags.fin", "tcp.flags.reset", "tcp.flags.ack",
    "tcp.seq_raw", "tcp.len", "http.response.code", "http.request.method", "websocket.opcode", "websocket.payload.close.status_code",
    "tcp.analysis.keep_alive", "http.request.uri", "ip.dst", "ipv6.dst", "tls.alert_message.desc",
]
SERVER_PORT = 9001
CLOSE_OPCODE = "8"
CLOSE_NOTIFY = "0"
TIMEOUT_SENDS = 3


@dataclasses.dataclass
class Seen:
    """What tshark found, by connection: (client port, which use of it)."""

    events: dict = dataclasses.field(default_factory=lambda: collections.defaultdict(list))
    """Its {packet, from, what} in packet order."""
    sends: dict = dataclasses.field(default_factory=lambda: collections.defaultdict(collections.Counter))
    """How often each of its segments was sent."""
    paths: dict = dataclasses.field(default_factory=dict)
    """The path of its first request."""
    addresses: dict = dataclasses.field(default_factory=dict)
    """Its client's and its server's address."""

    def key(self, place, server):
        """The key of a planned connection; `server`: the address to which its leg leads. None: not in the capture."""
        one = place.connection
        if not place.by_path:
            return (one["port"], one["use"])
        # An attempt that TCP refuses has no request.
        refused = all(answer["kind"] == "refused" for answer in place.answers)
        wanted = (None, "/" + one["path"]) if refused else ("/" + one["path"],)
        same = (key for key, ends in self.addresses.items() if ends[1] == server and self.paths.get(key) in wanted)
        return next(same, None)


def seen(path, tls=None):
    """Reads a capture. A client's SYN with a new number begins its port's next use."""
    # TLS begins behind a proxy's CONNECT and the like too: there tshark finds out by itself.
    reader = tls.arguments(SERVER_PORT) if tls else ["-d", f"tcp.port=={SERVER_PORT},http"]
    command = [
        "tshark", "-n", "-r", str(path), "-o", "tcp.reassemble_out_of_order:TRUE", *reader,
        "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,", *sum((["-e", field] for field in FIELDS), []),
        # An ICMP error quotes a TCP header.
        "tcp and not icmp and not icmpv6",
    ]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = Seen()
    syns = collections.defaultdict(list)
    for line in shown.splitlines():
        row = dict(zip(FIELDS, line.split("\t")))
        side = "server" if row["tcp.srcport"] == str(SERVER_PORT) else "client"
        port = int(row["tcp.dstport" if side == "server" else "tcp.srcport"])
        if side == "client" and is_set(row["tcp.flags.syn"]) and row["tcp.seq_raw"] not in syns[port]:
            syns[port].append(row["tcp.seq_raw"])
        key = (port, max(0, len(syns[port]) - 1))
        found.events[key] += [{"packet": int(row["frame.number"]), "from": side, "what": what} for what in happened(row)]
        if row["tcp.len"] != "0" or is_set(row["tcp.flags.syn"]):
            found.sends[key][(side, row["tcp.seq_raw"], row["tcp.len"])] += 1
        if row["tcp.analysis.keep_alive"]:
            found.sends[key][(side, "keepalive probe", "0")] += 1
        ends = (row["ip.src"] or row["ipv6.src"], row["ip.dst"] or row["ipv6.dst"])
        found.addresses.setdefault(key, ends if side == "client" else ends[::-1])
        if row["http.request.uri"]:
            found.paths.setdefault(key, row["http.request.uri"].split(",")[0])
    return found


def is_set(flag):
    return flag in ("1", "True")


def happened(row):
    if is_set(row["tcp.flags.syn"]):
        yield "syn-ack" if is_set(row["tcp.flags.ack"]) else "syn"
    if row["http.request.method"]:
        yield "request"
    if row["http.response.code"]:
        yield "response " + row["http.response.code"]
    codes = [code for code in row["websocket.payload.close.status_code"].split(",") if code]
    for opcode in row["websocket.opcode"].split(","):
        if opcode == CLOSE_OPCODE:
            yield "close " + (codes.pop(0) if codes else "empty")
    if CLOSE_NOTIFY in row["tls.alert_message.desc"].split(","):
        yield "close_notify"
    if is_set(row["tcp.flags.fin"]):
        yield "fin"
    if is_set(row["tcp.flags.reset"]):
        yield "rst"


def ends(found):
    """The events that end a connection, retransmissions of the same one left out. A FIN that overtook its side's
    Close on the way is put behind it: nothing can follow a FIN in its stream. Over TLS the close_notify counts for it."""
    found = [{**event, "what": "fin"} if event["what"] == "close_notify" else event for event in found]
    last_close = {event["from"]: event["packet"] for event in found if event["what"].startswith("close")}

    def place(event):
        is_fin = event["what"] == "fin"
        return (max(event["packet"], last_close.get(event["from"], 0)) if is_fin else event["packet"], is_fin)

    seen, kept = set(), []
    for event in sorted(found, key=place):
        said = (event["from"], event["what"])
        if event["what"].split()[0] in ("close", "fin", "rst") and said not in seen:
            seen.add(said)
            kept.append(f"{event['from']} {event['what']}")
    return kept


def meant(answer, leg):
    """The beginning of `ends` that an expected answer asks for."""
    who = BEYOND[leg] if answer["closed_by"] == "proxy" else answer["closed_by"]
    if answer["kind"] == "coded":
        code = "empty" if answer["label"] == "1005" else answer["label"]
        return [f"{side} close {code}" for side in (["client", "server"] if who == "both" else [who])]
    if answer["kind"] == "abnormal" and answer["cause"] in ("fin", "rst") and who in ("client", "server"):
        return [f"{who} {answer['cause']}"]
    return []


def fault(place, found, sends):
    """None, or what in the capture is not as intended."""
    answers, wire = place.answers, place.wire
    got = ends(found)
    closers = {one.split()[0] for one in got if " close " in one}
    if any(answer["closed_by"] == "both" for answer in answers) and len(closers) < 2:
        return f"wanted two Closes, tshark found {got}"
    if wire == "":
        return None
    if wire is not None:
        wanted = [part.strip() for part in wire.split(",")]
        return None if got[: len(wanted)] == wanted else f"wanted {wanted}, tshark found {got}"
    if not suiting(answers, place.leg, found, sends):
        return f"wanted one of {answers}, tshark found {got}"
    return None


def suiting(answers, leg, found, sends):
    """Those of the acceptable answers that the packets allow: a race decided on the wire leaves one."""
    got = ends(found)
    return [answer for answer in answers if got[:1] in [[one] for one in meant(answer, leg)] or fits(answer, got, found, sends)]


def fits(answer, got, found, sends):
    """For the kinds that no first event tells."""
    if any(" close " in one for one in got):
        return False
    opened = any(event["what"] == "response 101" for event in found)
    if answer["kind"] == "refused":
        return bool(found) and not opened
    if answer["cause"] == "timeout":
        return max(sends.values(), default=0) >= TIMEOUT_SENDS
    if answer["kind"] == "abnormal":
        return answer["closed_by"] not in ("client", "server") and bool(got) and got[0].split()[1] == answer["cause"]
    return answer["kind"] == "unknown" or (answer["kind"] == "open" and not got)
