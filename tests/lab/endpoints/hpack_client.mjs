// Sends the requests that stand on stdin (a list of lists of fields, and names that are secret), one after the other.
import { connect, sensitiveHeaders } from "node:http2";
import { readFileSync } from "node:fs";

const [requests, secret] = JSON.parse(readFileSync(0, "utf8"));
const session = connect(`https://127.0.0.1:${process.argv[2]}`, { rejectUnauthorized: false });
await new Promise((done) => session.once("remoteSettings", done));
for (const fields of requests) {
  const stream = session.request({ ...Object.fromEntries(fields), [sensitiveHeaders]: secret }, { endStream: false });
  stream.resume();
  stream.on("error", () => {});
  await new Promise((done) => stream.once("response", done));
  stream.close();
}
session.destroy();
