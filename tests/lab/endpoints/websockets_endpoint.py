"""Client and server on Python `websockets` (asyncio)."""

import asyncio
import signal
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from common import Plan, Steps, common_start, describe, keepalive, report


class Actor(Steps):
    def __init__(self, plan, connection):
        super().__init__(plan)
        self.connection = connection
        self.transport = connection.transport
        keepalive(self.transport.get_extra_info("socket"), plan.option("keepalive"))

    async def send_text(self, message):
        await self.connection.send(message)

    async def ping(self):
        await self.connection.ping()

    async def close(self, code=None, reason=""):
        """Without a code: a Close frame with an empty body."""
        await self.connection.close(int(code) if code else None, reason)

    async def read(self, echo):
        """Reads to the end; returns the exception that ended it."""
        try:
            while True:
                message = await self.connection.recv()
                if echo:
                    await self.connection.send(message)
                else:
                    self.inbox.put_nowait(message)
        except ConnectionClosed as end:
            return end


async def converse(plan, connection, name, steps, echo):
    actor = Actor(plan, connection)
    playing = asyncio.create_task(actor.play(steps))
    end = await actor.read(echo)
    await connection.wait_closed()
    playing.cancel()
    # ConnectionClosedOK is not asked for: it also judges the code (1000 and 1001 only).
    both_closed = end.rcvd is not None and end.sent is not None
    report(name, code=connection.close_code, reason=connection.close_reason, clean=both_closed, error=str(end))


async def client(plan, one, before):
    await plan.turn(one, before)
    try:
        connection = await connect(
            plan.url(one["path"]),
            local_addr=(plan.bind, one["port"]),
            proxy=None,
            ssl=plan.tls_context(),
            open_timeout=plan.option("open_timeout", 5),
            **timing(plan),
        )
    except Exception as error:
        report(one["name"], error=describe(error))
        return
    await converse(plan, connection, one["name"], one["steps"], echo=False)


def timing(plan):
    return {
        "close_timeout": plan.option("close_timeout", 1),
        "ping_interval": plan.option("ping_interval"),
        "ping_timeout": plan.option("ping_timeout"),
        "max_size": plan.option("max_size", 1 << 20),
    }


async def server(plan):
    def refuse(connection, request):
        connection.one = plan.take(request.path)
        steps = connection.one["steps"]
        if steps and steps[0].startswith("refuse "):
            return connection.respond(int(steps[0].split()[1]), "refused\n")
        return None

    async def handler(connection):
        one = connection.one
        await converse(plan, connection, one["name"], one["steps"], plan.option("echo", True))

    async with serve(handler, plan.host, plan.port, process_request=refuse, ssl=plan.tls_context(), **timing(plan)) as serving:
        # What the library's documentation advises: SIGTERM closes every connection with 1001.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.close)
        await common_start(plan)
        await serving.wait_closed()


async def main():
    plan = Plan(sys.argv[1])
    if plan.role == "server":
        await server(plan)
    else:
        await common_start(plan)
        await plan.each(client)


asyncio.run(main())
