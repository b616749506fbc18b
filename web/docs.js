// The reference: Swagger UI, which the build brings along, over this service's openapi.json.
import { ask, key, ROOT } from "./api.js";
import { $ } from "./dom.js";
import { inWords } from "./words.js";

const chosen = document.documentElement.dataset.theme;
const isDark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
document.documentElement.classList.toggle("dark-mode", isDark); // the viewer's own name for it

// The viewer leaves out what a path says for all its methods, and fills optional parts of a form with values of its own.
function prepare(contract) {
  const named = (part) => (part.$ref ? part.$ref.slice(2).split("/").reduce((at, step) => at[step], contract) : part);
  for (const item of Object.values(contract.paths)) {
    const shared = item.parameters ?? [];
    delete item.parameters;
    for (const operation of Object.values(item)) {
      operation.parameters = [...shared, ...(operation.parameters ?? [])];
      const form = operation.requestBody?.content?.["multipart/form-data"]?.schema ?? {};
      for (const [name, part] of Object.entries(form.properties ?? {})) {
        const list = part.items ? part : part.anyOf?.find((one) => one.items); // of several ways to say it, the list
        const isKept = form.required?.includes(name) || named(part).examples || list?.items.format === "binary";
        if (!isKept) form.properties[name] = { ...(list ?? named(part)), default: list ? [] : "" };
      }
    }
  }
  contract.servers = [{ url: ROOT.href.replace(/\/$/, "") }]; // wherever a proxy or server.prefix has put it
}

function show(contract) {
  $("#before").hidden = true;
  prepare(contract);
  globalThis.SwaggerUIBundle({
    spec: contract, dom_id: "#viewer", deepLinking: true, tryItOutEnabled: true, displayRequestDuration: true,
    defaultModelsExpandDepth: 0, defaultModelExpandDepth: 2, validatorUrl: null,
    showMutatedRequest: false, // its line for curl is what was sent without the key
    requestInterceptor: (request) => {
      if (key.get()) request.headers.Authorization ??= `Bearer ${key.get()}`;
      return request;
    },
  });
}

async function load() {
  const isSecond = Boolean(key.get());
  try {
    show((await ask("openapi.json", { quiet: true })).data);
  } catch (fault) {
    const { title, text } = inWords(fault);
    const needsKey = fault.code === "unauthorized";
    $("#note").textContent = needsKey && isSecond ? "That key was not accepted." : `${title}. ${text}`;
    $("#key-row").hidden = !needsKey;
    if (needsKey) $("#key").focus();
  }
}

$("#before").addEventListener("submit", (event) => {
  event.preventDefault();
  key.set($("#key").value.trim());
  load();
});
load();
