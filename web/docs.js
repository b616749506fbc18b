// The reference: openapi.json as routes to read and to try. Only what the document says is on it.
import { $, fill, h } from "./dom.js";

const EXAMPLE_DEPTH = 6, PATIENCE_MS = 120000;
let contract;

const resolve = (thing) => {
  while (thing?.$ref) thing = thing.$ref.slice(2).split("/").reduce((at, step) => at[step.replaceAll("~1", "/").replaceAll("~0", "~")], contract);
  return thing;
};

// `names` between backquotes as code.
const prose = (text) => (text ?? "").split("`").map((part, i) => (i % 2 ? h("code", {}, part) : part));

// ---- schemas in words and as examples ----

function typeOf(given, depth = 0) {
  const schema = resolve(given) ?? {};
  const name = given?.$ref?.split("/").pop();
  if (schema.enum) return schema.enum.map((v) => JSON.stringify(v)).join(" | ");
  const choice = schema.oneOf ?? schema.anyOf;
  if (choice) return depth > 1 && name ? name : choice.map((part) => typeOf(part, depth + 1)).join(" | ");
  if (schema.format === "binary") return "file";
  if (schema.type === "array") return `list of ${typeOf(schema.items ?? {}, depth + 1)}`;
  if (schema.type === "object") return name ?? "object";
  const type = [schema.type ?? "anything"].flat().join(" | ");
  const range = schema.minimum !== undefined && schema.maximum !== undefined ? ` ${schema.minimum} to ${schema.maximum}` : "";
  return type + range;
}

function example(given, depth = 0) {
  const schema = resolve(given) ?? {};
  if (schema.examples) return schema.examples[0];
  if (schema.default !== undefined) return schema.default;
  if (schema.enum) return schema.enum[0];
  if (depth > EXAMPLE_DEPTH) return null;
  const choice = schema.oneOf ?? schema.anyOf;
  if (choice) return example(choice[0], depth + 1);
  if (schema.allOf) return Object.assign({}, ...schema.allOf.map((part) => example(part, depth + 1)));
  const type = [schema.type].flat()[0];
  if (type === "object") {
    const names = schema.required ?? Object.keys(schema.properties ?? {}).slice(0, 2);
    return Object.fromEntries(names.map((name) => [name, example(schema.properties[name], depth + 1)]));
  }
  if (type === "array") return [example(schema.items ?? {}, depth + 1)];
  if (type === "integer" || type === "number") return schema.minimum ?? 0;
  if (type === "boolean") return false;
  return type === "string" ? "" : null;
}

function properties(given) {
  const schema = resolve(given) ?? {};
  const parts = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (parts && !schema.properties) return parts.map((part) => [h("p", { class: "plain-note" }, typeOf(part)), properties(part)]);
  if (schema.type === "array") return properties(schema.items);
  const rows = Object.entries(schema.properties ?? {}).map(([name, part]) => h("tr", {},
    h("th", {}, h("code", {}, name), schema.required?.includes(name) ? " *" : ""), h("td", {}, typeOf(part)),
    h("td", { class: "plain-note" }, prose(resolve(part).description))));
  return rows.length ? h("table", {}, h("tbody", {}, rows)) : [];
}

// ---- trying ----

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const fieldValue = (input) => (input.type === "file" ? input.files : input.value);

function bodyFields(content, media) {
  const schema = resolve(content[media].schema) ?? {};
  if (media === "multipart/form-data") {
    return Object.entries(schema.properties).map(([name, part]) => {
      const isFile = typeOf(part).includes("file");
      return h("label", {}, name, h("input", { name, "data-part": "form", type: isFile ? "file" : "text", multiple: isFile, placeholder: isFile ? null : typeOf(part) }));
    });
  }
  if (schema.format === "binary") return h("label", { class: "wide" }, "body", h("input", { "data-part": "file", type: "file" }));
  const text = JSON.stringify(example(content[media].schema), null, 1);
  const area = h("textarea", { "data-part": "text", spellcheck: "false" });
  area.value = text;
  const picture = h("input", { type: "file", onchange: async () => {
    const reader = new FileReader();
    reader.onload = () => { area.setRangeText(reader.result, area.selectionStart, area.selectionEnd, "end"); };
    if (picture.files[0]) reader.readAsDataURL(picture.files[0]);
  } });
  return [h("label", { class: "wide" }, "body (JSON)", area), h("label", {}, "put a picture where the cursor is", picture)];
}

// The request that the form says: address, options for fetch, and the same for curl.
function request(form, route) {
  let path = route.path;
  const query = new URLSearchParams(), headers = {}, words = ["curl"];
  const key = $("#key").value;
  if (key) headers.Authorization = `Bearer ${key}`;
  for (const input of form.querySelectorAll("[data-in]")) {
    const value = input.value;
    if (input.dataset.in === "path") path = path.replace(`{${input.name}}`, value.split("/").map(encodeURIComponent).join("/"));
    else if (value && input.dataset.in === "query") for (const line of value.split("\n")) query.append(input.name, line);
    else if (value) headers[input.name] = value;
  }
  let body;
  for (const input of form.querySelectorAll("[data-part]")) {
    const value = fieldValue(input), part = input.dataset.part;
    if (part === "form") {
      body ??= new FormData();
      for (const file of input.type === "file" ? value : value ? [value] : []) {
        body.append(input.name, file);
        words.push(`-F ${shell(`${input.name}=${file instanceof File ? `@${file.name}` : file}`)}`);
      }
    } else if (part === "file" && value[0]) {
      body = value[0];
      headers["Content-Type"] = "application/octet-stream";
      words.push(`--data-binary ${shell(`@${value[0].name}`)}`);
    } else if (part === "text" && value) {
      body = value;
      headers["Content-Type"] = "application/json";
      words.push(`-d ${shell(value.length > 600 ? "…" : value)}`);
    }
  }
  const address = new URL(`.${path}${query.size ? `?${query}` : ""}`, document.baseURI);
  if (route.method !== "get") words.splice(1, 0, `-X ${route.method.toUpperCase()}`);
  for (const [name, value] of Object.entries(headers)) words.push(`-H ${shell(`${name}: ${name === "Authorization" ? "Bearer KEY" : value}`)}`);
  return { address, options: { method: route.method.toUpperCase(), headers, body }, curl: `${words.join(" ")} ${shell(address.href)}` };
}

async function send(form, route, out) {
  const { address, options, curl } = request(form, route);
  fill(out, h("p", { class: "hint" }, "Asking …"));
  const began = performance.now();
  try {
    const answer = await fetch(address, { ...options, signal: AbortSignal.timeout(PATIENCE_MS) });
    const text = await answer.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 1); } catch { /* no JSON: as it is */ }
    fill(out, h("p", { class: answer.ok ? "status-good" : "status-bad" }, `${answer.status} ${answer.statusText}, ${Math.round(performance.now() - began)} ms`),
      h("pre", { tabindex: "0", "aria-label": "the answer" }, shown.slice(0, 200000)), h("h3", {}, "The same with curl"), h("pre", { tabindex: "0" }, curl));
  } catch (error) {
    const why = error.name === "TimeoutError" ? `No answer came within ${PATIENCE_MS / 1000} seconds` : `The service was not reached: ${error.message}`;
    fill(out, h("p", { class: "status-bad" }, why), h("pre", { tabindex: "0" }, curl));
  }
}

function tryForm(route) {
  const content = route.operation.requestBody?.content, medias = Object.keys(content ?? {});
  const body = h("div", { class: "fields" }), out = h("div", { "aria-live": "polite" });
  const choose = h("select", { onchange: () => fill(body, bodyFields(content, choose.value)) }, medias.map((m) => h("option", {}, m)));
  if (medias.length) fill(body, bodyFields(content, medias[0]));
  const inputs = route.parameters.map((p) => h("label", {}, p.name + (p.required ? " *" : ""),
    h("input", { name: p.name, "data-in": p.in, required: p.required, placeholder: typeOf(p.schema),
      value: p.required ? String(example(p.schema) ?? "") : null })));
  return h("form", { onsubmit: (event) => { event.preventDefault(); send(event.target, route, out); } },
    h("h3", {}, "Try it"), h("div", { class: "fields" }, inputs), medias.length ? h("label", {}, "body as", choose) : null, body,
    h("button.primary", { type: "submit" }, "Send"), out);
}

// ---- routes ----

function details(route) {
  const { operation, parameters } = route, content = operation.requestBody?.content;
  const statuses = Object.entries(operation.responses).map(([status, response]) => h("tr", {}, h("th", {}, status),
    h("td", { class: "plain-note" }, prose(resolve(response).description))));
  const answer = Object.entries(resolve(operation.responses["200"] ?? operation.responses["201"])?.content ?? {});
  return h("div", {}, h("p", {}, prose(operation.description)), operation["x-port"] ? h("p", { class: "plain-note" }, `Port: ${operation["x-port"]}.`) : null,
    parameters.length ? [h("h3", {}, "Parameters"), h("table", {}, h("tbody", {}, parameters.map((p) => h("tr", {},
      h("th", {}, h("code", {}, p.name), p.required ? " *" : ""), h("td", {}, `${p.in}: ${typeOf(p.schema)}`),
      h("td", { class: "plain-note" }, prose(p.description ?? resolve(p.schema).description))))))] : null,
    content ? [h("h3", {}, "Body"), Object.entries(content).map(([media, one]) => [h("p", {}, h("code", {}, media)), properties(one.schema)])] : null,
    h("h3", {}, "Answers"), answer.map(([media, one]) => [h("p", {}, h("code", {}, media), ` ${typeOf(one.schema)}`), properties(one.schema)]),
    h("table", {}, h("tbody", {}, statuses)), tryForm(route));
}

function row(route) {
  const element = h("details.route", { id: route.operation.operationId, ontoggle: () => {
    if (element.open && element.children.length === 1) element.append(details(route));
  } }, h("summary", {}, h("span.method", {}, route.method.toUpperCase()), h("span.path", {}, route.path),
    h("span.plain-note", {}, route.operation.summary)));
  element.dataset.words = `${route.method} ${route.path} ${route.operation.summary} ${route.operation.tags.join(" ")}`.toLowerCase();
  return element;
}

function show() {
  const methods = ["get", "head", "post", "put", "delete"];
  const routes = Object.entries(contract.paths).flatMap(([path, item]) => methods.filter((m) => item[m]).map((method) => ({
    path, method, operation: item[method], parameters: [...(item.parameters ?? []), ...(item[method].parameters ?? [])].map(resolve) })));
  fill($("#about"), `${contract.info.summary} Version ${contract.info.version}. Read from `, h("a", { href: "openapi.json" }, "openapi.json"), ".");
  fill($("#routes"), contract.tags.map((tag) => h("section", {}, h("h2", {}, tag.name), h("p", { class: "plain-note" }, prose(tag.description)),
    routes.filter((r) => r.operation.tags.includes(tag.name)).map(row))));
  const wanted = document.getElementById(location.hash.slice(1));
  if (wanted) { wanted.open = true; wanted.scrollIntoView(); }
}

function find() {
  const words = $("#filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const route of document.querySelectorAll("details.route")) route.hidden = !words.every((word) => route.dataset.words.includes(word));
  for (const section of document.querySelectorAll("main section")) section.hidden = !section.querySelector("details.route:not([hidden])");
}

async function load() {
  const key = $("#key").value;
  try {
    const answer = await fetch("openapi.json", key ? { headers: { Authorization: `Bearer ${key}` } } : {});
    if (answer.status === 401) return fill($("#routes"), h("p", { class: "status-bad" }, "This service shows its contract to callers with an API key: enter yours above."));
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    contract = await answer.json();
    show();
    find();
  } catch (error) {
    fill($("#routes"), h("p", { class: "status-bad" }, `openapi.json could not be read: ${error.message}. Reload the page to try again.`));
  }
}

$("#filter").addEventListener("input", find);
$("#key").addEventListener("change", () => { if (!contract) load(); });
load();
