// Puts the page together: views, ways in for pictures, keys, light and dark.
import { key, onKeyNeeded } from "./api.js";
import { $ } from "./dom.js";
import * as look from "./look.js";
import * as match from "./match.js";
import * as status from "./status.js";
import * as tray from "./tray.js";
import * as wall from "./wall.js";

const VIEWS = ["look", "match", "wall"];
const view = () => VIEWS.find((v) => location.hash === `#${v}`) ?? "look";

function turn() {
  for (const v of VIEWS) $(`#${v}`).hidden = v !== view();
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === view()) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `minivlm – ${$(`#${view()} h1`).textContent}`;
  if (view() === "wall") wall.enter();
}

// ---- pictures in ----

function take(files) {
  if (!files.length) return;
  if (view() === "wall") wall.add(files);
  else tray.add(files);
}

const chooseFiles = () => $("#file").click();

function ways() {
  for (const button of document.querySelectorAll("[data-choose]")) button.addEventListener("click", chooseFiles);
  for (const button of document.querySelectorAll("[data-photograph]")) button.addEventListener("click", photograph);
  $("#wall-add").addEventListener("click", chooseFiles);
  for (const input of [$("#file"), $("#shot")]) {
    input.addEventListener("change", () => {
      take([...input.files]);
      input.value = "";
    });
  }
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) {
      event.preventDefault();
      take(files.map((f, i) => new File([f], f.name && f.name !== "image.png" ? f.name : `pasted-${Date.now() % 1e6}${i || ""}.png`, { type: f.type })));
    } else if (!isField(event.target)) {
      tray.toast("The clipboard holds no picture. Copy a picture itself rather than its address, or choose a file.");
    }
  });
  let depth = 0;
  const isFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => { if (isFiles(event)) { depth++; $("#drop").hidden = false; } });
  document.addEventListener("dragleave", (event) => { if (isFiles(event) && --depth <= 0) { depth = 0; $("#drop").hidden = true; } });
  const isOurs = (event) => isFiles(event) || !isField(event.target); // text may be dragged into fields
  document.addEventListener("dragover", (event) => { if (isOurs(event)) event.preventDefault(); });
  document.addEventListener("drop", (event) => {
    depth = 0;
    $("#drop").hidden = true;
    if (!isOurs(event)) return;
    event.preventDefault(); // a browser follows a link that is dropped, and the page would be gone
    if (isFiles(event)) take([...event.dataTransfer.files]);
    else tray.toast("That was not a file. Save the picture first, then drop its file here.");
  });
}

const isField = (element) => Boolean(element?.closest?.("input, textarea"));

// A phone opens its camera for the file input; elsewhere a small window shows what the camera sees.
async function photograph() {
  const isPhone = matchMedia("(pointer: coarse)").matches;
  if (isPhone || !navigator.mediaDevices?.getUserMedia) {
    $("#shot").click();
    return;
  }
  const dialog = $("#camera-dialog"), video = $("#camera-view");
  let media;
  try {
    media = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } } });
  } catch {
    tray.toast("There is no camera, or this page may not use it. Choose a picture instead.");
    return;
  }
  video.srcObject = media;
  dialog.showModal();
  const shoot = async () => {
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((resolve) => { canvas.toBlob(resolve, "image/jpeg", 0.92); });
    dialog.close();
    if (blob) take([new File([blob], `photograph-${Date.now() % 1e6}.jpg`, { type: "image/jpeg" })]);
  };
  $("#camera-shoot").onclick = () => { if (video.videoWidth) shoot(); };
  dialog.addEventListener("close", () => { media.getTracks().forEach((t) => t.stop()); video.srcObject = null; }, { once: true });
}

// ---- keys ----

let asking = null;

function askForKey(wasRefused) {
  asking ??= new Promise((resolve) => {
    const dialog = $("#key-dialog");
    $("#key-text").textContent = wasRefused ? "That key was not accepted. Check it for typing mistakes, or ask whoever runs the service."
      : "This service requires an API key. Yours is kept in this tab only, and is gone when you close it.";
    $("#key-input").value = "";
    dialog.returnValue = "";
    dialog.showModal();
    dialog.addEventListener("close", () => {
      asking = null;
      const given = dialog.returnValue === "given";
      if (given) {
        key.set($("#key-input").value.trim());
        status.check();
      }
      resolve(given);
    }, { once: true });
  });
  return asking;
}

function dialogs() {
  onKeyNeeded(askForKey);
  $("#key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if ($("#key-input").value.trim()) $("#key-dialog").close("given");
  });
  for (const button of document.querySelectorAll("dialog [data-cancel]")) button.addEventListener("click", () => button.closest("dialog").close(""));
}

// ---- light and dark ----

function theme() {
  $("#theme-button").addEventListener("click", () => {
    const isDark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    const choice = isDark ? "light" : "dark";
    document.documentElement.dataset.theme = choice;
    try {
      localStorage.setItem("minivlm-theme", choice);
    } catch {
      // for this visit, then
    }
  });
}

theme();
dialogs();
ways();
look.start(chooseFiles);
match.start(chooseFiles);
wall.start();
status.start();
window.addEventListener("hashchange", () => {
  turn();
  $("#main").focus({ preventScroll: true });
});
turn();
tray.restore().then((n) => { if (n && !tray.chosen) tray.choose(tray.pictures[n - 1]); });
