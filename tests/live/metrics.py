"""The metrics page: promtool finds no fault, a real Prometheus scrapes it, and dashboard and alerts ask for what it has."""

import json
import pathlib
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from ends import awaited
from packets import Connection
from program import ROOT, Live, binary
from space import Pair

PAGE = "http://127.0.0.1:9464"
PROMETHEUS = "http://127.0.0.1:9090"
CODES = {"1000": 3, "1006": 2, "1011": 1}
CONFIG = "scrape_configs: [{job_name: wsclose, scrape_interval: 1s, static_configs: [{targets: ['127.0.0.1:9464']}]}]\n"


def get(url):
    with urllib.request.urlopen(url, timeout=3) as answer:
        return answer.read().decode()


def ask(expression):
    found = json.loads(get(f"{PROMETHEUS}/api/v1/query?query={urllib.parse.quote(expression)}"))
    return {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in found["data"]["result"]}


def asked_for():
    """The metrics that the dashboard and the alerts name."""
    files = [ROOT / "docs" / "grafana" / "wsclose.json", ROOT / "docs" / "prometheus" / "wsclose.rules.yml"]
    return {name for file in files for name in re.findall(r"wsclose_[a-z_]+", file.read_text())}


def expressions():
    """What the dashboard asks of Prometheus, with Grafana's variables filled in."""
    panels = json.loads((ROOT / "docs" / "grafana" / "wsclose.json").read_text())["panels"]
    return [target["expr"].replace("$__rate_interval", "5m").replace("$__range", "6h") for panel in panels for target in panel["targets"]]


def refused(expression):
    """Why Prometheus won't evaluate it."""
    try:
        ask(expression)
    except OSError as error:
        return str(error)
    return None


def check_page():
    page = get(f"{PAGE}/metrics")
    linted = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True)
    faults = [] if linted.returncode == 0 else [f"promtool: {linted.stderr}"]
    named = set(re.findall(r"^(wsclose_[a-z_]+)", page, re.M))
    faults += [f"{name} is asked for, but not on the page" for name in sorted(asked_for() - named)]
    return faults + ([] if get(f"{PAGE}/healthz") == "ok\n" else ["/healthz is not ok"])


def check_rules():
    rules = ROOT / "docs" / "prometheus" / "wsclose.rules.yml"
    done = subprocess.run(["promtool", "check", "rules", str(rules)], capture_output=True, text=True)
    return [] if done.returncode == 0 else [f"promtool: {done.stderr}"]


def check_scrape(folder):
    config = folder / "prometheus.yml"
    config.write_text(CONFIG)
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", "--web.listen-address=127.0.0.1:9090"]
    with (folder / "prometheus.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        counted = lambda: ask("sum by (label) (wsclose_connections_ended_total)")
        expected = {(("label", label),): float(count) for label, count in CODES.items()}

        def is_scraped():
            try:
                return counted() == expected
            except OSError:
                return False

        faults = [] if awaited(is_scraped, 20) else [f"Prometheus has {counted()}, not {expected}"]
        return faults + [f"the dashboard asks {one!r}: {fault}" for one in expressions() if (fault := refused(one))]
    finally:
        server.kill()
        server.wait()


def a_capture_that_stands_still_is_told():
    """Nobody reads its standard output: the thread that captures waits for that, the one that answers does not."""
    pair, health = Pair("still"), "http://127.0.0.1:9465/healthz"
    command = [binary(), "live", "-i", pair.near, "--metrics", "9465", "--limit", "linger=1s"]
    live = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def status():
        try:
            return urllib.request.urlopen(health, timeout=3).status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    try:
        faults = [] if awaited(lambda: status() == 200) else [f"/healthz answers {status()}"]
        with pair.sender() as sender:
            for frame in (frame for number in range(2_000) for frame in Connection(number).whole(1001)):
                sender.send(frame)
        return faults + ([] if awaited(lambda: status() == 503, 15) else [f"the capture stands still, and /healthz answers {status()}"])
    finally:
        live.kill()
        live.wait()
        pair.remove()


def check():
    """Returns complaints."""
    pair = Pair("prom")
    with tempfile.TemporaryDirectory(prefix="wsclose-live-") as name, pair.sender() as sender:
        folder = pathlib.Path(name)
        live = Live(pair.near, folder / "m.ndjson", "--metrics", "9464", "--limit", "linger=1s").await_start()
        number = 0
        for label, count in CODES.items():
            for _ in range(count):
                number += 1
                connection = Connection(number)
                ping = connection.connect() + connection.upgrade() + [connection.step(True, 0x18, b"\x89\x80\0\0\0\0"), connection.step(False, 0x18, b"\x8a\0")]
                for frame in ping + (connection.resets() if label == "1006" else connection.closes(int(label)) + connection.fins()):
                    sender.send(frame)
        come_back = Connection(1)
        come_back.client = (come_back.client[0], 60_999)
        for frame in come_back.connect() + come_back.upgrade():
            sender.send(frame)
        counts = lambda count: f"wsclose_reconnect_delay_seconds_count {count}\n" in get(f"{PAGE}/metrics")
        faults = [] if awaited(lambda: counts(1), 5) else ["a client that came back, and stays, is not counted"]
        ended = awaited(lambda: get(f"{PAGE}/metrics").count("wsclose_connections_ended_total{") == len(CODES))
        time.sleep(1.2)
        complaints = check_page() + check_rules() + check_scrape(folder) + faults if ended else ["the ends are not counted"]
        status = live.stop()
    pair.remove()
    print(f"metrics: {len(asked_for())} metrics asked for by dashboard and alerts")
    complaints += a_capture_that_stands_still_is_told()
    return complaints + ([] if status == 0 else [f"exit status {status}"])
