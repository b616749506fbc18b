// One attempt at something, at one place of the page: a quiet sign while it runs, its result, or a fault in words with a
// way on. Faults that pass by themselves are tried again: after Retry-After with a countdown, or when the service is back.
import { Fault } from "./api.js";
import { h } from "./dom.js";
import { inWords } from "./words.js";

const AUTOMATIC = 5; // tries that need no click
const LONG_MS = 3000; // then there is a way to stop it
const running = new WeakMap();

// Whoever watches the service (status.js) is told of a doubt that it is there, and says when it is "back".
export const service = new EventTarget();

export function giveUp(place) {
  running.get(place)?.abort();
  running.delete(place);
  place.removeAttribute("aria-busy");
}

// work(signal, clear, grow): draws its result into `place` itself; clear() takes the sign away, grow(element) puts what there is
// of the result in its place, which can be stopped like the sign. A new attempt at the same place takes the place of the old one.
export function attempt(place, work, { busy = "Looking", keeps = false } = {}) {
  giveUp(place);
  const controller = new AbortController();
  const { signal } = controller;
  running.set(place, controller);
  let automatic = 0, signpost = null, timer;

  const clear = () => { clearTimeout(timer); signpost?.remove(); signpost = null; };
  const put = (element) => {
    clear();
    signpost = element;
    if (!keeps) place.replaceChildren();
    place.append(element);
  };

  const wait = (sign) => {
    put(sign);
    timer = setTimeout(() => sign.append(h("button.link", { type: "button", onclick: stop }, "Stop")), LONG_MS);
  };

  async function go() {
    place.setAttribute("aria-busy", "true");
    wait(h("p.busy", {}, h("span", {}, busy), h("span.dots", { "aria-hidden": "true" }, h("i"), h("i"), h("i"))));
    try {
      await work(signal, clear, (element) => wait(h("div", {}, element)));
      if (!signal.aborted) clear();
    } catch (error) {
      if (!signal.aborted) show(error instanceof Fault ? error : mistake(error));
    } finally {
      if (!signal.aborted) place.removeAttribute("aria-busy");
    }
  }

  function show(fault) {
    const words = inWords(fault);
    const again = h("button", { type: "button", onclick: () => { automatic = 0; go(); } }, "Try again");
    const count = h("span.count", { "aria-hidden": "true" });
    put(h("div.fault", { "data-code": fault.code },
      h("div", { role: "alert" }, h("p.fault-title", {}, words.title), h("p", {}, words.text)),
      words.again && h("div.row", {}, again, count)));
    if (fault.code === "network" || fault.code === "not_ready") {
      service.dispatchEvent(new Event("doubt"));
      count.textContent = "waiting for the service";
      service.addEventListener("back", () => { if (!signal.aborted && signpost?.contains(count)) go(); }, { once: true });
    } else if (words.wait && automatic < AUTOMATIC) {
      automatic++;
      countDown(words.wait, count);
    }
  }

  function stop() {
    giveUp(place);
    const again = h("button", { type: "button", onclick: () => { clear(); attempt(place, work, { busy, keeps }); } }, "Try again");
    put(h("div.fault.quiet", { "data-code": "stopped" }, h("div", { role: "status" }, h("p.fault-title", {}, "Stopped"), h("p", {}, "You stopped this before there was an answer.")),
      h("div.row", {}, again)));
    again.focus();
  }

  function countDown(seconds, count) {
    const end = performance.now() + seconds * 1000;
    const tick = () => {
      if (signal.aborted || !count.isConnected) return;
      const left = Math.ceil((end - performance.now()) / 1000);
      if (left <= 0) {
        go();
        return;
      }
      count.textContent = `by itself in ${left} s`;
      setTimeout(tick, 250);
    };
    tick();
  }

  return go();
}

function mistake(error) {
  console.error(error);
  return new Fault("page", "this page made a mistake; reload it and try again. Your pictures are kept");
}
