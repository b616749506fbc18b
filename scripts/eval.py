#!/usr/bin/env python3
"""Measures a model, in two separate steps: `predict` writes answers as JSON lines, `score` holds answers against the
truth. Answers come from the C engine, or with --reference from PyTorch; `score` also reads what `minivlm ... --json` prints.

    eval.py predict caption --model models/minivlm-base --data DATA --set flickr8k --split test --out captions.jsonl
    eval.py score caption captions.jsonl --data DATA --set flickr8k --split test
    eval.py score caption captions.jsonl --against others.jsonl --data DATA --set flickr8k --split test
    eval.py detect --model models/minivlm-base --data DATA
    eval.py parity --model models/minivlm-base --data DATA --set flickr8k --split test --limit 200
    eval.py baselines --data DATA --cache CACHE

Sets: captions flickr8k, coco; questions vqa_v2, coco_qa, daquar, objects, vsr. Retrieval ranks the first --limit pictures
of the split against all their captions. Every pair is a run of the fusion, so a thousand pictures with five thousand captions are
out of reach on a CPU: --gallery 100 takes all thousand as ten galleries of a hundred, and the mean of their recalls.
`--against` adds by how much the same pictures, questions or texts (R@1) are answered better than in the other file, and where
95 % of the resamples of that difference lie. `parity` asks both programs the same and prints how often they agree and how far their numbers part."""
import argparse
import json
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from evaluation import baselines, metrics, rows as lines
from evaluation.engine import Engine, EngineError
from train import data

PROGRAM = pathlib.Path(__file__).resolve().parents[1] / "build/release/minivlm"
RECIPE = pathlib.Path(__file__).resolve().parent / "train/recipes/small.json"
PARITY_SENTENCES = 10


def caption_truth(args):
    """SET/references_SPLIT.jsonl where there is one (train.coco_captions), else what SET/captions*.jsonl say."""
    whole = pathlib.Path(args.data) / args.set / f"references_{args.split}.jsonl"
    if whole.exists():
        return [data.Captions(r["image"], r["captions"], args.split) for r in data.read_jsonl(whole)][:args.limit]
    return [c for c in data.captions(args.data) if c.split == args.split and c.image.startswith(args.set + "/")][:args.limit]


def question_truth(args):
    return [q for q in data.questions(args.data) if q.split == args.split and q.source == args.set][:args.limit]


def name_of(row) -> str:
    """The last part of the picture's path; both programs may have been given other folders."""
    return pathlib.PurePath(row.get("file") or row["image"]).name


# Scores


def score_texts(candidates, references) -> dict:
    """Our metrics, and METEOR and SPICE where they can run."""
    said, known = [metrics.tokens(c) for c in candidates], [[metrics.tokens(t) for t in texts] for texts in references]
    return {**metrics.caption_scores(candidates, references), **metrics.java_scores(said, known)}


def score_captions(truth, rows) -> dict:
    found = {name_of(r): r["caption"] for r in rows}
    truth = [c for c in truth if pathlib.PurePath(c.image).name in found]
    candidates = [found[pathlib.PurePath(c.image).name] for c in truth]
    out = {**score_texts(candidates, [c.texts for c in truth]), "pictures": len(truth), "different captions": len(set(candidates))}
    people = metrics.people_each([c.texts for c in truth])
    return out | ({"CIDEr-D of people": sum(people) / len(people), "CIDEr-D of people 95 %": metrics.interval(people)} if people else {})


def score_answers(truth, rows) -> dict:
    found = {(name_of(a), a["question"]): a["answer"] for r in rows for a in lines.answers(r)}
    pairs = [(q, found[key]) for q in truth if (key := (pathlib.PurePath(q.image).name, q.text)) in found]
    return score_answer_pairs(pairs)


def score_answer_pairs(pairs) -> dict:
    """Accuracy in per cent; lists of answers (DAQUAR) count as wrong, and are left out in "single"."""
    every = [metrics.vqa_accuracy(a, q.answers) if len(q.answers) in (1, 10) else 0.0 for q, a in pairs]
    single = [e for e, (q, _) in zip(every, pairs) if len(q.answers) in (1, 10)]
    out = {"accuracy": 100 * sum(every) / len(every), "accuracy 95 %": [100 * v for v in metrics.interval(every)], "questions": len(every)}
    if len(single) < len(every):
        out["single"] = 100 * sum(single) / len(single)
    return out


def singles(args, rows) -> dict:
    """picture -> its CIDEr-D, or (picture, question) -> how right its answer is, both in per cent"""
    if args.task == "caption":
        found = {name_of(r): r["caption"] for r in rows}
        texts = {name: c.texts for c in caption_truth(args) if (name := pathlib.PurePath(c.image).name) in found}
        return dict(zip(texts, metrics.cider_each([found[n] for n in texts], list(texts.values()))))
    found = {(name_of(a), a["question"]): a["answer"] for r in rows for a in lines.answers(r)}
    asked = {(pathlib.PurePath(q.image).name, q.text): q.answers for q in question_truth(args)}
    return {key: 100 * metrics.vqa_accuracy(found[key], answers) for key, answers in asked.items()
            if key in found and len(answers) in (1, 10)}


def gain(mine: dict, theirs: dict) -> dict:
    gains = [mine[key] - theirs[key] for key in mine if key in theirs]
    return {"gain": sum(gains) / len(gains), "gain 95 %": metrics.interval(gains), "compared": len(gains)}


def score_against(args, rows, others) -> dict:
    if args.task != "retrieve":
        return gain(singles(args, rows), singles(args, others))
    groups = galleries(caption_truth(args), args.gallery)
    pairs = zip(("text of picture", "picture of text"), ranked(groups, rows), ranked(groups, others))
    return {name: gain(*({key: 100.0 * (rank == 0) for key, rank in found.items()} for found in both)) for name, *both in pairs}


def galleries(truth, size):
    """The pictures in groups of `size`, in their order; a last group that is not full is left out."""
    size = size or len(truth)
    return [truth[n:n + size] for n in range(0, len(truth) - size + 1, size)]


def ranked(groups, rows) -> tuple[dict, dict]:
    """Picture -> rank of its best text, (picture, text) -> rank of the picture, each among those of its gallery."""
    table = {(name_of(m), m["text"]): m["score"] for r in rows for m in lines.matches(r)}
    of_pictures, of_texts = {}, {}
    for truth in groups:
        names = [pathlib.PurePath(c.image).name for c in truth]
        sentences = [(n, t) for n, c in enumerate(truth) for t in c.texts]
        scores = [[table[name, t] for _, t in sentences] for name in names]
        of_pictures |= zip(names, metrics.ranks(scores, [{i for i, (n, _) in enumerate(sentences) if n == row} for row in range(len(names))]))
        turned = [[scores[n][i] for n in range(len(names))] for i in range(len(sentences))]
        of_texts |= zip([(names[n], i, t) for i, (n, t) in enumerate(sentences)], metrics.ranks(turned, [{n} for n, _ in sentences]))
    return of_pictures, of_texts


def score_matches(groups, rows) -> dict:
    """R@k of texts for a picture and of pictures for a text."""
    of_pictures, of_texts = ranked(groups, rows)
    return {"text of picture": metrics.recalls([*of_pictures.values()]), "picture of text": metrics.recalls([*of_texts.values()]),
            "galleries": len(groups), "pictures": len(of_pictures), "texts": len(of_texts)}


# Commands


def reference(args):
    import torch
    from evaluation.predict import Reference
    from minivlm import MiniVLM
    torch.set_num_threads(args.threads)
    return Reference(MiniVLM.from_dir(args.model), args.data)


def predictor(args):
    return reference(args) if args.reference else Engine(args.engine, args.model, args.data, args.threads, args.precision)


def predict(args):
    who = predictor(args)
    if args.task == "vqa":
        asked = question_truth(args)
        lines.write(args.out, who.answers(asked), len(asked))
        return
    truth = caption_truth(args)
    names = [c.image for c in truth]
    if args.task == "caption":
        found = who.captions(names, num_beams=args.beams, length_penalty=args.length_penalty)
        lines.write(args.out, found, len(names))
    else:
        groups = [([c.image for c in g], [t for c in g for t in c.texts]) for g in galleries(truth, args.gallery)]
        rows = (row for pictures, sentences in groups for row in who.matches(pictures, sentences))
        lines.write(args.out, rows, sum(len(pictures) * len(sentences) for pictures, sentences in groups))


def score(args):
    rows = lines.read(args.answers)
    if args.task == "retrieve":
        found = score_matches(galleries(caption_truth(args), args.gallery), rows)
    else:
        found = score_captions(caption_truth(args), rows) if args.task == "caption" else score_answers(question_truth(args), rows)
    return found | ({"against": score_against(args, rows, lines.read(args.against))} if args.against else {})


def trivial(args):
    """All baselines of the sets in --data."""
    out, caps, asked = {}, data.captions(args.data), data.questions(args.data)
    train = [c for c in caps if c.split == "train"]
    near = baselines.Neighbours(args.recipe, args.cache, train) if args.cache else None
    for name, split in (("flickr8k", "test"), ("coco", "val")):
        truth = [c for c in caps if c.split == split and c.image.startswith(name)][:args.captions]
        refs = [c.texts for c in truth]
        out[f"{name} {split}: most frequent caption"] = score_texts(
            baselines.frequent_caption(train, len(truth)), refs)
        if near:
            out[f"{name} {split}: caption of the nearest picture"] = score_texts(near.captions([c.image for c in truth]), refs)
    for name, split in (("vqa_v2", "val"), ("coco_qa", "val"), ("daquar", "test")):
        train = [q for q in asked if q.source == name and q.split == "train"]
        truth = [q for q in asked if q.source == name and q.split == split]
        for by_kind, title in ((False, "most frequent answer"), (True, "most frequent answer of the question type")):
            pairs = list(zip(truth, baselines.frequent_answers(train, truth, by_kind)))
            out[f"{name} {split}: {title}"] = score_answer_pairs(pairs)
    out["retrieval, random order"] = {"text of picture": baselines.chance_recalls(5 * args.limit, 5),
                                      "picture of text": baselines.chance_recalls(args.limit, 1)}
    return out


def found_boxes(row, names: dict[str, int]):
    """-> boxes as thousandths of the sides [n, 4], scores, classes"""
    import torch
    boxes = torch.tensor([r["box"] for r in row["regions"]]).reshape(-1, 4)
    boxes *= 1000 / torch.tensor([row["width"], row["height"]] * 2)
    scores, classes = [r["score"] for r in row["regions"]], [names[r["label"]] for r in row["regions"]]
    return boxes, torch.tensor(scores), torch.tensor(classes)


def detect(args):
    from PIL import Image
    from train.detection import Truth, average_precision
    objects = json.loads((pathlib.Path(args.model) / "labels.json").read_text(encoding="utf-8"))["objects"]
    names = {n: i + 1 for i, n in enumerate(objects)}
    files = {f"coco/images/{r['image']}" for r in data.read_jsonl(pathlib.Path(args.data) / "coco/boxes.jsonl")}
    sizes = {f: Image.open(pathlib.Path(args.data) / f).size for f in files}
    records = [b for b in data.boxes(args.data, sizes) if not b.known and b.split == args.split][:args.limit]
    truths = [Truth.of(b, names, len(names), 1000, False) for b in records]
    rows = lines.progress(predictor(args).regions([b.image for b in records]), len(records))
    pairs = [(found_boxes(row, names), truth) for row, truth in zip(rows, truths)]

    def precision(chosen) -> tuple[float, dict]:
        ap = average_precision(*map(list, zip(*chosen)))
        return 100 * sum(ap.values()) / len(ap), ap

    rng = random.Random(1)
    drawn = sorted(precision(rng.choices(pairs, k=len(pairs)))[0] for _ in range(200))
    mean, ap = precision(pairs)
    best = sorted(ap.items(), key=lambda item: -item[1])[:8]
    return {"AP50": mean, "AP50 95 %": [drawn[5], drawn[-6]], "classes": len(ap), "pictures": len(records),
            "best": {objects[k - 1]: round(100 * v, 1) for k, v in best}}


def compare(args):
    from evaluation import parity
    truth = caption_truth(args)
    engine = Engine(args.engine, args.model, args.data, args.threads)
    sentences = [c.texts[0] for c in truth[:PARITY_SENTENCES]]
    found = parity.compare(engine, reference(args), [c.image for c in truth], sentences)
    return {k: float(f"{v:.7g}") if isinstance(v, float) else v for k, v in found.items()}


def add_model(p, is_choice=True):
    p.add_argument("--model", required=True)
    p.add_argument("--engine", default=PROGRAM, help="the program minivlm (default: build/release/minivlm)")
    if is_choice:
        p.add_argument("--reference", action="store_true", help="PyTorch instead of the C engine")
        p.add_argument("--precision", help="of the C engine, such as fp32 (default: as in the model directory)")
    p.add_argument("--threads", type=int, default=2)


def add_pictures(p, limit=None):
    p.add_argument("--data", required=True)
    p.add_argument("--set", required=True)
    p.add_argument("--split", default="test")
    p.add_argument("--limit", type=int, default=limit)


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(dest="command", required=True)
    for command in ("predict", "score"):
        c = commands.add_parser(command)
        c.add_argument("task", choices=("caption", "vqa", "retrieve"))
        if command == "score":
            c.add_argument("answers", help="JSON lines")
            c.add_argument("--against", help="JSON lines of another model")
        else:
            add_model(c)
            c.add_argument("--out", required=True)
            c.add_argument("--beams", type=int)
            c.add_argument("--length-penalty", type=float)
        add_pictures(c)
        c.add_argument("--gallery", type=int, help="retrieve: pictures in groups of this many, each with its own captions")
    y = commands.add_parser("parity")
    add_model(y, is_choice=False)
    add_pictures(y, limit=200)
    b = commands.add_parser("baselines")
    b.add_argument("--data", required=True)
    b.add_argument("--cache", help="training cache, for the nearest picture")
    b.add_argument("--recipe", default=RECIPE, help="recipe of that cache (default: small.json)")
    b.add_argument("--limit", type=int, default=100, help="pictures that retrieval ranks")
    b.add_argument("--captions", type=int, help="only the first pictures of each split")
    d = commands.add_parser("detect")
    add_model(d)
    d.add_argument("--data", required=True)
    d.add_argument("--split", default="val")
    d.add_argument("--limit", type=int, help="only the first pictures")
    return p.parse_args()


def rounded(value):
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return round(value, 2) if isinstance(value, float) else value


def main():
    args = arguments()
    run = {"predict": predict, "score": score, "baselines": trivial, "detect": detect, "parity": compare}[args.command]
    try:
        result = run(args)
    except EngineError as error:
        sys.exit(f"eval.py: {error}")
    if result is not None:
        print(json.dumps(result if args.command == "parity" else rounded(result), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
