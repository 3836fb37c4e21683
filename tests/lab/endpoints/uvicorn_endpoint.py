"""Server on `uvicorn`, with one of its three WebSocket implementations (the plan's option `backend`)."""

import asyncio
import sys

import uvicorn

from common import Plan, Steps, common_start, report


class Actor(Steps):
    """ASGI gives an application no hold on TCP: no `fin`, no `reset`, and no pings of its own."""

    def __init__(self, plan, send):
        super().__init__(plan)
        self.asgi_send = send

    async def send_text(self, message):
        await self.asgi_send({"type": "websocket.send", "text": message})

    async def close(self, code="1000", reason=""):
        await self.asgi_send({"type": "websocket.close", "code": int(code), "reason": reason})


def application(plan):
    async def app(scope, receive, send):
        if scope["type"] != "websocket":
            return
        one = plan.take(scope["path"])
        await receive()
        if one["steps"] and one["steps"][0].startswith("refuse "):
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept"})
        playing = asyncio.create_task(Actor(plan, send).play(one["steps"]))
        while (message := await receive())["type"] == "websocket.receive":
            if plan.option("echo", True):
                data = {key: message[key] for key in ("text", "bytes") if message.get(key) is not None}
                await send({"type": "websocket.send", **data})
        playing.cancel()
        report(one["name"], code=message.get("code"), reason=message.get("reason"))

    return app


async def main():
    plan = Plan(sys.argv[1])
    config = uvicorn.Config(
        application(plan),
        host=plan.host,
        port=plan.port,
        ws=plan.option("backend"),
        ws_max_size=plan.option("max_size", 1 << 20),
        ws_ping_interval=plan.option("ping_interval"),
        ws_ping_timeout=plan.option("ping_timeout"),
        lifespan="off",
        log_level="critical",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.02)
    await common_start(plan)
    await serving


asyncio.run(main())
