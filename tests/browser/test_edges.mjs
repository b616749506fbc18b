// Where the page may live (a path prefix, TLS), a service that says nothing, slips of the hand, and collections that others
// change meanwhile.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { ask, CAT, COFFEE, collections, look, open, ROOT, serve, shot, sound, suite, text } from "./browser.mjs";

const service = suite((own) => collections(own, "--collections.max_images=3")), { folder } = service;

const drag = (page, selector, kind, types) => page.evaluate(([where, event, data]) => {
  const transfer = new DataTransfer();
  for (const [type, value] of Object.entries(data)) transfer.setData(type, value);
  const made = new DragEvent(event, { dataTransfer: transfer, bubbles: true, cancelable: true });
  document.querySelector(where).dispatchEvent(made);
  return made.defaultPrevented;
}, [selector, kind, types]);

test("with TLS and behind a prefix everything is there: the page, its API, its copied lines", async () => {
  const [certificate, key] = ["cert.pem", "key.pem"].map((name) => join(folder, name));
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", certificate,
    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], { stdio: "ignore" });
  const secure = await serve(`--server.tls_certificate=${certificate}`, `--server.tls_key=${key}`, "--server.prefix=/vision", `--collections.path=${join(folder, "tls.db")}`);
  const url = secure.url.replace("http:", "https:");
  try {
    const page = await open(url, { path: "vision", ignoreHTTPSErrors: true }); // without its last slash
    assert.equal(page.url(), `${url}vision/`);
    await look(page, CAT);
    await ask(page, "what animal is this?");
    await page.click("#thread .under summary");
    assert.ok((await text(page, "#thread pre")).includes(`${url}vision/vqa?question=`));
    await page.click("nav >> text=Collection");
    await page.waitForSelector("#wall-grid .empty");
    await page.setInputFiles("#file", CAT);
    await page.waitForSelector(".tile img");
    await page.click("footer a");
    assert.equal(page.url(), `${url}vision/docs`);
    await page.click('.opblock[id$="-version"] .opblock-summary-control');
    await page.click('.opblock[id$="-version"] .execute');
    await page.waitForSelector('.opblock[id$="-version"] .live-responses-table:has-text("minivlm-server")');
    assert.equal((await text(page, '.opblock[id$="-version"] .request-url')).replace(/^Request URL\s*/, ""), `${url}vision/version`);
  } finally {
    await secure.stop();
  }
});

test("it stands at once, whatever the service takes to answer", async () => {
  const held = [];
  const page = await open(service.url, { path: "#look", before: (p) => p.route("**/status", (route) => { held.push(route); }) });
  await page.waitForFunction(() => [...document.querySelectorAll("#samples img")].filter((i) => i.complete && i.naturalWidth).length === 4);
  assert.ok(await page.locator(".hero .primary").isVisible());
  assert.equal(await text(page, "#status-text"), "connecting");
  assert.ok(held.length > 0);
  await page.unroute("**/status");
  await look(page, CAT); // and works
});

test("an answer that takes long can be stopped, and asked for again", async () => {
  const page = await open(service.url);
  await look(page, CAT);
  await page.route("**/vqa*", () => {}, { times: 1 }); // never answered
  await page.click("#suggestions .chip");
  await page.waitForSelector("#thread .busy .dots");
  await page.click("#thread .busy button:has-text('Stop')");
  await page.waitForSelector("#thread .fault:has-text('Stopped')");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Try again");
  await shot(page, "stopped");
  await sound(page, "stopped");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#thread .under");
  assert.equal(await page.locator(".fault, .busy").count(), 0);
});

test("a caption that stops growing can be stopped, and begun again", async () => {
  const page = await open(service.url);
  await page.waitForSelector("[data-state=ready]");
  await page.evaluate(() => {
    const real = globalThis.fetch;
    globalThis.fetch = async (url, options) => {
      globalThis.fetch = real;
      const body = new ReadableStream({ start(c) {
        c.enqueue(new TextEncoder().encode("data: {\"text\":\"a cat\"}\n\n"));
        options.signal.addEventListener("abort", () => c.error(options.signal.reason));
      } });
      return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
    };
  });
  await page.setInputFiles("#file", CAT);
  await page.waitForSelector("#caption .growing:has-text('a cat')");
  await page.click("#caption button:has-text('Stop')");
  await page.waitForSelector("#caption .fault:has-text('Stopped')");
  assert.equal(await page.locator(".growing, .busy").count(), 0);
  await page.keyboard.press("Enter");
  await page.waitForSelector("#caption .under");
  assert.equal(await page.locator(".fault, .growing").count(), 0);
});

test("what is no picture in the clipboard or under the pointer is said; the page stays, fields take text", async () => {
  const page = await open(service.url);
  await look(page, CAT);
  const paste = (where) => page.evaluate((selector) => {
    const data = new DataTransfer();
    data.setData("text/plain", "https://a.example/cat.jpg");
    document.querySelector(selector).dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
  }, where);
  await paste("#question");
  assert.equal(await page.locator("#toast .note").count(), 0);
  await paste("main");
  await page.waitForSelector("#toast:has-text('no picture')");
  const link = { "text/uri-list": "https://a.example/cat.jpg" };
  assert.equal(await drag(page, "#question", "drop", link), false);
  assert.ok(await drag(page, "main", "dragover", link));
  assert.ok(await drag(page, "main", "drop", link));
  await page.waitForSelector("#toast:has-text('Save the picture first')");
  await sound(page, "toast");
  await shot(page, "toast");
  assert.ok(await page.locator("#caption .under").isVisible());
});

test("a camera that is refused", async () => {
  const page = await open(service.url);
  await page.evaluate(() => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("no", "NotAllowedError"); }; });
  await page.click("[data-photograph]");
  await page.waitForSelector("#toast:has-text('no camera, or this page may not use it')");
  assert.equal(await page.locator("dialog[open]").count(), 0);
  await page.click("#toast [aria-label=Close]");
  assert.equal(await page.locator("#toast .note").count(), 0);
});

test("a full collection, one that can be stopped, one that somebody else removes", async () => {
  const page = await open(service.url, { path: "#wall" });
  await page.waitForSelector("#wall-grid .empty");
  const many = Array.from({ length: 9 }, (_, i) => ({ name: `${i}.jpg`, mimeType: "image/jpeg", buffer: readFileSync(i % 2 ? CAT : COFFEE) }));
  await page.setInputFiles("#file", many);
  await page.waitForSelector("#wall-progress .fault:has-text('The collection is full')");
  await page.waitForFunction(() => document.querySelectorAll(".tile img").length === 3);
  assert.match(await text(page, "#wall-progress"), /Stopped: \d pictures not added/);
  assert.ok(await page.locator("#wall-progress .fault li").count() <= 2); // one for each that was under way
  await shot(page, "wall-full", { fullPage: true });
  await sound(page, "wall-full");

  const image = (key) => `${service.url}collections/photographs/images/${key}`;
  assert.equal((await fetch(image("0.jpg"), { method: "DELETE" })).status, 200);
  await page.click('[aria-label="Remove 0.jpg"]', { force: true });
  await page.click("#sure-yes");
  await page.waitForFunction(() => document.querySelectorAll(".tile").length === 2); // gone already is as good
  assert.equal(await page.locator("#wall-faults .fault").count(), 0);

  await page.route("**/collections/photographs/images/**", (route) => (route.request().method() === "PUT" ? undefined : route.continue()));
  await page.reload();
  await page.waitForSelector(".tile img");
  await page.setInputFiles("#file", many);
  await page.click("#wall-progress button:has-text('Stop')");
  await page.waitForSelector("#wall-progress:has-text('Stopped: 9 pictures not added')");
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await page.click("#wall-progress button:has-text('Go on')"); // two are there already and replaced, a third is added
  await page.waitForSelector("#wall-progress .fault:has-text('The collection is full')");
  assert.equal(await page.locator(".tile").count(), 3);

  assert.equal((await fetch(`${service.url}collections/photographs`, { method: "DELETE" })).status, 200);
  await page.fill("#search", "a cup of coffee");
  await page.waitForSelector("#wall-note:has-text('removed by somebody else')");
  assert.ok(await page.locator("#wall-grid .empty").isVisible());
  assert.equal(await page.locator(".fault").count(), 0);
  await sound(page, "wall-removed");

  await page.fill("#wall-name", "album"); // another one, with thumbnails of its own
  await page.press("#wall-name", "Enter");
  await page.waitForFunction(() => !document.querySelector("#wall-note").textContent);
  await page.setInputFiles("#file", COFFEE);
  await page.waitForSelector('[data-key="coffee.jpg"] img');
  assert.match(await text(page, "#wall-note"), /1 picture in “album”/);
});

test("the client for JavaScript in somebody else's page, as its README has it", async () => {
  const readme = readFileSync(join(ROOT, "clients/js/README.md"), "utf8");
  const html = /```html\n([^]*?)```/.exec(readme)[1];
  const shop = createServer((request, response) => {
    const isModule = request.url.endsWith("/minivlm-client/index.js");
    response.setHeader("Content-Type", isModule ? "text/javascript" : "text/html");
    response.end(isModule ? readFileSync(join(ROOT, "clients/js/index.js")) : html.replace("http://localhost:8080", asked.url));
  });
  await new Promise((resolve) => { shop.listen(0, "127.0.0.1", resolve); });
  const url = `http://127.0.0.1:${shop.address().port}/`;
  const asked = await serve(`--server.cors_origins=${url.slice(0, -1)}`);
  try {
    const page = await open(url, { also: [new URL(asked.url).origin] });
    await page.setInputFiles("#file", CAT);
    await page.waitForFunction(() => document.title.split(" ").length > 2);
    const said = await (await fetch(`${asked.url}caption`, { method: "POST", body: readFileSync(CAT) })).json();
    assert.equal(await page.title(), said.caption);
  } finally {
    await asked.stop();
    shop.closeAllConnections();
    shop.close();
  }
});
