"""Server: an ASGI application for hypercorn, whose paths say what happens, as those of http2_peer.mjs do."""

import asyncio
import json


async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"<title>page</title>" + b"<p>words" * 200})
    elif scope["type"] == "websocket":
        code = await websocket(scope["path"], receive, send)
        print(json.dumps({"role": "server", "path": scope["path"], "code": code}), flush=True)


async def websocket(path, receive, send):
    await receive()
    who, _, what = path[1:].partition("-")
    if path == "/refused-403":
        await send({"type": "websocket.close", "code": 1000})
        return None
    await send({"type": "websocket.accept"})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return event["code"]
        await send({"type": "websocket.send", "text": "echo"})
        if who == "server" and what.startswith("close"):
            await asyncio.sleep(0.1)
            await send({"type": "websocket.close", "code": int(what.split("-")[1]), "reason": "bye"})
        elif who == "server":
            raise RuntimeError("the application fails")
