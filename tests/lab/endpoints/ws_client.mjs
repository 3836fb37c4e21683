// Client on Node `ws`.

import WebSocket from "ws";
import { commonStart, plan, play, sleep, until, watch } from "./ws_steps.mjs";

// One that comes back (`after`) does so `delay` after the connection before it was lost.
async function client(one) {
  await (one.after ? ended.get(one.after).then(() => sleep(one.delay)) : sleep(until(one.connect_at)));
  const host = plan.host.includes(":") ? `[${plan.host}]` : plan.host;
  const socket = new WebSocket(`${plan.tls ? "wss" : "ws"}://${host}:${plan.port}/${one.path}`, {
    rejectUnauthorized: false,
    session: plan.tls?.resume ? session : undefined,
    localAddress: plan.bind,
    localPort: one.port,
    handshakeTimeout: (plan.options.open_timeout ?? 5) * 1000,
    closeTimeout: (plan.options.close_timeout ?? 1) * 1000,
    maxPayload: plan.options.max_size ?? 1 << 20,
  });
  const closed = watch(socket, one.name);
  socket.on("upgrade", (answer) => answer.socket.on("session", (given) => (session = given)));
  socket.on("open", () => play(socket, one.steps, one.name));
  await closed;
}

// The last TLS session, which the next connection resumes where the plan says so.
let session;

await commonStart();
const ended = new Map();
for (const one of plan.connections) ended.set(one.name, client(one));
await Promise.all(ended.values());
