// What is shown is what was said: places of boxes and heat, order of what is ranked, numbers of the corner, lines to copy.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ask, CAT, COFFEE, collections, look, open, suite, text } from "./browser.mjs";

const service = suite(collections), { folder } = service;

const json = (body, status = 200, headers = {}) => ({ status, headers, contentType: "application/json", body: JSON.stringify(body) });
const WIDE = 400, HIGH = 300;
const IMAGE = { id: "ab12", width: WIDE, height: HIGH, warnings: ["the picture was cut"] };
const REGIONS = [{ label: "cat", score: 0.9, box: [40, 30, 240, 180] }, { label: "dog", score: 0.5, box: [280, 210, 400, 300] }, { label: "low", score: 0.2, box: [0, 0, 9, 9] }];

// The page beside a service that says what the tests want.
async function told(page) {
  const done = { caption: "a cat", score: -1, captions: [{ text: "a cat", score: -1 }], regions: REGIONS, image: IMAGE };
  await page.route("**/caption?*", (route) => route.fulfill({ contentType: "text/event-stream", body: `data: {"text":"a"}\n\nevent: done\ndata: ${JSON.stringify(done)}\n\n` }));
  await page.route("**/vqa*", (route) => {
    const { explain } = JSON.parse(route.request().postData() ?? "{}");
    const answer = { question: "q", answer: "x", score: 0.5, answers: [{ answer: "x", score: 0.5 }, { answer: "y", score: 0.125 }], image: IMAGE };
    route.fulfill(json(explain ? { ...answer, regions: REGIONS, explain: { method: explain, region_weights: explain === "attention" ? [0.9, 0.1, 0] : [0, 1, 0] } } : answer,
      200, { "Server-Timing": "recv;dur=100000, decode;dur=200000, queue;dur=150000, regions;dur=300000, fusion;dur=400000, total;dur=1500000" }));
  });
}

test("boxes and heat lie where the service saw things; its warnings are shown", async () => {
  const page = await open(service.url);
  await told(page);
  await look(page, CAT);
  const boxes = await page.evaluate(() => {
    const frame = document.querySelector(".frame").getBoundingClientRect();
    return [...document.querySelectorAll(".box")].map((box) => {
      const r = box.getBoundingClientRect();
      return [box.querySelector("b").textContent, (r.left - frame.left) / frame.width, (r.top - frame.top) / frame.height, (r.right - frame.left) / frame.width, (r.bottom - frame.top) / frame.height];
    });
  });
  assert.deepEqual(boxes.map((b) => b[0]), ["cat", "dog"]); // "low" is below the slider
  boxes.forEach(([label, ...at]) => REGIONS.find((r) => r.label === label).box.forEach((v, i) => {
    assert.ok(Math.abs(at[i] - v / (i % 2 ? HIGH : WIDE)) < 0.01, `${label}: ${at}`);
  }));
  assert.match(await text(page, "figcaption"), /The service says: the picture was cut\./);
  assert.equal(await text(page, "#tools > .hint"), "2 of 3 regions; move the slider to see more");
  await ask(page, "q");
  assert.deepEqual(await page.locator("#thread .bars .bar-value").allInnerTexts(), ["50 %", "13 %"]);
  await page.click("#thread .under summary");
  const falls = await page.locator("#thread .fall span").evaluateAll((all) => all.map((s) => [s.getBoundingClientRect().left, s.getBoundingClientRect().right]));
  assert.ok(falls.length >= 6, `${falls}`); // the last is what no stage names
  for (let i = 1; i < 6; i++) assert.ok(Math.abs(falls[i][0] - falls[i - 1][1]) < 2 && falls[i][1] > falls[i][0] + 4, `${falls}`); // one stage behind the other
  for (const [button, region] of [["Where it looked", REGIONS[0]], ["What mattered", REGIONS[1]]]) {
    await page.click(`#thread button:has-text("${button}")`);
    await page.waitForSelector(`.heat-bar:has-text("${button}")`);
    assert.ok(await page.locator(".region-bar").isHidden());
    const [x, y] = await page.locator(".heat").evaluate((c) => {
      const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
      let most = 3;
      for (let i = 3; i < data.length; i += 4) if (data[i] > data[most]) most = i;
      return [(((most - 3) / 4) % c.width) / c.width, Math.floor((most - 3) / 4 / c.width) / c.height];
    });
    const [x0, y0, x1, y1] = region.box;
    assert.ok(x > x0 / WIDE && x < x1 / WIDE && y > y0 / HIGH && y < y1 / HIGH, `${button}: ${x} ${y}`);
    assert.match(await page.locator(".heat").getAttribute("aria-label"), new RegExp(`strongest at ${region.label}`));
  }
});

test("what is huge is sent as a small JPEG, and what is transparent in it is white", async () => {
  const page = await open(service.url);
  await page.evaluate(async () => {
    const real = globalThis.fetch;
    globalThis.fetch = (target, options) => {
      if (options?.body instanceof Blob) globalThis.sent = options.body;
      return real(target, options);
    };
    const canvas = Object.assign(document.createElement("canvas"), { width: 3000, height: 1500 });
    canvas.getContext("2d").fillRect(0, 0, 1500, 1500);
    const blob = await new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
    const data = new DataTransfer();
    data.items.add(new File([blob], "huge.png", { type: "image/png" }));
    const input = document.querySelector("#file");
    input.files = data.files;
    input.dispatchEvent(new Event("change"));
  });
  await page.waitForSelector("#caption .under");
  const [width, height, left, right] = await page.evaluate(async () => {
    const bitmap = await createImageBitmap(globalThis.sent);
    const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    const at = (x) => context.getImageData(x, 400, 1, 1).data[0];
    return [bitmap.width, bitmap.height, at(200), at(1400)];
  });
  assert.deepEqual([width, height], [1600, 800]);
  const note = await page.locator("figure, main").first().innerText();
  assert.match(note, /Made smaller here before it was sent/);
  assert.doesNotMatch(note, /ICC/, "the profile is the browser's own, the picture has none");
  assert.ok(left < 10 && right > 245, `${left} ${right}`);
});

test("ranks stand beside what they rank; pictures that the service forgot are sent again", async () => {
  const page = await open(service.url);
  await look(page, COFFEE, CAT); // the cat is looked at, so the service knows its id
  await page.click("nav >> text=Match");
  const bodies = [], known = new Set();
  let results = [{ image: 0, text: 2, score: 0.9 }, { image: 0, text: 0, score: 0.4 }];
  await page.route("**/retrieve", (route) => {
    const body = JSON.parse(route.request().postData());
    bodies.push(body);
    const images = body.images.map((i) => {
      if (i.id && !known.has(i.id)) return { error: { code: "image_not_cached", message: "not known" } };
      const id = i.id ?? `id-${known.size}`;
      known.add(id);
      return { ...IMAGE, id };
    });
    route.fulfill(json({ results: images.some((i) => i.error) ? [] : results, images }));
  });
  await page.fill("#sentences", "one\n\n two \nthree");
  await page.click("#match-form .primary");
  await page.waitForSelector("#match-results .under");
  assert.deepEqual(await page.locator("#match-results .bars .bar-name").allInnerTexts(), ["three", "one"]);
  assert.deepEqual(bodies.map((b) => [b.texts, typeof b.images[0]]), [[["one", "two", "three"], "object"], [["one", "two", "three"], "string"]]);
  results = [{ image: 1, text: 0, score: 0.75 }, { image: 0, text: 0, score: 0.25 }];
  await page.click("text=Pictures for a sentence");
  await page.click("#match-form .primary");
  await page.waitForSelector(".ranked li:nth-child(2)");
  const labels = await page.locator(".ranked button").evaluateAll((all) => all.map((b) => b.getAttribute("aria-label")));
  assert.deepEqual(labels, ["cat.jpg, 75 %", "coffee.jpg, 25 %"]);
  assert.equal(bodies.length, 3);
  await page.click("nav >> text=Look");
  await page.route("**/vqa*", (route) => route.fulfill(json({ error: { code: "image_not_cached", message: "not known" } }, 404)), { times: 1 });
  await ask(page, "what is this?");
});

test("a picture from elsewhere has no face, and the wall says why; one that will never do is not tried again", async () => {
  const put = await fetch(`${service.url}collections/photographs/images/elsewhere.jpg`, { method: "PUT", body: readFileSync(CAT) });
  assert.ok(put.ok);
  const page = await open(service.url, { path: "#wall" });
  await page.waitForSelector("#wall-note:has-text('Grey ones were added elsewhere')");
  assert.equal((await page.locator(".tile").first().innerText()).trim().split("\n").length, 1); // each name once
  await page.setInputFiles("#file", [{ name: "own.jpg", mimeType: "image/jpeg", buffer: readFileSync(COFFEE) },
    { name: "notes.jpg", mimeType: "image/jpeg", buffer: Buffer.from("just words\nhere") }]);
  await page.waitForSelector("#wall-progress .fault:has-text('notes.jpg')");
  assert.match(await text(page, "#wall-progress .fault"), /This is text \("just words here"\)/);
  assert.equal(await page.locator("#wall-progress .fault button").count(), 0);
  await fetch(`${service.url}collections/photographs`, { method: "DELETE" });
});

test("the service says when to come again; the corner says its numbers", async () => {
  const page = await open(service.url, { before: (p) => p.route("**/status", (route) => route.fulfill(json({ version: "9.8.7", state: "ready",
    model: { name: "of-a-test", version: "5" }, load: 0.25, collections: true, limits: { images: 16 }, last_minute: { answered: 7, failed: 2, p50_ms: 12.3, p99_ms: 3450 } }))) });
  await page.click("#status-button");
  await page.waitForSelector("#status-panel dd");
  const rows = await page.locator("#status-panel dd").allInnerTexts();
  assert.deepEqual(rows.map((r) => r.trim()), ["minivlm-server 9.8.7", "of-a-test 5", "25 %", "7 answered, 2 failed", "12 ms", "3.5 s", "kept"]);
  await page.keyboard.press("Escape");
  await look(page, CAT);
  await page.route("**/vqa*", (route) => route.fulfill(json({ error: { code: "rate_limited", message: "x" } }, 429, { "Retry-After": "300" })), { times: 1 });
  await page.click("#suggestions .chip");
  await page.waitForSelector("#thread .count:has-text('by itself in')");
  assert.match(await text(page, "#thread .count"), /in (2\d\d|300) s/);
  await page.click("#thread .fault button"); // nobody has to wait
  await page.waitForSelector("#thread .under");
});

test("lines to copy do the same in a shell, whatever the names are", async () => {
  const name = "it's \"odd\" $HOME.jpg";
  copyFileSync(COFFEE, join(folder, name));
  const page = await open(service.url);
  await look(page, join(folder, name));
  await ask(page, "what's \"in\" the cup & where?");
  const code = async (place) => {
    await page.click(`${place} .under summary >> nth=0`);
    const [curl, python] = await page.locator(`${place} .code pre`).allInnerTexts();
    execFileSync("python3", ["-c", "import ast, sys; ast.parse(sys.stdin.read())"], { input: python });
    return execFileSync("bash", ["-c", curl.replace("curl ", "curl -sS --fail-with-body ")], { cwd: folder, encoding: "utf8" });
  };
  assert.equal(JSON.parse(await code("#thread")).answer, (await text(page, "#thread .bar-name")));
  assert.match(await code("#caption"), /event: done\ndata: \{"caption":"/);
  await page.click("nav >> text=Match");
  await page.fill("#sentences", "it's a cup\n@a 'dog'");
  await page.click("#match-form .primary");
  await page.waitForSelector("#match-results .under");
  const [best] = JSON.parse(await code("#match-results")).results;
  assert.equal(["it's a cup", "@a 'dog'"][best.text], await text(page, "#match-results .bar-name"));
  await page.click("nav >> text=Collection");
  await page.waitForSelector("#wall-grid .empty");
  await page.setInputFiles("#file", join(folder, name));
  await page.waitForSelector("#wall-progress .under");
  assert.equal(JSON.parse(await code("#wall-progress")).key, name);
  await page.fill("#search", "it's a cup");
  await page.waitForSelector("#wall-under .under");
  assert.equal(JSON.parse(await code("#wall-under")).results[0].key, name);
});
