#!/usr/bin/env python3
"""Record fixtures/http2: WebSockets over HTTP/2 (RFC 8441), in clear and in TLS 1.3 with the keys inside.

Each case is a pcapng capture with a truth file beside it: for each WebSocket its path, the answer that is right, and
what the applications reported. Needs root (a network namespace, tcpdump), openssl, editcap, node, chromium, nghttpx,
haproxy, and what setup.sh installs.

    record_http2.py                 # all
    record_http2.py node-h2c-closes # some
"""
import json, os, pathlib, signal, subprocess, sys, tempfile, time

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parent.parent / "fixtures" / "http2"
PORT, BACK = 9443, 9001
CLEAR = 9080
PEER = HERE / "endpoints" / "http2_peer.mjs"
PYTHON = str(HERE / ".venv" / "bin" / "python")


def coded(code, by): return {"label": str(code), "cause": None, "closed_by": by}
def lost(cause, by, teardown, error=None): return {"label": "1006", "cause": cause, "closed_by": by, "teardown": teardown, "error": error}


CLOSES = {
    "client-close-1000": coded(1000, "client"),
    "server-close-1001": coded(1001, "server"),
    "client-close-4000": coded(4000, "client"),
    "server-close-1011": coded(1011, "server"),
    "plain": None,
    "client-end": lost("fin", "client", "end_stream"),
    "server-end": lost("fin", "server", "end_stream"),
    "client-cancels": lost("rst", "client", "rst_stream", "CANCEL"),
    "server-fails": lost("rst", "server", "rst_stream", "INTERNAL_ERROR"),
    "client-rst-8": lost("fin", "client", "end_stream"),  # as Node does it
    "refused-403": {"label": "refused", "cause": None, "closed_by": "server"},
}
STAYS = ["stays-1", "stays-2", "stays-3"]


# Node's `destroy` writes RST_STREAM for some of the streams before it closes TCP.
LEFT = {side: [lost("fin", side, "fin"), lost("rst", side, "rst_stream", "NO_ERROR")] for side in ("client", "server")}

# Node's client answers a GOAWAY in error by RST_STREAM of the streams.
GIVEN_UP = [lost("fin", "server", "goaway", "ENHANCE_YOUR_CALM")]


def stays(answer): return {**{path: answer for path in STAYS}, "client-close-1000": coded(1000, "client")}


# name: TLS?, what is asked for with the right answers, what ends the connection
NODE = {
    "node-h2c-closes": (False, {**CLOSES, "stays-1": {"label": "open", "cause": None, "closed_by": None}}, None),
    "node-tls-closes": (True, CLOSES, "client destroy"),
    "node-tls-goaway": (True, stays(LEFT["server"]), "server goaway 0, server destroy 0"),
    "node-h2c-goaway-error": (False, stays(GIVEN_UP), "server goaway 11, server destroy 11"),
    "node-h2c-client-leaves": (False, stays(LEFT["client"]), "client destroy"),
    "node-h2c-server-killed": (False, stays(lost("fin", "server", "fin")), "server kill"),
    "node-h2c-client-killed": (False, stays(lost("fin", "client", "fin")), "client kill"),
    "node-tls-server-killed": (True, stays(lost("fin", "server", "fin")), "server kill"),
}
# name: what is asked for over HTTP/1.1 of haproxy, which goes on in HTTP/2, with the right answers
HAPROXY = {
    "ws-haproxy-node-h2c": {
        "client-close-1000": coded(1000, "client"),
        "server-close-4001": coded(4001, "server"),
        "client-close-4000": coded(4000, "client"),
        "client-drops": [lost("fin", "client", "end_stream"), lost("rst", "client", "rst_stream", "CANCEL")],
        "server-end": lost("fin", "server", "end_stream"),
        "server-fails": lost("rst", "server", "rst_stream", "INTERNAL_ERROR"),
    },
}
CANCELLED = lost("rst", "client", "rst_stream", "CANCEL")
BROWSER = {
    "client-close-1000": coded(1000, "client"),
    "client-close-4001": coded(4001, "client"),
    "server-close-1001": coded(1001, "server"),
    "server-close-4000": coded(4000, "server"),
    "tab-closed": CANCELLED,
    "navigates": CANCELLED,
    "stays": [CANCELLED, lost("fin", "client", "fin")],
}
# name: server, what is asked for with the right answers
CHROMIUM = {"chromium-hypercorn": BROWSER, "chromium-nghttpx-ws": BROWSER}


def sh(*command, **more): return subprocess.run(command, check=True, capture_output=True, **more)


def certificate(folder):
    sh("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=example.test",
       "-addext", "subjectAltName=DNS:example.test", "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem")
    return f"{folder}/key.pem", f"{folder}/cert.pem"


class Dump:
    """Captures what passes on the loopback."""

    def __init__(self, folder):
        self.path = f"{folder}/all.pcap"
        self.process = subprocess.Popen(["tcpdump", "-i", "lo", "-U", "-B", "65536", "--immediate-mode", "-w", self.path, "tcp"], stderr=subprocess.PIPE)
        time.sleep(0.8)

    def stop(self):
        time.sleep(0.4)
        self.process.terminate()
        said = self.process.communicate()[1].decode()
        assert "\n0 packets dropped by kernel" in said, said

    def keep(self, name, keys, truth):
        OUT.mkdir(exist_ok=True)
        secrets = ["--inject-secrets", f"tls,{keys}"] if keys else []
        sh("editcap", "-F", "pcapng", *secrets, self.path, str(OUT / f"{name}.pcapng"))
        lines = ",\n".join("  " + json.dumps(one) for one in truth["connections"])
        head = "".join(f' {json.dumps(key)}: {json.dumps(value)},\n' for key, value in truth.items() if key != "connections")
        (OUT / f"{name}.truth.json").write_text("{\n" + head + ' "connections": [\n' + lines + "\n ]\n}\n")


def say(child, words):
    child.stdin.write(words.encode() + b"\n")
    child.stdin.flush()


def node(name, folder):
    tls, expected, ends = NODE[name]
    keys = f"{folder}/keys.log" if tls else None
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    server = subprocess.Popen(["node", PEER, "server", str(PORT), *(certificate(folder) if tls else [])], **pipes)
    server.stdout.readline()
    dump = Dump(folder)
    client = subprocess.Popen(["node", PEER, "client", str(PORT), keys or "-", *expected], **pipes)
    time.sleep(1.0 + 0.08 * len(expected))
    if ends is None:
        dump.stop()  # Something is still open.
    children = {"server": server, "client": client}
    for step in (ends or "").split(", "):
        who, _, what = step.partition(" ")
        if what == "kill": children[who].kill()
        elif who: say(children[who], what)
        time.sleep(0.3)
    if ends is not None:
        dump.stop()
    said = []
    for child in children.values():
        child.kill()
        said += [json.loads(line) for line in child.communicate()[0].splitlines()]
    connections = [{"path": "/" + path, "expected": answer if isinstance(answer, list) else [answer],
                    "reported": {one["role"]: {"code": one["code"], "rst": one["rst"]} for one in said if one["path"] == path}}
                   for path, answer in expected.items() if answer]
    dump.keep(name, keys, {"client": "node http2", "server": "node http2", "carrier": "tls+h2" if tls else "h2", "connections": connections})


def haproxy(name, folder):
    expected = HAPROXY[name]
    config = pathlib.Path(folder) / "haproxy.conf"
    text = (HERE / "proxies" / "haproxy-http2.conf").read_text()
    config.write_text(text.replace("@front@", str(CLEAR)).replace("@back@", str(PORT)))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    server = subprocess.Popen(["node", PEER, "server", str(PORT)], **pipes)
    server.stdout.readline()
    proxy = subprocess.Popen(["haproxy", "-f", config], stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    dump = Dump(folder)
    client = subprocess.Popen(["node", HERE / "endpoints" / "http1_client.mjs", str(CLEAR), *expected], **pipes)
    time.sleep(1.5 + 0.15 * len(expected))
    dump.stop()
    said = []
    for child in (client, proxy, server):
        child.kill()
        said += [json.loads(line) for line in (child.communicate()[0] or b"").splitlines()]
    connections = [{"path": "/" + path, "expected": answer if isinstance(answer, list) else [answer],
                    "reported": {one["role"]: {"code": one["code"]} for one in said if one["path"] == path}}
                   for path, answer in expected.items()]
    dump.keep(name, None, {"client": "ws", "server": "haproxy, node http2", "carrier": "h2", "connections": connections})


def servers(name, folder):
    """The commands of what stands behind the browser, the last one first."""
    key, cert = certificate(folder)
    if name == "chromium-hypercorn":
        return [[PYTHON, "-m", "hypercorn", "--bind", f"127.0.0.1:{PORT}", "--keyfile", key, "--certfile", cert,
                 "--log-level", "error", "hypercorn_app:app"]]
    (pathlib.Path(folder) / "nghttpx.conf").write_text("")
    return [["node", HERE / "endpoints" / "http1_server.mjs", str(BACK)],
            ["nghttpx", f"--conf={folder}/nghttpx.conf", f"-f127.0.0.1,{PORT}", f"-b127.0.0.1,{BACK}", "-n1", "-LERROR", key, cert]]


def chromium(name, folder):
    keys, expected = f"{folder}/keys.log", CHROMIUM[name]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=HERE / "endpoints", start_new_session=True)
                for command in servers(name, folder)]
    time.sleep(2.0)
    dump = Dump(folder)
    browser = subprocess.run([PYTHON, HERE / "endpoints" / "chromium_http2.py", f"https://127.0.0.1:{PORT}", keys, *expected],
                             stdout=subprocess.PIPE, check=True, timeout=60)
    dump.stop()
    said = [json.loads(line) for line in browser.stdout.splitlines()]
    for child in children:
        os.killpg(child.pid, signal.SIGKILL)
        said += [json.loads(line) for line in child.communicate()[0].splitlines()]
    connections = [{"path": "/" + path, "expected": answer if isinstance(answer, list) else [answer],
                    "reported": {one["role"]: {"code": one["code"]} for one in said if one["path"] == "/" + path}}
                   for path, answer in expected.items() if answer]
    dump.keep(name, keys, {"client": "chromium", "server": name.partition("-")[2], "carrier": "tls+h2", "connections": connections})


def main():
    names = sys.argv[1:] or [*NODE, *CHROMIUM, *HAPROXY]
    if os.environ.get("RECORDING") != "1":
        for name in names:
            print(name, flush=True)
            with tempfile.TemporaryDirectory() as folder:
                env = {**os.environ, "RECORDING": "1", "FOLDER": folder}
                subprocess.run(["unshare", "-n", sys.executable, __file__, name], env=env, check=True, timeout=90)
        return
    sh("ip", "link", "set", "lo", "up")
    record = node if names[0] in NODE else chromium if names[0] in CHROMIUM else haproxy
    record(names[0], os.environ["FOLDER"])


main()
