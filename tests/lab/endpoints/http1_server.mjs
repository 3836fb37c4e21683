// Server: `ws` over HTTP/1.1, behind a proxy that takes HTTP/2. Paths say what happens, as those of http2_peer.mjs do.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const http = createServer((_, answer) => answer.end("<title>page</title>" + "<p>words".repeat(200)));
const server = new WebSocketServer({ server: http });
server.on("connection", (socket, request) => {
  const [who, , code] = request.url.slice(1).split("-");
  socket.on("error", () => {});
  socket.on("message", () => {
    socket.send("echo");
    if (who === "server") setTimeout(() => socket.close(Number(code), "bye"), 100);
  });
  socket.on("close", (code) => console.log(JSON.stringify({ role: "server", path: request.url, code })));
});
http.listen(Number(process.argv[2]), "127.0.0.1");
