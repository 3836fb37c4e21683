// Both ends of WebSockets over HTTP/2 (RFC 8441) by Node's http2, with frames made by hand. The path says what happens:
// `client-close-1001`, `server-close-4000`, `client-end-stream`, `server-rst-2`, `refused-403`, `stays`, ...
//
//   node http2_peer.mjs server PORT [KEY CERTIFICATE]     commands on stdin: goaway CODE, destroy CODE
//   node http2_peer.mjs client PORT KEYLOG|- PATH...      commands on stdin: destroy; one JSON line a stream on stdout
import { connect, createSecureServer, createServer } from "node:http2";
import { createWriteStream, readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const [role, port, ...rest] = process.argv.slice(2);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const aborts = {};
const commands = createInterface({ input: process.stdin });

function frame(opcode, payload, masked) {
  const key = Buffer.from([1, 2, 3, 4]);
  const body = masked ? Buffer.from(payload.map((byte, at) => byte ^ key[at % 4])) : payload;
  return Buffer.concat([Buffer.from([0x80 | opcode, (masked ? 0x80 : 0) | payload.length]), masked ? key : Buffer.alloc(0), body]);
}

const text = (words, masked) => frame(1, Buffer.from(words), masked);
const close = (code, masked) => frame(8, Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from("bye")]), masked);

// Calls `on(opcode, payload)` for each whole frame; all are short.
function frames(stream, on) {
  let held = Buffer.alloc(0);
  stream.on("data", (data) => {
    held = Buffer.concat([held, data]);
    while (held.length >= 2) {
      const masked = held[1] & 0x80, start = masked ? 6 : 2, end = start + (held[1] & 0x7f);
      if (held.length < end) return;
      const key = held.subarray(2, 6);
      const payload = held.subarray(start, end).map((byte, at) => (masked ? byte ^ key[at % 4] : byte));
      on(held[0] & 15, payload);
      held = held.subarray(end);
    }
  });
}

// What `role` does of its own accord on this path.
async function act(stream, path, masked) {
  const [who, what, code] = path.split("-");
  if (who !== role) return;
  await sleep(60);
  if (what === "close") stream.write(close(Number(code), masked));
  if (what === "end") stream.end();
  if (what === "rst") stream.close(Number(code)); // Node ends the stream first, and resets it once the peer has, too
  if (what === "cancels") aborts[path].abort();
  if (what === "fails") stream.destroy(new Error("fails"));
}

function play(stream, path, masked) {
  const said = { path, role, code: null, rst: null };
  let closing = false;
  frames(stream, (opcode, payload) => {
    if (opcode === 8) {
      said.code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
      if (!closing && !path.startsWith(`${role}-close`)) stream.write(close(said.code, masked));
      closing = true;
      stream.end();
    } else if (role === "server") {
      stream.write(text("echo", false));
      act(stream, path, masked);
    } else act(stream, path, masked);
  });
  stream.on("end", () => stream.end());
  stream.on("error", () => {});
  stream.on("close", () => {
    said.rst = stream.rstCode;
    console.log(JSON.stringify(said));
  });
}

function serve() {
  const settings = { enableConnectProtocol: true };
  const tls = rest.length ? { key: readFileSync(rest[0]), cert: readFileSync(rest[1]), settings } : null;
  const server = tls ? createSecureServer(tls) : createServer({ settings });
  const sessions = new Set();
  server.on("session", (session) => { sessions.add(session); session.on("error", () => {}); });
  server.on("stream", (stream, headers) => {
    const path = headers[":path"].slice(1), [what, status] = path.split("-");
    if (headers[":protocol"] !== "websocket") { stream.respond({ ":status": 200 }); stream.end("plain ".repeat(500)); return; }
    if (what === "refused") { stream.respond({ ":status": Number(status) }); stream.end("no"); return; }
    stream.respond({ ":status": 200, server: "node-http2" });
    play(stream, path, false);
  });
  commands.on("line", (line) => {
    const [what, code] = line.split(" ");
    for (const session of sessions) {
      if (what === "goaway") session.goaway(Number(code));
      if (what === "destroy") session.destroy(undefined, Number(code));
    }
  });
  server.listen(Number(port), "127.0.0.1", () => console.log("ready"));
}

async function ask() {
  const [keylog, ...paths] = rest;
  const scheme = keylog === "-" ? "http" : "https";
  const session = connect(`${scheme}://127.0.0.1:${port}`, { rejectUnauthorized: false });
  if (keylog !== "-") {
    const keys = createWriteStream(keylog, { flags: "a" });
    session.socket.on("keylog", (line) => keys.write(line));
  }
  session.on("error", () => {});
  commands.on("line", () => session.destroy());
  await new Promise((done) => session.once("remoteSettings", done));
  for (const path of paths) {
    if (path === "plain") {
      session.request({ ":path": "/plain" }).resume();
    } else {
      const head = { ":method": "CONNECT", ":protocol": "websocket", ":path": `/${path}`, "sec-websocket-version": "13",
        origin: "http://example.test", "user-agent": "node-http2" };
      aborts[path] = new AbortController();
      const stream = session.request(head, { signal: aborts[path].signal });
      stream.on("response", (headers) => {
        if (headers[":status"] !== 200) { stream.resume(); stream.end(); return; }
        play(stream, path, true);
        stream.write(text("hello", true));
      });
      stream.on("error", () => {});
    }
    await sleep(40);
  }
}

if (role === "server") serve(); else ask();
