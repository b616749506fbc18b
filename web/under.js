// What lies under an answer: how long each part took, and the same as a line of curl or Python.
import { key, ROOT } from "./api.js";
import { h, icon, milliseconds, say } from "./dom.js";

const STAGES = {
  recv: "upload", decode: "decode", queue: "wait", regions: "find regions", fusion: "read and answer",
  "first word": "first word", words: "further words",
};

// Bars one behind the other; stages of several jobs may overlap, so none begins after the whole would end.
function waterfall({ timings, took }) {
  const total = Math.max(took, timings.total ?? 0, 0.01);
  const rows = [];
  let at = 0;
  for (const [name, label] of Object.entries(STAGES)) {
    const ms = timings[name];
    if (ms === undefined || ms < 0.005) continue;
    const width = Math.min(ms, total);
    rows.push([name, label, Math.min(at, total - width), width, ms]);
    at = Math.min(at + width, total);
  }
  const unnamed = Math.min(timings.total ?? 0, total) - at; // between its stages, above all the wait for a core
  if (unnamed > 0.5) rows.push(["other", "waiting and the rest", at, unnamed, unnamed]);
  const rest = total - Math.max(at, timings.total ?? 0);
  if (rest > 0.5) rows.push(["network", "network and browser", total - rest, rest, rest]);
  return h("ol.waterfall", { "aria-label": `${milliseconds(took)} in all` }, rows.map(([name, label, start, width, ms]) =>
    h("li", {},
      h("span.bar-name", {}, label),
      h("span.fall", { "aria-hidden": "true" }, h("span", {
        "data-stage": name.replace(" ", "-"), style: { "--from": start / total, "--share": width / total },
      })),
      h("span.bar-value", {}, milliseconds(ms)))));
}

// What is read aloud begins with what is seen.
function showCopied(button, name, word) {
  button.lastChild.textContent = word;
  button.setAttribute("aria-label", `${word} the ${name} line`);
}

async function copy(text, button, name) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { readonly: true, class: "unseen" }); // no clipboard without HTTPS, but for localhost
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  showCopied(button, name, "Copied");
  say("Copied");
  setTimeout(() => showCopied(button, name, "Copy"), 1500);
}

function codeBlock(name, text) {
  const button = h("button.bare.copy", { type: "button" }, icon("copy"), h("span"));
  showCopied(button, name, "Copy");
  button.addEventListener("click", () => copy(text, button, name));
  return h("div.code", {}, h("div.code-head", {}, h("span", {}, name), button), h("pre", { tabindex: "0", "aria-label": `${name} code` }, h("code", {}, text)));
}

// answer: of ask(); code: of the builders below; note: a word more for the summary.
export function under(answer, code, note = "") {
  return h("details.under", {},
    h("summary", {}, h("span.took", {}, milliseconds(answer.took)), note && h("span", {}, ` · ${note}`), h("span.more", {}, "time and code")),
    waterfall(answer), codeBlock("curl", code.curl), codeBlock("Python", code.python));
}

// ---- lines to copy ----

const shell = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
const py = (value) => (value === true ? "True" : value === false ? "False" : JSON.stringify(value));
const url = (path) => new URL(path, ROOT).href;
const curlKey = () => (key.get() ? " \\\n     -H \"Authorization: Bearer $MINIVLM_KEY\"" : "");
const pyImports = (more = []) => `${[...more, ...(key.get() ? ["os"] : []), "requests"].map((m) => `import ${m}`).join("\n")}\n\n`;
const pyKey = () => (key.get() ? "\n        headers={\"Authorization\": f\"Bearer {os.environ['MINIVLM_KEY']}\"}," : "");

// One picture as the body, parameters in the query.
export function forPicture(path, picture, parameters, print, { streams = false } = {}) {
  const query = new URLSearchParams();
  for (const [k, v] of Object.entries(parameters)) for (const one of [v].flat()) query.append(k, one);
  const target = url(path) + (query.size ? `?${query}` : "");
  const params = Object.entries(parameters).map(([k, v]) => `${py(k)}: ${py(String(v))}`).join(", ");
  return {
    curl: `curl${streams ? " -N" : ""} --data-binary ${shell(`@${picture.name}`)}${curlKey()} \\\n     ${shell(target)}`,
    python: `${pyImports()}with open(${py(picture.name)}, "rb") as picture:\n    answer = requests.post(\n        ${py(url(path))},\n        params={${params}},${pyKey()}\n        data=picture).json()\nprint(${print})`,
  };
}

export function forMatch(pictures, texts) {
  const names = pictures.map((p) => p.name);
  return {
    curl: `curl ${names.map((n) => `-F ${shell(`image=@${n}`)}`).join(" ")} \\\n     ${texts.map((t) => `--form-string ${shell(`texts=${t}`)}`).join(" \\\n     ")}${curlKey()} \\\n     ${shell(url("retrieve"))}`,
    python: `${pyImports()}files = [("image", open(name, "rb")) for name in ${py(names)}]\nanswer = requests.post(\n        ${py(url("retrieve"))},\n        data={"texts": ${py(texts)}},${pyKey()}\n        files=files).json()\nfor found in answer["results"]:\n    print(found["score"], found["image"], found["text"])`,
  };
}

export function forSearch(query) {
  return {
    curl: `curl -H 'Content-Type: application/json'${curlKey()} \\\n     -d ${shell(JSON.stringify(query))} \\\n     ${shell(url("retrieve"))}`,
    python: `${pyImports()}answer = requests.post(\n        ${py(url("retrieve"))},${pyKey()}\n        json=${py(query)}).json()\nfor found in answer["results"]:\n    print(found["score"], found["key"])`,
  };
}

export function forPut(collection, name) {
  const path = `collections/${collection}/images/${encodeURIComponent(name)}`;
  return {
    curl: `curl -X PUT --data-binary ${shell(`@${name}`)}${curlKey()} \\\n     ${shell(url(path))}`,
    python: `${pyImports()}with open(${py(name)}, "rb") as picture:\n    answer = requests.put(\n        ${py(url(path))},${pyKey()}\n        data=picture).json()\nprint(answer["image"]["id"])`,
  };
}
