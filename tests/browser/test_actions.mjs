// Each thing that can be done on the page, in the browser that Debian ships, against the real service and model.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ask, CAT, COFFEE, collections, look, open, shot, sound, suite, text } from "./browser.mjs";

const service = suite(collections);

// Gives files to the page as the clipboard or a drag would.
const give = (page, kind, file, type) => page.evaluate(([event, bytes, mime]) => {
  const data = new DataTransfer();
  data.items.add(new File([Uint8Array.from(bytes)], "given.jpg", { type: mime }));
  const made = event === "paste" ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
    : new DragEvent(event, { dataTransfer: data, bubbles: true, cancelable: true });
  document.body.dispatchEvent(made);
}, [kind, [...readFileSync(file)], type]);

test("the empty page weighs little and waits for nothing", async () => {
  const page = await open(service.url);
  await page.waitForSelector("#samples img");
  await page.waitForFunction(() => [...document.images].filter((i) => i.closest("#samples")).every((i) => i.complete && i.naturalWidth));
  const sizes = await page.evaluate(() => performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
    .filter((e) => !e.name.endsWith("/status")).map((e) => e.transferSize));
  assert.ok(sizes.length > 15 && sizes.reduce((a, b) => a + b) < 150000, `${sizes}`);
  await page.waitForSelector("[data-state=ready]");
  await shot(page, "empty");
  await sound(page, "empty");
});

test("a sample is captioned, with regions, scores and a threshold", async () => {
  const page = await open(service.url);
  await page.click("#samples button >> nth=0");
  await page.waitForSelector("#caption .under");
  assert.match(await text(page, "#caption .caption"), /\w+ \w+/);
  await page.fill("#threshold", "0");
  const all = await page.locator(".box").count();
  assert.ok(all > 1);
  assert.equal(await page.locator(".seen .chip").count(), all);
  await page.fill("#threshold", "100");
  assert.equal(await page.locator(".box").count(), 0);
  await page.fill("#threshold", "5");
  await page.locator(".seen .chip").first().focus(); // as a pointer would: the score appears on the picture
  assert.match(await text(page, ".box.lit small"), /\d %/);
  await shot(page, "look");
  await sound(page, "look");
  await page.uncheck("[role=switch]");
  assert.ok(await page.locator(".boxes").isHidden());
});

test("the caption comes word by word", async () => {
  const page = await open(service.url);
  await page.evaluate(() => {
    globalThis.seen = [];
    new MutationObserver((records) => { // one for every change, however many words come in one piece
      const texts = records.filter((r) => r.target.className === "growing").flatMap((r) => [...r.addedNodes].map((n) => n.data));
      globalThis.seen.push(...texts);
    }).observe(document.querySelector("#caption"), { subtree: true, childList: true });
  });
  await look(page, COFFEE);
  const seen = await page.evaluate(() => globalThis.seen);
  assert.ok(seen.length >= 2 && seen.at(-1).startsWith(seen[0]), `${seen}`);
});

test("paste, drop and the camera bring pictures too; the last one is looked at", async () => {
  const page = await open(service.url);
  await give(page, "paste", CAT, "image/jpeg");
  await page.waitForSelector("#caption .under");
  await give(page, "dragenter", COFFEE, "image/jpeg");
  assert.ok(await page.locator("#drop").isVisible());
  await give(page, "drop", COFFEE, "image/jpeg");
  await page.waitForSelector("#tray-look li:nth-child(3)");
  assert.ok(await page.locator("#drop").isHidden());
  await page.reload(); // both are still there
  await page.waitForSelector("#tray-look li:nth-child(3)");
  for (const left of [2, 1]) { // with the button that adds one
    await page.press("#tray-look .remove >> nth=0", "Enter"); // no click: things move while the images load
    await page.waitForSelector(`#tray-look li:nth-child(${left + 1})`, { state: "detached" });
  }
  await page.click("[data-photograph]");
  await page.waitForFunction(() => document.querySelector("video").videoWidth > 0);
  await sound(page, "camera");
  await page.click("#camera-shoot");
  await page.waitForSelector("#caption .under");
  assert.match(await page.locator("#tray-look .thumb").first().getAttribute("aria-label"), /^photograph-/);
});

test("a huge picture is made smaller before it is sent, an odd one is sent as it is", async () => {
  const page = await open(service.url);
  const sent = page.waitForRequest((r) => r.url().includes("/caption"));
  await page.evaluate(async () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 5000, height: 3000 });
    canvas.getContext("2d").fillRect(0, 0, 2500, 3000);
    const blob = await new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
    const data = new DataTransfer();
    data.items.add(new File([blob], "huge.png", { type: "image/png" }));
    const input = document.querySelector("#file");
    input.files = data.files;
    input.dispatchEvent(new Event("change"));
  });
  await sent;
  await page.waitForSelector("#caption .under");
  assert.match(await text(page, "figcaption"), /5000 × 3000/);
});

test("questions in a thread, the most likely answers as bars", async () => {
  const page = await open(service.url);
  await look(page, COFFEE);
  await ask(page, "what is on the table?");
  await page.click("#suggestions .chip >> nth=1");
  await page.waitForSelector("#thread > li:nth-child(2) .under");
  assert.equal(await text(page, "#thread .question"), "what is on the table?");
  assert.equal(await page.locator("#thread > li:nth-child(1) .bar").count(), 5);
  const [best, next] = await page.locator("#thread > li:nth-child(1) .bar-fill").evaluateAll((fills) => fills.map((f) => f.getBoundingClientRect().width));
  assert.ok(best >= next);
  assert.equal((await text(page, "#thread .answer")).toLowerCase(), (await text(page, "#thread .bar-name")).toLowerCase());
  assert.match(await page.locator("[aria-live]").innerText(), /colour/);
  await shot(page, "thread", { fullPage: true });
  await sound(page, "thread");
});

test("where it looked lies as a heat over the picture", async () => {
  const page = await open(service.url);
  await look(page, CAT);
  await ask(page, "what animal is this?");
  for (const [place, button] of [["#thread", "Where it looked"], ["#thread", "What mattered"], ["#caption", "What mattered"]]) {
    await page.click(`${place} button:has-text("${button}")`);
    await page.waitForSelector(`.heat-bar:has-text("${button}")`);
    const spread = await page.locator(".heat").evaluate((c) => {
      const data = c.getContext("2d").getImageData(0, 0, c.width, c.height).data.filter((_, i) => i % 4 === 3);
      return Math.max(...data) - Math.min(...data);
    });
    assert.ok(spread > 20, `${spread}`);
    if (button === "What mattered") await shot(page, "heat");
    if (place === "#caption") await sound(page, "heat");
    const pressed = page.locator("[aria-pressed=true]:has-text('W')");
    assert.equal(await pressed.innerText(), button);
    await (place === "#caption" ? pressed : page.locator("text=Back to regions")).click(); // both lead back
    assert.ok(await page.locator(".heat").isHidden());
    assert.equal(await pressed.count(), 0);
  }
});

test("other wordings, time and code", async () => {
  const page = await open(service.url);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await look(page, COFFEE);
  await page.click("text=Other wordings");
  await page.waitForSelector(".others li:nth-child(3)");
  await ask(page, "it's what? & \"why\"");
  await page.click("#thread .under summary");
  const stages = await page.locator("#thread .waterfall .bar-name").allInnerTexts();
  assert.ok(stages.includes("read and answer"), `${stages}`);
  await page.click("#thread .copy >> nth=0");
  const line = await page.evaluate(() => navigator.clipboard.readText());
  assert.ok(line.startsWith("curl --data-binary @coffee.jpg") && line.includes(`${service.url}vqa?question=it%27s`), line);
  assert.equal(await text(page, "#thread .copy"), "Copied");
  await shot(page, "code", { fullPage: true });
  await sound(page, "code");
});

test("sentences for a picture, pictures for a sentence", async () => {
  const page = await open(service.url, { path: "#match" });
  await page.click("#match-form .primary"); // without a picture: it says what is missing, and where that goes
  assert.equal(await text(page, "#match-note"), "First add a picture.");
  assert.equal(await page.evaluate(() => document.activeElement.innerText), "Add pictures");
  await page.click("nav >> text=Look");
  await look(page, COFFEE, CAT);
  await page.click("nav >> text=Match");
  await page.click("#match-form .primary");
  await page.waitForSelector("#match-results .under");
  const scores = await page.locator("#match-results .bars .bar-value").allInnerTexts();
  assert.equal(scores.length, 4);
  assert.deepEqual(scores.map(parseFloat), scores.map(parseFloat).sort((a, b) => b - a));
  await shot(page, "match");
  await sound(page, "match");
  await page.click("text=Pictures for a sentence");
  await page.fill("#sentences", "a cup of coffee on a table");
  await page.click("#match-form .primary");
  await page.waitForSelector(".ranked li:nth-child(2)");
  assert.match(await page.locator(".ranked button").first().getAttribute("aria-label"), /^coffee\.jpg/);
  await shot(page, "match-pictures");
  await sound(page, "match-pictures");
  await page.click(".ranked button >> nth=0");
  await page.waitForSelector("#look:not([hidden]) .frame img");
  assert.equal(await page.locator("#tray-look [aria-pressed=true]").getAttribute("aria-label"), "coffee.jpg");
});

test("a collection as a wall with a search box", async () => {
  const page = await open(service.url, { path: "#wall" });
  await page.waitForSelector("#wall-grid .empty");
  await sound(page, "wall-empty");
  await page.setInputFiles("#file", [CAT, COFFEE]);
  await page.waitForSelector(".tile:nth-child(2) img");
  await page.setInputFiles("#file", [CAT, COFFEE].map((f) => ({ name: "cat.jpg", mimeType: "image/jpeg", buffer: readFileSync(f) })));
  await page.waitForSelector('[data-key="cat-2.jpg"] img'); // the same picture replaces itself, another one does not
  assert.equal(await page.locator(".tile").count(), 3);
  await page.click('[aria-label="Remove cat-2.jpg"]', { force: true });
  await page.click("#sure-yes");
  await page.waitForFunction(() => document.querySelectorAll(".tile").length === 2);
  await page.fill("#search", "a cup of coffee");
  await page.waitForSelector("#wall-under .under");
  assert.equal(await page.locator(".tile").first().getAttribute("data-key"), "coffee.jpg");
  assert.equal(await page.locator("#wall .under").count(), 1);
  await shot(page, "search");
  await sound(page, "search");
  await page.fill("#search", "");
  await page.waitForFunction(() => !document.querySelector(".tile .score"));
  await page.reload(); // thumbnails are kept in the browser
  await page.waitForSelector(".tile:nth-child(2) img");
  await page.click('[aria-label="Remove cat.jpg"]', { force: true });
  await sound(page, "sure");
  await page.click("#sure-yes");
  await page.waitForFunction(() => document.querySelectorAll(".tile").length === 1);
  await page.click(".tile .open");
  await page.waitForSelector("#caption .under");
});

test("the corner tells who answers and how it fares", async () => {
  const page = await open(service.url);
  await look(page, CAT);
  await page.waitForSelector("[data-state=ready]");
  await page.click("#status-button");
  await page.waitForSelector("#status-panel:has-text('answered')", { timeout: 30000 });
  const said = await text(page, "#status-panel");
  assert.match(said, /minivlm-base \d/);
  assert.match(said, /Half within\s+\d/);
  await sound(page, "status");
  await page.keyboard.press("Escape");
  assert.ok(await page.locator("#status-panel").isHidden());
});

test("dark, chosen here or by the system", async () => {
  const page = await open(service.url, { colorScheme: "dark" });
  const paper = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const dark = await paper();
  await look(page, CAT);
  await ask(page, "what animal is this?");
  await shot(page, "dark");
  await sound(page, "dark");
  await page.click("#theme-button");
  assert.notEqual(await paper(), dark);
  await page.reload();
  assert.notEqual(await paper(), dark); // kept
});

test("all of it on a phone of 390 pixels", async () => {
  const page = await open(service.url, { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 });
  await shot(page, "phone-empty", { fullPage: true });
  await sound(page, "phone-empty");
  await look(page, COFFEE);
  await ask(page, "what is on the table?");
  await page.click("#thread .under summary");
  await page.locator(".box").first().dispatchEvent("pointerenter"); // a tap
  await shot(page, "phone", { fullPage: true });
  await sound(page, "phone");
  for (const view of ["match", "wall"]) {
    await page.goto(`${service.url}#${view}`);
    await page.waitForSelector(view === "wall" ? "#wall .tile, #wall .empty" : "#match-form");
    await sound(page, `phone-${view}`);
    await shot(page, `phone-${view}`, { fullPage: true });
  }
});

test("by keyboard alone", async () => {
  const page = await open(service.url);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.keyboard.press("Enter");
  const label = () => page.evaluate(() => document.activeElement.getAttribute("aria-label"));
  for (let i = 0; i < 8 && await label() !== "The face of a tabby cat"; i++) await page.keyboard.press("Tab");
  assert.equal(await label(), "The face of a tabby cat");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#caption .under");
  assert.match(await page.locator("[aria-live]").innerText(), /^Caption: /);
  await page.focus("#question");
  await page.keyboard.type("what is this");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#thread .under");
  assert.equal(await page.evaluate(() => document.activeElement.id), "question");
});
