"""The view on the terminal: drawn, and the terminal given back on every way out."""

import fcntl
import os
import pathlib
import pty
import re
import resource
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time

from ends import awaited, send
from packets import Connection
from program import binary
from space import Pair, run

ENTER, LEAVE, HIDE, SHOW = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25l", b"\x1b[?25h"


class Screen:
    """`wsclose live --top` on a terminal of its own, which is told of before and after."""

    def __init__(self, interface, *options, files_limit=None, stderr=None):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
        self.modes = termios.tcgetattr(theirs)
        # Python ignores SIGXFSZ, and so does what it starts here: the write fails.
        limit = (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (files_limit, files_limit))) if files_limit else None
        command = [binary(), "live", "-i", interface, "--top", "--limit", "linger=1s", *options]
        # The name of the terminal is of no matter, so that the test needs no terminfo.
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=stderr or theirs, preexec_fn=limit, start_new_session=True, restore_signals=False)
        self.theirs, self.written = theirs, b""

    def read(self):
        """All that it has written so far."""
        while select.select([self.ours], [], [], 0.02)[0]:
            self.written += os.read(self.ours, 65536)
        return self.written

    def shows(self, what, seconds=8):
        """Does it come to be written? Where cells are blank, the cursor is moved."""
        text = lambda: re.sub(rb"(\x1b\[[0-9;?]*[A-Za-z]| )+", b" ", self.read()).decode(errors="replace")
        return awaited(lambda: what in text(), seconds)

    def type(self, keys):
        os.write(self.ours, keys)

    def end(self):
        """(exit status, complaints about the terminal)"""
        deadline = time.monotonic() + 15
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            return None, ["it did not end"]
        written, after = self.read(), termios.tcgetattr(self.theirs)
        os.close(self.ours)
        os.close(self.theirs)
        faults = [] if written.count(ENTER) == written.count(LEAVE) == 1 else ["the alternate screen was not left"]
        faults += [] if written.rfind(SHOW) > written.rfind(HIDE) else ["the cursor is hidden"]
        faults += [] if after == self.modes else [f"the terminal's modes: {self.modes} before, {after} after"]
        return self.process.returncode, faults

    def told_after(self):
        """What is left on the ordinary screen."""
        return self.written.split(LEAVE)[-1].decode(errors="replace")


def ways_out(pair, folder):
    """(name, options for the screen, what ends it, exit status)"""
    unwritable = {"files_limit": 4096, "options": ["--format", "ndjson", "-o", str(folder / "full.ndjson"), "--interval", "10ms"]}
    return [
        ("q", {}, lambda screen: screen.type(b"q"), 0),
        ("Ctrl-C", {}, lambda screen: screen.type(b"\x03"), 0),
        ("SIGINT", {}, lambda screen: screen.process.send_signal(signal.SIGINT), 0),
        ("SIGTERM", {}, lambda screen: screen.process.send_signal(signal.SIGTERM), 0),
        ("SIGTERM twice", {}, lambda screen: [screen.process.send_signal(signal.SIGTERM) for _ in range(2)], None),
        ("--duration", {"options": ["--duration", "3s"]}, lambda screen: None, 0),
        ("an output that can't be written", unwritable, lambda screen: None, 2),
        ("an interface that goes away", {}, lambda screen: pair.remove(), 1),
    ]


def the_terminal_is_given_back_on_every_way_out(folder):
    pair, faults, screens = Pair("top"), [], []
    for name, how, leave, expected in ways_out(pair, folder):
        screens.append((name, Screen(pair.near, *how.pop("options", []), **how), leave, expected))
    for name, screen, leave, expected in screens:
        faults += [] if screen.shows("q quits") else [f"{name}: nothing was drawn: {screen.written[-300:]}"]
        raw = termios.tcgetattr(screen.theirs)[3] & (termios.ICANON | termios.ECHO) == 0
        faults += [] if raw or screen.process.poll() is not None else [f"{name}: keys wait for Enter"]
    for name, screen, leave, expected in screens:
        leave(screen)
        status, odd = screen.end()
        # A second signal may come in time to end it at once.
        allowed = [0, 128 + signal.SIGTERM] if expected is None else [expected]
        faults += [f"{name}: {one}" for one in odd]
        faults += [] if status in allowed else [f"{name}: status {status}: {screen.told_after()!r}"]
    pair.remove()
    return faults


def it_shows_what_happens_and_keeps_to_the_terminals_size(_folder):
    pair = Pair("view")
    screen = Screen(pair.near)
    faults = [] if screen.shows("q quits") else ["nothing was drawn"]
    send(pair, Connection(1).whole(1006) + Connection(2).whole(1000))
    faults += [] if screen.shows("1006 rst") else ["an abnormal end is not shown"]
    screen.written = b""
    fcntl.ioctl(screen.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    # Another size is drawn anew, as is everything upon Ctrl-L.
    faults += [] if screen.shows("Worst servers") else ["another size of the terminal was not drawn anew"]
    screen.written = b""
    screen.type(b"\x0c")
    faults += [] if screen.shows("Worst servers") else ["Ctrl-L does not draw anew"]
    run("ip", "link", "set", pair.near, "down")
    screen.process.send_signal(signal.SIGUSR1)
    time.sleep(0.5)
    screen.written = ENTER + screen.written
    screen.type(b"q")
    status, odd = screen.end()
    told = screen.told_after()
    pair.remove()
    faults += [] if status == 0 and "1006" in told and "1000" in told else [f"status {status}, the summary is {told!r}"]
    return faults + odd


def it_is_refused_where_there_is_no_terminal(_folder):
    faults = []
    done = subprocess.run([binary(), "live", "-i", "lo", "--top"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if (done.returncode, done.stdout) != (2, "") or "--top draws on a terminal" not in done.stderr:
        faults.append(f"without a terminal: {done}")
    ours, theirs = pty.openpty()
    done = subprocess.run([binary(), "live", "-i", "lo", "--top", "--format", "ndjson"], stdout=theirs, stderr=subprocess.PIPE, text=True)
    if done.returncode != 2 or "--output" not in done.stderr:
        faults.append(f"with NDJSON for the same terminal: {done}")
    os.close(ours)
    os.close(theirs)
    return faults


def check():
    """Returns complaints."""
    checks = [
        the_terminal_is_given_back_on_every_way_out,
        it_shows_what_happens_and_keeps_to_the_terminals_size,
        it_is_refused_where_there_is_no_terminal,
    ]
    complaints = []
    for one in checks:
        with tempfile.TemporaryDirectory(prefix="wsclose-live-") as folder:
            complaints += [f"{one.__name__}: {fault}" for fault in one(pathlib.Path(folder))]
    print(f"top: {len(checks)} checks")
    return complaints
