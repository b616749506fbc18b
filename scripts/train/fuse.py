"""Stage 3: the fusion transformer and its heads on cached scenes: all tasks at once, after masked words where the recipe
has a "pretrain" entry.

fc6 and fc7 of the region head learn too. The recipe's "fuse" section holds one entry a stage: minutes, learning rates and
how often each task is drawn."""
import argparse
import pathlib
import random
from collections import Counter, defaultdict

import torch
import torch.nn.functional as F

from minivlm import MiniVLM, config as cfg
from minivlm.model import Labels
from minivlm.text import Tokenizer
from train import align, batches, common, data, pretrained, recipe
from train.scenes import Scenes


class Corpus:
    """Token ids of everything there is to say about the cached pictures."""

    def __init__(self, root, scenes: Scenes, tokenizer: Tokenizer, config: cfg.Config, answers=None, sentences=False, least=1):
        """`least`: a word that captions of pictures use less often is read, never said."""
        self.scenes, self.tokenizer, self.config = scenes, tokenizer, config
        self.rng = random.Random(7 + common.rank())
        known = scenes.row
        self.records = [c for c in data.captions(root) if c.image in known]
        asked = [q for q in data.questions(root) if q.image in known]
        train = [q for q in asked if q.split == "train"]
        self.answers = answers or data.answer_list(train, 3)
        index = {a: n for n, a in enumerate(self.answers)}
        self.captions = {split: self._captions(split) for split in ("train", "val")}
        self.questions = {"train": self._questions(train, index),
                          "val": self._questions([q for q in asked if q.split == "val"], index)}
        self.text_questions = self._questions(list(text_questions(root)), index)
        texts = data.sentences(root) if sentences else []
        self.sentences = [ids for text in texts if 4 <= len(ids := self.words(text)) <= 20]
        use = Counter(w for c in self.captions["train"] for ids, _ in c[1] for w in ids)
        self.vocabulary = torch.tensor(sorted({w for w, n in use.items() if n >= least} | {tokenizer.sep}))
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

    def question_ids(self, text):
        ids = self.tokenizer.encode(text)[:self.config.text.text_length - 2]
        return [self.tokenizer.cls] + ids + [self.tokenizer.sep]

    def _questions(self, asked, index):
        """(file, ids, ids mirrored, [(answer, score)], mirrored answer scores); those without a listed answer drop out."""
        out = []
        for q in asked:
            target = [(index[a], s) for a, s in data.target(q).items() if a in index]
            if target:
                turned = [(index.get(data.mirror(self.answers[a]), a), s) for a, s in target]
                out.append((q.image, self.question_ids(q.text), self.question_ids(data.mirror(q.text)), target, turned))
        return out


def text_questions(root):
    """Questions whose pictures are not at hand: they teach what kind of answer a question wants."""
    text = pathlib.Path(root) / "text"
    for name in ("vqa_v2_60k", "coco_qa_117k"):
        for r in data.read_jsonl(text / f"{name}.jsonl.gz"):
            if r["split"] == "train" and not r["have_image"]:
                yield data.Question("", r["question"], [data.normal_answer(a) for a in r["answers"]], "train", name)


def build_model(config, answers, r, tee_file=None) -> MiniVLM:
    tokenizer = Tokenizer.from_file(pretrained.minilm_vocab() if r["pretrained"] else r["vocab"])
    model = MiniVLM(config, tokenizer, Labels(recipe.classes(r), [], list(answers)), r["dropout"])
    if r["pretrained"]:
        model.fusion.load_state_dict(pretrained.minilm_state(config.fusion.layers), strict=False)
    if tee_file:
        model.tee.load_state_dict(torch.load(tee_file, weights_only=True))
    torch.nn.init.constant_(model.heads.vqa.classifier.bias, -4.595)
    return model


class Fuser:
    """Losses of the three tasks."""

    def __init__(self, model: MiniVLM, corpus: Corpus, settings: dict):
        self.model, self.corpus, self.s = model, corpus, settings
        self.names, self.question_key = model.labels.objects, None
        self.tag_cache: dict[str, list[int]] = {}

    def look(self, files, flips):
        """-> regions [B, R, D], valid [B, R], tags, loss that keeps the choice of regions."""
        return self.see(*self.corpus.scenes.batch(files, flips))

    def see(self, aligned, geometry, valid, logits, deltas):
        """Pooled maps of the kept regions and what was said of them -> what look() gives."""
        roi = self.model.tee.roi
        features = roi.features(aligned)  # [B, R, H]
        now, moved = roi.predict(features)
        keep = F.kl_div(now.log_softmax(-1), logits.softmax(-1), reduction="none").sum(-1)
        keep = keep + F.smooth_l1_loss(moved, deltas, reduction="none").sum(-1)
        keep = (keep * valid).sum() / valid.sum()
        features = F.dropout(features, self.s.get("region_dropout", 0.1), self.model.training)
        regions = self.model.fusion.embed_boxes(torch.cat((features, geometry), -1), None)
        if self.model.training and self.s.get("drop_regions", 0.0):
            valid = valid & (torch.rand(valid.shape) >= self.s["drop_regions"])
        return regions, valid, self.tags(logits, valid), keep

    def tags(self, logits, valid):
        scores, classes = logits.softmax(-1)[..., 1:].max(-1)
        sure = (scores >= self.model.config.text.tag_threshold) & valid
        out = []
        for row, names in zip(sure, classes):
            labels = list(dict.fromkeys(self.names[k] for k in names[row].tolist()))
            key = " ".join(labels)
            if key not in self.tag_cache:
                self.tag_cache[key] = self.model.tag_ids(labels)
            out.append(self.tag_cache[key])
        return out

    def context(self, regions, valid, tags):
        ids, positions, segments, tag_valid = batches.pad_tags(tags, self.model.config.text.caption_length)
        if not ids.shape[1]:
            return regions, valid
        words = self.model.fusion.embed_text(ids, positions, segments)
        return torch.cat((words, regions), 1), torch.cat((tag_valid, valid), 1)

    def word_loss(self, x, targets, smoothing):
        """Cross-entropy over the words that training sentences use; others are ruled out at export."""
        head, rows = self.model.heads.caption, self.corpus.vocabulary
        x = head.norm(F.gelu(head.transform(x)))
        logits = F.linear(x, self.model.fusion.embeddings.word.weight[rows], head.bias[rows])
        return F.cross_entropy(logits, self.corpus.output_row[targets], label_smoothing=smoothing, ignore_index=-1)

    def caption(self, items, train=True):
        flips = self.corpus.scenes.flips([i[0] for i in items]) if train else [0] * len(items)
        regions, valid, tags, keep = self.look([i[0] for i in items], flips)
        context, context_valid = self.context(regions, valid, tags)
        most = self.s.get("captions", 5)
        chosen = [[pair[f] for pair in (self.corpus.rng.sample(i[1], min(most, len(i[1]))) if train else i[1][:5])]
                  for i, f in zip(items, flips)]
        return self.caption_loss(context, context_valid, chosen, train), keep

    def caption_loss(self, context, context_valid, chosen, train):
        pack = batches.pack_captions(chosen, context_valid, self.corpus.tokenizer, self.s.get("drop_words", 0.0) if train else 0)
        text = self.model.fusion.embed_text(pack.ids, pack.positions, torch.zeros_like(pack.ids))
        x = self.model.fusion.encode(torch.cat((context, text), 1), pack.mask)[:, context.shape[1]:]
        smoothing = self.s.get("smoothing", 0.1) if train else 0.0
        return self.word_loss(x.flatten(0, 1)[pack.where], pack.targets, smoothing)

    def sentence(self, items):
        """Captions without a picture: the language alone."""
        nothing = torch.zeros(len(items), 0, self.model.config.fusion.hidden)
        return self.caption_loss(nothing, torch.zeros(len(items), 0, dtype=torch.bool), items, True)

    def read(self, texts, regions, valid, tags):
        """Text, tags and regions, all seeing all -> hidden vectors [B, n, D], the text first"""
        pack = batches.pack_pairs(texts, tags)
        words = self.model.fusion.embed_text(pack.ids, pack.positions, pack.segments)
        mask = batches.pair_mask(pack, valid)
        return self.model.fusion.encode(torch.cat((words, regions), 1), mask)

    def pair(self, texts, regions, valid, tags):
        """-> hidden vector of [CLS], [B, D]"""
        return self.read(texts, regions, valid, tags)[:, 0]

    def masked(self, items):
        """Masked words of one caption a picture, with the words on both sides, the tags and the regions in sight."""
        corpus, flips = self.corpus, self.corpus.scenes.flips([i[0] for i in items])
        regions, valid, tags, keep = self.look([i[0] for i in items], flips)
        texts = [[corpus.tokenizer.cls] + corpus.rng.choice(i[1])[f] + [corpus.tokenizer.sep] for i, f in zip(items, flips)]
        shown, targets = batches.hide_words(texts, corpus.tokenizer, corpus.vocabulary)
        x = self.read(shown, regions, valid, tags)
        asked = [(b, at, word) for b, row in enumerate(targets) for at, word in enumerate(row) if word >= 0]
        rows, places, words = (torch.tensor(column) for column in zip(*asked))
        return self.word_loss(x[rows, places], words, self.s.get("smoothing", 0.1)), keep

    def answer_targets(self, items, flips):
        targets = torch.zeros(len(items), len(self.corpus.answers))
        for row, (item, flip) in enumerate(zip(items, flips)):
            for answer, score in item[4] if flip else item[3]:
                targets[row, answer] = score
        return targets

    def vqa_logits(self, items, flips):
        regions, valid, tags, keep = self.look([i[0] for i in items], flips)
        return self.model.heads.vqa(self.pair([i[2] if f else i[1] for i, f in zip(items, flips)], regions, valid, tags)), keep

    def vqa(self, items, text_items=()):
        flips = self.corpus.scenes.flips([i[0] for i in items])
        logits, keep = self.vqa_logits(items, flips)
        targets = self.answer_targets(items, flips)
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / targets.sum()
        if text_items:
            n = len(text_items)
            nothing = torch.zeros(n, 0, self.model.config.fusion.hidden)
            logits = self.model.heads.vqa(self.pair([i[1] for i in text_items], nothing, torch.zeros(n, 0, dtype=torch.bool), [[]] * n))
            targets = self.answer_targets(text_items, [0] * n)
            loss = loss + self.s.get("text_weight", 0.3) * F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / targets.sum()
        return loss, keep

    def retrieve_logits(self, files, flips, texts, which):
        """texts[i] beside picture which[i]."""
        regions, valid, tags, keep = self.look(files, flips)
        return self.model.heads.retrieve(self.pair(texts, regions[which], valid[which], [tags[i] for i in which])), keep

    def retrieve(self, items):
        """Each picture with a caption of its own, one chance caption and one that shares many of its words."""
        flips = self.corpus.scenes.flips([i[0] for i in items])
        rng = self.corpus.rng
        own = [[self.corpus.tokenizer.cls] + rng.choice(i[1])[f] + [self.corpus.tokenizer.sep] for i, f in zip(items, flips)]
        texts, which, match = list(own), list(range(len(items))), [1] * len(items)
        for n, (item, flip) in enumerate(zip(items, flips)):
            pool = [c for c in rng.sample(self.corpus.captions["train"], min(30, len(self.corpus.captions["train"]))) if c[0] != item[0]]
            pool = [rng.choice(c[1])[flip] for c in pool] or [own[(n + 1) % len(own)][1:-1]]
            words = set(own[n])
            near = max(pool, key=lambda ids: len(words & set(ids)) / len(ids) ** 0.5)
            for ids in (rng.choice(pool), near):
                texts.append([self.corpus.tokenizer.cls] + ids + [self.corpus.tokenizer.sep])
                which.append(n)
                match.append(0)
        logits, keep = self.retrieve_logits([i[0] for i in items], flips, texts, which)
        return F.cross_entropy(logits, torch.tensor(match), weight=torch.tensor([0.6, 1.0])), keep


@torch.no_grad()
def validate(fuser: Fuser, count: int) -> dict:
    """Losses and accuracies on validation pictures, with whatever weights the model has now."""
    model, corpus = fuser.model, fuser.corpus
    model.eval()
    out, items = defaultdict(list), corpus.captions["val"][:count]
    for n in range(0, len(items), 16):
        out["val_caption"].append(float(fuser.caption(items[n:n + 16], train=False)[0]))
    asked = corpus.questions["val"][:count * 2]
    for n in range(0, len(asked), 32):
        part = asked[n:n + 32]
        best = fuser.vqa_logits(part, [0] * len(part))[0].argmax(1).tolist()
        out["val_vqa"] += [dict(i[3]).get(b, 0.0) for i, b in zip(part, best)]
    for n in range(0, min(len(items), count // 2) - 3, 4):
        part = items[n:n + 4]
        texts = [[corpus.tokenizer.cls] + i[1][0][0] + [corpus.tokenizer.sep] for i in part] * 4
        which = [i for i in range(4) for _ in range(4)]
        scores = fuser.retrieve_logits([i[0] for i in part], [0] * 4, texts, which)[0]
        scores = (scores[:, 1] - scores[:, 0]).reshape(4, 4)
        out["val_retrieve_1of4"] += (scores.argmax(1) == torch.arange(4)).float().tolist()
    model.train()
    return {k: round(sum(v) / len(v), 4) for k, v in out.items() if v}


def start_of(r, stage, work) -> dict:
    """What a stage starts from: the pre-training's weights after it, the TEE and aligned regions before anything else."""
    if stage != "pretrain" and "pretrain" in r["fuse"]:
        return {"start": work / "pretrain/final.pt"}
    return {"tee_file": work / "tee/tee.pt", "words": work / "tee/words.pt"}


def train(r, stage, root, scenes_folder, out, tee_file=None, words=None, start=None, minutes=None, steps=None):
    s = r["fuse"][stage]
    torch.manual_seed(r["seed"])
    scenes = Scenes(scenes_folder)
    answers = torch.load(start, weights_only=True)["answers"] if start else None
    config = recipe.model_config(r, answers=1)
    tokenizer = Tokenizer.from_file(pretrained.minilm_vocab() if r["pretrained"] else r["vocab"])
    corpus = Corpus(root, scenes, tokenizer, config, answers, "sentence" in s["tasks"], r.get("least_uses", 1))
    config = recipe.model_config(r, answers=len(corpus.answers))
    model = build_model(config, corpus.answers, r, tee_file)
    if start:
        model.load_state_dict(torch.load(start, weights_only=True)["model"])
    if words:
        align.align(model, words, scenes, corpus.vocabulary)
    for part in (model.tee.backbone, model.tee.bifpn, model.tee.rpn):
        part.requires_grad_(False)
    fuser, run = Fuser(model, corpus, s), common.Run(out, minutes, steps)
    fusion = [p for n, p in model.fusion.named_parameters() if not n.startswith("regions.")]
    opt = common.optimiser([(fusion, s["lr"]), (model.fusion.regions, s["lr_new"]), (model.heads, s["lr_new"]),
                            (model.tee.roi, s["lr_roi"])])
    average = common.Average(model, s.get("average", 0.995))
    state = run.resume()
    if state:
        model.load_state_dict(state["model"]), opt.load_state_dict(state["opt"])
        average.state, average.count = state["average"], 1000
    print(f"{stage}: captions {len(corpus.captions['train'])} pictures, questions {len(corpus.questions['train'])}, "
          f"text-only {len(corpus.text_questions)}, {len(corpus.vocabulary)} words, {len(corpus.answers)} answers", flush=True)
    loop(r, s, run, fuser, opt, average)
    if common.rank() == 0:
        torch.save({"model": average.state, "answers": corpus.answers, "vocabulary": corpus.vocabulary},
                   pathlib.Path(out) / "final.pt")


def loop(r, s, run, fuser, opt, average):
    model, corpus = fuser.model, fuser.corpus
    generator = torch.Generator("cpu").manual_seed(r["seed"] + run.step + 7919 * common.rank())
    captions = common.Shuffle(corpus.captions["train"], generator)
    questions = common.Shuffle(corpus.questions["train"], generator, key=fuser.question_key)
    texts = common.Shuffle(corpus.text_questions, generator)
    sentences = common.Shuffle(corpus.sentences, generator)
    tasks, shares = zip(*s["tasks"].items())
    model.train()
    batch = s["batch"] // common.world()
    over = common.over(run)
    while not over:
        task = random.Random(r["seed"] * 100003 + run.step).choices(tasks, shares)[0]
        if task == "caption":
            loss, keep = fuser.caption(captions.take(batch))
        elif task == "sentence":
            chosen = sentences.take(batch * 5)
            loss, keep = fuser.sentence([chosen[i::batch] for i in range(batch)]), 0.0
        elif task == "masked":
            loss, keep = fuser.masked(captions.take(batch * 2))
        elif task == "vqa":
            loss, keep = fuser.vqa(questions.take(batch * 3), texts.take(batch * s.get("texts", 2)) if texts.items else ())
        else:
            loss, keep = fuser.retrieve(captions.take(batch))
        common.step(opt, loss * s.get("weight", {}).get(task, 1.0) + s.get("keep", 0.2) * keep, run)
        if run.step % 4 == 0:
            average.update(model)
        run.add(**{task: loss, "keep": keep})
        run.report(s.get("report", 20))
        over = common.over(run)
        if common.rank() == 0 and (run.step % s["validate_every"] == 0 or over):
            mine = {k: v.detach().clone() for k, v in model.state_dict().items()}
            model.load_state_dict(average.state)
            run.report(1, **validate(fuser, s["validate"]))
            model.load_state_dict(mine)
        run.save({"model": model.state_dict(), "opt": opt.state_dict(), "average": average.state,
                  "answers": corpus.answers, "vocabulary": corpus.vocabulary}, force=over)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--recipe", required=True)
    p.add_argument("--stage", required=True, help="an entry of the recipe's fuse section")
    p.add_argument("--data", required=True)
    p.add_argument("--scenes", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--tee", help="tee.pt of the first stage")
    p.add_argument("--words", help="words.pt of the first stage: align regions with words (align.py)")
    p.add_argument("--start", help="final.pt of an earlier stage")
    p.add_argument("--rank", type=int, default=0, help="number of this process among --world")
    p.add_argument("--world", type=int, default=1, help="processes that train together")
    p.add_argument("--port", type=int, default=29511)
    p.add_argument("--minutes", type=float)
    p.add_argument("--steps", type=int)
    args = p.parse_args()
    r = recipe.load(args.recipe)
    recipe.prepare(r)
    common.join(args.rank, args.world, args.port)
    if args.world > 1:
        torch.set_num_threads(max(1, r["threads"] // args.world))
    minutes = args.minutes or (None if args.steps else r["fuse"][args.stage]["minutes"])
    train(r, args.stage, args.data, args.scenes, args.out, args.tee, args.words, args.start, minutes,
          args.steps)


if __name__ == "__main__":
    main()
