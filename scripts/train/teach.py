"""Earlier models as teachers of a stage of fuse.py (the recipe's "teachers").

At each step one of them, drawn at random, says what it would go on with after each word of a caption and what it would answer;
the student learns that beside what people said. Both losses are linear in their targets, so over the steps this is learning
from the mean of all teachers' distributions at the price of one. A teacher sees the whole picture, plain or mirrored, whatever
part of it the student is shown.

Photographs without captions take part too: captions on which the teachers agree count as captions ("machine"), and questions
asked about other pictures are answered there by a teacher alone ("borrowed")."""
import json
import pathlib
import random

import torch
from evaluation import metrics

from train import data


class Teachers:
    def __init__(self, fusers, seed: int):
        """`fusers`: fuse.Fuser of each, in eval mode, over the student's corpus and scenes."""
        self.fusers, self.rng = fusers, random.Random(seed)

    @torch.no_grad()
    def words(self, files, views, chosen):
        """-> probabilities at each place of the captions, rows as in Fuser.packed, [m, V]"""
        one = self.rng.choice(self.fusers)
        return one.packed(*one.context(files, [v % 2 for v in views]), chosen)[0].float().softmax(-1)

    @torch.no_grad()
    def answers(self, items, views):
        """-> probability of each answer, [B, answers]"""
        return self.rng.choice(self.fusers).vqa_logits(items, [v % 2 for v in views]).float().sigmoid()

    def captions(self, files, most: int, part=50):
        """What each teacher says of each picture -> [{"image", "captions", "agreement"}]; agreement: CIDEr-D of a caption against
        those of the other teachers, 1 where all say the same."""
        decode = self.fusers[0].corpus.tokenizer.decode
        said = [[decode(ids) for n in range(0, len(files), part) for ids, in one.speak(files[n:n + part], most)] for one in self.fusers]
        texts = list(zip(*said))
        cider = metrics.Cider([[metrics.tokens(t) for t in many] for many in texts])
        return [{"image": f, "captions": list(many), "agreement": [round(v / 10, 3) for v in cider.among(n)]}
                for n, (f, many) in enumerate(zip(files, texts))]


def uncaptioned(root, corpus, scenes) -> list[str]:
    """Pictures at hand that may be learned from and that nobody has described."""
    known = data.held(root) | {c.image for c in corpus.records}
    return [f for f in scenes.files if f not in known]


def machine_captions(teachers: Teachers, corpus, files, file, min_agreement: float) -> list:
    """Items like those of Corpus.captions, of the captions that agree at least that much. `file` keeps all of them for the next start."""
    file = pathlib.Path(file)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = teachers.captions(files, corpus.config.caption.max_tokens)
        file.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return [(r["image"], pairs) for r in data.read_jsonl(file) if (pairs := agreed(r, corpus, min_agreement))]


def agreed(row: dict, corpus, min_agreement: float) -> list:
    texts = dict.fromkeys(t for t, a in zip(row["captions"], row["agreement"]) if a >= min_agreement)
    return [(corpus.words(t), corpus.words(data.mirror(t))) for t in texts]
