// The real service on a free port, Debian's Chromium, and what the tests do on the page again and again.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const BUILD = resolve(process.env.MINIVLM_BUILD_DIR ?? join(ROOT, "build", "release"));
const PLACE = resolve(process.env.BROWSER_PLACE ?? join(BUILD, "browser"));
const require = createRequire(join(PLACE, "package.json"));
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export const CAT = join(ROOT, "docs/photos/cat.jpg"), COFFEE = join(ROOT, "docs/photos/coffee.jpg");
const PATIENCE_MS = 30000; // machines may be slow; nothing here is judged by time

// ---- the service ----

// early: as soon as it listens, before the model is there.
export async function serve(...flags) {
  const early = flags[0] === "early";
  if (early) flags.shift();
  const child = spawn(join(BUILD, "minivlm-server"), ["--model.dir=models/minivlm-base", "--server.port=0", "--log.format=json",
    "--engine.threads=1", ...flags], { cwd: ROOT, stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, OPENBLAS_NUM_THREADS: "1" } });
  const ended = new Promise((done) => { child.once("exit", done); });
  const said = [];
  const url = await new Promise((done, reject) => {
    let port = 0;
    child.once("exit", () => reject(new Error(`the server ended: ${said.slice(-3)}`)));
    createInterface({ input: child.stderr }).on("line", (line) => {
      said.push(line);
      const event = line.startsWith("{") ? JSON.parse(line) : {};
      if (event.event === "listening") port = event.port;
      if (event.event === "ready" || (early && event.event === "listening")) done(`http://127.0.0.1:${port}/`);
    });
  });
  const stop = async () => {
    child.kill("SIGKILL");
    await ended;
  };
  return { url, port: Number(new URL(url).port), stop };
}

// For all tests of a file: a service (as serve() gives it) and a folder, both gone afterwards. flags(folder): its own.
export function suite(flags = () => []) {
  const own = { folder: mkdtempSync(join(tmpdir(), "minivlm-page-")) };
  before(async () => { Object.assign(own, await serve(...flags(own.folder))); });
  after(async () => {
    await own.stop?.();
    rmSync(own.folder, { recursive: true });
    await close();
  });
  return own;
}

export const collections = (folder, ...more) => [`--collections.path=${join(folder, "c.db")}`, ...more];

// ---- the browser ----

let browser = null;
const complaints = []; // of the page: exceptions, blocked loads, requests to anywhere but the service

export async function open(url, options = {}) {
  browser ??= await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"] });
  const { path = "", denied = [], before = async () => {}, also = [], ...more } = options; // before(page), which is empty; also: origins that it may ask
  const context = await browser.newContext({ viewport: { width: 1360, height: 860 }, reducedMotion: "reduce", ...more });
  context.setDefaultTimeout(PATIENCE_MS);
  await context.addInitScript((names) => {
    for (const name of names) Object.defineProperty(globalThis, name, { get() { throw new DOMException("denied", "SecurityError"); } });
  }, denied);
  const page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(`exception: ${error.message}`));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !/Failed to load resource|net::ERR|willReadFrequently|Could not find component: JsonSchema/.test(message.text())) complaints.push(message.text());
  });
  page.on("request", (request) => {
    const target = new URL(request.url());
    if (!["blob:", "data:"].includes(target.protocol) && ![new URL(url).origin, ...also].includes(target.origin)) complaints.push(`asked ${request.url()}`);
  });
  await before(page);
  await page.goto(url + path);
  return page;
}

export async function close() {
  await browser?.close();
  browser = null;
  assert.deepEqual(complaints, []);
}

export const shot = (page, name, more = {}) => page.screenshot({ path: join(PLACE, "shots", `${name}.png`), ...more });

export async function look(page, ...files) {
  await page.setInputFiles("#file", files);
  await page.waitForSelector("#caption .under");
}

export async function ask(page, question) {
  const before = await page.locator("#thread > li").count();
  await page.fill("#question", question);
  await page.press("#question", "Enter");
  await page.waitForSelector(`#thread > li:nth-child(${before + 1}) .under`);
}

// No finding of axe-core that is serious or worse, and nothing wider than the screen.
export async function sound(page, name) {
  await page.evaluate(AXE); // by the protocol: the page's policy lets no script in
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const bad = violations.filter((v) => ["serious", "critical"].includes(v.impact)).map((v) => `${v.id}: ${v.nodes.map((n) => n.target).join(" ")}`);
  assert.deepEqual(bad, [], name);
  const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(inner <= outer, `${name}: ${inner} pixels wide on a screen of ${outer}`);
}

export const text = (page, selector) => page.locator(selector).first().innerText();
