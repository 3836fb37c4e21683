// Client: `ws` over HTTP/1.1, in front of a proxy that goes on in HTTP/2. Paths say what happens, as those of http2_peer.mjs
// do; besides `client-drops`, which is TCP's end without a Close.
//
//   node http1_client.mjs PORT PATH...
import WebSocket from "ws";

const [port, ...paths] = process.argv.slice(2);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function one(path) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/${path}`);
  const [who, what, code] = path.split("-");
  socket.on("error", () => {});
  socket.on("open", () => socket.send("hello"));
  socket.on("message", async () => {
    await sleep(60);
    if (who === "client" && what === "close") socket.close(Number(code), "bye");
    if (who === "client" && what === "drops") socket.terminate();
  });
  socket.on("close", (code) => console.log(JSON.stringify({ role: "client", path, code })));
}

for (const path of paths) {
  one(path);
  await sleep(120);
}
