// Talks to the service: one place for keys, time-outs, faults and streams. All addresses are relative to where the page
// was loaded from, so a path prefix in front of the service does no harm.

export const ROOT = new URL("../", import.meta.url);
const PATIENCE_MS = 60000; // the service answers within limits.timeout_ms, 30 s unless somebody has changed it
const KEY = "minivlm-key";

// What went wrong. `code` is the service's (docs/api.md), or "network", "timeout", "cancelled", "strange".
export class Fault extends Error {
  constructor(code, message, more = {}) {
    super(message);
    Object.assign(this, { code, status: 0, retryAfter: 0 }, more);
  }
}

// Kept for the tab; where nothing may be stored (cookies are blocked) for as long as the page is open.
let opened = "";
export const key = {
  get: () => {
    try {
      return sessionStorage.getItem(KEY) || "";
    } catch {
      return opened;
    }
  },
  set: (value) => {
    opened = value;
    try {
      sessionStorage.setItem(KEY, value);
    } catch {
      // then it is in `opened`
    }
  },
};

// Asks for a key where one is needed; set by the page: async (wasRefused) -> whether there is a new one to try.
let askForKey = async () => false;
export const onKeyNeeded = (ask) => { askForKey = ask; };

async function faultOf(response) {
  let error = null;
  try {
    error = (await response.json()).error;
  } catch {
    // not ours: a proxy's page, or cut short
  }
  const seconds = Number(response.headers.get("Retry-After")) || 0;
  if (!error || typeof error.message !== "string") {
    return new Fault("strange", `status ${response.status}`, { status: response.status, retryAfter: seconds });
  }
  return new Fault(error.code || "strange", error.message, { status: response.status, retryAfter: seconds, request: error.request_id });
}

async function send(path, options, signal) {
  const headers = new Headers(options.headers);
  if (key.get()) headers.set("Authorization", `Bearer ${key.get()}`);
  try {
    return await fetch(new URL(path, ROOT), { ...options, headers, signal, cache: "no-store", credentials: "same-origin" });
  } catch (error) {
    throw transportFault(error, signal);
  }
}

function transportFault(error, signal) {
  if (error instanceof Fault) return error;
  if (signal?.aborted) {
    return signal.reason instanceof Fault ? signal.reason : new Fault("cancelled", "given up");
  }
  return new Fault("network", "no connection");
}

// A clock that ends the request when nothing has come for too long, and a way to give it up.
function clockFor(outer) {
  const controller = new AbortController();
  let timer;
  const touch = () => {
    clearTimeout(timer);
    timer = setTimeout(() => controller.abort(new Fault("timeout", "no answer")), PATIENCE_MS);
  };
  const give = () => controller.abort(outer.reason);
  if (outer?.aborted) give();
  outer?.addEventListener("abort", give);
  touch();
  return { signal: controller.signal, touch, stop: () => { clearTimeout(timer); outer?.removeEventListener("abort", give); } };
}

async function open(path, options, clock, mayAsk) {
  for (;;) {
    const used = key.get();
    const response = await send(path, options, clock.signal);
    if (response.ok) return response;
    const fault = await faultOf(response);
    if (fault.code !== "unauthorized" || !mayAsk) throw fault;
    clock.stop(); // people may take their time
    if (!(key.get() !== used || (await askForKey(Boolean(used))))) throw fault;
    clock.touch();
  }
}

// "regions;dur=12.5, total;dur=20" -> {regions: 12.5, total: 20}
export function timingsOf(header) {
  const found = {};
  for (const part of (header || "").split(",")) {
    const match = /^\s*([\w-]+);dur=([\d.]+)/.exec(part);
    if (match) found[match[1]] = Number(match[2]);
  }
  return found;
}

// JSON in, JSON out: {data, timings, took}. `took` is what the browser measured. {quiet: true}: never ask for a key.
export async function ask(path, options = {}) {
  const { signal, quiet, ...rest } = options;
  const clock = clockFor(signal);
  try {
    let began = performance.now();
    const response = await open(path, rest, clock, !quiet);
    const text = await response.text();
    const took = performance.now() - began;
    let data = null;
    try {
      data = text ? JSON.parse(text) : null;
    } catch {
      throw new Fault("strange", "no JSON", { status: response.status });
    }
    return { data, took, timings: timingsOf(response.headers.get("Server-Timing")), cache: response.headers.get("X-Cache") };
  } catch (error) {
    throw transportFault(error, clock.signal);
  } finally {
    clock.stop();
  }
}

export const json = (value) => ({
  method: "POST", body: JSON.stringify(value), headers: { "Content-Type": "application/json" },
});

// Server-sent events: onText for each piece, the last answer as ask() gives it.
export async function stream(path, options, onText) {
  const { signal, ...rest } = options;
  const clock = clockFor(signal);
  try {
    const began = performance.now();
    const response = await open(path, rest, clock, true);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const timings = timingsOf(response.headers.get("Server-Timing"));
    let buffer = "", first = 0;
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new Fault("network", "the answer ended early");
      clock.touch();
      buffer += value;
      const events = buffer.split("\n\n");
      buffer = events.pop();
      for (const event of events) {
        const name = /^event: (.*)$/m.exec(event)?.[1];
        const data = JSON.parse(/^data: (.*)$/m.exec(event)?.[1] ?? "null");
        if (name === "error") throw new Fault(data?.error?.code ?? "strange", data?.error?.message ?? "");
        if (name === "done") {
          const took = performance.now() - began;
          return { data, took, timings: { "first word": timings.total ?? first, words: took - (timings.total ?? first) } };
        }
        first ||= performance.now() - began;
        if (data?.text) onText(data.text);
      }
    }
  } catch (error) {
    throw transportFault(error, clock.signal);
  } finally {
    clock.stop();
  }
}
