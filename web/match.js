// Sentences ranked by how well they fit a picture, and pictures by how well they fit a sentence.
import { attempt } from "./action.js";
import { Fault } from "./api.js";
import { $, bar, fill, h, percent, plural, say } from "./dom.js";
import { match } from "./picture.js";
import * as tray from "./tray.js";
import { forMatch, under } from "./under.js";
import { limits } from "./words.js";

const EXAMPLES = "a cat looks into the camera\na cup of coffee on a table\na rocket stands on its launch pad\na dog runs along a beach";
let mode = "sentences";

const lines = () => $("#sentences").value.split("\n").map((l) => l.trim()).filter(Boolean);

function describe() {
  const ranksPictures = mode === "pictures";
  $("#sentences-label").textContent = ranksPictures ? "One sentence" : "Sentences, one per line";
  $("#sentences").rows = ranksPictures ? 2 : 5;
  const preview = $("#match-picture");
  preview.hidden = ranksPictures || !tray.chosen?.shown;
  if (!preview.hidden) {
    preview.src = tray.chosen.url;
    preview.alt = `The picture to describe, ${tray.chosen.name}`;
  }
  $("#match-note").textContent = !tray.pictures.length ? "First add a picture."
    : ranksPictures ? `${plural(tray.pictures.length, "picture")}${tray.pictures.length < 2 ? "; add more to rank them" : ""}`
      : `for ${tray.chosen?.name ?? "the chosen picture"}`;
}

function drawSentences(place, picture, answer) {
  const { results } = answer.data;
  const texts = answer.texts;
  fill(place,
    h("ol.bars.wide", { "aria-label": "Sentences, best first" }, results.map((r, i) => bar(texts[r.text], r.score, percent(r.score), i ? "" : ".best"))),
    under(answer, forMatch([picture], texts)));
  say(`Best: ${texts[results[0].text]}, ${percent(results[0].score)}`);
}

function drawPictures(place, pictures, answer) {
  const { results } = answer.data;
  const lost = pictures.length - results.length;
  fill(place,
    h("ol.ranked", { "aria-label": "Pictures, best first" }, results.map((r, i) => {
      const p = pictures[r.image];
      return h("li", {}, h(`button.thumb${i ? "" : ".best"}`, { type: "button", "aria-label": `${p.name}, ${percent(r.score)}`, onclick: () => { tray.choose(p); location.hash = "#look"; } },
        p.shown ? h("img", { src: p.url, alt: "" }) : h("span.format", {}, p.name)), h("span.score", {}, percent(r.score)));
    })),
    lost > 0 && h("p.hint", {}, `${plural(lost, "picture")} could not be read.`),
    under(answer, forMatch(pictures, answer.texts)));
  if (results.length) say(`Best: ${pictures[results[0].image].name}, ${percent(results[0].score)}`);
}

function rank() {
  const place = $("#match-results");
  const texts = mode === "pictures" ? lines().slice(0, 1) : lines().slice(0, limits.texts);
  const pictures = mode === "pictures" ? tray.pictures.slice(-limits.images) : [tray.chosen].filter(Boolean);
  if (!pictures.length || !texts.length) {
    $("#match-note").textContent = pictures.length ? "Write a sentence first." : "First add a picture.";
    (pictures.length ? $("#sentences") : $("#tray-match .more")).focus();
    return;
  }
  attempt(place, async (signal) => {
    const answer = await match(pictures, texts, { signal });
    if (signal.aborted) return;
    answer.texts = texts;
    const fault = answer.data.images.find((i) => i.error);
    if (fault && pictures.length === 1) throw new Fault(fault.error.code, fault.error.message);
    if (mode === "pictures") drawPictures(place, pictures, answer);
    else drawSentences(place, pictures[0], answer);
  }, { busy: "Comparing" });
}

export function start(chooseFiles) {
  tray.strip($("#tray-match"), chooseFiles);
  $("#sentences").value = EXAMPLES;
  const kept = { sentences: EXAMPLES, pictures: "a cup of coffee on a table" };
  for (const radio of document.querySelectorAll("[name=mode]")) {
    radio.addEventListener("change", () => {
      kept[mode] = $("#sentences").value;
      mode = radio.value;
      $("#sentences").value = kept[mode];
      $("#match-results").replaceChildren();
      describe();
    });
  }
  $("#match-form").addEventListener("submit", (event) => {
    event.preventDefault();
    rank();
  });
  tray.events.addEventListener("change", describe);
  describe();
}
