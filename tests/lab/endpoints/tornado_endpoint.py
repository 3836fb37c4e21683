"""Client and server on `tornado`."""

import asyncio
import signal
import sys

from tornado import web, websocket

from common import Plan, Steps, common_start, describe, keepalive, report


class Actor(Steps):
    def __init__(self, plan, sending, stream):
        super().__init__(plan)
        self.sending = sending
        self.stream_below = stream
        keepalive(stream.socket, plan.option("keepalive"))

    async def send_text(self, message):
        await self.sending.write_message(message)

    async def ping(self):
        self.sending.ping(b"lab")

    async def close(self, code=None, reason=None):
        self.sending.close(int(code) if code else None, reason)

    async def fin(self):
        self.stream_below.close()

    async def reset(self):
        self.linger_zero(self.stream_below.socket)
        self.stream_below.close()


class Handler(websocket.WebSocketHandler):
    def initialize(self, plan, opened):
        self.plan, self.opened = plan, opened

    async def get(self, *args, **kwargs):
        self.one = self.plan.take(self.request.uri)
        steps = self.one["steps"]
        if steps and steps[0].startswith("refuse "):
            self.set_status(int(steps[0].split()[1]))
            return
        await super().get(*args, **kwargs)

    def open(self):
        self.opened.add(self)
        actor = Actor(self.plan, self, self.ws_connection.stream)
        self.playing = asyncio.create_task(actor.play(self.one["steps"]))

    async def on_message(self, message):
        if self.plan.option("echo", True):
            await self.write_message(message, binary=isinstance(message, bytes))

    def on_close(self):
        self.playing.cancel()
        report(self.one["name"], code=self.close_code, reason=self.close_reason)


async def server(plan):
    opened = set()
    app = web.Application(
        [(r"/.*", Handler, {"plan": plan, "opened": opened})],
        websocket_ping_interval=plan.option("ping_interval"),
        websocket_ping_timeout=plan.option("ping_timeout"),
        websocket_max_message_size=plan.option("max_size", 1 << 20),
    )
    serving = app.listen(plan.port, plan.host)
    stop = asyncio.Event()
    if plan.option("close_on_sigterm", True):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await common_start(plan)
    await stop.wait()
    serving.stop()
    # tornado closes no WebSocket by itself: what applications do on their way out.
    for handler in list(opened):
        handler.close(1001, "server is going down")
    await asyncio.sleep(1)


async def client(plan, one, before):
    await plan.turn(one, before)
    try:
        connection = await websocket.websocket_connect(
            plan.url(one["path"]),
            ping_interval=plan.option("ping_interval"),
            ping_timeout=plan.option("ping_timeout"),
            max_message_size=plan.option("max_size", 1 << 20),
        )
    except Exception as error:
        report(one["name"], error=describe(error))
        return
    actor = Actor(plan, connection, connection.protocol.stream)
    playing = asyncio.create_task(actor.play(one["steps"]))
    while (message := await connection.read_message()) is not None:
        actor.inbox.put_nowait(message)
    playing.cancel()
    report(one["name"], code=connection.close_code, reason=connection.close_reason)


async def main():
    plan = Plan(sys.argv[1])
    if plan.role == "server":
        await server(plan)
    else:
        await common_start(plan)
        await plan.each(client)


asyncio.run(main())
