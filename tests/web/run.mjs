// Opens the HTML report in Chromium and holds it to what docs/html-report.md says: `make test-web`.
//
// node run.mjs WSCLOSE FOLDER     the program, and where pages and screenshots go

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { HARM, SCENARIOS, fixtures, harm, many } from "./reports.mjs";

const [wsclose, folder] = process.argv.slice(2).map((path) => resolve(path));
const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const MANY = 100_000;
mkdirSync(folder, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});

/** Opens `file`, lets `use` look at it, and fails on any error, dialog or request for anything but the file itself. */
async function open(file, options, use) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const faults = [];
  const own = pathToFileURL(file).href;
  page.on("console", (message) => faults.push(`console ${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => faults.push(`error: ${error}`));
  page.on("dialog", (dialog) => { faults.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => { if (request.url().split("#")[0] !== own) faults.push(`request: ${request.url()}`); });
  await page.goto(own);
  await use(page);
  assert.deepEqual(faults, []);
  await context.close();
}

const tests = [];
const test = (name, body) => tests.push({ name, body });
const { html, report } = fixtures(wsclose, root, folder, "fixtures", SCENARIOS);
// axe looks at every element in turn: a page with the same parts, but few rows.
const few = fixtures(wsclose, root, folder, "few", ["router-any", "handshake-refused", "network-drop-ping"]).html;
// One capture of both legs of a proxy.
const proxied = fixtures(wsclose, root, folder, "proxied", ["nginx-idle"], "websockets--ws.any.pcap");
const visible = (page) => page.locator("#table tbody:not([hidden])");

test("counts and pictures equal the JSON report", () => open(html, {}, async (page) => {
  for (const list of ["by_label", "by_cause", "by_closed_by"]) {
    const items = await page.locator(`[data-list=${list}] li`).allTextContents();
    const counts = Object.fromEntries(items.map((item) => item.split(" ")).map(([name, count]) => [name, Number(count)]));
    assert.deepEqual(counts, report.summary[list]);
  }
  for (const [kind, count] of Object.entries(report.summary.by_kind)) {
    assert.equal(Number(await page.locator(`[data-kind-count=${kind}]`).textContent()), count);
  }
  const sum = async (figure) => {
    const cells = await page.locator(`table[data-figure=${figure}] td`).allTextContents();
    return cells.reduce((all, cell) => all + Number(cell), 0);
  };
  const ended = report.connections.filter((one) => one.verdict.kind !== "open");
  const lost = ended.filter((one) => one.verdict.kind === "abnormal");
  assert.equal(await sum("ends"), ended.length);
  assert.equal(await sum("lifetimes"), ended.length);
  assert.equal(await sum("silences"), lost.filter((one) => one.idle_before_end_s !== null).length);
  for (const figure of ["servers", "clients"]) assert.equal(await sum(figure), report.connections.length);
  // Both legs of a proxied one are one WebSocket, abnormal if either leg is.
  const front = new Map(report.connections.map((one) => [one.id, one.front_leg]));
  const first = (id) => (front.get(id) ? first(front.get(id)) : id);
  const sockets = new Set(report.connections.map((one) => first(one.id)));
  const lostSockets = new Set(lost.map((one) => first(one.id)));
  const answer = await page.locator(".answer").textContent();
  assert.ok(answer.startsWith(`${lostSockets.size} of ${sockets.size} WebSockets ended abnormally`), answer);
  assert.equal(await visible(page).count(), report.connections.length);
}));

test("the table is searched, filtered and sorted", () => open(html, {}, async (page) => {
  await page.locator("#kind").selectOption("abnormal");
  assert.equal(await visible(page).count(), report.summary.by_kind.abnormal);
  await page.locator("#by").selectOption("proxy");
  const both = report.connections.filter((one) => one.verdict.kind === "abnormal" && one.verdict.closed_by === "proxy");
  assert.equal(await visible(page).count(), both.length);
  assert.match(await page.locator("#count").textContent(), new RegExp(`^${both.length} of ${report.connections.length} `));
  await page.locator("#kind").selectOption("");
  await page.locator("#by").selectOption("");
  await page.locator("#search").fill("no such words anywhere");
  assert.equal(await visible(page).count(), 0);
  assert.ok(await page.locator("#none").isVisible());
  await page.locator("#search").fill("Close 4999 packet");
  const found = await visible(page).count();
  assert.ok(found > 0 && found < report.connections.length, String(found));
  await page.locator("#search").fill("");
  const lives = () => page.locator("#table td.number:nth-child(5)").evaluateAll((cells) => cells.map((cell) => Number(cell.dataset.value)));
  const button = page.locator("#table thead button", { hasText: "Life" });
  await button.focus();
  await page.keyboard.press("Enter");
  const up = await lives();
  assert.deepEqual(up, [...up].sort((a, b) => a - b));
  await button.click();
  assert.deepEqual(await lives(), [...up].reverse());
  assert.equal(await page.locator("#table th[aria-sort]").getAttribute("aria-sort"), "descending");
}));

test("a row opens into its ladder, with packet numbers and a filter to copy", () => open(html, {}, async (page) => {
  const lost = report.connections.find((one) => one.verdict.kind === "abnormal" && one.teardown.kind === "rst");
  const body = page.locator(`#c${lost.id}`);
  assert.ok(!await body.locator("svg.ladder").isVisible());
  await body.locator("summary").focus();
  await page.keyboard.press("Enter");
  assert.ok(await body.locator("svg.ladder").isVisible());
  const drawn = await body.locator("svg.ladder").textContent();
  for (const item of lost.evidence) assert.ok(drawn.includes(`#${item.packet}`), `#${item.packet} in ${drawn}`);
  assert.equal(await body.locator(".packets li").count(), await body.locator("svg.ladder g").count());
  assert.equal(await body.locator(".filter code").textContent(), `tcp.stream eq ${lost.tcp_stream}`);
  assert.ok(await body.locator(".filter button", { hasText: "Copy" }).isVisible());
  await page.locator(".findings a").first().click();
  assert.ok(await page.locator("tbody:target svg.ladder").isVisible(), "a finding leads to an open ladder");
}));

test("a finding's link leads to its row whatever is filtered, and again when it is used again", () => open(html, {}, async (page) => {
  const link = page.locator(".findings a").first();
  const target = page.locator(`tbody${await link.getAttribute("href")}`);
  const details = target.locator("details");
  await page.locator("#search").fill("no such words anywhere");
  await link.click();
  assert.ok(await target.isVisible() && await details.evaluate((it) => it.open));
  assert.equal(await page.locator("#search").inputValue(), "");
  await details.evaluate((it) => { it.open = false; });
  await page.locator("#kind").selectOption("open");
  await link.click();
  assert.ok(await target.isVisible() && await details.evaluate((it) => it.open), "the same link again");
}));

test("all can be read without JavaScript", () => open(html, { javaScriptEnabled: false }, async (page) => {
  assert.ok(!await page.locator("#controls").isVisible());
  const lost = report.connections.find((one) => one.verdict.kind === "abnormal");
  const body = page.locator(`#c${lost.id}`);
  await body.locator("summary").click();
  assert.ok(await body.locator("svg.ladder").isVisible() && await body.locator(".packets li").first().isVisible());
  await page.locator("#figure-ends summary").click();
  assert.ok(await page.locator("#figure-ends table").isVisible());
}));

test("strings that mean harm stay text", () => open(harm(wsclose, folder, report), {}, async (page) => {
  await page.locator("#open-all").click();
  await page.mouse.move(300, 600);
  const found = await page.evaluate(() => ({
    harm: window.harm,
    scripts: document.scripts.length,
    styles: document.querySelectorAll("style, link").length,
    foreign: document.querySelectorAll("img, iframe, object, embed, base, form[action], [onerror], [onload], [onmouseover], [style]").length,
    targets: Array.from(document.querySelectorAll("[href], [src]"), (it) => it.getAttribute("href") ?? it.getAttribute("src")),
    text: document.documentElement.textContent,
  }));
  assert.equal(found.harm, undefined);
  assert.deepEqual([found.scripts, found.styles, found.foreign], [1, 1, 0]);
  assert.ok(found.targets.every((target) => target.startsWith("#")), found.targets.join());
  for (const text of HARM.slice(0, 6)) assert.ok(found.text.includes(text), `${text} is shown as it is`);
  assert.ok(!/[\u0000\u001b\u202a-\u202e\u2066-\u2069\u200e\u200f]/.test(found.text), "no control and no override is left");
  assert.ok(found.text.includes("a\\u{0}b\\u{202e}gnp.exe"));
}));

test("a strict policy stands in the page and holds", () => open(html, {}, async (page) => {
  const policy = await page.locator("meta[http-equiv=Content-Security-Policy]").getAttribute("content");
  assert.match(policy, /^default-src 'none'; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'; base-uri 'none'; form-action 'none'/);
  assert.doesNotMatch(policy, /unsafe|\*|http/);
}));

for (const colorScheme of ["light", "dark"]) {
  test(`axe finds no serious fault, ${colorScheme}`, () => open(few, { colorScheme, bypassCSP: true }, async (page) => {
    await page.locator("#table summary").first().click();
    await page.locator("#figure-silences summary").click();
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
    const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    const told = serious.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map((node) => `${node.html} ${node.failureSummary}`).join(" | ")}`);
    assert.deepEqual(told, []);
  }));
}

test(`${MANY} connections open within a second, and the page says what is left out`, async () => {
  const page = many(wsclose, folder, report, MANY);
  const times = [];
  for (let turn = 0; turn < 5; turn += 1) {
    await open(page, {}, async (opened) => {
      times.push(await opened.evaluate(() => new Promise((done) => {
        requestAnimationFrame(() => setTimeout(() => done(performance.now()), 0));
      })));
      const left = await opened.locator(".left-out").textContent();
      assert.match(left, /1,000 worst of 100,000 connections/);
      assert.match(await opened.locator(".answer").textContent(), /^10,000 of 100,000 WebSockets ended abnormally; all of them cut by .* after 60\.0 s of silence\.$/);
      assert.equal(await visible(opened).count(), 1_000);
    });
  }
  console.log(`    opened and drawn after ${times.map((time) => Math.round(time)).join(", ")} ms`);
  assert.ok(Math.min(...times) < 1_000, times.join());
});

test("screenshots are taken, and nothing is wider than the screen", async () => {
  const shots = [
    ["light", { colorScheme: "light" }],
    ["dark", { colorScheme: "dark" }],
    ["narrow", { colorScheme: "light", viewport: { width: 390, height: 844 } }],
  ];
  for (const [name, options] of shots) {
    await open(html, options, async (page) => {
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${name}: ${wide} pixels too wide`);
      await page.screenshot({ path: join(folder, `${name}-top.png`) });
      await page.locator(".pictures").screenshot({ path: join(folder, `${name}-pictures.png`) });
      const lost = report.connections.find((one) => one.verdict.cause === "timeout") ?? report.connections[0];
      await page.locator(`#c${lost.id} summary`).click();
      await page.locator(`#c${lost.id}`).scrollIntoViewIfNeeded();
      await page.screenshot({ path: join(folder, `${name}-ladder.png`) });
    });
    await open(proxied.html, options, async (page) => {
      const lost = proxied.report.connections.find((one) => one.verdict.closed_by === "proxy");
      const row = page.locator(`#c${lost.id}`);
      await row.locator("summary").click();
      assert.equal(await row.locator("svg.ladder line.lane").count(), 3, "client, proxy, server");
      const beyond = await row.locator(".inside").evaluate((it) => it.scrollWidth - it.clientWidth);
      assert.ok(beyond <= 0, `${name}: what is opened sticks out by ${beyond} pixels`);
      await row.screenshot({ path: join(folder, `${name}-proxy.png`) });
    });
  }
});

test("it is printed as it stands open, as a table, in letters that can be read", () => open(few, { viewport: { width: 680, height: 960 }, colorScheme: "dark" }, async (page) => {
  const opened = page.locator("#table tbody").nth(1);
  await opened.locator("summary").click();
  await page.emulateMedia({ media: "print", colorScheme: "dark" });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `${wide} pixels too wide`);
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), "rgb(255, 255, 255)", "dark on white");
  assert.ok(await page.locator("#table thead").isVisible(), "the columns have names");
  assert.ok(!await page.locator("#controls").isVisible());
  assert.equal(await page.locator("svg.ladder").count() > 1 && await page.locator("svg.ladder:visible").count(), 1);
  const letters = await page.locator("svg.chart").evaluateAll((charts) => charts.map((chart) => 12 * chart.clientWidth / chart.viewBox.baseVal.width));
  assert.ok(letters.every((pixels) => pixels >= 9), `letters of ${letters} pixels`);
  const pdf = await page.pdf({ path: join(folder, "print.pdf"), format: "A4", margin: { top: "15mm", bottom: "15mm", left: "15mm", right: "15mm" } });
  const pages = pdf.toString("latin1").match(/\/Type\s*\/Page\b/g).length;
  const rows = await page.locator("#table tbody").count();
  console.log(`    ${rows} connections, one of them open, on ${pages} pages`);
  assert.ok(pages <= 4 + rows / 8, `${pages} pages for ${rows} connections`);
}));

let failed = 0;
for (const { name, body } of tests) {
  const start = performance.now();
  try {
    await body();
    console.log(`ok    ${name} (${Math.round(performance.now() - start)} ms)`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}\n${error.stack}`);
  }
}
await browser.close();
console.log(`${tests.length - failed} of ${tests.length} hold; pages and screenshots are in ${folder}`);
process.exit(failed > 0 ? 1 : 0);
