// clients/js against the live server (URL) with a picture (PICTURE); run by test_client_js.py.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import http from "node:http";
import { Client, MiniVLMError } from "minivlm-client";

const { URL: url, PICTURE } = process.env;
const bytes = await readFile(PICTURE);
const client = new Client(url + "/");

// calls
const caption = await client.caption(bytes, { numBeams: 3, numCaptions: 2, regions: true });
assert.equal(caption.captions.length, 2);
assert.ok(caption.regions.length > 0);
assert.equal((await client.caption({ id: caption.image.id }, { numBeams: 3 })).caption, caption.caption);
assert.equal((await client.caption(new Blob([bytes]), { numBeams: 3 })).caption, caption.caption);
assert.equal((await client.caption(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length), { numBeams: 3 })).caption, caption.caption);
const answer = await client.ask(bytes, "what is it & where?", { topK: 3 });
assert.deepEqual([answer.question, answer.answers.length], ["what is it & where?", 3]);
assert.equal((await client.match([bytes, { id: caption.image.id }], ["a", "b"])).scores.length, 2);
assert.equal((await client.rerank("a dog", [bytes, bytes], { topN: 1 })).results.length, 1);
await client.store("album", "a b/ü?.jpg", bytes);
assert.equal((await client.search("album", "a dog", { topK: 1 })).results[0].key, "a b/ü?.jpg");
for (const key of ["..", ".", "../../album", "x/./y", "x/.."]) {
  await assert.rejects(client.remove("album", key), TypeError); // addresses lose such parts: it would have been the whole collection
  await assert.rejects(client.store("album", key, bytes), TypeError);
}
await assert.rejects(client.remove(".."), TypeError);
assert.equal((await client.search("album", "a dog")).results.length, 1);
await client.remove("album", "a b/ü?.jpg");
await client.remove("album");
assert.equal((await client.version()).name, "minivlm-server");

// refusals
const refused = async (promise, code, status) => {
  const e = await promise.then(() => assert.fail("was taken"), (error) => error);
  assert.ok(e instanceof MiniVLMError, e.stack);
  assert.deepEqual([e.code, e.status], [code, status], e.message);
  return e;
};
assert.equal((await refused(client.caption(bytes, { numBeams: 99 }), "bad_request", 400)).param, "num_beams");
await refused(client.caption(new Uint8Array(9)), "unsupported_image", 415);
const nobody = await refused(new Client("127.0.0.1:1", { retries: 0 }).version(), "unreachable", 0);
assert.match(nobody.message, /^http:\/\/127\.0\.0\.1:1: /);
assert.deepEqual(await new Client(url.replace("http://", "")).version(), await client.version());
await assert.rejects(client.caption("https://a.example/x.jpg"), TypeError);
for (const [images, texts] of [[bytes, ["a"]], [new Blob([bytes]), ["a"]], [[bytes], "a cat"]]) await assert.rejects(client.match(images, texts), /is an array/);
await assert.rejects(client.rerank("a cat", bytes), /is an array/);
await assert.rejects(client.caption(bytes, { signal: AbortSignal.abort() }), { name: "AbortError" });

// batches
let underWay = 0, most = 0;
const seen = [];
const call = async (image) => {
  most = Math.max(most, ++underWay);
  try {
    return await client.caption(image);
  } finally {
    underWay--;
  }
};
const images = [bytes, new Uint8Array(9), bytes, bytes, bytes];
for await (const done of client.batch(images, call, { concurrency: 2, onProgress: (p) => assert.equal(p.total, 5) })) seen.push(done);
assert.deepEqual(seen.map((o) => o.ok), [true, false, true, true, true]);
assert.equal(seen[1].error.code, "unsupported_image");
assert.equal(most, 2);
for (const one of [bytes, "a.jpg", new Blob([bytes]), bytes.buffer]) await assert.rejects(client.batch(one).next(), /into brackets/);
for (const concurrency of [0, -1, NaN, "x"]) await assert.rejects(client.batch([bytes], undefined, { concurrency }).next(), RangeError);

// what passes is tried again, what does not is not
let refusals = [], n = 0;
const moody = http.createServer((request, response) => {
  request.resume().on("end", () => {
    n++;
    const status = refusals.shift() ?? 200;
    response.writeHead(status, { "Content-Type": "application/json", "Retry-After": "0" });
    response.end(JSON.stringify(status === 200 ? { caption: "x" } : { error: { message: "no", code: "c", ...(status === 503 ? {} : { retryable: status !== 400 }) } }));
  });
});
await new Promise((resolve) => moody.listen(0, "127.0.0.1", resolve));
for (const [answers, retries, attempts] of [[[429, 503], 3, 3], [[503, 503, 503, 503], 3, 4], [[400], 3, 1], [[504], 3, 1], [[429, 429], 1, 2]]) {
  refusals = [...answers], n = 0;
  const last = answers[attempts - 1];
  const call = new Client(`http://127.0.0.1:${moody.address().port}`, { retries }).caption(bytes);
  if (last === undefined) assert.equal((await call).caption, "x");
  else await refused(call, "c", last);
  assert.equal(n, attempts);
}

// a date in Retry-After, which proxies send, is counted from the answer's Date
const date = "Sun, 06 Nov 1994 08:49:37 GMT", realTimeout = setTimeout;
for (const [headers, wait] of [[{ "Retry-After": date }, 0], [{ "Retry-After": "soon" }, 500], [{ "Retry-After": "-3" }, 500], [{}, 500],
  [{ "Retry-After": "Sun, 06 Nov 1994 08:49:49 GMT", Date: date }, 12000], [{ "Retry-After": "7" }, 7000], [{ "Retry-After": "86400" }, 30000]]) {
  const answers = [new Response("{}", { status: 503, headers }), new Response("{\"version\": \"1\"}")], waits = [];
  globalThis.setTimeout = (call, ms, ...more) => {
    const isIt = ms >= wait && ms <= 1.25 * wait; // others are Node's own, and the patience with an answer
    if (isIt) waits.push(ms);
    return realTimeout(call, isIt ? 0 : ms, ...more);
  };
  assert.deepEqual(await new Client(url, { fetch: async () => answers.shift() }).version(), { version: "1" });
  globalThis.setTimeout = realTimeout;
  assert.equal(waits.length, 1, `${JSON.stringify(headers)}: ${waits}`);
}

// what is sent; a caller's signal ends an attempt, and the wait for the next one
const sent = [];
const stub = async (target, { method, headers }) => { sent.push([method, target, headers.Authorization, headers["X-Of-Mine"]]); return new Response("{}"); };
await new Client("http://a.example/vision/", { key: "secret", headers: { "X-Of-Mine": "1" }, fetch: stub }).ask(bytes, "a&b", { topK: 2, regions: true });
await new Client("http://a.example", { fetch: stub }).store("a b", "x/ü?#.jpg", bytes);
assert.deepEqual(sent, [["POST", "http://a.example/vision/vqa?question=a%26b&top_k=2&regions=true", "Bearer secret", "1"],
  ["PUT", "http://a.example/collections/a%20b/images/x/%C3%BC%3F%23.jpg", undefined, undefined]]);
const large = Uint8Array.from({ length: 100001 }, (_, i) => (i * 7919) >> 3);
let body = "";
await new Client(url, { fetch: async (_, options) => { body = options.body; return new Response("{}"); } }).match([large], ["a"]);
assert.equal(JSON.parse(body).images[0], Buffer.from(large).toString("base64"));
const whole = new Uint8Array([0, ...bytes, 0]);
assert.equal((await client.caption(whole.subarray(1, -1), { numBeams: 3 })).caption, caption.caption);
const hanging = async (_, { signal }) => new Promise((_, reject) => { signal.addEventListener("abort", () => reject(signal.reason)); });
const busy = async () => new Response("{}", { status: 503, headers: { "Retry-After": "30" } });
for (const answer of [hanging, busy]) {
  const stop = new AbortController();
  let attempts = 0;
  setTimeout(() => stop.abort(), 100);
  const fetch = (...request) => { attempts++; return answer(...request); };
  await assert.rejects(new Client(url, { fetch }).version({ signal: stop.signal }), { name: "AbortError" });
  assert.equal(attempts, 1);
}

// what never comes ends after the time-out, once; the answer of somebody else is said to be one
n = 0;
const silent = http.createServer(() => { n++; });
await new Promise((resolve) => silent.listen(0, "127.0.0.1", resolve));
await refused(new Client(`http://127.0.0.1:${silent.address().port}`, { timeout: 200 }).caption(bytes), "timeout", 0);
assert.equal(n, 1);
silent.closeAllConnections();
silent.close();
await refused(new Client(url, { fetch: async () => new Response("<h1>sign in</h1>") }).version(), "not_ours", 200);
for (const options of [{ timeout: 0 }, { timeout: "x" }, { retries: -1 }]) assert.throws(() => new Client(url, options), RangeError);

moody.closeAllConnections();
moody.close();
console.log("good");
