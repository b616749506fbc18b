// The corner that says what answers here and how it fares.
import { service } from "./action.js";
import { ask } from "./api.js";
import { $, h, milliseconds, percent } from "./dom.js";
import { setLimits } from "./words.js";

const CALM_MS = 5000, EAGER_MS = 1500, SOON_MS = 400;
let timer, isLost = false, wasReady = false;

function paint(state, text) {
  $(".dot", $("#status-button")).dataset.state = state;
  $("#status-text").textContent = text;
}

function row(name, value) {
  return [h("dt", {}, name), h("dd", {}, value)];
}

function panel(s) {
  const m = s.last_minute;
  $("#status-panel").replaceChildren(h("dl", {},
    row("Service", `minivlm-server ${s.version}`),
    row("Model", s.model ? `${s.model.name} ${s.model.version}` : "being loaded"),
    row("Load", s.load === null ? "–" : h("span.load", {}, h("span.bar-track", { "aria-hidden": "true" }, h("span.bar-fill", { style: { "--share": s.load } })), percent(s.load))),
    row("Last minute", m.answered + m.failed ? `${m.answered} answered${m.failed ? `, ${m.failed} failed` : ""}` : "no requests"),
    row("Half within", milliseconds(m.p50_ms)),
    row("99 % within", milliseconds(m.p99_ms)),
    row("Collections", s.collections ? "kept" : "not kept")));
}

const words = {
  ready: (s) => ["ready", s.model?.name ?? "ready"],
  loading: () => ["loading", "loading the model"],
  draining: () => ["loading", "going down"],
};

export async function check() {
  clearTimeout(timer);
  try {
    const { data } = await ask("status", { quiet: true, signal: AbortSignal.timeout(8000) });
    setLimits(data.limits);
    paint(...(words[data.state] ?? words.ready)(data));
    panel(data);
    const isReady = data.state === "ready";
    if (isReady && (isLost || !wasReady)) service.dispatchEvent(new Event("back"));
    isLost = false;
    wasReady = isReady;
  } catch (fault) {
    const isKey = fault.code === "unauthorized";
    isLost = !isKey;
    paint(isKey ? "loading" : "lost", isKey ? "needs a key" : "not reachable");
    $("#status-panel").replaceChildren(h("p", {}, isKey ? "The service tells more with an API key." : "The service does not answer. This page looks for it every few seconds."));
  }
  if (!document.hidden) timer = setTimeout(check, isLost || !wasReady ? EAGER_MS : CALM_MS);
}

export function start() {
  const button = $("#status-button"), box = $("#status-panel");
  const show = (on) => { box.hidden = !on; button.setAttribute("aria-expanded", String(on)); };
  button.addEventListener("click", () => show(box.hidden));
  document.addEventListener("click", (event) => { if (!box.contains(event.target) && !button.contains(event.target)) show(false); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !box.hidden) {
      show(false);
      button.focus();
    }
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) check(); });
  service.addEventListener("doubt", () => {
    isLost = true;
    clearTimeout(timer);
    timer = setTimeout(check, SOON_MS);
  });
  check();
}
