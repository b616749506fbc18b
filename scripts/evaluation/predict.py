"""Answers of the PyTorch reference, as rows that look like those of the C engine."""
import functools
import pathlib

import torch
from minivlm import MiniVLM, image
from train import batches

from evaluation import rows


@torch.no_grad()
def pooled(model, scene, texts):
    """[CLS] vectors of many token-id lists beside one scene; texts of one length go through together."""
    seen = model.embed_scene(scene)
    out, lengths = [None] * len(texts), {}
    for n, ids in enumerate(texts):
        lengths.setdefault(len(ids), []).append(n)
    for same in lengths.values():
        pack = batches.pack_pairs([texts[n] for n in same], [scene.tags] * len(same))
        words = model.fusion.embed_text(pack.ids, pack.positions, pack.segments)
        x = model.fusion.encode(torch.cat((words, seen.expand(len(same), -1, -1)), 1))[:, 0]
        for n, vector in zip(same, x):
            out[n] = vector
    return torch.stack(out)


class Reference:
    """Generators of rows, as evaluation.engine.Engine has them; pictures are named below `root`."""

    def __init__(self, model: MiniVLM, root):
        self.model, self.root = model, pathlib.Path(root)
        self.see = functools.lru_cache(256)(lambda name: model.see(image.load(self.root / name)))

    def captions(self, names, **settings):
        for name in names:
            best = self.model.caption(self.see(name), **settings)[0]
            yield {"image": name, "caption": self.model.tokenizer.decode(best.tokens), "score": best.score}

    def answers(self, asked):
        by_image = {}
        for q in sorted(asked, key=lambda q: q.image):
            by_image.setdefault(q.image, []).append(q.text)
        for name, many in by_image.items():
            logits = self.model.heads.vqa(self.pooled(name, many)).detach()
            for text, row in zip(many, logits):
                best = int(row.argmax())
                yield {"image": name, "question": text, "answer": self.model.labels.answers[best],
                       "score": float(row[best].sigmoid())}

    def matches(self, names, sentences):
        """Every picture beside every sentence."""
        for name in names:
            logits = self.model.heads.retrieve(self.pooled(name, sentences)).detach()
            scores = (logits[:, 1] - logits[:, 0]).double().sigmoid().tolist()
            for sentence, score in zip(sentences, scores):
                yield {"image": name, "text": sentence, "score": score}

    def regions(self, names):
        for name in names:
            scene, (width, height) = self.see(name), image.load(self.root / name).size
            found = zip(scene.labels, scene.regions.scores.tolist(), scene.boxes.tolist())
            yield {"image": name, "regions": [{"label": l, "score": s, "box": b} for l, s, b in found],
                   "width": width, "height": height}

    def pooled(self, name, texts):
        return pooled(self.model, self.see(name), [self.model.text_ids(t) for t in texts])


def captions(model, root, names, out, **settings):
    rows.write(out, Reference(model, root).captions(names, **settings), len(names))


def answers(model, root, asked, out):
    rows.write(out, Reference(model, root).answers(asked), len(asked))
