"""Answers that need no understanding. A model that does not beat them clearly has learned nothing of the task."""
from collections import Counter

import numpy as np
from train import data

from evaluation.metrics import tokens


def frequent_caption(train: list[data.Captions], count: int) -> list[str]:
    """The caption that occurs most often, for every picture."""
    best = Counter(" ".join(tokens(t)) for c in train for t in c.texts).most_common(1)[0][0]
    return [best] * count


def consensus_caption(texts: list[str]) -> int:
    """Of several captions the number of the one most like the others."""
    words = [tokens(t) for t in texts]
    return max(range(len(texts)), key=lambda i: sum(len(set(words[i]) & set(w)) / (1 + len(set(words[i]) | set(w)))
                                                   for j, w in enumerate(words) if j != i))


def picture_vectors(taps, rows, batch=32):
    """Mean of the ImageNet backbone's last map, [n, c]; taps: train.cache.open_taps."""
    parts = [rows[n:n + batch] for n in range(0, len(rows), batch)]
    return np.concatenate([taps.batch(part, [0] * len(part), levels=(3,))[0].float().mean((2, 3)).numpy() for part in parts])


class Neighbours:
    """Captions of the training pictures with the most similar backbone features."""

    def __init__(self, recipe_file, cache, train: list[data.Captions]):
        from train import common, recipe
        from train.cache import Images, open_taps
        r = recipe.load(recipe_file)
        self.train, self.row, self.taps = train, Images(cache).row, open_taps(r, cache)
        self.cast = common.cast(r["tee"].get("half", False))
        self.known = self.vectors([c.image for c in train])

    def vectors(self, names):
        with self.cast:
            return picture_vectors(self.taps, [self.row[n] for n in names])

    def captions(self, names) -> list[str]:
        found = [self.train[i].texts for i in nearest(self.known, self.vectors(names))]
        return [texts[consensus_caption(texts)] for texts in found]


def nearest(known, asked):
    """For each vector asked the row of the known one at the smallest angle, after each number is put on one scale."""
    centre, spread = known.mean(0), known.std(0) + 1e-3
    known, asked = (known - centre) / spread, (asked - centre) / spread
    known = known / np.linalg.norm(known, axis=1, keepdims=True)
    return (asked @ known.T).argmax(1)


def frequent_answers(train: list[data.Question], asked: list[data.Question], by_kind: bool) -> list[str]:
    """The most frequent answer of all, or of the question's kind (its type, or its first two words)."""
    whole: Counter[str] = Counter()
    kinds: dict[tuple[str, str], Counter[str]] = {}
    for q in train:
        best = max(data.target(q).items(), key=lambda item: item[1])[0]
        whole[best] += 1
        kinds.setdefault((q.source, q.kind), Counter())[best] += 1
    top = whole.most_common(1)[0][0]
    return [kinds[(q.source, q.kind)].most_common(1)[0][0] if by_kind and (q.source, q.kind) in kinds else top
            for q in asked]


def chance_recalls(items: int, right: int, at=(1, 5, 10)) -> dict[str, float]:
    """Expected recall of a random order when `right` of `items` are right."""
    out = {}
    for k in at:
        miss = 1.0
        for i in range(min(k, items)):
            miss *= max(0, items - right - i) / (items - i)
        out[f"R@{k}"] = 100 * (1 - miss)
    return out
