"""Answers of the PyTorch reference, one JSON object a line, as `minivlm ... --json` prints them."""
import json
import pathlib
import sys
import time

import torch

from minivlm import MiniVLM, image, tee
from train import batches


def progress(done: int, total: int, started: float):
    spent = time.time() - started
    print(f"\r{done}/{total} {spent:.0f} s, about {spent / max(1, done) * (total - done):.0f} s left ", end="",
          file=sys.stderr, flush=True)


class Viewer:
    """Scenes of pictures, each looked at once."""

    def __init__(self, model: MiniVLM, root):
        self.model, self.root, self.last = model, pathlib.Path(root), (None, None)

    def __call__(self, name: str):
        if self.last[0] != name:
            self.last = (name, self.model.see(image.load(self.root / name)))
        return self.last[1]


def captions(model, root, names, out, **settings):
    see, started = Viewer(model, root), time.time()
    with open(out, "w", encoding="utf-8") as file:
        for n, name in enumerate(names, 1):
            best = model.caption(see(name), **settings)[0]
            row = {"image": name, "caption": model.tokenizer.decode(best.tokens), "score": round(best.score, 4)}
            file.write(json.dumps(row) + "\n")
            progress(n, len(names), started)


@torch.no_grad()
def pooled(model, scene, texts):
    """[CLS] vectors of many token-id lists beside one scene; texts of one length go through together."""
    regions = model.fusion.embed_regions(scene.inputs[None])
    out, lengths = [None] * len(texts), {}
    for n, ids in enumerate(texts):
        lengths.setdefault(len(ids), []).append(n)
    for rows in lengths.values():
        pack = batches.pack_pairs([texts[n] for n in rows], [scene.tags] * len(rows))
        words = model.fusion.embed_text(pack.ids, pack.positions, pack.segments)
        x = model.fusion.encode(torch.cat((words, regions.expand(len(rows), -1, -1)), 1))[:, 0]
        for n, vector in zip(rows, x):
            out[n] = vector
    return torch.stack(out)


@torch.no_grad()
def answers(model, root, asked, out):
    asked = sorted(asked, key=lambda q: q.image)
    by_image, started, done = {}, time.time(), 0
    for q in asked:
        by_image.setdefault(q.image, []).append(q)
    see = Viewer(model, root)
    with open(out, "w", encoding="utf-8") as file:
        for name, many in by_image.items():
            logits = model.heads.vqa(pooled(model, see(name), [model.text_ids(q.text) for q in many]))
            for q, row in zip(many, logits):
                best = int(row.argmax())
                file.write(json.dumps({"image": name, "question": q.text, "answer": model.labels.answers[best],
                                       "score": round(float(row[best].sigmoid()), 4)}) + "\n")
            done += len(many)
            progress(done, len(asked), started)


@torch.no_grad()
def matches(model, root, names, sentences, out):
    """Every picture beside every sentence."""
    see, started = Viewer(model, root), time.time()
    texts = [model.text_ids(s) for s in sentences]
    with open(out, "w", encoding="utf-8") as file:
        for n, name in enumerate(names, 1):
            logits = model.heads.retrieve(pooled(model, see(name), texts))
            scores = (logits[:, 1] - logits[:, 0]).tolist()
            for sentence, score in zip(sentences, scores):
                file.write(json.dumps({"image": name, "text": sentence, "score": round(score, 5)}) + "\n")
            progress(n, len(names), started)


@torch.no_grad()
def detections(model, root, names):
    """-> for each picture boxes as parts of its sides [n, 4], scores, classes."""
    out = []
    for name in names:
        p = model.prepare(image.load(pathlib.Path(root) / name))
        regions, = model.tee(p.tensor[None], [p.resized])
        boxes = tee.geometry(tee.to_upright(regions.boxes, p.resized, p.upright), p.upright)[:, :4]
        out.append((boxes, regions.scores, regions.classes))
    return out
