// Pictures: taken from files, made smaller when huge, kept, and sent: as bytes once, by id from then on.
import { ask, Fault, json, stream } from "./api.js";
import { limits } from "./words.js";
import * as store from "./store.js";

const HUGE = 2048, ENOUGH = 1600, THUMB = 320; // longest sides

let number = 0;

async function bitmapOf(blob) {
  try {
    return await createImageBitmap(blob, { imageOrientation: "from-image" });
  } catch {
    return null; // HEIC, TIFF and the like: the service reads what this browser cannot
  }
}

function drawn(bitmap, longest, quality) {
  const scale = Math.min(1, longest / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff"; // as the service lays alpha on white
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", quality));
}

// What a file is that is no picture, in the service's words; "" if it may be one.
async function strange(file) {
  if (file.size === 0) return "this is an empty file, not an image";
  if (!file.type || /^(image\/|application\/octet-stream)/.test(file.type)) return "";
  const text = /^text\//.test(file.type) ? (await file.slice(0, 200).text()).split(/\r?\n/)[0].slice(0, 24) : "";
  const what = text ? `text ("${text}${file.size > text.length ? "..." : ""}")` : `a file of the type ${file.type}`;
  return `this is ${what}, not an image; use JPEG, PNG, WebP, GIF, HEIC, AVIF or TIFF`;
}

// A file of any kind -> a picture of the tray. Throws a Fault in words when it can be none.
export async function take(file, name = file.name || "picture.jpg") {
  const bitmap = await bitmapOf(file);
  let blob = file, note = "";
  const other = bitmap ? "" : await strange(file);
  if (other) throw new Fault("unsupported_image", other);
  if (bitmap && (Math.max(bitmap.width, bitmap.height) > HUGE || file.size > limits.body_bytes)) {
    const small = await drawn(bitmap, ENOUGH, 0.92);
    if (small) {
      blob = small;
      note = `Made smaller here before it was sent: ${bitmap.width} × ${bitmap.height} pixels became at most ${ENOUGH}.`;
    }
  }
  if (blob.size > limits.body_bytes) {
    bitmap?.close();
    throw new Fault("body_too_large", "too large");
  }
  // A copy in memory: a file that is moved or changed on the disk stays as it was chosen.
  blob = new Blob([await blob.arrayBuffer()], { type: blob.type || "application/octet-stream" });
  const picture = make({ key: `${Date.now()}-${number++}`, name, blob, note, shown: Boolean(bitmap), width: bitmap?.width ?? 0, height: bitmap?.height ?? 0 });
  bitmap?.close();
  return picture;
}

// From the store or from take().
export function make(entry) {
  return { ...entry, url: entry.shown ? URL.createObjectURL(entry.blob) : "", id: entry.id ?? "", thread: [], regions: null, caption: null };
}

export const keep = ({ key, name, blob, note, shown, width, height }) => store.tray.put({ key, name, blob, note, shown, width, height });

export async function thumbnail(blob) {
  const bitmap = await bitmapOf(blob);
  const small = bitmap && (await drawn(bitmap, THUMB, 0.8));
  bitmap?.close();
  return small;
}

function dataUri(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^data:[^,]*,/, "data:application/octet-stream;base64,"));
    reader.onerror = () => reject(new Fault("corrupt_image", "unreadable"));
    reader.readAsDataURL(blob);
  });
}

function bytes(path, picture, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) for (const v of [value].flat()) query.append(name, v);
  return [`${path}?${query}`, { method: "POST", body: picture.blob, headers: { "Content-Type": "application/octet-stream" } }];
}

function remember(picture, image) {
  if (!image) return;
  picture.id = image.id;
  picture.width = image.width;
  picture.height = image.height;
  picture.warnings = image.warnings.filter((w) => !picture.note || !w.includes("ICC")); // a canvas adds a profile of its own
}

// One picture, by id where there is one; an id that the service has forgotten is answered by sending the bytes.
export async function predict(path, picture, parameters, options = {}) {
  const go = (target, request) => (options.onText ? stream(target, { ...request, signal: options.signal }, options.onText)
    : ask(target, { ...request, signal: options.signal }));
  let answer;
  if (picture.id) {
    try {
      answer = await go(path, json({ image: { id: picture.id }, ...parameters }));
    } catch (fault) {
      if (fault.code !== "image_not_cached") throw fault;
      picture.id = "";
    }
  }
  answer ??= await go(...bytes(path, picture, parameters));
  remember(picture, answer.data.image);
  return answer;
}

// Several pictures and texts: /retrieve. Those that were forgotten are sent again in a second round.
export async function match(pictures, texts, options = {}) {
  for (let round = 0; ; round++) {
    const images = await Promise.all(pictures.map(async (p) => (p.id ? { id: p.id } : dataUri(p.blob))));
    const answer = await ask("retrieve", { ...json({ images, texts }), signal: options.signal });
    let forgotten = false;
    answer.data.images.forEach((image, i) => {
      if (image.error?.code === "image_not_cached") {
        pictures[i].id = "";
        forgotten = true;
      } else if (!image.error) {
        remember(pictures[i], image);
      }
    });
    if (!forgotten || round > 0) return answer;
  }
}
