"""Client and server on `aiohttp`."""

import asyncio
import signal
import sys

import aiohttp
from aiohttp import WSMsgType, web

from common import Plan, Steps, common_start, describe, keepalive, report


class Actor(Steps):
    def __init__(self, plan, websocket, transport):
        super().__init__(plan)
        self.websocket = websocket
        self.transport = transport
        keepalive(transport.get_extra_info("socket"), plan.option("keepalive"))

    async def send_text(self, message):
        await self.websocket.send_str(message)

    async def ping(self):
        await self.websocket.ping()

    async def close(self, code, reason=""):
        """The API always sends a code."""
        await self.websocket.close(code=int(code), message=reason.encode())

    async def read(self, echo):
        """Reads to the end; returns the last message, which holds the Close's reason where one came."""
        while True:
            message = await self.websocket.receive()
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return message
            if echo and message.type == WSMsgType.TEXT:
                await self.websocket.send_str(message.data)
            elif echo:
                await self.websocket.send_bytes(message.data)
            else:
                self.inbox.put_nowait(message.data)


async def converse(plan, websocket, transport, name, steps, echo):
    actor = Actor(plan, websocket, transport)
    playing = asyncio.create_task(actor.play(steps))
    last, error = None, None
    try:
        last = await actor.read(echo)
    except Exception as raised:
        error = describe(raised)
    # A `close` step is still waiting for the peer's answer when `receive` returns CLOSING.
    if last is not None and last.type == WSMsgType.CLOSING:
        await playing
    playing.cancel()
    if websocket.exception() is not None:
        error = describe(websocket.exception())
    reason = last.extra if last is not None and last.type == WSMsgType.CLOSE else None
    report(name, code=websocket.close_code, reason=reason, error=error)


async def client(plan, one, before):
    await plan.turn(one, before)
    connector = aiohttp.TCPConnector(local_addr=(plan.bind, one["port"]), ssl=plan.tls_context() or True)
    async with aiohttp.ClientSession(connector=connector) as session:
        # Else it opens a second connection by itself when a server drops the first before its answer.
        session._retry_connection = False
        opening = session.ws_connect(
            plan.url(one["path"]),
            timeout=aiohttp.ClientWSTimeout(ws_close=plan.option("close_timeout", 1)),
            heartbeat=plan.option("ping_interval"),
            max_msg_size=plan.option("max_size", 1 << 20),
        )
        try:
            websocket = await asyncio.wait_for(opening, plan.option("open_timeout", 5))
        except Exception as error:
            report(one["name"], error=describe(error))
            return
        transport = websocket._response.connection.transport
        await converse(plan, websocket, transport, one["name"], one["steps"], echo=False)


async def handler(request):
    plan = request.app[PLAN]
    one = plan.take(request.path)
    steps = one["steps"]
    if steps and steps[0].startswith("refuse "):
        return web.Response(status=int(steps[0].split()[1]), text="refused\n")
    websocket = web.WebSocketResponse(
        timeout=plan.option("close_timeout", 1),
        heartbeat=plan.option("ping_interval"),
        max_msg_size=plan.option("max_size", 1 << 20),
    )
    await websocket.prepare(request)
    request.app[OPEN].add(websocket)
    await converse(plan, websocket, request.transport, one["name"], steps, plan.option("echo", True))
    return websocket


async def close_all(app):
    """What the library's documentation advises for a graceful shutdown."""
    for websocket in list(app[OPEN]):
        await websocket.close(code=aiohttp.WSCloseCode.GOING_AWAY, message=b"Server shutdown")


PLAN = web.AppKey("plan", Plan)
OPEN = web.AppKey("open", set)


async def server(plan):
    app = web.Application()
    app[PLAN], app[OPEN] = plan, set()
    app.router.add_get("/{name}", handler)
    app.on_shutdown.append(close_all)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, plan.host, plan.port, shutdown_timeout=2, ssl_context=plan.tls_context()).start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await common_start(plan)
    await stop.wait()
    await runner.cleanup()


async def main():
    plan = Plan(sys.argv[1])
    if plan.role == "server":
        await server(plan)
    else:
        await common_start(plan)
        await plan.each(client)


asyncio.run(main())
