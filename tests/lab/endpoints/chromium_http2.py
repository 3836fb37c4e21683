"""Client: Chromium with its WebSockets in HTTP/2: a page first opens the connection, in which they then lie.

    chromium_http2.py URL KEYLOG PATH...

The path says what happens, as for http2_peer.mjs; besides `tab-closed`, `navigates`, and `quits`, which is the browser.
"""

import asyncio
import json
import sys
import tempfile

from chromium_endpoint import LAST_WORDS_S, OPEN, Actor, Browser


class Plan:
    t0 = None


async def one(browser, url, path, tab):
    target, session = tab
    actor = Actor(Plan(), browser, target, session)
    said = {"role": "client", "path": "/" + path, "code": None}
    try:
        await browser.script(session, OPEN % json.dumps(url.replace("https", "wss") + "/" + path))
        await actor.talk(1)
        await asyncio.sleep(0.1)
        if path.startswith("client-close"):
            await actor.close(path.split("-")[2], "bye")
        elif path == "tab-closed":
            await actor.close_tab()
        elif path == "navigates":
            await actor.navigate()
    except RuntimeError as error:
        said["error"] = str(error)
    done, _ = await asyncio.wait([browser.told[session]], timeout=LAST_WORDS_S * 2)
    if done:
        said["code"] = browser.told[session].result()["code"]
    print(json.dumps(said), flush=True)


async def main():
    url, keylog, *paths = sys.argv[1:]
    browser = Browser()
    with tempfile.TemporaryDirectory(prefix="wsclose-chromium-", ignore_cleanup_errors=True) as folder:
        await browser.start(folder, {"keylog": keylog})
        tabs = []
        for _ in paths:
            tabs.append(await browser.tab())
            await browser.call("Page.navigate", tabs[-1][1], url=url + "/page")
            await asyncio.sleep(0.5)
            # The page may live in another process than the blank one before it.
            await browser.call("Runtime.enable", tabs[-1][1])
            await browser.call("Runtime.addBinding", tabs[-1][1], name="tell")
        await asyncio.gather(*(one(browser, url, path, tab) for path, tab in zip(paths, tabs)))
        await asyncio.sleep(0.5)
        closing = asyncio.create_task(browser.call("Browser.close"))
        await asyncio.wait([closing, browser.reading], timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0.3)


asyncio.run(main())
