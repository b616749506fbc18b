// Faults in words: what happened, what to do, and whether trying again helps.

const MIB = 1024 * 1024;
export let limits = { body_bytes: 20 * MIB, images: 16, texts: 128, pixels: 50e6 };
export const setLimits = (l) => { limits = { ...limits, ...l }; };

const size = (bytes) => (bytes >= MIB ? `${Math.round(bytes / MIB)} MB` : `${Math.round(bytes / 1024)} kB`);

const WORDS = {
  network: () => ["The service cannot be reached", "The connection was lost, or the service is not running. Nothing is lost: this continues by itself when the service is back."],
  timeout: () => ["No answer", "The service took longer than a minute, and the request was dropped. It may be very busy."],
  cancelled: () => ["Cancelled", "A newer request replaced it."],
  strange: (f) => ["Unexpected answer", `Something between this page and the service answered${f.status ? ` with status ${f.status}` : ""}. A proxy may be in the way.`],
  unauthorized: () => ["This service requires an API key", "Its operator can give you one. It is kept for this tab only."],
  not_found: (f) => ["Not found", sentence(f.message)],
  image_not_cached: () => ["The service no longer has this picture", "It is being sent again."],
  upload_timeout: () => ["The picture arrived too slowly", "The connection may be weak. A smaller picture arrives sooner."],
  body_too_large: () => ["That file is too large", `The service takes up to ${size(limits.body_bytes)}. A picture with a side of 1,000 pixels is plenty.`],
  image_too_large: () => ["That picture has too many pixels", `The service takes up to ${Math.round(limits.pixels / 1e6)} megapixels. Make it smaller and try again.`],
  too_many_inputs: (f) => (/^collection/.test(f.message) ? ["The collection is full", `${sentence(f.message)} Remove some pictures first.`]
    : ["Too much at once", sentence(f.message)]),
  text_too_long: () => ["That text is too long", "One short sentence is best."],
  unsupported_image: (f) => ["This image format is not supported", /^this (is|seems)/.test(f.message) ? sentence(f.message) : "Use JPEG, PNG, WebP, GIF, HEIC, AVIF or TIFF."],
  corrupt_image: () => ["The picture is damaged", "Its file ends early or has broken parts. Try to save it again, or choose another."],
  rate_limited: () => ["Your API key has reached its limit", "It may send only so many requests. This continues by itself as soon as it may again."],
  forbidden: () => ["This API key does not allow that", "The service's operator can give you one that does."],
  overloaded: () => ["The service is busy", "Others are being served first."],
  deadline_unreachable: () => ["The service is busy", "An answer would not have been ready in time."],
  collection_busy: () => ["The collection is locked", "Another program is using its file."],
  collection_unavailable: () => ["The collection cannot be written", "The disk may be full or read-only. Nothing was changed."],
  too_many_connections: () => ["Too many connections", "The service has no room for another one right now."],
  draining: () => ["The service is shutting down", "Another one may replace it in a moment."],
  not_ready: () => ["The model is being loaded", "That takes a few seconds after the start."],
  deadline_exceeded: () => ["It took too long", "The service stopped working on it to serve others."],
  internal: (f) => ["Internal error in the service", `Your picture is not the cause. Trying again may help.${f.request ? ` Its log has this as ${f.request}.` : ""}`],
};
const AGAIN = new Set(["network", "timeout", "strange", "upload_timeout", "rate_limited", "overloaded", "deadline_unreachable", "collection_busy",
  "collection_unavailable", "too_many_connections", "draining", "not_ready", "deadline_exceeded", "internal", "unauthorized"]);
const WAITS = new Set(["rate_limited", "overloaded", "deadline_unreachable", "collection_busy", "too_many_connections", "draining", "strange"]);

export const NEVER = new Set(["unsupported_image", "corrupt_image", "body_too_large", "image_too_large"]); // of a picture that fails each time

export function sentence(text) {
  const t = String(text).trim();
  return t ? t[0].toUpperCase() + t.slice(1) + (/[.!?]$/.test(t) ? "" : ".") : "";
}

// {title, text, again: whether a button helps, wait: seconds after which to try by itself, or 0}
export function inWords(fault) {
  const words = WORDS[fault.code] ?? ((f) => ["That was refused", sentence(f.message)]);
  const [title, text] = words(fault);
  const again = AGAIN.has(fault.code);
  return { title, text, again, wait: WAITS.has(fault.code) ? Math.min(fault.retryAfter || 2, 600) : 0 };
}
