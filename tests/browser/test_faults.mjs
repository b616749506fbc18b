// What goes wrong is told in words, passes by itself where it can, and never costs a picture.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ask, CAT, COFFEE, look, open, ROOT, serve, shot, sound, suite, text } from "./browser.mjs";

const service = suite(() => ["--limits.body_bytes=100000"]), { folder } = service;

const refuse = (status, code, message, headers = {}) => ({ status, headers, contentType: "application/json",
  body: JSON.stringify({ error: { message, code, retryable: true } }) });

// No trace of the inside, no sign of waiting that stays.
async function plain(page) {
  const all = await page.locator("body").innerText();
  assert.doesNotMatch(all, /\bat \w+ \(|Error:|undefined|\[object|NaN|\bnull\b/);
  await page.waitForFunction(() => !document.querySelector(".busy"));
}

test("every refusal of the service has words; what passes by itself is waited for", async () => {
  const { inWords } = await import("../../web/words.js");
  const rows = [...readFileSync(join(ROOT, "docs/api.md"), "utf8").matchAll(/^\| (\d{3}) \| (`.*?) \|/gm)].flatMap(([, status, codes]) => codes.split(", ").map((c) => [Number(status), c.replaceAll("`", "")]));
  assert.ok(rows.length > 25);
  const said = new Set();
  for (const [status, code] of rows) {
    const words = inWords({ code, message: "", status });
    said.add(words.title);
    const isOurs = ["bad_request", "method_not_allowed", "conflict", "expectation_failed", "reload_failed", "unsupported_encoding", "header_too_large", "target_too_long", "not_implemented", "version_not_supported"];
    assert.equal(words.title === "That was refused", isOurs.includes(code), code); // what this page never brings about
    if ([429, 503].includes(status)) assert.ok(words.again, code);
    if (status === 429) assert.ok(words.wait > 0, code);
  }
  assert.ok(said.size > 18);
  assert.match(inWords({ code: "internal", request: "01a2" }).text, /01a2/);
});

for (const [status, code] of [[429, "overloaded"], [429, "rate_limited"], [503, "draining"]]) {
  test(`${status} ${code}: a countdown, then it goes on by itself`, async () => {
    const page = await open(service.url);
    await look(page, CAT);
    let asked = 0;
    await page.route("**/vqa*", (route) => (asked++ ? route.continue() : route.fulfill(refuse(status, code, "busy", { "Retry-After": "5" }))));
    await page.click("#suggestions .chip");
    await page.waitForSelector(".fault .count:has-text('by itself in')");
    await plain(page); // at once: soon it goes on
    await shot(page, `fault-${code}`);
    await sound(page, "fault");
    await page.waitForSelector("#thread .under");
    assert.equal(asked, 2);
  });
}

test("an endless refusal ends in a button, not in endless tries", async () => {
  const page = await open(service.url);
  await look(page, CAT);
  let asked = 0;
  await page.route("**/vqa*", (route) => { asked++; return route.fulfill(refuse(429, "overloaded", "busy", { "Retry-After": "1" })); });
  await page.click("#suggestions .chip");
  await page.waitForFunction(() => document.querySelector(".fault .count")?.textContent === "" , null, { timeout: 60000 });
  assert.equal(asked, 6);
  await page.unroute("**/vqa*");
  await page.click("text=Try again");
  await page.waitForSelector("#thread .under");
});

test("what is no picture, too large or damaged is told in words; the picture before stays", async () => {
  const page = await open(service.url);
  await look(page, CAT);
  const file = (name, bytes) => { writeFileSync(join(folder, name), bytes); return join(folder, name); };
  await page.setInputFiles("#file", file("notes.txt", "just words"));
  await page.waitForSelector("#toast:has-text('This is text (\"just words\"), not an image')");
  await page.setInputFiles("#file", file("empty.jpg", ""));
  await page.waitForSelector("#toast:has-text('empty.jpg: This image format is not supported. This is an empty file')");
  await page.setInputFiles("#file", file("large.heic", Buffer.alloc(200000, "\0\0\0\x18ftypheic")));
  await page.waitForSelector("#toast:has-text('too large')");
  await plain(page);
  assert.equal(await page.locator("#tray-look li").count(), 2);
  assert.ok(await page.locator("#caption .under").isVisible());
  await page.setInputFiles("#file", COFFEE);
  await page.waitForSelector("#toast .note", { state: "detached" }); // what is put right is told no longer
  await page.setInputFiles("#file", file("broken.jpg", Buffer.concat([Buffer.from("ffd8ffe000104a46494600010100000100010000", "hex"), Buffer.alloc(500, 7)])));
  await page.waitForSelector("#caption .fault");
  assert.match(await text(page, "#caption .fault"), /damaged|cannot|not supported/i);
  assert.equal(await text(page, ".blank"), "This browser cannot show this picture.");
  assert.ok(await page.locator("#questions").isHidden()); // there is nothing to ask about
  await shot(page, "fault-picture");
  await sound(page, "fault-picture");
  await plain(page);
  await page.click('#tray-look [aria-label="cat.jpg"]');
  await page.waitForSelector("#caption .under");
  assert.ok(await page.locator("#questions").isVisible());
});

test("a forgotten picture is sent again without a word", async () => {
  const page = await open(service.url);
  await look(page, COFFEE);
  const posts = [];
  page.on("request", (r) => { if (r.url().includes("/vqa")) posts.push(r.headers()["content-type"]); });
  await page.route("**/vqa", (route) => (route.request().headers()["content-type"] === "application/json"
    ? route.fulfill(refuse(404, "image_not_cached", "not known")) : route.continue()), { times: 1 });
  await ask(page, "what is this?");
  assert.deepEqual(posts, ["application/json", "application/octet-stream"]);
  assert.equal(await page.locator(".fault").count(), 0);
});

test("a service that is gone: words, a kept picture, and it goes on when it is back", async () => {
  const lost = await serve();
  const page = await open(lost.url);
  await look(page, CAT);
  await lost.stop();
  await page.click("#suggestions .chip");
  await page.waitForSelector("#thread .fault:has-text('cannot be reached')");
  await page.waitForSelector("[data-state=lost]");
  await shot(page, "fault-gone");
  await sound(page, "fault-gone");
  await plain(page);
  const back = await serve(`--server.port=${lost.port}`);
  try {
    await page.waitForSelector("#thread .under");
    await page.waitForSelector("[data-state=ready]");
  } finally {
    await back.stop();
  }
});

test("an answer of somebody else, or half of one, is told in words", async () => {
  const page = await open(service.url);
  await look(page, CAT);
  for (const answer of [{ status: 502, contentType: "text/html", body: "<h1>Bad Gateway</h1> at Object.<anonymous> (proxy.js:1)" },
    { status: 200, contentType: "application/json", body: "{\"answers\": [" }]) {
    await page.route("**/vqa*", (route) => route.fulfill(answer), { times: 1 });
    await page.click("#suggestions .chip");
    await page.waitForSelector("#thread .fault:has-text('Unexpected answer')");
    await plain(page);
    await page.click("#thread .fault button", { timeout: 1000 }).catch(() => null); // or it goes on by itself first
    await page.waitForFunction(() => !document.querySelector("#thread .fault"));
  }
  await page.route("**/caption*", (route) => route.fulfill({ status: 200, contentType: "text/event-stream", body: "data: {\"text\":\"a\"}\n\n" }), { times: 1 });
  await page.setInputFiles("#file", COFFEE);
  await page.waitForSelector("#caption .fault");
  await page.click("#caption .fault button");
  await page.waitForSelector("#caption .under");
});

test("a key is asked for, kept for the tab only, and a wrong one is told", async () => {
  const keys = join(folder, "keys");
  writeFileSync(keys, `ann ${createHash("sha256").update("secret").digest("hex")}\n`);
  const guarded = await serve(`--auth.keys_file=${keys}`);
  try {
    const page = await open(guarded.url);
    await page.setInputFiles("#file", CAT);
    await page.waitForSelector("#key-dialog[open]");
    await sound(page, "key");
    await page.keyboard.press("Escape");
    await page.waitForSelector("#caption .fault:has-text('API key')");
    await page.click("#caption .fault button");
    await page.fill("#key-input", "wrong");
    await page.press("#key-input", "Enter");
    await page.waitForSelector("#key-text:has-text('not accepted')");
    await shot(page, "key");
    await page.fill("#key-input", "secret");
    await page.press("#key-input", "Enter");
    await page.waitForSelector("#caption .under");
    await page.click("#caption .under summary");
    assert.match(await text(page, "#caption pre"), /Bearer \$MINIVLM_KEY/);
    const kept = await page.evaluate(() => [JSON.stringify(localStorage), document.cookie, sessionStorage.getItem("minivlm-key")]);
    assert.deepEqual(kept, ["{}", "", "secret"]);
    await page.waitForSelector("[data-state=ready]");
  } finally {
    await guarded.stop();
  }
});

test("a browser that stores nothing", async () => {
  const page = await open(service.url, { denied: ["sessionStorage", "localStorage", "indexedDB"] });
  await look(page, CAT);
  await ask(page, "what animal is this?");
  await page.click("#theme-button");
  await page.reload();
  await page.waitForSelector("#welcome:not([hidden])");
});

test("without collections the wall says how to have them", async () => {
  const page = await open(service.url, { path: "#wall" });
  await page.waitForSelector("#wall-grid:has-text('--collections.path')");
  await sound(page, "wall-off");
});

test("it is there before the model is", async () => {
  const slow = await serve("early");
  try {
    const page = await open(slow.url);
    await look(page, CAT); // waits as long as the model takes
  } finally {
    await slow.stop();
  }
});
