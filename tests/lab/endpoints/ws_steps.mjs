// What the Node `ws` client and server share: the plan, the steps and the report.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

export const plan = JSON.parse(readFileSync(process.argv[2], "utf8"));
plan.options ??= {};

export function emit(line) {
  process.stdout.write(JSON.stringify(line) + "\n");
}

export function report(name, said) {
  emit({ event: "closed", name, code: null, reason: null, clean: null, error: null, ...said });
}

// Says that this process is up and waits for the start time that the recorder sets for all.
export async function commonStart() {
  emit({ event: "ready" });
  const input = createInterface({ input: process.stdin });
  plan.t0 = Number(await new Promise((resolve) => input.once("line", resolve)));
  input.close();
  process.stdin.unref();
}

export const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
export const until = (seconds) => Math.max(0, plan.t0 + seconds - Date.now() / 1000);

const text = (number, size) => `message ${number} `.padEnd(size, ".").slice(0, size);

// Quoted words stay together, as in a shell.
const words = (step) => [...step.matchAll(/'([^']*)'|(\S+)/g)].map((found) => found[1] ?? found[2]);

const verbs = {
  at: (_, seconds) => sleep(until(Number(seconds))),
  sleep: (_, seconds) => sleep(Number(seconds)),
  async talk(actor, count, size = 12) {
    for (let number = 0; number < Number(count); number++) {
      const echo = new Promise((resolve) => actor.socket.once("message", resolve));
      actor.socket.send(text(number, Number(size)));
      await echo;
    }
  },
  async stream(actor, count, pause, size = 12) {
    for (let number = 0; number < Number(count); number++) {
      actor.socket.send(text(number, Number(size)));
      await sleep(Number(pause));
    }
  },
  say(actor, count, size = 12) {
    for (let number = 0; number < Number(count); number++) actor.socket.send(text(number, Number(size)));
  },
  ping: (actor) => actor.socket.ping(),
  // Without a code: a Close frame with an empty body.
  close: (actor, code, reason) => actor.socket.close(code === undefined ? undefined : Number(code), reason),
  fin: (actor) => actor.socket.terminate(),
  "half-close": (actor) => actor.socket._socket.end(),
  // A socket in TLS has no reset of its own.
  reset(actor) {
    const tcp = actor.socket._socket._handle._parent;
    tcp ? tcp.reset(() => actor.socket._socket.destroy()) : actor.socket._socket.resetAndDestroy();
  },
  exit: (_, status = 0) => process.exit(Number(status)),
};

// Pings at an interval and terminates when no pong came: the recipe of the library's documentation.
function heartbeat(socket, interval) {
  let alive = true;
  socket.on("pong", () => (alive = true));
  const timer = setInterval(() => {
    if (!alive) return socket.terminate();
    alive = false;
    socket.ping();
  }, interval * 1000);
  socket.on("close", () => clearInterval(timer));
}

export async function play(socket, steps, name) {
  const actor = { socket };
  if (plan.options.keepalive) socket._socket.setKeepAlive(true);
  if (plan.options.ping_interval) heartbeat(socket, plan.options.ping_interval);
  for (const step of steps) {
    const [verb, ...args] = words(step);
    await verbs[verb](actor, ...args);
  }
}

// Reports the close event, with the error event before it where there was one.
export function watch(socket, name) {
  let error = null;
  socket.on("error", (raised) => (error = `${raised.name}: ${raised.message}`));
  return new Promise((resolve) =>
    socket.addEventListener("close", (event) => {
      report(name, { code: event.code, reason: event.reason, clean: event.wasClean, error });
      resolve();
    }),
  );
}
