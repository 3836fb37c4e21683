"""Client: the Chromium browser, headless, driven through the pipe of its DevTools protocol (no socket of its own).

Each connection has a tab of its own, since most of what is of interest happens to the tab.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile

from common import Plan, Steps, common_start, describe, report

COMMAND = [
    "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe", "--no-default-browser-check",
    "--disable-dev-shm-usage",
]
# The end of a page leaves its script this long to say what its WebSocket told it.
LAST_WORDS_S = 0.5
OPEN = """
new Promise((opened, failed) => {
  const socket = globalThis.socket = new WebSocket(%s);
  socket.onopen = () => opened();
  socket.onerror = () => failed("error event");
  socket.onclose = (end) => tell(JSON.stringify({ code: end.code, reason: end.reason, clean: end.wasClean }));
})"""
TALK = """
new Promise((done) => { socket.onmessage = () => done(); socket.send(%s); })"""


class Browser:
    """The protocol: JSON with a NUL behind each message, out on its fd 3 and in on its fd 4."""

    async def start(self, folder, tls):
        read_theirs, self.write_ours = os.pipe()
        read_ours, write_theirs = os.pipe()

        def hand_over():
            # Away from 3 and 4 first, which they may have themselves.
            read_end, write_end = os.dup(read_theirs), os.dup(write_theirs)
            os.dup2(read_end, 3)
            os.dup2(write_end, 4)

        options = [f"--ssl-key-log-file={tls['keylog']}", "--ignore-certificate-errors"] if tls else []
        self.process = await asyncio.create_subprocess_exec(
            *COMMAND, *options, f"--user-data-dir={folder}", "about:blank",
            preexec_fn=hand_over, close_fds=False, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
        )
        os.close(read_theirs)
        os.close(write_theirs)
        self.reader = asyncio.StreamReader(limit=1 << 24)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self.reader), os.fdopen(read_ours, "rb")
        )
        self.number, self.answers, self.told = 0, {}, {}
        self.reading = asyncio.create_task(self._read())

    async def _read(self):
        while True:
            message = json.loads((await self.reader.readuntil(b"\0"))[:-1])
            if "id" in message:
                self.answers.pop(message["id"]).set_result(message)
            elif message["method"] == "Runtime.bindingCalled":
                told = self.told[message["sessionId"]]
                if not told.done():
                    told.set_result(json.loads(message["params"]["payload"]))

    async def call(self, method, session=None, **params):
        self.number += 1
        answer = self.answers[self.number] = asyncio.get_running_loop().create_future()
        message = {"id": self.number, "method": method, "params": params, **({"sessionId": session} if session else {})}
        os.write(self.write_ours, json.dumps(message).encode() + b"\0")
        message = await answer
        if "error" in message:
            raise RuntimeError(message["error"]["message"])
        return message["result"]

    async def tab(self):
        """A new tab: its target and its session."""
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        self.told[session] = asyncio.get_running_loop().create_future()
        await self.call("Runtime.addBinding", session, name="tell")
        await self.call("Page.enable", session)
        return target, session

    async def script(self, session, code):
        done = await self.call("Runtime.evaluate", session, expression=code, awaitPromise=True)
        if "exceptionDetails" in done:
            raise RuntimeError(str(done["result"].get("value", done["exceptionDetails"]["text"])))


class Actor(Steps):
    def __init__(self, plan, browser, target, session):
        super().__init__(plan)
        self.browser, self.target, self.session = browser, target, session
        self.page_is_gone = False

    async def talk(self, count, size="12"):
        for number in range(int(count)):
            await self.browser.script(self.session, TALK % json.dumps(f"message {number} ".ljust(int(size), ".")))

    async def send_text(self, message):
        await self.browser.script(self.session, f"socket.send({json.dumps(message)})")

    async def close(self, code="", reason=""):
        arguments = ", ".join([code, *([json.dumps(reason)] if reason else [])])
        await self.browser.script(self.session, f"socket.close({arguments})")

    async def close_tab(self):
        self.page_is_gone = True
        await self.browser.call("Target.closeTarget", targetId=self.target)

    async def navigate(self):
        self.page_is_gone = True
        await self.browser.call("Page.navigate", self.session, url="data:text/html,elsewhere")

    async def reload(self):
        self.page_is_gone = True
        await self.browser.call("Page.reload", self.session)

    async def crash_tab(self):
        """The renderer process dies; the browser lives on."""
        self.page_is_gone = True
        await asyncio.wait_for(self.browser.call("Page.crash", self.session), LAST_WORDS_S)

    async def kill(self):
        """The whole browser."""
        self.page_is_gone = True
        os.killpg(self.browser.process.pid, signal.SIGKILL)

    async def quit(self):
        """The browser's own orderly end."""
        self.page_is_gone = True
        await self.browser.call("Browser.close")


async def client(plan, one, browser):
    target, session = one["tab"]
    await asyncio.sleep(plan.until(one["connect_at"]))
    told = browser.told[session]
    actor = Actor(plan, browser, target, session)
    try:
        await browser.script(session, OPEN % json.dumps(plan.url(one["path"])))
    except RuntimeError as error:
        report(one["name"], **await told, error=describe(error))
        return
    playing = asyncio.create_task(actor.play(one["steps"]))
    while not told.done() and not (playing.done() and actor.page_is_gone):
        await asyncio.sleep(0.05)
    if not told.done():
        await asyncio.wait([told], timeout=LAST_WORDS_S)
    if told.done():
        report(one["name"], **told.result())
    else:
        report(one["name"], error="the page was gone before its script was told")


async def main():
    plan = Plan(sys.argv[1])
    browser = Browser()
    with tempfile.TemporaryDirectory(prefix="wsclose-chromium-", ignore_cleanup_errors=True) as folder:
        await browser.start(folder, plan.tls)
        try:
            # Before the start: a tab takes its time.
            for one in plan.connections:
                one["tab"] = await browser.tab()
            await common_start(plan)
            await asyncio.gather(*(client(plan, one, browser) for one in plan.connections))
        finally:
            try:
                os.killpg(browser.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


if __name__ == "__main__":
    asyncio.run(main())
