"""The whole pipeline on pictures drawn by itself: data, caches, TEE, scenes, fusion, captions by reward, teachers, export,
evaluation. Under two minutes.

Pictures show one or two coloured shapes; captions, questions and boxes follow from them. Nothing is learned that a person
would want: what counts is that every stage runs, that losses fall, and that the exported model answers."""
import gzip
import json
import math
import pathlib
import random
import tempfile

import torch
from evaluation import metrics, predict
from minivlm import MiniVLM, weights
from PIL import Image, ImageDraw

from train import cache, data, export, recipe, run as stages, sprint, tee

COLOURS = {"red": (220, 40, 40), "green": (40, 190, 60), "blue": (50, 70, 220), "yellow": (230, 220, 50)}
SHAPES = ("ball", "box")
RECIPE = {
    "seed": 3, "threads": 2, "pretrained": False, "dropout": 0.0,
    "model": {
        "name": "smoke", "version": "0", "image": {"resize": "square", "size": 64},
        "backbone": {"activation": "relu6", "squeeze_excite": False, "padding": "same", "stem": 8,
                     "stages": [[1, 3, 1, 8, 1], [3, 3, 2, 12, 1], [3, 3, 2, 16, 1], [3, 3, 2, 24, 1], [3, 3, 2, 32, 1]]},
        "bifpn": {"channels": 16, "repeats": 1},
        "rpn": {"anchor_sizes": [8, 16, 32, 64, 128], "pre_nms": 32, "proposals": 12},
        "roi": {"pool": 4, "hidden": 48, "classes": 2, "score_threshold": 0.0, "min_regions": 4, "max_regions": 6},
        "fusion": {"layers": 2, "hidden": 32, "heads": 4, "ffn": 64, "vocab": 0, "positions": 64},
        "text": {"caption_length": 20, "text_length": 20, "tags_length": 8, "tag_threshold": 0.5},
        "context": {"channels": 24, "own_blocks": 2, "pool": 1, "regions": 2},
        "caption": {"num_beams": 2, "max_tokens": 12, "length_penalty": 1.0, "decoder": "causal"}},
    "tee": {"lr": 0.003, "regions": 12, "words": 12, "mix": [4, 0, 4], "validate": 4, "validate_every": 1000},
    "scenes": {"views": 1, "bytes": True}, "visit": {"coco": 0.9}, "ask": True,
    "fuse": {"all": {"batch": 8, "captions": 2, "agreement": 0.5, "lr": 0.003, "lr_new": 0.003, "average": 0.9, "texts": 2, "made": 0.2, "group": 3,
                     "tasks": {"caption": 0.5, "vqa": 0.2, "retrieve": 0.2, "sentence": 0.1}, "validate": 8, "validate_every": 1000},
             "risk": {"batch": 8, "draws": 4, "lr": 0.001, "lr_new": 0.001, "average": 0.9,
                      "tasks": {"risk": 0.7, "caption": 0.1, "vqa": 0.1, "retrieve": 0.1}, "validate": 8, "validate_every": 1000},
             "taught": {"batch": 8, "lr": 0.001, "lr_new": 0.001, "average": 0.9, "tasks": {"caption": 0.6, "vqa": 0.4}, "validate": 8,
                        "validate_every": 1000, "taught": 0.5, "machine": 0.25, "borrowed": 0.2, "min_agreement": 0.0}}}
UNDESCRIBED = 6  # pictures without captions, questions or boxes


def draw(rng, file):
    """One picture -> its things [(colour, shape, x, y, size)]."""
    picture = Image.new("RGB", (80, 60), tuple(rng.randint(90, 160) for _ in range(3)))
    pen, things = ImageDraw.Draw(picture), []
    for slot in rng.sample(range(2), rng.randint(1, 2)):
        colour, shape, size = rng.choice(list(COLOURS)), rng.choice(SHAPES), rng.randint(18, 28)
        x, y = 40 * slot + rng.randint(2, 10), rng.randint(2, 28)
        (pen.ellipse if shape == "ball" else pen.rectangle)((x, y, x + size, y + size), fill=COLOURS[colour])
        things.append((colour, shape, x, y, size))
    picture.save(file, quality=90)
    return things


def write_data(root: pathlib.Path, pictures: int, seed: int):
    """A data folder as data.py reads it."""
    rng = random.Random(seed)
    (root / "coco/images").mkdir(parents=True)
    rows = {"captions": [], "vqa": [], "boxes": []}
    for n in range(pictures):
        name, split = f"{n:04}.jpg", "val" if n % 6 == 0 else "train"
        things = draw(rng, root / "coco/images" / name)
        said = " and ".join(f"a {c} {s}" for c, s, *_ in things)
        where = "on the left" if things[0][2] < 40 else "on the right"
        head = {"image": name, "split": split}
        rows["captions"].append({**head, "captions": [said + ".", f"{said} {where}."]})
        colour, shape = things[0][:2]
        rows["vqa"].append({**head, "question": f"what colour is the {shape}?", "answers": [colour], "source": "coco_qa"})
        rows["vqa"].append({**head, "question": "how many things are there?", "answers": [str(len(things))], "source": "coco_qa"})
        rows["boxes"].append({**head, "boxes": [[x, y, z, z, s, [c]] for c, s, x, y, z in things]})
    for name, lines in rows.items():
        (root / "coco" / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in lines))
    for n in range(UNDESCRIBED):
        draw(rng, root / f"coco/images/bare{n}.jpg")
    (root / "text").mkdir()
    pairs = [(c, s) for c in COLOURS for s in SHAPES]
    texts = {"flickr30k_captions": [{"captions": [f"a {c} {s} on the left"]} for c, s in pairs],
             "coco_qa_117k": [{"question": f"what colour is the {s}?", "answers": [c], "split": "train", "have_image": False}
                              for c, s in pairs]}
    for name, lines in texts.items():
        with gzip.open(root / "text" / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(r) + "\n" for r in lines)


def write_recipe(folder: pathlib.Path) -> dict:
    words = "a red green blue yellow ball box and on the left right what colour is how many things are there 1 2 ? .".split()
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + words
    (folder / "vocab.txt").write_text("\n".join(vocab) + "\n")
    (folder / "classes.txt").write_text("\n".join(SHAPES) + "\n")
    r = json.loads(json.dumps(RECIPE))
    (folder / "attributes.txt").write_text("\n".join(COLOURS) + "\n")
    r["vocab"], r["classes"], r["attributes"] = (str(folder / f"{name}.txt") for name in ("vocab", "classes", "attributes"))
    r["model"]["fusion"]["vocab"] = len(vocab)
    return r


def run(folder: pathlib.Path, pictures=60, tee_steps=40, fuse_steps=150, risk_steps=60, taught_steps=20) -> dict:
    """All stages -> scores and the losses before and after."""
    torch.manual_seed(1)
    root, cached = folder / "data", folder / "cache"
    write_data(root, pictures, seed=5)
    r = write_recipe(folder)
    cache.build(r, root, cached, cache.list_files(root, ["coco"]), workers=2, compiled=False)
    tee.train(r, root, cached, folder / "tee", steps=tee_steps)
    r["tee"]["frozen"] = 3  # and on, with the backbone's last blocks
    tee.train(r, root, cached, folder / "late", start=folder / "tee/last.pt", steps=tee_steps // 2)
    eyes = folder / "late/tee.pt"
    stages.make_scenes(r, root, cached, eyes, folder / "scenes", compiled=False)
    for stage, steps in (("all", fuse_steps), ("risk", risk_steps), ("taught", taught_steps)):
        r["fuse"][stage]["steps"] = steps
    r["fuse"]["taught"]["teachers"] = [str(folder / stage / "final.pt") for stage in ("all", "risk")]
    model, config = export.load(r, stages.speak(r, root, folder, eyes))
    labels = {"objects": model.labels.objects, "attributes": [], "answers": model.labels.answers}
    weights.export(model, config, folder / "model", export.kind_of("fast"), model.tokenizer.tokens, labels, "smoke\n")
    for settings in r["fuse"].values():
        settings.update(minutes=0.1, steps=4)
    sprint.pack(root, folder / "model", folder / "shards", most=200_000)
    sprint.train(r, folder / "shards", folder / "sprint", minutes=1.0, compiled=False)
    scores = evaluate(folder / "model", root, folder)
    scores["losses"] = {name: fall(folder / name / "log.jsonl") for name in ("tee", "late", "all", "risk", "taught")}
    return scores


def write_mine(folder: pathlib.Path, pictures=24) -> None:
    """Pictures as adapt.py takes them, described in another way."""
    rng = random.Random(9)
    (folder / "images").mkdir(parents=True)
    rows = []
    for n in range(pictures):
        things = draw(rng, folder / f"images/{n}.jpg")
        rows.append({"image": f"{n}.jpg", "captions": ["there are " + " and ".join(f"the {c} {s}" for c, s, *_ in things)]})
    (folder / "captions.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


def write_public(root: pathlib.Path, pictures=12) -> None:
    """The folders that recipes/full.json names, in the formats of their publishers, with drawn pictures."""
    rng = random.Random(11)
    drawn = {}

    def paint(folder, name, n):
        (root / folder).mkdir(parents=True, exist_ok=True)
        drawn[folder, n] = draw(rng, root / folder / name)
        return drawn[folder, n]

    def put(file, value):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(json.dumps(value))

    def instances(folder, pattern):
        things = {n: paint(folder, pattern.format(n), n) for n in range(1, pictures + 1)}
        return {"images": [{"id": n, "file_name": pattern.format(n), "width": 80, "height": 60} for n in things],
                "categories": [{"id": k, "name": s} for k, s in enumerate(SHAPES)],
                "annotations": [{"image_id": n, "category_id": SHAPES.index(s), "bbox": [x, y, z, z], "iscrowd": 0}
                                for n, many in things.items() for _, s, x, y, z in many]}

    def sentences(things):
        return [{"raw": " and ".join(f"a {c} {s}" for c, s, *_ in things) + where} for where in ("", " on the left")]

    for part in ("train", "val"):
        put(f"annotations/instances_{part}2017.json", instances(f"coco/images/{part}2017", "{:012}.jpg"))
        name, numbers = f"COCO_{part}2014_{{:012}}.jpg", range(1, pictures + 1)
        things = {n: paint(f"coco/images/{part}2014", name.format(n), n) for n in numbers}
        put(f"vqa/v2_OpenEnded_mscoco_{part}2014_questions.json", {"questions": [
            {"image_id": n, "question_id": n, "question": f"what colour is the {things[n][0][1]}?"} for n in numbers]})
        put(f"vqa/v2_mscoco_{part}2014_annotations.json", {"annotations": [
            {"question_id": n, "question_type": "what colour", "answers": [{"answer": things[n][0][0]}] * 10} for n in numbers]})
    put("annotations/openimages_train_coco_format.json", instances("openimages/images", "{:04}.jpg"))
    put("annotations/dataset_coco.json", {"images": [
        {"filepath": f"{part}2014", "filename": f"COCO_{part}2014_{n:012}.jpg", "split": "restval" if part == "train" else "val",
         "sentences": sentences(drawn[f"coco/images/{part}2014", n])} for part in ("train", "val") for n in range(1, pictures + 1)]})
    put("annotations/dataset_flickr30k.json", {"images": [
        {"filename": f"{n}.jpg", "split": "train", "sentences": sentences(paint("flickr30k/images", f"{n}.jpg", n))} for n in range(pictures)]})
    put("vg/attributes.json", [{"image_id": n, "attributes": [{"names": [s], "x": x, "y": y, "w": z, "h": z, "attributes": [c]}
                                for c, s, x, y, z in paint("vg/images", f"{n}.jpg", n)]} for n in range(pictures)])
    put("vg/image_data.json", [{"image_id": n, "width": 80, "height": 60} for n in range(pictures)])


def small_full(folder: pathlib.Path) -> dict:
    """recipes/full.json with the network, the batches and the steps of the smoke test."""
    smoke, full = write_recipe(folder), recipe.load(pathlib.Path(__file__).parent / "recipes/full.json")
    sizes = {k: v for k, v in smoke["model"].items() if k not in ("context", "caption")}
    full.update({k: smoke[k] for k in ("vocab", "classes", "attributes", "pretrained")}, threads=1, device="cpu")
    full["model"] = {**full["model"], **sizes, "context": {**full["model"]["context"], "regions": 3, "channels": 16},
                     "caption": {**full["model"]["caption"], "max_tokens": 12}}
    full["tee"].update(steps=6, regions=12, words=12, mix=[4, 1, 1], validate=4)
    for s in full["fuse"].values():
        s.update(steps=6, batch=6, validate=8)
    return full


def lines(path) -> list[dict]:
    return [json.loads(line) for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines()]


def fall(log) -> dict:
    """First and last value of every loss in a log."""
    rows = lines(log)
    names = [k for k in ("loss", "attributes", "caption", "vqa", "retrieve", "sentence", "risk") if any(k in row for row in rows)]
    out = {}
    for name in names:
        values = [row[name] for row in rows if name in row]
        out[name] = (values[0], values[-1])
    return out


def evaluate(directory, root, folder) -> dict:
    """Through the exported files, as eval.py does it."""
    model = MiniVLM.from_dir(directory)
    truth = [c for c in data.captions(root) if c.split == "val"]
    predict.captions(model, root, [c.image for c in truth], folder / "captions.jsonl")
    said = [row["caption"] for row in lines(folder / "captions.jsonl")]
    asked = [q for q in data.questions(root) if q.split == "val"]
    predict.answers(model, root, asked, folder / "answers.jsonl")
    found = {(r["image"], r["question"]): r["answer"] for r in lines(folder / "answers.jsonl")}
    right = [metrics.vqa_accuracy(found[q.image, q.text], q.answers) for q in asked]
    return {**metrics.caption_scores(said, [c.texts for c in truth]), "vqa": 100 * sum(right) / len(right),
            "captions": said}


def show(folder: pathlib.Path | None) -> None:
    """folder: what to keep everything in; None: a temporary one."""
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as temporary:
        scores = run(folder or pathlib.Path(temporary))
    print(json.dumps(scores, indent=2))
    if not all(math.isfinite(v) for pair in scores["losses"].values() for ends in pair.values() for v in ends):
        raise SystemExit("a loss is not finite")
