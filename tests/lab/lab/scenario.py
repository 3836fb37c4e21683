"""Scenario files: fixtures/scenarios/*.toml, read into plain data.

    description = "what happens and why it matters"
    pairs = ["ws--websockets"]             # client library--server library
    settle_s = 5.0                         # longest run time after the start
    [[capture]]                            # default: one at the server, pcap
    vantage = "server"                     # client, server, middle, any (the router's `-i any`)
    snaplen = 96  format = "pcapng"  filter = "tcp and src host {client}"  start_at = 0.8    # all optional
    [network]                              # family, offload, sysctl, relay
    [client_options] [server_options]      # ping_interval, close_timeout, keepalive, ...
    [[inject]]                             # what the recorder does by itself: at (s), signal/who or nft
    [[connection]]
    name = "server-{code}"                 # also the request path
    each = { code = [1000, 1001] }         # one connection for every value
    client = ["talk 1"]  server = ["sleep 0.3", "close {code}"]    # steps, see endpoints/common.py
    injected = "server calls close({code})"
    expect = [{ kind = "coded", label = "{code}", closed_by = "server" }]
    expect_at.client = [...]               # where a vantage sees something else
    because = "why several answers or an odd one are right"
    port = 41001  connect_at = 0.5         # derived if absent; a port may be used again
    wire = "server close 1000"             # what tshark must find first; derived from `expect` if absent, "" for no check

A capture may say `check = false` where tshark cannot read it (one direction only, cut packets): another capture of the
same run is checked in its place.
"""

import collections
import itertools
import json
import tomllib

FIRST_PORT = 41001
STAGGER_S = 0.04
DEFAULT_CLIENT = ["talk 1"]
ANSWER = {"kind": None, "label": None, "cause": None, "closed_by": None}


def load(path):
    with path.open("rb") as file:
        scenario = tomllib.load(file)
    scenario["name"] = path.stem
    scenario.setdefault("capture", [{"vantage": "server"}])
    scenario.setdefault("network", {})
    scenario.setdefault("settle_s", 5.0)
    scenario.setdefault("inject", [])
    connections = list(itertools.chain.from_iterable(expand(one) for one in scenario["connection"]))
    scenario["connections"] = [completed(one, number) for number, one in enumerate(connections)]
    uses = collections.Counter()
    for one in scenario["connections"]:
        one["use"] = uses[one["port"]]
        uses[one["port"]] += 1
    return scenario


def expand(connection):
    """One connection for each combination of the values in `each`, with {key} replaced everywhere."""
    each = connection.pop("each", {})
    for values in itertools.product(*each.values()):
        text = json.dumps(connection)
        for key, value in zip(each, values):
            text = text.replace("{" + key + "}", str(value))
        yield json.loads(text)


def completed(connection, number):
    connection.setdefault("port", FIRST_PORT + number)
    connection.setdefault("connect_at", round(number * STAGGER_S, 3))
    connection.setdefault("client", DEFAULT_CLIENT)
    connection.setdefault("server", [])
    return connection


def expected(connection, vantage):
    """The acceptable answers at this vantage, the best one first."""
    answers = connection.get("expect_at", {}).get(vantage, connection["expect"])
    return [{**ANSWER, **answer, "label": answer.get("label", answer["kind"])} for answer in answers]


def reaches_server(connection):
    """Whether the server's application gets to see the connection at all."""
    return all(answer["kind"] != "refused" for answer in connection["expect"])


def steps(connection, role):
    return {
        "name": connection["name"],
        "port": connection["port"],
        "connect_at": connection["connect_at"],
        "steps": connection[role],
    }
