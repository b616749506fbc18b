// Client of minivlm-server for browsers and Node 18 or later. What each method takes and gives: index.d.ts.

const LONGEST_WAIT_MS = 30000;

export class MiniVLMError extends Error {
  constructor(message, { status = 0, code = "unreachable", param = null, requestId = null, retryable = false } = {}) {
    super(message);
    this.name = "MiniVLMError";
    Object.assign(this, { status, code, param, requestId, retryable });
  }
}

const kept = (parameters) => Object.fromEntries(Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null));
const isId = (image) => typeof image === "object" && image !== null && typeof image.id === "string" && !(image instanceof Blob);

async function bytesOf(image) {
  if (image instanceof Blob) return new Uint8Array(await image.arrayBuffer());
  if (image instanceof ArrayBuffer) return new Uint8Array(image);
  if (ArrayBuffer.isView(image)) return new Uint8Array(image.buffer, image.byteOffset, image.byteLength);
  throw new TypeError("a picture is a Blob or File, an ArrayBuffer, a typed array (Node's Buffer), or {id} of an earlier answer; " +
    "addresses and paths are not fetched");
}

async function base64(image) {
  const bytes = await bytesOf(image);
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text);
}

// One picture in place of a list would be taken byte by byte.
function several(items, name) {
  if (!Array.isArray(items)) throw new TypeError(`${name} is an array; put the one that you have into brackets`);
  return items;
}

const inJson = async (image) => (isId(image) ? { id: image.id } : base64(image));

// An answer with a good status that is no JSON is somebody else's: a page to sign in on, for example.
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new MiniVLMError(`no answer of this service: ${text.slice(0, 200)}`, { status: 200, code: "not_ours" });
  }
}

const PASSING = [429, 502, 503, 504]; // from whoever says no more than the status

function errorOf(response, text) {
  try {
    const e = JSON.parse(text).error;
    return new MiniVLMError(e.message, { status: response.status, code: e.code, param: e.param, requestId: e.request_id, retryable: e.retryable ?? PASSING.includes(response.status) });
  } catch { // something in between answered
    return new MiniVLMError(`status ${response.status}: ${text.slice(0, 200)}`,
      { status: response.status, code: "not_ours", retryable: PASSING.includes(response.status) });
  }
}

// Retry-After in milliseconds, or NaN. It may be a date, which proxies send: counted from the answer's own Date, as clocks
// differ.
function retryAfterMs(headers) {
  const value = headers.get("Retry-After")?.trim() ?? "";
  if (/^\d{1,9}(\.\d+)?$/.test(value)) return Number(value) * 1000;
  if (!/^[A-Z][a-z]{2}/.test(value)) return NaN;
  const now = Date.parse(headers.get("Date") ?? "");
  return Math.max(0, Date.parse(value) - (Number.isNaN(now) ? Date.now() : now));
}

// What the service says, else half a second, one, two, ...; a little more, so that not all come at once.
function waitMs(response, attempt) {
  const told = response ? retryAfterMs(response.headers) : NaN;
  const wait = Number.isNaN(told) ? 500 * 2 ** attempt : told;
  return Math.min(wait, LONGEST_WAIT_MS) * (1 + Math.random() / 4);
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => { clearTimeout(timer); reject(signal.reason); };
    const timer = setTimeout(() => { signal?.removeEventListener("abort", stop); resolve(); }, ms);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}

// One attempt may take so long: its own signal, which is also the caller's. AbortSignal.any is too new for Node 18.
function patience(ms, signal) {
  const controller = new AbortController();
  const stop = () => controller.abort(signal.reason);
  const timer = setTimeout(() => controller.abort(new MiniVLMError(`no answer within ${ms} ms`, { code: "timeout" })), ms);
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop, { once: true });
  return { signal: controller.signal, end: () => { clearTimeout(timer); signal?.removeEventListener("abort", stop); } };
}

export class Client {
  constructor(url = "http://localhost:8080", { key, retries = 3, timeout = 60000, headers = {}, fetch: send = globalThis.fetch } = {}) {
    if (!(retries >= 0)) throw new RangeError("retries must be 0 or more");
    if (!(timeout > 0 && timeout < 2 ** 31)) throw new RangeError("timeout must be a number of milliseconds above 0");
    this.url = (/^[a-z][a-z0-9+.-]*:\/\//i.test(url) ? url : `http://${url}`).replace(/\/+$/, "");
    this.retries = retries;
    this.timeout = timeout;
    this.headers = { ...headers, ...(key === undefined ? {} : { Authorization: `Bearer ${key}` }) };
    this.fetch = (...request) => send(...request);
  }

  async send(method, path, { query = {}, body, json, signal } = {}) {
    const search = new URLSearchParams(kept(query)).toString();
    const headers = { ...this.headers, ...(json === undefined ? {} : { "Content-Type": "application/json" }) };
    if (body !== undefined) headers["Content-Type"] = "application/octet-stream";
    for (let attempt = 0; ; attempt++) {
      let response, error;
      const attempted = patience(this.timeout, signal);
      try {
        response = await this.fetch(this.url + path + (search && `?${search}`),
          { method, headers, body: json === undefined ? body : JSON.stringify(json), signal: attempted.signal });
        const text = await response.text();
        if (response.ok) return parsed(text);
        error = errorOf(response, text);
      } catch (e) {
        if (signal?.aborted) throw signal.reason;
        if (attempted.signal.aborted) throw attempted.signal.reason;
        if (e instanceof MiniVLMError) throw e;
        error = new MiniVLMError(`${this.url}: ${e.message}${e.cause ? `: ${e.cause.message || e.cause.code}` : ""}`, { retryable: true });
      } finally {
        attempted.end();
      }
      if (attempt >= this.retries || !error.retryable || error.status === 504) throw error;
      await pause(waitMs(response, attempt), signal);
    }
  }

  async withPicture(method, path, image, parameters, signal) {
    if (isId(image)) return this.send(method, path, { json: { image: { id: image.id }, ...kept(parameters) }, signal });
    return this.send(method, path, { query: parameters, body: await bytesOf(image), signal });
  }

  async caption(image, { numBeams, numCaptions, maxTokens, regions, timeoutMs, signal } = {}) {
    const parameters = { num_beams: numBeams, num_captions: numCaptions, max_tokens: maxTokens, regions, timeout_ms: timeoutMs };
    return this.withPicture("POST", "/caption", image, parameters, signal);
  }

  async ask(image, question, { topK, regions, timeoutMs, signal } = {}) {
    return this.withPicture("POST", "/vqa", image, { question, top_k: topK, regions, timeout_ms: timeoutMs }, signal);
  }

  async match(images, texts, { topK, signal } = {}) {
    const json = { images: await Promise.all(several(images, "images").map(inJson)), texts: several(texts, "texts"), ...kept({ top_k: topK }) };
    return this.send("POST", "/retrieve", { json, signal });
  }

  async rerank(query, images, { topN, signal } = {}) {
    const documents = await Promise.all(several(images, "images").map(async (image) => ({ image: await inJson(image) })));
    return this.send("POST", "/retrieve", { json: { query, documents, ...kept({ top_n: topN }) }, signal });
  }

  async store(collection, key, image, { signal } = {}) {
    return this.withPicture("PUT", collectionPath(collection, key), image, {}, signal);
  }

  async remove(collection, key, { signal } = {}) {
    return this.send("DELETE", collectionPath(collection, key), { signal });
  }

  async search(collection, text, { topK, signal } = {}) {
    return this.send("POST", "/retrieve", { json: { collection, text, ...kept({ top_k: topK }) }, signal });
  }

  async version({ signal } = {}) {
    return this.send("GET", "/version", { signal });
  }

  async *batch(images, call = (image) => this.caption(image), { concurrency = 4, onProgress } = {}) {
    if (typeof images === "string" || images instanceof Blob || images instanceof ArrayBuffer || ArrayBuffer.isView(images)) {
      throw new TypeError("a batch is of several pictures; put the one that you have into brackets");
    }
    if (!(concurrency >= 1)) throw new RangeError("concurrency must be 1 or more");
    const waiting = [];
    let done = 0;
    const one = async (image) => {
      let outcome;
      try {
        outcome = { image, ok: true, result: await call(image) };
      } catch (error) {
        outcome = { image, ok: false, error };
      }
      onProgress?.({ done: ++done, total: images.length });
      return outcome;
    };
    for await (const image of images) {
      waiting.push(one(image));
      if (waiting.length >= concurrency) yield await waiting.shift();
    }
    while (waiting.length) yield await waiting.shift();
  }
}

// Addresses lose parts "." and ".." on the way: images/.. would be the collection itself.
function collectionPath(collection, key) {
  const parts = key === undefined ? [] : key.split("/");
  if ([collection, ...parts].some((part) => part === "." || part === "..")) throw new TypeError('neither a collection nor a part of a key can be "." or ".."');
  const image = key === undefined ? "" : `/images/${parts.map(encodeURIComponent).join("/")}`;
  return `/collections/${encodeURIComponent(collection)}${image}`;
}
