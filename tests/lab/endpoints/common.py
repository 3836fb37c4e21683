"""What every Python endpoint shares: the plan, the clock, the steps and the report.

A plan (a JSON file, the only argument) names the role and, for each connection, its name, its request path (the name,
if nothing else is said; several may share one), its client port and its steps. A step is a line such as `close 1001 bye`; the verbs are methods of an endpoint's `Actor`.
Reports are JSON lines on stdout: `ready` once, then one line a connection with what the library's API said.
"""

import asyncio
import json
import os
import shlex
import socket
import ssl
import struct
import sys
import time

LINGER_ZERO = struct.pack("ii", 1, 0)


class Plan:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            settings = json.load(file)
        self.role = settings["role"]
        self.host = settings["host"]
        self.port = settings["port"]
        self.bind = settings.get("bind")
        self.connections = settings["connections"]
        self.options = settings.get("options", {})
        self.tls = settings.get("tls")
        self.t0 = None
        self.taken = set()

    def url(self, path):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'wss' if self.tls else 'ws'}://{host}:{self.port}/{path}"

    def tls_context(self):
        """None: in the clear. The server's suite is forced by OpenSSL's settings, which the recorder names."""
        if not self.tls:
            return None
        if self.role == "server":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls["certificate"], self.tls["key"])
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if not self.tls["suite"].startswith("TLS_"):
            context.set_ciphers(self.tls["suite"])
        context.keylog_filename = self.tls["keylog"]
        return context

    def take(self, uri):
        """The next connection with this request path: a client that comes back asks for the same one."""
        path = uri.lstrip("/")
        for one in self.connections:
            if one["path"] == path and one["name"] not in self.taken:
                self.taken.add(one["name"])
                return one
        return {"name": path, "steps": []}

    async def each(self, client):
        """Runs `client(plan, connection, before)` for each connection; `before` ends when the one that it comes back
        after (`after`) has ended."""
        tasks = {}
        for one in self.connections:
            tasks[one["name"]] = asyncio.create_task(client(self, one, tasks.get(one.get("after"))))
        await asyncio.gather(*tasks.values())

    async def turn(self, one, before):
        """Until the connection's time has come: the planned one, or `delay` after the connection before was lost."""
        if before is None:
            await asyncio.sleep(self.until(one["connect_at"]))
        else:
            await before
            await asyncio.sleep(one["delay"])

    def option(self, name, default=None):
        return self.options.get(name, default)

    def until(self, seconds):
        """Seconds from now until `seconds` after the common start."""
        return max(0.0, self.t0 + seconds - time.time())


def emit(**line):
    print(json.dumps(line), flush=True)


def report(name, **said):
    """`said`: code, reason, clean, error exactly as the library's API gives them; null where it has no such thing."""
    emit(event="closed", name=name, **{"code": None, "reason": None, "clean": None, "error": None, **said})


def describe(error):
    return f"{type(error).__name__}: {error}"


async def common_start(plan):
    """Says that this process is up and waits for the start time that the recorder sets for all."""
    emit(event="ready")
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    plan.t0 = float(line)


def keepalive(sock, wanted):
    if wanted and sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


class Steps:
    """Base of an `Actor`: plays steps. `transport` is the asyncio transport under the WebSocket."""

    def __init__(self, plan):
        self.plan = plan
        self.inbox = asyncio.Queue()

    async def play(self, steps):
        try:
            for step in steps:
                verb, *args = shlex.split(step)
                await getattr(self, verb.replace("-", "_"))(*args)
        except Exception as error:  # the connection may well end under a step
            return describe(error)
        return None

    async def at(self, seconds):
        await asyncio.sleep(self.plan.until(float(seconds)))

    async def sleep(self, seconds):
        await asyncio.sleep(float(seconds))

    async def talk(self, count, size="12"):
        """Sends `count` messages, each after the echo of the one before."""
        for number in range(int(count)):
            await self.send_text(text(number, int(size)))
            await self.inbox.get()

    async def say(self, count, size="12"):
        for number in range(int(count)):
            await self.send_text(text(number, int(size)))

    async def stream(self, count, pause, size="12"):
        """`count` messages with `pause` seconds between them, no echo awaited."""
        for number in range(int(count)):
            await self.send_text(text(number, int(size)))
            await asyncio.sleep(float(pause))

    async def fin(self):
        """Closes TCP with no Close frame."""
        self.transport.close()

    async def half_close(self):
        self.transport.write_eof()

    async def reset(self):
        self.linger_zero(self.transport.get_extra_info("socket"))
        self.transport.abort()

    def linger_zero(self, sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)

    async def exit(self, status="0"):
        os._exit(int(status))


def text(number, size):
    return f"message {number} ".ljust(size, ".")[:size]
