// The reference at /docs: every route is on it, can be found and tried, with files and with JSON.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { CAT, close, open, ROOT, serve, shot, sound } from "./browser.mjs";

const contract = JSON.parse(readFileSync(join(ROOT, "server/api/openapi.json"), "utf8"));
let service;

before(async () => { service = await serve(); });
after(async () => {
  await service?.stop();
  await close();
});

const status = (page, id) => page.locator(`#${id} .status-good, #${id} .status-bad`).first().innerText();

test("every operation is there, and opens", async () => {
  const page = await open(service.url, { path: "docs" });
  await page.waitForSelector("details.route");
  const ids = Object.values(contract.paths).flatMap((item) => Object.values(item)).map((o) => o.operationId).filter(Boolean);
  assert.equal(await page.locator("details.route").count(), ids.length);
  for (const id of ids) {
    await page.click(`#${id} > summary`);
    await page.waitForSelector(`#${id} form`);
    await page.click(`#${id} > summary`);
  }
  assert.doesNotMatch(await page.locator("#routes").textContent(), /undefined|\[object|NaN|`/); // also in what is folded
});

test("a route is found by words and by the address", async () => {
  const page = await open(service.url, { path: "docs#vqa" });
  await page.waitForSelector("#vqa[open] form");
  await page.fill("#filter", "post rerank");
  assert.equal(await page.locator("details.route:visible").count(), 3);
  await page.fill("#filter", "no such thing");
  assert.equal(await page.locator("section:visible").count(), 0);
});

test("a picture as a file, in a form and in JSON; a fault in the service's words", async () => {
  const page = await open(service.url, { path: "docs#caption" });
  const route = page.locator("#caption");
  await route.locator("input[data-part=file]").setInputFiles(CAT);
  await route.locator("input[name=num_beams]").fill("1");
  await route.locator("button").click();
  await route.locator(".status-good").waitFor();
  assert.match(await route.innerText(), /"caption": "[a-z ]+"[^]*curl -X POST -H 'Content-Type: application\/octet-stream' --data-binary '@cat.jpg'|"caption"/);
  await shot(page, "docs", { fullPage: false });
  await sound(page, "docs");
  await route.locator("select").selectOption("multipart/form-data");
  await route.locator("input[data-part=form][name=image]").setInputFiles([CAT, CAT]);
  await route.locator("button").click();
  await route.locator("pre:has-text('results')").waitFor();
  await route.locator("input[data-in=query][name=num_beams]").fill("99");
  await route.locator("button").click();
  await route.locator(".status-bad").waitFor();
  assert.match(await status(page, "caption"), /^400/);
  await page.click("#chatCompletion > summary");
  const chat = page.locator("#chatCompletion");
  await chat.locator("textarea").fill('{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": ""}}]}]}');
  await chat.locator("textarea").evaluate((area) => { area.selectionStart = area.selectionEnd = area.value.lastIndexOf('""') + 1; });
  await chat.locator("input[type=file]").setInputFiles(CAT);
  await page.waitForFunction(() => document.querySelector("#chatCompletion textarea").value.includes("data:image/jpeg;base64,"));
  await chat.locator("button").click();
  await chat.locator(".status-good").waitFor();
  assert.match(await chat.innerText(), /chat\.completion/);
});

test("on a phone", async () => {
  const page = await open(service.url, { path: "docs#storeImage", viewport: { width: 390, height: 844 } });
  await page.waitForSelector("#storeImage[open] form");
  const cells = await page.locator("#storeImage td:not(:empty)").evaluateAll((all) => all.map((cell) => cell.getBoundingClientRect().width));
  assert.ok(cells.length > 5 && Math.min(...cells) > 100, `${cells}`); // not a letter wide
  await shot(page, "docs-phone");
  await sound(page, "docs on a phone");
});
