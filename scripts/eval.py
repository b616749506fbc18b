#!/usr/bin/env python3
"""Measures a model, in two separate steps: `predict` writes answers as JSON lines, `score` holds answers against the
truth. Answers may come from the PyTorch reference (`predict`) or from the C program (`minivlm caption --json ...`).

    eval.py predict caption --model models/minivlm-base --data DATA --set flickr8k --split test --out captions.jsonl
    eval.py score caption captions.jsonl --data DATA --set flickr8k --split test
    eval.py baselines --data DATA --cache CACHE
    eval.py detect --model models/minivlm-base --data DATA

Sets: captions flickr8k, coco; questions vqa_v2, coco_qa, daquar, objects, vsr. Retrieval ranks the first --limit pictures
of the split against all their captions: every pair is a run of the fusion, so the whole split is out of reach on a CPU."""
import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from evaluation import baselines, metrics  # noqa: E402
from train import data  # noqa: E402


def caption_truth(args):
    return [c for c in data.captions(args.data) if c.split == args.split and c.image.startswith(args.set)][:args.limit]


def question_truth(args):
    return [q for q in data.questions(args.data) if q.split == args.split and q.source == args.set][:args.limit]


def read_answers(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def name_of(row) -> str:
    """The last part of the picture's path; both programs may have been given other folders."""
    return pathlib.PurePath(row.get("image") or row.get("file")).name


def said(row) -> str:
    """The caption of a line of either program."""
    if "caption" in row:
        return row["caption"]
    best = row["captions"][0]
    return best if isinstance(best, str) else best.get("caption") or best["text"]


def answered(row) -> str:
    if "answer" in row:
        return row["answer"]
    best = row["answers"][0]
    return best if isinstance(best, str) else best.get("answer") or best["text"]


def matched(row) -> float:
    return float(row["score"] if "score" in row else row["match"])


# Scores


def score_captions(truth, rows) -> dict:
    found = {name_of(r): said(r) for r in rows}
    truth = [c for c in truth if pathlib.PurePath(c.image).name in found]
    candidates = [found[pathlib.PurePath(c.image).name] for c in truth]
    result = metrics.caption_scores(candidates, [c.texts for c in truth])
    return {**result, "pictures": len(truth), "different captions": len(set(candidates))}


def score_answers(truth, rows) -> dict:
    found = {(name_of(r), r["question"]): answered(r) for r in rows}
    pairs = [(q, found[key]) for q in truth if (key := (pathlib.PurePath(q.image).name, q.text)) in found]
    return score_answer_pairs(pairs)


def score_answer_pairs(pairs) -> dict:
    """Accuracy in per cent; lists of answers (DAQUAR) count as wrong, and are left out in "single"."""
    every = [metrics.vqa_accuracy(a, q.answers) if len(q.answers) in (1, 10) else 0.0 for q, a in pairs]
    single = [e for e, (q, _) in zip(every, pairs) if len(q.answers) in (1, 10)]
    out = {"accuracy": 100 * sum(every) / len(every), "questions": len(every)}
    if len(single) < len(every):
        out["single"] = 100 * sum(single) / len(single)
    return out


def score_matches(truth, rows) -> dict:
    """R@k of texts for a picture and of pictures for a text."""
    table = {(name_of(r), r["text"]): matched(r) for r in rows}
    names = [pathlib.PurePath(c.image).name for c in truth]
    sentences = [(n, t) for n, c in enumerate(truth) for t in c.texts]
    scores = [[table[name, t] for _, t in sentences] for name in names]
    texts = metrics.recalls(scores, [{i for i, (n, _) in enumerate(sentences) if n == row} for row in range(len(names))])
    turned = [[scores[n][i] for n in range(len(names))] for i in range(len(sentences))]
    pictures = metrics.recalls(turned, [{n} for n, _ in sentences])
    return {"text of picture": texts, "picture of text": pictures, "pictures": len(names), "texts": len(sentences)}


# Commands


def predict(args):
    import torch
    from evaluation import predict as run
    from minivlm import MiniVLM
    torch.set_num_threads(args.threads)
    model = MiniVLM.from_dir(args.model)
    if args.task == "caption":
        settings = {"num_beams": args.beams, "length_penalty": args.length_penalty}
        run.captions(model, args.data, [c.image for c in caption_truth(args)], args.out, **settings)
    elif args.task == "vqa":
        run.answers(model, args.data, question_truth(args), args.out)
    else:
        truth = caption_truth(args)
        run.matches(model, args.data, [c.image for c in truth], [t for c in truth for t in c.texts], args.out)


def score(args):
    rows = read_answers(args.answers)
    if args.task == "caption":
        return score_captions(caption_truth(args), rows)
    if args.task == "vqa":
        return score_answers(question_truth(args), rows)
    return score_matches(caption_truth(args), rows)


def trivial(args):
    """All baselines of the sets in --data."""
    out, caps, asked = {}, data.captions(args.data), data.questions(args.data)
    for name, split in (("flickr8k", "test"), ("coco", "val")):
        train = [c for c in caps if c.split == "train" and c.image.startswith("flickr8k")]
        truth = [c for c in caps if c.split == split and c.image.startswith(name)][:args.captions]
        refs = [c.texts for c in truth]
        out[f"{name} {split}: most frequent caption"] = metrics.caption_scores(
            baselines.frequent_caption(train, len(truth)), refs)
        if args.cache:
            near = baselines.neighbour_captions(args.cache, train, [c.image for c in truth])
            out[f"{name} {split}: caption of the nearest picture"] = metrics.caption_scores(near, refs)
    for name, split in (("vqa_v2", "val"), ("coco_qa", "val"), ("daquar", "test")):
        train = [q for q in asked if q.source == name and q.split == "train"]
        truth = [q for q in asked if q.source == name and q.split == split]
        for by_kind, title in ((False, "most frequent answer"), (True, "most frequent answer of the question type")):
            pairs = list(zip(truth, baselines.frequent_answers(train, truth, by_kind)))
            out[f"{name} {split}: {title}"] = score_answer_pairs(pairs)
    out["retrieval, random order"] = {"text of picture": baselines.chance_recalls(5 * args.limit, 5),
                                      "picture of text": baselines.chance_recalls(args.limit, 1)}
    return out


def detect(args):
    import torch
    from evaluation import predict as run
    from minivlm import MiniVLM
    from PIL import Image
    from train.detection import Truth, average_precision
    torch.set_num_threads(args.threads)
    model = MiniVLM.from_dir(args.model)
    names = {n: i + 1 for i, n in enumerate(model.labels.objects)}
    files = {f"coco/images/{r['image']}" for r in data.read_jsonl(pathlib.Path(args.data) / "coco/boxes.jsonl")}
    sizes = {f: Image.open(pathlib.Path(args.data) / f).size for f in files}
    records = [b for b in data.boxes(args.data, sizes) if not b.known and b.split == args.split]
    truths = [Truth.of(b, names, len(names), 1000, False) for b in records]
    found = run.detections(model, args.data, [b.image for b in records])
    found = [(boxes * 1000, scores, classes) for boxes, scores, classes in found]
    ap = average_precision(found, truths)
    best = sorted(ap.items(), key=lambda item: -item[1])[:8]
    return {"AP50": 100 * sum(ap.values()) / len(ap), "classes": len(ap), "pictures": len(records),
            "best": {model.labels.objects[k - 1]: round(100 * v, 1) for k, v in best}}


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(dest="command", required=True)
    for command in ("predict", "score"):
        c = commands.add_parser(command)
        c.add_argument("task", choices=("caption", "vqa", "retrieve"))
        if command == "score":
            c.add_argument("answers", help="JSON lines")
        else:
            c.add_argument("--model", required=True)
            c.add_argument("--out", required=True)
            c.add_argument("--beams", type=int)
            c.add_argument("--length-penalty", type=float)
            c.add_argument("--threads", type=int, default=2)
        c.add_argument("--data", required=True)
        c.add_argument("--set", required=True)
        c.add_argument("--split", default="test")
        c.add_argument("--limit", type=int)
    b = commands.add_parser("baselines")
    b.add_argument("--data", required=True)
    b.add_argument("--cache", help="training cache, for the nearest picture")
    b.add_argument("--limit", type=int, default=100, help="pictures that retrieval ranks")
    b.add_argument("--captions", type=int, help="only the first pictures of each split")
    d = commands.add_parser("detect")
    d.add_argument("--model", required=True)
    d.add_argument("--data", required=True)
    d.add_argument("--split", default="val")
    d.add_argument("--threads", type=int, default=2)
    return p.parse_args()


def rounded(value):
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return round(value, 2) if isinstance(value, float) else value


def main():
    args = arguments()
    if args.command == "predict":
        predict(args)
        return
    result = {"score": score, "baselines": trivial, "detect": detect}[args.command](args)
    print(json.dumps(rounded(result), indent=2))


if __name__ == "__main__":
    main()
