// One picture: its regions, its caption as it is written, questions about it, and where the model looked.
import { attempt, giveUp } from "./action.js";
import { $, bar, h, icon, percent, plural, say } from "./dom.js";
import { predict } from "./picture.js";
import { Stage } from "./stage.js";
import * as tray from "./tray.js";
import { forPicture, under } from "./under.js";
import { NEVER } from "./words.js";

const SUGGESTIONS = ["What is this?", "What colour is it?", "Where is it?", "How many are there?"];
let stage;

// A button that shows where the model looked, asked for only when somebody wants to know.
function whereButtons(picture, path, parameters, title) {
  const place = h("span.where");
  const make = (method, label) => {
    const button = h("button.link", { type: "button", "aria-pressed": "false", onclick: () => (stage.heat?.button === button ? stage.showHeat(null) : look()) },
      icon("eye"), h("span", {}, label));
    const look = () => attempt(place, async (signal) => {
      const { data } = await predict(path, picture, { ...parameters, explain: method }, { signal });
      const weights = data.explain?.region_weights ?? [];
      if (tray.chosen === picture && weights.length) {
        stage.showHeat({ regions: data.regions, weights, title: `${label}: ${title}`, button });
        say(`${label}, shown on the picture`);
      }
    }, { busy: "Looking again", keeps: true });
    return button;
  };
  return h("div.row.wheres", {}, make("attention", "Where it looked"), make("occlusion", "What mattered"), place);
}

// ---- the caption ----

function captionOf(picture) {
  const place = $("#caption");
  const parameters = { num_beams: 1, regions: true, stream: true };
  attempt(place, async (signal, _, grow) => {
    const text = h("span.growing");
    const line = h("p.caption", {}, text);
    const answer = await predict("caption", picture, parameters, { signal, onText: (t) => {
      if (!line.isConnected && !signal.aborted) grow(line);
      text.textContent = t;
    } }).catch((fault) => {
      if (!signal.aborted) invite(!NEVER.has(fault.code)); // nobody can ask about what cannot be read
      throw fault;
    });
    if (signal.aborted) return;
    picture.caption = { text: answer.data.caption, answer };
    picture.regions = answer.data.regions;
    drawCaption(picture);
    stage.show(picture);
    say(`Caption: ${picture.caption.text}. ${plural(picture.regions.length, "region")} found.`);
  });
}

function drawCaption(picture) {
  const { text, answer } = picture.caption;
  const more = h("div");
  const others = h("button.link", { type: "button", onclick: () => attempt(more, async (signal, clear) => {
    const parameters = { num_beams: 5, num_captions: 3 };
    const found = await predict("caption", picture, parameters, { signal });
    clear();
    others.remove();
    more.replaceChildren(h("ol.others", { "aria-label": "Other wordings, best first" }, found.data.captions.map((c) => h("li", {}, c.text))),
      under(found, forPicture("caption", picture, parameters, "answer[\"captions\"]"), "three best of five beams"));
    say(`Other wordings: ${found.data.captions.map((c) => c.text).join("; ")}`);
  }, { busy: "Searching for words" }) }, icon("layers"), h("span", {}, "Other wordings"));
  const wheres = whereButtons(picture, "caption", { num_beams: 1 }, "the caption");
  wheres.append(others);
  $("#caption").replaceChildren(h("p.caption", {}, text || "The model found no words for it."), wheres, more,
    under(answer, streamCode(picture), `streamed, ${plural(picture.regions.length, "region")}`));
}

function streamCode(picture) {
  const whole = forPicture("caption", picture, { num_beams: 1, regions: true }, "answer[\"caption\"]");
  return { python: whole.python, curl: forPicture("caption", picture, { num_beams: 1, regions: true, stream: true }, "", { streams: true }).curl };
}

// ---- questions ----

function invite(may) {
  $("#questions").hidden = !may;
}

function drawAnswer(picture, entry) {
  const { answers } = entry.answer.data;
  const [best] = answers;
  const item = h("div.reply", {}, h("p.answer", {}, best.answer),
    h("ul.bars", { "aria-label": "Most likely answers" }, answers.map((a, i) => bar(a.answer, a.score, percent(a.score), i ? "" : ".best"))),
    whereButtons(picture, "vqa", { question: entry.question }, `“${entry.question}”`),
    under(entry.answer, forPicture("vqa", picture, { question: entry.question }, "answer[\"answer\"]"),
      entry.answer.cache === "regions" ? "the picture was known" : ""));
  entry.place.replaceChildren(item);
}

function ask(picture, question) {
  const entry = { question, place: h("div"), answer: null };
  entry.element = h("li", {}, h("p.question", {}, question), entry.place);
  picture.thread.push(entry);
  $("#thread").append(entry.element);
  entry.element.scrollIntoView({ block: "nearest" });
  attempt(entry.place, async (signal) => {
    entry.answer = await predict("vqa", picture, { question }, { signal });
    if (signal.aborted) return;
    drawAnswer(picture, entry);
    const [best] = entry.answer.data.answers;
    say(`${question} ${best.answer}, ${percent(best.score)}`);
    entry.element.scrollIntoView({ block: "nearest" });
  }, { busy: "Thinking" });
}

// ---- the view ----

function show() {
  const picture = tray.chosen;
  $("#welcome").hidden = Boolean(picture);
  $("#desk").hidden = !picture;
  giveUp($("#caption"));
  if (!picture) return;
  invite(true);
  stage.show(picture);
  $("#thread").replaceChildren(...picture.thread.map((entry) => entry.element));
  if (picture.caption) drawCaption(picture);
  else captionOf(picture);
}

async function sample(name) {
  const place = $("#samples");
  await attempt(place, async (signal) => {
    const response = await fetch(new URL(`${name}.webp`, import.meta.url), { signal }).catch(() => null);
    if (response?.ok) await tray.add([await response.blob()], `${name}.webp`);
    else tray.toast("The sample could not be fetched: the service cannot be reached.", true);
  }, { busy: "", keeps: true });
}

export function start(chooseFiles) {
  stage = new Stage($("#stage"), $("#tools"));
  tray.strip($("#tray-look"), chooseFiles);
  for (const [name, alt] of [["cat", "The face of a tabby cat"], ["coffee", "A cup of espresso on a wooden table"], ["raccoon", "A raccoon among leaves"], ["rocket", "A rocket on its launch pad at dusk"]]) {
    const image = h("img", { src: new URL(`${name}.webp`, import.meta.url).href, alt: "", width: 400, height: 267 });
    $("#samples").append(h("li", {}, h("button", { type: "button", "aria-label": alt, onclick: () => sample(name) }, image)));
  }
  $("#suggestions").append(...SUGGESTIONS.map((text) => h("button.chip", { type: "button", onclick: () => ask(tray.chosen, text) }, text)));
  $("#question-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const question = $("#question").value.trim();
    if (!question) {
      $("#question").focus();
      return;
    }
    $("#question").value = "";
    ask(tray.chosen, question);
  });
  tray.events.addEventListener("chosen", show);
  show();
}
