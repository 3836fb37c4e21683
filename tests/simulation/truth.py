"""What a report claims of a simulated connection, against what its ends knew."""

from tcp import ACK, RST, signed

CLAIMS = ("coded", "abnormal")


# Packets nearer than this may have changed places on their way to the capture.
MAY_SWAP_S = 0.003


def shows_close(path, end):
    """Do packets of the capture show that `end` sent its Close before it had the peer's FIN? Those that stand behind the Close,
    and had not had the FIN, or came well before the Close itself; and acknowledgments of it. Resets may be foreign."""
    if end.said_until is None:
        return False
    fin_at = float("inf") if end.peer.fin_at is None else end.peer.fin_at + 1
    close_at = behind_at = None
    for time, packet in sorted(path.capture.packets, key=lambda seen: seen[0]):
        if packet.flags & RST:
            continue
        if packet.sender == end.name:
            start = signed(packet.seq - end.first) - 1
            if start + len(packet.payload) < end.said_until:
                continue
            if signed(packet.ack - end.peer.first) <= fin_at:
                return True
            behind_at = behind_at or time
            if start < end.said_until:
                close_at = close_at or time
        elif packet.flags & ACK and signed(packet.ack - end.first) - 1 >= end.said_until and signed(packet.seq - end.peer.first) <= fin_at:
            return True
    return behind_at is not None and (close_at is None or close_at > behind_at + MAY_SWAP_S)


def false_label(path, verdict):
    """A Close that is on record makes no 1006, unless it only came behind the peer's FIN; and no code is made up."""
    ends = path.ends.values()
    if verdict["kind"] == "coded" and int(verdict["label"]) not in [end.said for end in ends]:
        yield f"label {verdict['label']}, which nobody sent"
    if verdict["kind"] == "abnormal":
        for end in ends:
            # Who leaves without a Close has ended it, whatever he still reads.
            left_first = end.act and end.act[0] == "shut_down"
            has_read = end.got is not None and end.got_at <= path.capture.end
            if has_read and not left_first and not (end.peer.act and end.peer.act[2]):
                yield f"1006, though {end.name} had read Close {end.got}"
            elif end.act and end.act[0] == "close" and not end.act[2] and shows_close(path, end):
                yield f"1006, though packets show that {end.name} had sent Close {end.said}"


def false_codes(path, row):
    """A program that had stopped reading is beyond what packets prove; so is a SYN alone."""
    if any(end.is_stalled for end in path.ends.values()) or row["handshake"]["seen"] == "none":
        return
    for name, end in (("client", path.ends["c"]), ("server", path.ends["s"])):
        told = row["endpoints"][name]
        if told["certainty"] == "certain" and told["code"] is not None and told["code"] != end.code():
            yield f"{name} certainly {told['code']}, though it was told {end.code()}"


def false_closer(path, verdict):
    """Who did nothing closed nothing, nor did who only answered."""
    end = {"client": path.ends["c"], "server": path.ends["s"]}.get(verdict["closed_by"])
    if end is None or verdict["kind"] not in CLAIMS or path.has_middlebox:
        return
    if end.act is None and (end.over or (0, "reset"))[1] == "reset":
        yield f"closed by {end.name}, which did nothing"
    peer = end.peer.act
    if end.act and end.act[2] and peer and peer[1] < end.act[1] and not peer[2] and shows_close(path, end.peer):
        yield f"closed by {end.name}, which only answered"


def false_claims(path, row):
    verdict = row["verdict"]
    yield from false_label(path, verdict)
    yield from false_codes(path, row)
    yield from false_closer(path, verdict)
