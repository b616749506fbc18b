// Small helpers for building the page. No text ever goes through innerHTML.

export const $ = (selector, root = document) => root.querySelector(selector);

// h("button.quiet", {type: "button", onclick}, "Text", child, ...) -> element. Attributes: on* are listeners, booleans
// are present or absent, `style` is an object of custom properties and the like.
export function h(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "style") for (const [k, v] of Object.entries(value)) element.style.setProperty(k, v);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...there(children));
  return element;
}

// Children may be lists in lists, and null or false where there is none.
const there = (children) => children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false && c !== "");

export function fill(element, ...children) {
  element.replaceChildren(...there(children));
}

const SVG = "http://www.w3.org/2000/svg";

// icon("camera") -> a decorative drawing of index.html's <symbol id="i-camera">
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

export const percent = (x) => `${x >= 0.995 || x < 0.0005 ? Math.round(x * 100) : (x * 100).toFixed(x < 0.1 ? 1 : 0)} %`;

export function milliseconds(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms >= 1000) return `${(ms / 1000).toFixed(ms < 10000 ? 1 : 0)} s`;
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

export function plural(n, one, many = `${one}s`) {
  return `${n} ${n === 1 ? one : many}`;
}

// What a screen reader should hear, without moving the focus.
let turn = 0;
export function say(text) {
  turn = 1 - turn; // two regions by turns, so that the same words are heard again
  $("#say-0").textContent = turn ? "" : text;
  $("#say-1").textContent = turn ? text : "";
}

// A bar with a name before it and a value behind it.
export function bar(name, share, value, extra = "") {
  return h(`li.bar${extra}`, {},
    h("span.bar-name", {}, name),
    h("span.bar-track", { "aria-hidden": "true" }, h("span.bar-fill", { style: { "--share": Math.max(0, Math.min(1, share)) } })),
    h("span.bar-value", {}, value));
}
