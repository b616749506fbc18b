// The pictures of this visit: none is ever lost, whatever fails. Look works on the chosen one, Match on all of them.
import { Fault } from "./api.js";
import { h, icon, plural, say } from "./dom.js";
import * as picture from "./picture.js";
import * as store from "./store.js";
import { inWords } from "./words.js";

const MOST = 24;
export const events = new EventTarget(); // "change": pictures or choice; "chosen": another one is looked at
export let pictures = [];
export let chosen = null;

const tell = (name) => events.dispatchEvent(new Event(name));

export async function restore() {
  const entries = (await store.tray.all()).sort((a, b) => a.key.localeCompare(b.key));
  pictures = [...entries.map(picture.make), ...pictures];
  tell("change");
  return pictures.length;
}

export function choose(p) {
  if (p === chosen) return;
  chosen = p;
  tell("change");
  tell("chosen");
}

function dropOldest() {
  while (pictures.length > MOST) {
    const oldest = pictures.find((p) => p !== chosen);
    remove(oldest);
  }
}

export function remove(p) {
  const at = pictures.indexOf(p);
  pictures.splice(at, 1);
  store.tray.remove(p.key);
  if (p.url) URL.revokeObjectURL(p.url);
  if (p === chosen) choose(pictures[Math.min(at, pictures.length - 1)] ?? null);
  else tell("change");
}

// Files in, pictures out; what is no picture is told in words. The last good one is chosen.
export async function add(files, name) {
  const faults = [];
  let last = null;
  for (const file of files) {
    try {
      last = await picture.take(file, name);
      pictures.push(last);
      picture.keep(last);
    } catch (error) {
      faults.push([file.name || "That", error instanceof Fault ? error : new Fault("corrupt_image", "unreadable")]);
    }
  }
  if (last) {
    choose(last);
    dropOldest();
    toast(null);
  }
  if (faults.length) toast(faults.map(([n, f]) => `${n}: ${inWords(f).title}. ${inWords(f).text}`).join(" "), true);
  return last;
}

// A note at the bottom, for five seconds or until the next; without a text it goes.
export function toast(text, stays = false) {
  const box = document.getElementById("toast");
  clearTimeout(box.timer);
  if (!text) return box.replaceChildren();
  const close = h("button.bare", { type: "button", "aria-label": "Close", onclick: () => box.replaceChildren() }, icon("close"));
  box.replaceChildren(h("div.note", {}, h("p", {}, text), close));
  if (!stays) box.timer = setTimeout(() => box.replaceChildren(), 5000);
}

// The strip of thumbnails with a place to add more.
export function strip(place, chooseFiles) {
  const draw = () => {
    const focused = document.activeElement?.closest?.("[data-key]")?.dataset.key;
    place.replaceChildren(h("ul.tray", { "aria-label": "Your pictures" },
      pictures.map((p) => h("li", {},
        h("button.thumb", { type: "button", "data-key": p.key, "aria-pressed": String(p === chosen), "aria-label": p.name, title: p.name, onclick: () => choose(p) },
          p.shown ? h("img", { src: p.url, alt: "" }) : h("span.format", {}, p.name.split(".").pop())),
        h("button.remove", { type: "button", "aria-label": `Put ${p.name} away`, onclick: () => { remove(p); say(`${p.name} is put away, ${plural(pictures.length, "picture")} left`); } }, icon("close")))),
      h("li", {}, h(`button.thumb.more${pictures.length ? "" : ".first"}`, { type: "button", "aria-label": "Add pictures", title: "Add pictures", onclick: chooseFiles },
        icon("plus"), !pictures.length && h("span", {}, "Add pictures")))));
    if (focused) place.querySelector(`[data-key="${focused}"]`)?.focus();
  };
  events.addEventListener("change", draw);
  draw();
}
