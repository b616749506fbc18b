// The reference at /docs: Swagger UI shows every route and tries them, with files and with JSON, and asks nobody else.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CAT, COFFEE, collections, open, ROOT, serve, shot, suite } from "./browser.mjs";

const contract = JSON.parse(readFileSync(join(ROOT, "server/api/openapi.json"), "utf8"));
const operations = Object.values(contract.paths).flatMap((item) => Object.values(item)).filter((o) => o.operationId);
const service = suite(collections);

const route = (page, id) => page.locator(`.opblock[id$="-${id}"]`);

async function send(page, id, wanted) {
  await route(page, id).locator(".execute").click();
  await route(page, id).locator(`.live-responses-table .response-col_status:has-text("${wanted}")`).first().waitFor();
  return route(page, id).locator(".live-responses-table").innerText();
}

test("the viewer is in this build", async () => {
  assert.equal((await fetch(`${service.url}page/swagger-ui-bundle.js`)).status, 200, "scripts/fetch_viewer.sh fetches it");
});

test("every operation is there", async () => {
  const page = await open(service.url, { path: "docs" });
  await page.waitForSelector(".opblock");
  assert.equal(await page.locator(".opblock").count(), operations.length);
  for (const { operationId } of operations) assert.equal(await route(page, operationId).count(), 1, operationId);
  assert.equal(await page.locator(".errors-wrapper").count(), 0);
  const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(inner <= outer, `${inner} pixels wide`);
  await shot(page, "docs");
});

test("a picture as the body, in a form and in JSON; a fault in the service's words", async () => {
  const page = await open(service.url, { path: "docs#/predict/caption" }); // unfolds it
  const caption = route(page, "caption");
  await caption.locator("input[type=file]").setInputFiles(CAT);
  assert.match(await send(page, "caption", 200), /"caption": "a [a-z ]+"/);
  await shot(page, "docs-caption");
  await caption.locator("select[aria-label='Request content type']").selectOption("multipart/form-data");
  await caption.locator("input[type=file]").setInputFiles(COFFEE); // the rest of the form is empty
  await caption.locator(".live-responses-table:has-text('\"width\": 451')").waitFor();
  await caption.locator(".execute").click();
  await caption.locator(".live-responses-table:has-text('\"width\": 600'):has-text('\"tokens\": 11')").waitFor();
  await caption.locator("select[aria-label='Request content type']").selectOption("application/octet-stream");
  await caption.locator("input[type=file]").setInputFiles(join(ROOT, "README.md"));
  assert.match(await send(page, "caption", 415), /unsupported_image/);
});

test("what stands in a JSON body from the beginning is an example that works", async () => {
  for (const [tag, id, said] of [["predict", "vqa", /"answer": "\w+"/], ["compatible", "chatCompletion", /"object": "chat.completion"/], ["compatible", "rerank", /"index": 1/]]) {
    const page = await open(service.url, { path: `docs#/${tag}/${id}` });
    const type = route(page, id).locator("select[aria-label='Request content type']");
    await type.selectOption("application/json");
    await route(page, id).locator("textarea").waitFor();
    assert.match(await send(page, id, 200), said);
  }
});

test("a key with a slash, in a path that all methods share", async () => {
  const page = await open(service.url, { path: "docs#/collections/storeImage" });
  await page.fill("input[placeholder=name]", "album");
  await page.fill("input[placeholder=key]", "pets/cat.jpg");
  await route(page, "storeImage").locator("input[type=file]").setInputFiles(CAT);
  assert.match(await send(page, "storeImage", 201), /"key": "pets\/cat.jpg"/);
});

test("behind a proxy that takes a prefix away", async () => {
  const strip = (page) => page.route("**/behind/**", (r) => r.continue({ url: r.request().url().replace("/behind", "") }));
  const page = await open(service.url, { path: "behind/docs#/operations/version", before: strip });
  await send(page, "version", 200);
  assert.ok((await route(page, "version").locator(".request-url").innerText()).endsWith(`${service.url}behind/version`));
});

test("where the service wants a key it is asked for, and used", async () => {
  const keys = join(service.folder, "keys");
  writeFileSync(keys, `ann ${createHash("sha256").update("secret").digest("hex")}\n`);
  const guarded = await serve(`--auth.keys_file=${keys}`);
  try {
    const page = await open(guarded.url, { path: "docs#/operations/status" });
    await page.waitForSelector("#note:has-text('requires an API key')");
    for (const [given, then] of [["wrong", "#note:has-text('not accepted')"], ["secret", ".opblock"]]) {
      await page.fill("#key", given);
      await page.press("#key", "Enter");
      await page.waitForSelector(then);
    }
    await send(page, "status", 200);
    assert.doesNotMatch(await page.locator("body").innerText(), /secret/); // nor in the line for curl
  } finally {
    await guarded.stop();
  }
});

test("on a phone, in the dark", async () => {
  const page = await open(service.url, { path: "docs#/collections/storeImage", viewport: { width: 390, height: 844 }, colorScheme: "dark" });
  await route(page, "storeImage").locator(".execute").waitFor();
  await shot(page, "docs-phone");
  const dark = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  assert.match(dark, /rgb\((\d|[1-4]\d), /);
});
