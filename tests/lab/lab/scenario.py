"""Scenario files: fixtures/scenarios/*.toml, read into plain data.

    description = "what happens and why it matters"
    pairs = ["ws--websockets"]             # client library--server library
    settle_s = 5.0                         # longest run time after the start
    [[capture]]                            # default: one at the server, pcap
    vantage = "server"                     # client, server, middle, any (the router's `-i any`)
    snaplen = 96  format = "pcapng"  filter = "tcp and src host {client}"  start_at = 0.8    # all optional
    [network]                              # family, offload, sysctl, relay, nft (rules of the router from the start), router_sysctl
    [proxy]                                # kind (nginx, haproxy) and what its template in tests/lab/proxies leaves open
    [client_options] [server_options]      # ping_interval, close_timeout, keepalive, ...
    [tls]                                  # recorded over TLS too: record.py --tls
    pairs = { "ws--ws" = "TLS_AES_128_GCM_SHA256" }    # with which cipher suite (OpenSSL's name)
    vantage = "server"                     # the one capture that is kept; default: the first above
    keys = "server"                        # whose key log; default: the client's
    resume = true                          # each connection resumes the session of the one before
    [[inject]]                             # what the recorder does by itself: at (s), then signal/who (a proxy's `group`:
                                           # its workers too), nft, forge (see forger.py), or run/place (a command)
    [[connection]]
    name = "server-{code}"                 # also the request path, unless `path` is another
    each = { code = [1000, 1001] }         # one connection for every value
    client = ["talk 1"]  server = ["sleep 0.3", "close {code}"]    # steps, see endpoints/common.py
    injected = "server calls close({code})"
    expect = [{ kind = "coded", label = "{code}", closed_by = "server" }]
                                           # closed_by = "proxy": as seen on both legs; on one it is that leg's side
    expect_at.client = [...]               # where a vantage, or the leg behind a proxy (`server`), sees something else;
                                           # empty: the connection is not seen there at all
    because = "why several answers or an odd one are right"
    port = 41001  connect_at = 0.5         # derived if absent; a port may be used again
    after = "lost"  delay = 0.02           # instead of connect_at: so long after that connection was lost
    wire = "server close 1000"             # what tshark must find first; derived from `expect` if absent, "" for no check

A capture may say `check = false` where tshark cannot read it (one direction only, cut packets): another capture of the
same run is checked in its place.
"""

import collections
import dataclasses
import itertools
import json
import tomllib

FIRST_PORT = 41001
STAGGER_S = 0.04
DEFAULT_CLIENT = ["talk 1"]
# Libraries whose API chooses no client port: their connections are known by their request paths.
WITHOUT_PORTS = {"chromium", "tornado"}
# Which side of a leg the proxy is.
BEYOND = {"client": "server", "server": "client"}
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


def over_tls(scenario):
    """The scenario with the one capture that is kept of its recording over TLS."""
    wanted = scenario.get("tls", {}).get("vantage", scenario["capture"][0]["vantage"])
    return {**scenario, "capture": [next(one for one in scenario["capture"] if one["vantage"] == wanted)]}


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
    # A number, also where `each` made a text of it.
    connection["connect_at"] = float(connection.get("connect_at", round(number * STAGGER_S, 3)))
    connection.setdefault("client", DEFAULT_CLIENT)
    connection.setdefault("path", connection["name"])
    connection.setdefault("server", [])
    return connection


def expected(connection, vantage):
    """The acceptable answers at this vantage, the best one first."""
    answers = connection.get("expect_at", {}).get(vantage, connection["expect"])
    return [{**ANSWER, **answer, "label": answer.get("label", answer["kind"])} for answer in answers]


@dataclasses.dataclass(frozen=True)
class Place:
    """A planned connection, or one leg of it, as one capture is to hold it. `leg`: client, server, or None without a
    proxy; `by_path`: nobody chose its client port."""

    connection: dict
    leg: str | None
    by_path: bool
    answers: tuple
    wire: str | None

    @property
    def name(self):
        return self.connection["name"]


def places(scenario, client, vantage):
    """What a capture at this vantage is to hold. A proxy's `any` sees both legs."""
    if "proxy" not in scenario:
        legs = [None]
    elif vantage == "any":
        legs = ["client", "server"]
    else:
        legs = ["server" if vantage == "server" else "client"]
    found = []
    for one in scenario["connections"]:
        for leg in legs:
            answers = tuple(from_one_leg(expected(one, leg or vantage), leg if vantage != "any" else None))
            by_path = leg == "server" or client in WITHOUT_PORTS
            wire = one.get("wire_at", {}).get(leg or vantage, one.get("wire"))
            if answers:
                found.append(Place(one, leg, by_path, answers, wire))
    return found


def from_one_leg(answers, leg):
    """Seen on one leg only, the proxy is that leg's server or client."""
    side = BEYOND.get(leg, "proxy")
    return [{**answer, "closed_by": side if answer["closed_by"] == "proxy" else answer["closed_by"]} for answer in answers]


def reaches_server(connection):
    """Whether the server's application gets to see the connection at all."""
    return all(answer["kind"] != "refused" for answer in connection["expect"])


def steps(connection, role):
    return {
        **{key: connection[key] for key in ("name", "path", "port", "connect_at", "after", "delay") if key in connection},
        "steps": connection[role],
    }
