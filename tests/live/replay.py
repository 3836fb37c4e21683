"""Every recorded capture, sent again in its own time: live, the verdicts are those of a file."""

import heapq
import pathlib
import re
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from captures import frames
from program import ROOT, Live, Tcpdump, analyze
from space import Pair

AT_A_TIME = 96
SETTLE_S = 0.5
# Programs started, or asked to end, at once.
AT_ONCE = 8
# Of the captures, those whose packets may reach this machine so much later than they were recorded that a rule with
# a time in it (a reset soon after a Close) judges otherwise how sure it is.
MOST_LATE = 0.02


def told(connection):
    """What must be the same. Times and packet numbers may differ."""
    verdict = connection["verdict"]
    ends = {
        side: (end["code"], end["certainty"], tuple(end["alternatives"]), end["was_clean"])
        for side, end in connection["endpoints"].items()
    }
    names = ("label", "kind", "code", "cause", "closed_by", "blind", "clean")
    return (
        connection["client"]["port"],
        connection["server"]["port"],
        tuple(verdict[name] for name in names),
        tuple(sorted(ends.items())),
        connection["handshake"]["seen"],
        tuple((side, connection["traffic"][side]["frames"]) for side in ("client", "server")),
    )


def all_told(connections):
    return sorted((told(one) for one in connections), key=repr)


def without_certainty(all_of_it):
    """The same, without how sure each end's code is: that may depend on times between packets."""
    return [one[:3] + (tuple((side, end[0], end[3]) for side, end in one[3]),) + one[4:] for one in all_of_it]


def odd_ones(live, other):
    return f"live {[one for one in live if one not in other]}\n    file {[one for one in other if one not in live]}"


class One:
    """One capture being sent."""

    def __init__(self, number, path, pair, folder):
        self.path, self.pair = path, pair
        self.recorded = folder / f"{number}.pcap"
        self.witness = Tcpdump(self.pair.near, self.recorded)
        self.live = Live(self.pair.near, folder / f"{number}.ndjson", "--buffer", "4")
        self.sender = self.pair.sender()
        self.frames = frames(path)

    def end(self):
        """Returns complaints."""
        status = self.live.stop()
        # Its ring has as many places as snaplens fit in: on a busy machine it may lose some.
        self.witness_lost = int(re.search(r"(\d+) packets dropped by kernel", self.witness.stop()).group(1))
        self.sender.close()
        live, file = all_told(self.live.connections()), all_told(analyze(self.recorded))
        original = all_told(analyze(self.path))
        self.live.output.unlink()
        name = self.path.relative_to(ROOT)
        complaints = [] if status == 0 else [f"{name}: exit status {status}"]
        if live != file and not self.witness_lost:
            complaints.append(f"{name}: live differs from its capture in the same run:\n    {odd_ones(live, file)}")
        # Nothing was lost and both say the same: then only the times differ from those of the recording.
        self.late = live != original and live == file and without_certainty(live) == without_certainty(original)
        if self.late:
            print(f"replay: {name}: sent at other times, so another certainty:\n    {odd_ones(live, original)}")
        elif live != original:
            complaints.append(f"{name}: live differs from the recorded file:\n    {odd_ones(live, original)}")
        return complaints, len(live)


def play(batch):
    """Sends all captures of a batch at once, each in its own time."""
    due = [(at, index, number, frame) for index, one in enumerate(batch) for number, (at, frame) in enumerate(one.frames)]
    heapq.heapify(due)
    began = time.monotonic()
    while due:
        at, index, _, frame = heapq.heappop(due)
        wait = began + at - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        batch[index].sender.send(frame)
    time.sleep(SETTLE_S)


def check():
    """Returns complaints."""
    paths = sorted((ROOT / "fixtures" / "captures").glob("*/*.pcap*"))
    complaints, verdicts, lossy, late = [], 0, 0, 0
    with tempfile.TemporaryDirectory(prefix="wsclose-live-") as name, ThreadPoolExecutor(AT_ONCE) as pool:
        folder = pathlib.Path(name)
        lengths = dict(zip(paths, pool.map(lambda path: frames(path)[-1][0], paths)))
        paths.sort(key=lengths.get)
        pairs = [Pair(f"r{number}") for number in range(min(AT_A_TIME, len(paths)))]
        for start in range(0, len(paths), AT_A_TIME):
            numbered = enumerate(zip(paths[start : start + AT_A_TIME], pairs))
            batch = list(pool.map(lambda one: One(one[0], one[1][0], one[1][1], folder), numbered))
            for one in batch:
                one.live.await_start()
            play(batch)
            for faults, count in pool.map(One.end, batch):
                complaints += faults
                verdicts += count
            lossy += sum(one.witness_lost > 0 for one in batch)
            late += sum(one.late for one in batch)
        for pair in pairs:
            pair.remove()
    print(
        f"replay: {len(paths)} captures, {verdicts} verdicts live, {len(complaints)} differ from their files, {late} late; "
        f"tcpdump lost packets of {lossy}"
    )
    if lossy * 20 > len(paths):
        complaints.append(f"tcpdump lost packets of {lossy} captures: this machine is too busy")
    if late > len(paths) * MOST_LATE:
        complaints.append(f"{late} captures were sent at other times than they were recorded at")
    return complaints
