// The picture with what the model saw laid over it: boxes with labels, or a heat of where it looked.
import { h, icon, percent } from "./dom.js";

const HUES = 8;
const hueOf = (() => {
  const known = new Map();
  return (label) => {
    if (!known.has(label)) known.set(label, known.size % HUES);
    return known.get(label);
  };
})();

// Where the model looked: weights of regions as a soft glow. Each region spreads its weight over its box, denser when
// small; the whole is scaled to its maximum.
function paintHeat(canvas, regions, weights, width, height) {
  const w = 96, rows = Math.max(1, Math.round((w * height) / width));
  const field = new Float32Array(w * rows);
  regions.forEach((region, i) => {
    const [x0, y0, x1, y1] = region.box.map((v, k) => (k % 2 ? (v / height) * rows : (v / width) * w));
    const share = Math.max(0, weights[i]) / Math.sqrt(Math.max(1, (x1 - x0) * (y1 - y0)));
    const cx = (x0 + x1) / 2, cy = (y0 + y1) / 2, rx = Math.max(1, (x1 - x0) / 2), ry = Math.max(1, (y1 - y0) / 2);
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < w; x++) {
        const d = Math.hypot((x + 0.5 - cx) / rx, (y + 0.5 - cy) / ry);
        field[y * w + x] += share * Math.exp(-d * d * 1.4);
      }
    }
  });
  const top = Math.max(...field) || 1;
  canvas.width = w;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(w, rows);
  field.forEach((value, i) => {
    const t = Math.sqrt(value / top) * 0.35 + (value / top) * 0.65;
    image.data[4 * i] = 255 * Math.min(1, 0.35 + 1.1 * t);
    image.data[4 * i + 1] = 255 * Math.min(0.93, Math.max(0, 1.2 * t - 0.22));
    image.data[4 * i + 2] = 255 * Math.max(0, 0.42 - 0.9 * t, 2.2 * (t - 0.72));
    image.data[4 * i + 3] = 255 * (0.3 + 0.38 * t);
  });
  context.putImageData(image, 0, 0);
}

export class Stage {
  constructor(place, tools) {
    this.threshold = 0.25;
    this.showsRegions = true;
    this.picture = this.heat = null;
    this.boxes = h("div.boxes", { "aria-hidden": "true" });
    this.canvas = h("canvas.heat", { role: "img", hidden: true });
    this.image = h("img", { alt: "" });
    this.blank = h("p.blank", { hidden: true });
    this.frame = h("div.frame", {}, this.image, this.blank, this.canvas, this.boxes);
    this.note = h("figcaption.hint");
    place.replaceChildren(h("figure.stage", {}, this.frame, this.note));
    this.makeTools(tools);
    new ResizeObserver(() => this.placeLabels()).observe(this.frame);
  }

  makeTools(tools) {
    this.toggle = h("input", { type: "checkbox", role: "switch", checked: true, onchange: () => { this.showsRegions = this.toggle.checked; this.draw(); } });
    this.slider = h("input", { type: "range", min: 0, max: 100, value: 25, id: "threshold", oninput: () => { this.threshold = this.slider.value / 100; this.draw(); } });
    this.output = h("output", { for: "threshold" });
    this.list = h("ul.chips.seen", { "aria-label": "What it saw" });
    this.heatName = h("span");
    this.heatBar = h("div.heat-bar", { hidden: true }, h("span.scale", { "aria-hidden": "true" }), this.heatName,
      h("button.bare", { type: "button", onclick: () => this.showHeat(null) }, icon("close"), h("span", {}, "Back to regions")));
    this.regionBar = h("div.row.region-bar", {},
      h("label.switch", {}, this.toggle, h("span", {}, "Regions")),
      h("label.slider", { for: "threshold" }, h("span", {}, "score above"), this.slider, this.output));
    this.count = h("p.hint");
    tools.replaceChildren(this.heatBar, this.regionBar, this.list, this.count);
  }

  show(picture) {
    this.picture = picture;
    this.keepHeat(null);
    this.image.hidden = !picture.shown;
    this.blank.hidden = picture.shown;
    this.blank.textContent = picture.caption ? "This browser cannot show this format. The service has read it." : "This browser cannot show this picture.";
    if (picture.shown) this.image.src = picture.url;
    else this.image.removeAttribute("src");
    this.image.alt = picture.caption?.text ? `Your picture: ${picture.caption.text}` : `Your picture, ${picture.name}`;
    this.draw();
  }

  // heat: {regions, weights, title, button} or null; the button, which asked for it, is pressed as long as it is shown.
  keepHeat(heat) {
    this.heat?.button.setAttribute("aria-pressed", "false");
    this.heat = heat;
    heat?.button.setAttribute("aria-pressed", "true");
  }

  showHeat(heat) {
    this.keepHeat(heat);
    this.draw();
    if (heat) this.frame.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }

  draw() {
    const p = this.picture;
    if (!p) return;
    const width = p.width || 4, height = p.height || 3;
    this.frame.style.setProperty("--w", width);
    this.frame.style.setProperty("--h", height);
    this.note.textContent = [p.note, ...(p.warnings ?? []).map((w) => `The service says: ${w}.`)].filter(Boolean).join(" ");
    const heat = this.heat;
    this.canvas.hidden = this.heatBar.hidden = !heat;
    this.regionBar.hidden = this.list.hidden = this.count.hidden = Boolean(heat) || !p.regions;
    this.boxes.replaceChildren();
    if (heat) {
      paintHeat(this.canvas, heat.regions, heat.weights, width, height);
      this.canvas.setAttribute("aria-label", `${heat.title}: strongest at ${heat.regions[heat.weights.indexOf(Math.max(...heat.weights))]?.label ?? "nothing"}`);
      this.heatName.textContent = heat.title;
      return;
    }
    this.drawRegions(p, width, height);
  }

  drawRegions(p, width, height) {
    this.output.textContent = percent(this.threshold);
    this.slider.setAttribute("aria-valuetext", percent(this.threshold));
    const all = p.regions ?? [];
    const shown = all.filter((r) => r.score >= this.threshold);
    this.count.textContent = `${shown.length} of ${all.length} regions${shown.length < all.length ? "; move the slider to see more" : ""}`;
    this.list.replaceChildren(...shown.map((region) => {
      const chip = h("button.chip", { type: "button", "data-hue": hueOf(region.label) },
        h("i.swatch"), h("span", {}, region.label), " ", h("small", {}, percent(region.score)));
      const box = h("div.box", { "data-hue": hueOf(region.label), style: {
        "--x": region.box[0] / width, "--y": region.box[1] / height,
        "--bw": (region.box[2] - region.box[0]) / width, "--bh": (region.box[3] - region.box[1]) / height,
      } }, h("span.tag", { "data-score": region.score }, h("b", {}, region.label), h("small", {}, percent(region.score))));
      const lit = (on) => () => { box.classList.toggle("lit", on); chip.classList.toggle("lit", on); this.boxes.classList.toggle("one", on); };
      for (const [element, begins, ends] of [[chip, "pointerenter", "pointerleave"], [chip, "focus", "blur"], [box, "pointerenter", "pointerleave"]]) {
        element.addEventListener(begins, lit(true));
        element.addEventListener(ends, lit(false));
      }
      this.boxes.append(box);
      return h("li", {}, chip);
    }));
    // Smaller boxes above larger ones, so that each can be pointed at.
    const area = (b) => b.style.getPropertyValue("--bw") * b.style.getPropertyValue("--bh");
    this.boxes.append(...[...this.boxes.children].sort((a, b) => area(b) - area(a)));
    this.boxes.hidden = !this.showsRegions;
    this.placeLabels();
  }

  // A label that would cover another one waits until its box is pointed at.
  placeLabels() {
    const taken = [];
    const tags = [...this.boxes.querySelectorAll(".tag")].sort((a, b) => b.dataset.score - a.dataset.score);
    for (const tag of tags) {
      tag.classList.remove("waits");
      const r = tag.getBoundingClientRect();
      const hit = taken.some((t) => r.left < t.right && r.right > t.left && r.top < t.bottom && r.bottom > t.top);
      if (hit) tag.classList.add("waits");
      else taken.push(r);
    }
  }
}
