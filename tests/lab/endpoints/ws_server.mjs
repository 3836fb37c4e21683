// Server on Node `ws`.

import { readFileSync } from "node:fs";
import { STATUS_CODES } from "node:http";
import { createServer } from "node:https";
import { WebSocketServer } from "ws";
import { commonStart, plan, play, watch } from "./ws_steps.mjs";

const taken = new Set();

// The next connection with this request path: a client that comes back asks for the same one.
function take(request) {
  const path = request.url.slice(1);
  const found = plan.connections.find((one) => one.path === path && !taken.has(one.name)) ?? { name: path, steps: [] };
  taken.add(found.name);
  return (request.planned = found);
}

// OpenSSL's settings, which force the suite elsewhere, are not Node's.
const secure =
  plan.tls &&
  createServer({
    cert: readFileSync(plan.tls.certificate),
    key: readFileSync(plan.tls.key),
    ciphers: plan.tls.suite,
    minVersion: plan.tls.version,
    maxVersion: plan.tls.version,
  })
    // As the library itself answers an ordinary request.
    .on("request", (_, answer) => {
      const body = STATUS_CODES[426];
      answer.writeHead(426, { "Content-Length": body.length, "Content-Type": "text/plain" }).end(body);
    })
    .listen(plan.port, plan.host);

const server = new WebSocketServer({
  ...(secure ? { server: secure } : { host: plan.host, port: plan.port }),
  closeTimeout: (plan.options.close_timeout ?? 1) * 1000,
  maxPayload: plan.options.max_size ?? 1 << 20,
  verifyClient(info, done) {
    const [verb, status] = (take(info.req).steps[0] ?? "").split(" ");
    verb === "refuse" ? done(false, Number(status)) : done(true);
  },
});

server.on("connection", (socket, request) => {
  const { name, steps } = request.planned;
  watch(socket, name);
  if (plan.options.echo ?? true) socket.on("message", (data) => socket.send(data.toString()));
  play(socket, steps, name);
});

await new Promise((resolve) => server.on("listening", resolve));
await commonStart();
