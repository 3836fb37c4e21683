"""The truth file beside a capture: what was injected, what may be answered, what each application reported."""

import json
import pathlib
import platform
import subprocess

from . import scenario as scenarios
from . import wire

SCHEMA = "wsclose.truth/1"
STILL_OPEN = {"code": None, "reason": None, "clean": None, "error": "reported nothing before the recording ended"}
LAB = pathlib.Path(__file__).resolve().parent.parent


def versions():
    """Versions of the libraries and tools, by name."""
    python = dict(line.split("==") for line in (LAB / "requirements.txt").read_text().split())
    node = json.loads((LAB / "package.json").read_text())["dependencies"]
    return {
        "ws": node["ws"],
        "websockets": python["websockets"],
        "aiohttp": python["aiohttp"],
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


def truth(scenario, pair, topology, capture, reports, seen, known):
    """`seen`: what tshark found, see `wire.events`."""
    client, server = pair
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
        "endpoints": {"client": f"{client} {known[client]}", "server": f"{server} {known[server]}"},
        "versions": {name: known[name] for name in ("python", "node", "tcpdump", "kernel")},
        "connections": [
            entry(scenario, one, topology, capture, reports, seen) for one in scenario["connections"]
        ],
    }


def written(document):
    """The document as JSON text: one line a field, so that a difference between two recordings reads well."""
    connections = ",\n".join("  {\n" + fields(one, 3) + "\n  }" for one in document["connections"])
    head = fields({key: value for key, value in document.items() if key != "connections"}, 1)
    return "{\n" + head + ',\n "connections": [\n' + connections + "\n ]\n}\n"


def fields(values, indent):
    return ",\n".join(f"{' ' * indent}{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())


def entry(scenario, one, topology, capture, reports, seen):
    found, sends = (kept[(one["port"], one["use"])] for kept in seen)
    answers = scenarios.expected(one, capture.vantage)
    if capture.checked and "wire" not in one:
        answers = wire.suiting(answers, found, sends)
    shown = {
        "name": one["name"],
        "client": {"address": topology.addresses["client"], "port": one["port"]},
        "server": {"address": topology.addresses["server"], "port": 9001},
        "injected": one.get("injected", scenario["description"]),
        "expected": answers,
        "because": one.get("because"),
        "reported": {role: said(role, one, reports) for role in ("client", "server")},
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
