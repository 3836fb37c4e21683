// The reports that are looked at: of fixtures, of strings that mean harm, of very many connections.

import { execFileSync } from "node:child_process";
import { closeSync, openSync, readFileSync, readdirSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";

/** Scenarios with abnormal ends after a limit, refusals, codes, pings, reconnects, connections still open. */
export const SCENARIOS = ["router-any", "nginx-idle", "haproxy-idle", "handshake-refused", "network-drop-ping", "close-codes",
  "chromium-closes", "still-open", "started-late", "healthy-keepalive", "reconnect-backoff", "forged-reset"];

/** What a path, a reason, a header or a file name must never become more than. */
export const HARM = [
  "<script>window.harm = 1</script>",
  "</style><script>window.harm = 2</script>",
  "</title></svg></td></table></script><img src=x onerror=\"window.harm = 3\">",
  "\"><svg onload=window.harm=4>",
  "' onmouseover='window.harm=5",
  "javascript:window.harm=6",
  "a\u0000b\u202Egnp.exe\u2066\u200F\u001b[31m",
  "{{7*7}}${7*7}<%=7*7%>&lt;b&gt;&#60;i&#62;",
  "a" + "\u0301".repeat(40),
];

const run = (wsclose, args) => execFileSync(wsclose, args, { stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 30 });

/** The page and the JSON report of the same captures. */
export function fixtures(wsclose, root, folder, name, scenarios, only = "") {
  const captures = scenarios.flatMap((scenario) => {
    const place = join(root, "fixtures/captures", scenario);
    return readdirSync(place).filter((file) => /\.pcap(ng)?$/.test(file) && file.includes(only)).map((file) => join(place, file));
  });
  const [html, json] = [join(folder, `${name}.html`), join(folder, `${name}.json`)];
  run(wsclose, ["--format", "html", "-o", html, ...captures]);
  run(wsclose, ["--format", "json", "-o", json, ...captures]);
  return { html, report: JSON.parse(readFileSync(json, "utf8")) };
}

/** A report whose every free string means harm. */
export function harm(wsclose, folder, report) {
  const connections = HARM.map((text, at) => {
    const one = structuredClone(report.connections.find((it) => it.close.client && it.diagnosis.length > 0));
    Object.assign(one, { id: at + 1, file: text, encapsulation: [text], anomalies: [text] });
    for (const name of ["host", "path", "origin", "user_agent", "server", "subprotocol", "method"]) one.handshake[name] = text;
    one.close.client.reason = text;
    Object.assign(one.verdict, { why: text, closed_by: text, kind: at % 2 ? "abnormal" : text, label: text });
    for (const side of ["client", "server"]) Object.assign(one.endpoints[side], { why: text, certainty: text });
    one.evidence.forEach((item) => Object.assign(item, { what: text, file: text, from: text }));
    one.diagnosis.forEach((item) => Object.assign(item, { text, advice: text, confidence: text, id: text }));
    return one;
  });
  const findings = HARM.map((text) => ({ id: text, confidence: text, text, advice: text, count: 1, connections: [1], packets: [] }));
  const inputs = HARM.map((path) => ({ ...report.inputs[0], path, complete: false, error: { offset: 1, reason: path } }));
  const summary = { ...report.summary, findings };
  const [json, html] = [join(folder, "harm.json"), join(folder, "harm.html")];
  writeFileSync(json, JSON.stringify({ ...report, connections, inputs, summary }));
  run(wsclose, ["merge", "--format", "html", json, "-o", html]);
  return html;
}

/** `many` connections, of which one in ten was lost after 60 s. */
export function many(wsclose, folder, report, count) {
  const [lines, html] = [join(folder, "many.ndjson"), join(folder, "many.html")];
  const lost = report.connections.find((one) => one.verdict.kind === "abnormal");
  const good = report.connections.find((one) => one.verdict.label === "1000");
  const out = openSync(lines, "w");
  writeSync(out, JSON.stringify({ type: "begin", schema: report.schema, generator: report.generator, inputs: report.inputs }) + "\n");
  const start = Date.parse("2026-11-22T00:00:00Z");
  for (let id = 1; id <= count; id += 1) {
    const one = { type: "connection", ...(id % 10 === 0 ? lost : good), id };
    one.opened_at = new Date(start + id * 250).toISOString();
    one.ended_at = new Date(start + id * 250 + 60_000).toISOString();
    one.idle_before_end_s = id % 10 === 0 ? 60 + (id % 7) / 100 : 1;
    one.client = { address: `10.${id >> 16 & 255}.${id >> 8 & 255}.${id & 255}`, port: 40_000 };
    writeSync(out, JSON.stringify(one) + "\n");
  }
  writeSync(out, JSON.stringify({ type: "summary", inputs: report.inputs, summary: { ...report.summary, findings: [] }, anomalies: {} }) + "\n");
  closeSync(out);
  run(wsclose, ["merge", "--format", "html", lines, "-o", html]);
  return html;
}
