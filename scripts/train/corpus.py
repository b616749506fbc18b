"""Token ids of everything there is to say about the cached pictures."""
import pathlib
import random
from collections import Counter

import torch
from minivlm import config as cfg
from minivlm.text import Tokenizer

from train import coco_captions, common, data

MIN = (3, 10, 20)  # times an answer is given, to be listed: with pictures, by rule, without pictures


class Corpus:
    def __init__(self, root, known, tokenizer: Tokenizer, config: cfg.Config, answers=None, sentences=False, least=1, made=(), keep=()):
        """`known`: the pictures at hand. `least`: a word that captions of pictures use less often is read, never said, but for those
        in `keep`. `made`: questions by rule (ask.py), training pictures only."""
        self.tokenizer, self.config = tokenizer, config
        self.rng = random.Random(7 + common.rank())
        self.records = [c for c in data.captions(root) if c.image in known]
        asked = [q for q in data.questions(root) if q.image in known]
        train, made = [q for q in asked if q.split == "train"], [q for q in made if q.image in known]
        texts = list(text_questions(root))
        lists = [data.answer_list(asked, least) for asked, least in zip((train, made, texts), MIN)]
        self.answers = answers or list(dict.fromkeys(a for part in lists for a in part))
        index = {a: n for n, a in enumerate(self.answers)}
        self.captions = {split: self._captions(split) for split in ("train", "val")}
        self.questions = {"train": self._questions(train, index),
                          "val": self._questions([q for q in asked if q.split == "val"], index)}
        self.made_questions = self._questions(made, index)
        self.text_questions = self._questions(texts, index)
        self.machine_captions: list = []  # like captions["train"], by teachers (teach.py)
        self.bare: list[str] = []  # pictures that nobody has described
        spoken = data.sentences(root) if sentences else []
        self.sentences = [ids for text in spoken if 4 <= len(ids := self.words(text)) <= 20]
        use = Counter(w for c in self.captions["train"] for ids, _ in c[1] for w in ids)
        self.vocabulary = torch.tensor(sorted({w for w, n in use.items() if n >= least} | {tokenizer.sep, *keep}))
        self.output_row = torch.full((len(tokenizer.tokens),), -1)
        self.output_row[self.vocabulary] = torch.arange(len(self.vocabulary))

    def words(self, text: str):
        """Ids of a caption: no full stop at its end, cut to what decoding can produce."""
        return self.tokenizer.encode(text.strip().rstrip(" ."))[:self.config.caption.max_tokens - 1]

    def _captions(self, split):
        """(file, [(ids, ids of the mirrored sentence)])"""
        out = []
        for c in self.records:
            pairs = [(self.words(t), self.words(data.mirror(t))) for t in c.texts] if c.split == split else []
            pairs = [p for p in pairs if len(p[0]) >= 3]
            if pairs:
                out.append((c.image, pairs))
        return out

    def text_ids(self, ids):
        return [self.tokenizer.cls] + ids[:self.config.text.text_length - 2] + [self.tokenizer.sep]

    def _questions(self, asked, index):
        """(file, ids, ids mirrored, [(answer, score)], mirrored answer scores); those without a listed answer drop out."""
        out = []
        for q in asked:
            target = [(index[a], s) for a, s in data.target(q).items() if a in index]
            if target:
                turned = [(index.get(data.mirror(self.answers[a]), a), s) for a, s in target]
                ids = [self.text_ids(self.tokenizer.encode(text)) for text in (q.text, data.mirror(q.text))]
                out.append((q.image, *ids, target, turned))
        return out


def text_questions(root):
    """Questions whose pictures are not at hand: they teach what kind of answer a question wants."""
    held = {number for name in data.held(root) if (number := coco_captions.number(name)) is not None}
    for file in ("text/vqa_v2_60k", "text/coco_qa_117k", "vqa_more/vqa_majority_text"):
        for r in data.read_jsonl(pathlib.Path(root) / f"{file}.jsonl.gz"):
            if r.get("split", "train") == "train" and not r.get("have_image") and r.get("coco_id") not in held:
                yield data.Question("", r["question"], [data.normal_answer(a) for a in r["answers"]], "train", file)
