"""The truth file beside a capture: what was injected, what may be answered, what each application reported."""

import json
import pathlib
import platform
import subprocess

from . import scenario as scenarios
from . import wire

SCHEMA = "wsclose.truth/1"
PYTHON_LIBRARIES = ["websockets", "aiohttp", "tornado", "uvicorn", "wsproto"]
STILL_OPEN = {"code": None, "reason": None, "clean": None, "error": "reported nothing before the recording ended"}
LAB = pathlib.Path(__file__).resolve().parent.parent


def versions():
    """Versions of the libraries and tools, by name."""
    python = dict(line.split("==") for line in (LAB / "requirements.txt").read_text().split())
    node = json.loads((LAB / "package.json").read_text())["dependencies"]
    return {
        "ws": node["ws"],
        **{name: python[name] for name in PYTHON_LIBRARIES},
        "chromium": first_line("chromium", "--version").split()[1],
        "nginx": first_line("nginx", "-v").split("/")[1],
        "haproxy": first_line("haproxy", "-v").split()[2].split("-")[0],
        "raw": "tests/lab/endpoints/raw_endpoint.py",
        "python": platform.python_version(),
        "node": first_line("node", "--version").lstrip("v"),
        "tcpdump": first_line("tcpdump", "--version").split()[-1],
        "tshark": first_line("tshark", "--version").split()[2],
        "kernel": "Linux " + platform.release().split("-")[0],
    }


def first_line(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).splitlines()[0]


def named(endpoint, known):
    """An endpoint's library with its version; a server may say which part does its WebSockets."""
    library, _, part = endpoint.partition("-")
    return " ".join([library, known[library], *([f"with {part} {known.get(part, '')}".strip()] if part else [])])


def truth(scenario, pair, topology, capture, reports, seen, known, tls=None):
    """`seen`: what tshark found, see `wire.Seen`."""
    client, server = pair
    proxy = scenario.get("proxy", {}).get("kind")
    return {
        "schema": SCHEMA,
        "scenario": scenario["name"],
        "description": scenario["description"],
        "capture": {
            "file": capture.path.name,
            "vantage": capture.vantage,
            "filter": capture.filter,
            "snaplen": capture.snaplen or None,
            "offload": bool(scenario["network"].get("offload")),
        },
        "endpoints": {"client": named(client, known), "server": named(server, known)},
        **({"proxy": named(proxy, known)} if proxy else {}),
        **({"tls": {"suite": tls.suite, "keys": tls.keys, "resumes": tls.resume}} if tls else {}),
        "versions": {name: known[name] for name in ("python", "node", "tcpdump", "kernel")},
        "connections": [
            entry(scenario, place, topology, capture, reports, seen) for place in capture.places
        ],
    }


def written(document):
    """The document as JSON text: one line a field, so that a difference between two recordings reads well."""
    connections = ",\n".join("  {\n" + fields(one, 3) + "\n  }" for one in document["connections"])
    head = fields({key: value for key, value in document.items() if key != "connections"}, 1)
    return "{\n" + head + ',\n "connections": [\n' + connections + "\n ]\n}\n"


def fields(values, indent):
    return ",\n".join(f"{' ' * indent}{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())


def entry(scenario, place, topology, capture, reports, seen):
    one = place.connection
    key = seen.key(place, topology.target(place.leg))
    found, sends = seen.events[key], seen.sends[key]
    answers = list(place.answers)
    if capture.checked and place.wire is None:
        answers = wire.suiting(answers, place.leg, found, sends)
    client, server = seen.addresses.get(key, (topology.addresses["client"], topology.addresses["server"]))
    shown = {
        "name": one["name"],
        **({"leg": place.leg} if place.leg else {}),
        "client": {"address": client, "port": key[0]},
        "server": {"address": server, "port": wire.SERVER_PORT},
        "injected": one.get("injected", scenario["description"]),
        "expected": answers,
        "because": one.get("because"),
        # Beyond a proxy that is not in the capture nobody can see.
        "reported": {role: said(role, one, reports) if capture.shows(role) else None for role in ("client", "server")},
    }
    # Null where tshark cannot follow the connection: one direction only, cut packets, no handshake.
    shown["seen_by_tshark"] = None
    if capture.checked:
        shown["seen_by_tshark"] = [f"{event['packet']} {event['from']} {event['what']}" for event in found]
    return shown


def said(role, one, reports):
    """Null for a process that was killed, for a bare socket, and for an application that never got the connection."""
    if role == "server" and not scenarios.reaches_server(one):
        return None
    if one["name"] in reports[role]["said"]:
        return None if reports[role]["library"] == "raw" else reports[role]["said"][one["name"]]
    return STILL_OPEN if reports[role]["alive"] and reports[role]["library"] != "raw" else None
