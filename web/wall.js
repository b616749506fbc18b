// A collection of the service as a wall of pictures with a search box. The service keeps no pictures: thumbnails are made
// here and kept in this browser.
import { attempt, giveUp } from "./action.js";
import { ask, Fault, json } from "./api.js";
import { $, fill, h, icon, percent, plural, say } from "./dom.js";
import { take, thumbnail } from "./picture.js";
import * as store from "./store.js";
import * as tray from "./tray.js";
import { forPut, forSearch, under } from "./under.js";
import { inWords, NEVER } from "./words.js";

const PAGE = 200, AT_ONCE = 2, TRIES = 8;
const OF_ALL = new Set(["network", "too_many_inputs", "unauthorized", "forbidden", "collection_unavailable"]); // faults that the next picture would have too
let name = "photographs", images = [], next = null, opened = false;
let searching = 0;
const urls = new Map(); // key -> object URL of its thumbnail
const faceless = new Set(); // keys of which this browser has no picture

const at = (key, of = name) => `collections/${encodeURIComponent(of)}${key === undefined ? "" : `/images/${key.split("/").map(encodeURIComponent).join("/")}`}`;
const wait = (ms, signal) => new Promise((resolve) => {
  setTimeout(resolve, ms);
  signal.addEventListener("abort", resolve, { once: true });
});

// ---- tiles ----

async function face(tile, key) {
  const of = name;
  let url = urls.get(key);
  if (!url) {
    const blob = await store.thumbs.get(of, key);
    if (of !== name) return;
    if (!blob) {
      faceless.add(key);
      if (!$("#search").value.trim()) describe();
      return;
    }
    faceless.delete(key);
    url = URL.createObjectURL(blob);
    urls.set(key, url);
  }
  tile.querySelector(".face").replaceChildren(h("img", { src: url, alt: "", loading: "lazy" }));
}

function tile({ key, score, stale }, rank) {
  const element = h("li.tile", { "data-key": key },
    h("button.open", { type: "button", "aria-label": score === undefined ? key : `${rank}. ${key}, ${percent(score)}`, onclick: () => look(key) }, h("span.face", {}, h("span.name", {}, key))),
    h("div.tile-foot", {}, h("span.file", { title: key }, key), score !== undefined && h("span.score", {}, percent(score)),
      stale && h("span.stale", { title: "Stored with another model: add it again" }, "stale")),
    h("button.remove", { type: "button", "aria-label": `Remove ${key}`, onclick: () => removeOne(key, element) }, icon("close")));
  face(element, key);
  return element;
}

async function look(key) {
  const blob = await store.thumbs.get(name, key);
  if (!blob) {
    tray.toast("This browser has no copy of that picture: it was added from elsewhere.");
    return;
  }
  await tray.add([blob], key.split("/").pop().replace(/(\.\w+)?$/, ".jpg"));
  location.hash = "#look";
}

function sure(title, text) {
  const dialog = $("#sure-dialog");
  $("#sure-title").textContent = title;
  $("#sure-text").textContent = text;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

const unless = (code) => (fault) => { if (fault.code !== code) throw fault; };

async function removeOne(key, element) {
  if (!(await sure("Remove this picture?", `${key} is taken out of the collection “${name}”. The file it came from stays.`))) return;
  attempt($("#wall-faults"), async (signal) => {
    await ask(at(key), { method: "DELETE", signal }).catch(unless("not_found")); // gone already is as good
    store.thumbs.remove(name, key);
    images = images.filter((i) => i.key !== key);
    element.remove();
    describe();
    say(`${key} is removed`);
    $("#search").focus();
  }, { busy: "Removing" });
}

// ---- the whole ----

function describe() {
  const why = images.some((i) => faceless.has(i.key)) ? ". Grey ones were added elsewhere: the service keeps no pictures, and this browser has no copy." : "";
  $("#wall-note").textContent = images.length ? `${plural(images.length, "picture")}${next ? " and more" : ""} in “${name}”${why}` : "";
}

function drawAll() {
  fill($("#wall-under"), next && h("div.row.centre", {}, h("button", { type: "button", onclick: () => more() }, "Show more")));
  $("#wall-grid").replaceChildren(...images.map((i) => tile(i)));
  if (!images.length) $("#wall-grid").replaceChildren(h("li.empty", {}, h("p", {}, "Nothing here yet."), h("p.hint", {}, "Drop photographs anywhere on this page, or press Add pictures. What is kept on the service is what the model saw, not the pictures.")));
  describe();
}

async function page(signal, after) {
  const query = new URLSearchParams({ limit: PAGE, ...(after === undefined ? {} : { after }) });
  return (await ask(`${at()}?${query}`, { signal })).data;
}

function more() {
  attempt($("#wall-faults"), async (signal) => {
    const data = await page(signal, next).catch(unless("not_found"));
    if (data) {
      images.push(...data.images);
      next = data.next;
      drawAll();
    } else {
      gone();
    }
  }, { busy: "Opening" });
}

// Somebody else has removed the collection: it is empty now, and the page says why.
function gone() {
  images = [];
  next = null;
  $("#search").value = "";
  if (!isAdding) $("#wall-progress").replaceChildren();
  drawAll();
  $("#wall-note").textContent = `The collection “${name}” has been removed by somebody else. It begins anew with the next picture.`;
}

async function names(signal) {
  const { data } = await ask("collections", { signal });
  const known = (data.collections ?? []).map((c) => c.name);
  $("#wall-names").replaceChildren(...known.map((n) => h("option", { value: n })));
  return known;
}

export function open(wanted = name) {
  if (wanted !== name) {
    for (const url of urls.values()) URL.revokeObjectURL(url);
    urls.clear();
    faceless.clear();
  }
  name = wanted;
  opened = true;
  $("#wall-name").value = name;
  attempt($("#wall-faults"), async (signal) => {
    try {
      const isKnown = (await names(signal)).includes(name);
      const data = isKnown ? await page(signal) : { images: [], next: null }; // it begins with its first picture
      images = data.images;
      next = data.next;
    } catch (fault) {
      if (fault.code !== "not_found") throw fault;
      offHere();
      return;
    }
    drawAll();
  }, { busy: "Opening" });
}

function offHere() {
  for (const id of ["#search-form", "#wall-name-form"]) $(id).hidden = true;
  $("#wall-grid").replaceChildren(h("li.empty", {}, h("p", {}, "This service keeps no collections."),
    h("p.hint", {}, "Whoever runs it can switch them on with one flag:"), h("code", {}, "--collections.path=pictures.db")));
}

// ---- adding ----

// Its id, as the service makes it where there are no keys; "" where the browser cannot say (plain HTTP).
async function idOf(blob) {
  const digest = await crypto.subtle?.digest("SHA-256", await blob.arrayBuffer());
  return digest ? [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, "0")).join("") : "";
}

// Phones call every photograph image.jpg: another picture of the same name gets a number, the same one replaces itself.
function keyFor(p, id) {
  const [, stem, end] = /^(.*?)(\.\w+)?$/.exec(p.name);
  for (let n = 1; ; n++) {
    const key = n === 1 ? p.name : `${stem}-${n}${end ?? ""}`;
    const there = images.find((i) => i.key === key);
    if (!there || there.stale || (id && there.id === id)) return key;
  }
}

async function storeOne({ file, of }, signal) {
  const p = await take(file);
  const id = await idOf(p.blob);
  if (of === name) p.name = keyFor(p, id);
  const image = { key: p.name, stale: false, id };
  const known = images.findIndex((i) => i.key === p.name);
  if (of === name && known < 0) images.push(image); // the name is taken from now on
  else if (of === name) images[known] = image;
  let answer;
  for (let n = 1; ; n++) {
    try {
      answer = await ask(at(p.name, of), { method: "PUT", body: p.blob, headers: { "Content-Type": "application/octet-stream" }, signal });
      break;
    } catch (fault) {
      const words = fault instanceof Fault ? inWords(fault) : {};
      if (signal.aborted || n === TRIES || !(words.wait || fault.code === "network")) {
        if (known < 0) images = images.filter((i) => i !== image);
        throw fault;
      }
      await wait((words.wait || 2) * 1000, signal);
    }
  }
  const small = await thumbnail(p.blob);
  if (small) await store.thumbs.put(of, p.name, small);
  if (p.url) URL.revokeObjectURL(p.url);
  if (of !== name) return { name: p.name, answer }; // another collection was opened meanwhile
  const url = urls.get(p.name);
  if (url) URL.revokeObjectURL(url);
  urls.delete(p.name);
  image.id = answer.data.image.id;
  return { name: p.name, answer };
}

export const add = (files) => queueUp([...files].map((file) => ({ file, of: name })));

function queueUp(entries) {
  waiting.push(...entries);
  if (!isAdding) addAll();
}

const waiting = []; // {file, of: its collection}; those chosen while others are being added join the queue
let isAdding = false;

function addAll() {
  const queue = waiting, faults = [];
  let done = 0, running = 0, added = 0, last = null;
  const rest = []; // those that were not begun or were stopped
  const end = () => { rest.push(...queue.splice(0)); };
  isAdding = true;
  attempt($("#wall-progress"), async (signal, clear) => {
    const progress = h("progress", { "aria-label": "Pictures added" });
    const text = h("span.hint");
    const stop = h("button.link", { type: "button", onclick: () => { end(); giveUp($("#wall-progress")); } }, "Stop");
    const tell = () => {
      progress.max = done + queue.length + running;
      progress.value = done;
      text.textContent = `${done} of ${done + queue.length + running}`;
    };
    clear();
    $("#wall-progress").replaceChildren(h("div.row.progress", {}, progress, text, stop));
    const worker = async () => {
      while (queue.length && !signal.aborted) {
        const entry = queue.shift();
        running++;
        tell();
        try {
          last = await storeOne(entry, signal);
          added++;
        } catch (fault) {
          if (signal.aborted) rest.push(entry);
          else faults.push([entry, fault]);
          if (OF_ALL.has(fault.code)) end();
        }
        running--;
        done++;
        tell();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    isAdding = false;
    images.sort((a, b) => (a.key < b.key ? -1 : 1));
    if ($("#search").value.trim()) search();
    else drawAll();
    fill($("#wall-progress"), rest.length > 0 && stopped(rest), faults.length > 0 && failed(faults), last && under(last.answer, forPut(name, last.name), `${plural(added, "picture")} added`));
    say(`${plural(added, "picture")} added${faults.length ? `, ${faults.length} failed` : ""}`);
  }, { busy: "Adding" });
}

function stopped(rest) {
  return h("div.row.progress", {}, h("p.hint", {}, `Stopped: ${plural(rest.length, "picture")} not added.`),
    h("button", { type: "button", onclick: () => queueUp(rest) }, "Go on"));
}

function failed(faults) {
  const passing = faults.filter(([, fault]) => !NEVER.has(fault.code)).map(([entry]) => entry);
  return h("div.fault", {}, h("div", { role: "alert" }, h("p.fault-title", {}, `${plural(faults.length, "picture")} could not be added`)),
    h("ul", {}, faults.map(([{ file }, fault]) => { const w = inWords(fault instanceof Fault ? fault : new Fault("corrupt_image", "")); return h("li", {}, h("b", {}, file.name), ` ${w.title}. ${w.text}`); })),
    passing.length > 0 && h("div.row", {}, h("button", { type: "button", onclick: () => queueUp(passing) }, "Try again")));
}

// ---- searching ----

function search() {
  const text = $("#search").value.trim();
  const mine = ++searching;
  if (!text) {
    $("#wall-faults").replaceChildren();
    drawAll();
    return;
  }
  if (!isAdding && !$("#wall-progress .fault")) $("#wall-progress").replaceChildren(); // what was added before is no news now
  attempt($("#wall-faults"), async (signal) => {
    const query = { collection: name, text, top_k: 48 };
    const answer = await ask("retrieve", { ...json(query), signal }).catch(unless("not_found"));
    if (mine !== searching) return;
    if (!answer) {
      gone();
      return;
    }
    const { results, scanned, reranked } = answer.data;
    $("#wall-grid").replaceChildren(...results.map((r, i) => tile(r, i + 1)));
    $("#wall-note").textContent = results.length ? `${plural(results.length, "picture")}, best first; ${reranked} of ${scanned} were looked at closely` : "Nothing found.";
    $("#wall-under").replaceChildren(under(answer, forSearch(query)));
    say(results.length ? `${plural(results.length, "picture")} found; best is ${results[0].key}` : "Nothing found");
  }, { busy: "Searching" });
}

export function start() {
  let timer;
  $("#search").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, 350);
  });
  $("#search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    search();
  });
  $("#wall-name-form").addEventListener("submit", (event) => {
    event.preventDefault();
    open($("#wall-name").value.trim() || "photographs");
  });
  $("#sure-yes").addEventListener("click", () => $("#sure-dialog").close("yes"));
}

export const enter = () => { if (!opened) open(); };
