// Server on Node `ws`.

import { WebSocketServer } from "ws";
import { commonStart, plan, play, watch } from "./ws_steps.mjs";

const named = (request) => request.url.slice(1);
const steps = (request) => plan.connections.find((one) => one.name === named(request))?.steps ?? [];

const server = new WebSocketServer({
  host: plan.host,
  port: plan.port,
  closeTimeout: (plan.options.close_timeout ?? 1) * 1000,
  maxPayload: plan.options.max_size ?? 1 << 20,
  verifyClient(info, done) {
    const [verb, status] = (steps(info.req)[0] ?? "").split(" ");
    verb === "refuse" ? done(false, Number(status)) : done(true);
  },
});

server.on("connection", (socket, request) => {
  watch(socket, named(request));
  if (plan.options.echo ?? true) socket.on("message", (data) => socket.send(data.toString()));
  play(socket, steps(request), named(request));
});

await new Promise((resolve) => server.on("listening", resolve));
await commonStart();
