"""Stage 3: the fusion transformer and its heads on cached scenes.

The eyes stay as they are. The recipe's "fuse" section holds one entry a stage ("caption", then "all"): minutes, learning
rates and how often each task is drawn. docs/training.md says what the losses are."""
import argparse
import pathlib
import random
from collections import defaultdict

import torch
import torch.nn.functional as F
from evaluation import metrics
from minivlm import MiniVLM

from train import agreement, ask, batches, build, common, data, recipe, risk, teach
from train.corpus import Corpus
from train.scenes import Scenes

JUNK = ["null", "the", "", "none", "a", "test", "n / a", "?", "hello", "1"]  # belongs to no picture


class Fuser:
    """Losses of the tasks."""

    def __init__(self, model: MiniVLM, corpus: Corpus, scenes: Scenes, settings: dict):
        self.model, self.corpus, self.scenes, self.s = model, corpus, scenes, settings
        self.names = model.labels.objects
        self.causal = model.config.caption.decoder == "causal"
        share = settings.get("agreement", 0.0)
        self.agreed = agreement.weights(corpus, share) if share else {}
        self.teachers: teach.Teachers | None = None

    def look(self, files, views):
        """-> rows of regions and cells [B, n, D], which are there [B, n], tags"""
        cells = self.scenes.cells(files, views, self.model.cells.finish)
        regions, valid = self.scenes.regions(files, views)
        rows = self.model.fusion.embed_boxes(regions, cells)
        there = torch.ones(cells.shape[:2], dtype=torch.bool)
        valid = there if valid is None else torch.cat((valid, there), 1)
        if self.model.training and self.s.get("drop_rows", 0.0):
            valid = valid & (torch.rand(valid.shape) >= self.s["drop_rows"])
        return rows, valid, [self.scenes.tags_of(f, self.names) for f in files]

    def context(self, files, views):
        """Tags, regions and cells of a caption -> [B, c, D], valid [B, c]"""
        rows, valid, tags = self.look(files, views)
        ids, positions, segments, tag_valid = batches.pad_tags(tags, self.model.config.text.caption_length)
        if not ids.shape[1]:
            return rows, valid
        words = self.model.fusion.embed_text(ids, positions, segments)
        return torch.cat((words, rows), 1), torch.cat((tag_valid, valid), 1)

    # Captions

    def word_logits(self, x):
        """Of the words that training sentences use; others are ruled out at export."""
        head, rows = self.model.heads.caption, self.corpus.vocabulary
        x = head.norm(F.gelu(head.transform(x)))
        return F.linear(x, self.model.fusion.embeddings.word.weight[rows], head.bias[rows])

    def packed(self, context, context_valid, chosen):
        """All captions of each picture beside its context -> logits of every word, targets (rows of the vocabulary)"""
        pack = batches.pack_captions(chosen, context_valid, self.corpus.tokenizer, self.causal)
        text = self.model.fusion.embed_text(pack.ids, pack.positions, torch.zeros_like(pack.ids))
        x = self.model.fusion.encode(torch.cat((context, text), 1), pack.mask, context.shape[1])
        return self.word_logits(x.flatten(0, 1)[pack.where]), self.corpus.output_row[pack.targets]

    def caption_loss(self, context, context_valid, chosen, smoothing, weights=None, taught=None):
        """`weights`: one a caption, for all its words. `taught`: a teacher's probabilities for each word."""
        logits, targets = self.packed(context, context_valid, chosen)
        logits = logits.float()
        each = F.cross_entropy(logits, targets, label_smoothing=smoothing, ignore_index=-1, reduction="none")
        if taught is not None:
            each = torch.lerp(each, F.cross_entropy(logits, taught, reduction="none"), self.s["taught"])
        w = (targets >= 0).float()
        if weights is not None:
            w = w * torch.tensor(weights).repeat_interleave(torch.tensor([len(ids) + 1 for many in chosen for ids in many]))
        return (each * w).sum() / w.sum()

    def caption(self, items, train=True):
        files, most = [i[0] for i in items], self.s.get("captions", 5)
        views = self.scenes.any_views(files) if train else [0] * len(items)
        which = [self.corpus.rng.sample(range(n), min(most, n)) if train else range(min(n, 5)) for n in (len(i[1]) for i in items)]
        chosen = [[i[1][n][v % 2] for n in ns] for i, v, ns in zip(items, views, which)]
        if not train:
            return self.caption_loss(*self.context(files, views), chosen, 0.0)
        weights = [self.agreed[f][n] if f in self.agreed else 1.0 for f, ns in zip(files, which) for n in ns]
        taught = self.teachers.words(files, views, chosen) if self.teachers else None
        return self.caption_loss(*self.context(files, views), chosen, self.s.get("smoothing", 0.1), weights, taught)

    def sentence(self, items):
        """Captions without a picture: the language alone."""
        nothing = torch.zeros(len(items), 0, self.model.config.fusion.hidden)
        return self.caption_loss(nothing, torch.zeros(len(items), 0, dtype=torch.bool), items, self.s.get("smoothing", 0.1))

    @torch.no_grad()
    def speak(self, files, most: int, draws=0):
        """Captions of many pictures at once, causal models only -> for each picture a list of id lists: the greedy one, or
        `draws` whose words are drawn by their probabilities."""
        fusion, t, many = self.model.fusion, self.corpus.tokenizer, max(1, draws)
        x, valid = self.context(files, [0] * len(files))
        past = [tuple(m.repeat_interleave(many, 0) for m in memory) for _, memory in fusion.steps(x, batches.full_mask(valid))]
        valid = valid.repeat_interleave(many, 0)
        last, said, open_ = torch.full((len(valid), 1), t.cls), [[] for _ in valid], [True] * len(valid)
        for n in range(most):
            valid = torch.cat((valid, torch.ones(len(valid), 1, dtype=torch.bool)), 1)
            steps = list(fusion.steps(fusion.embed_text(last, torch.full_like(last, n), torch.zeros_like(last)), valid[:, None, None], past))
            past = [memory for _, memory in steps]
            logits = self.word_logits(steps[-1][0][:, 0]).float()
            best = torch.multinomial(logits.softmax(1), 1)[:, 0] if draws else logits.argmax(1)
            last = self.corpus.vocabulary[best][:, None]
            for i, word in enumerate(last[:, 0].tolist()):
                open_[i] = open_[i] and word != t.sep
                said[i] += [word] * open_[i]
            if not any(open_):
                break
        return [said[i:i + many] for i in range(0, len(said), many)]

    # Questions

    def pair(self, texts, rows, valid, tags):
        """Text, tags, regions and cells, all seeing all -> hidden vector of [CLS], [B, D]"""
        pack = batches.pack_pairs(texts, tags)
        words = self.model.fusion.embed_text(pack.ids, pack.positions, pack.segments)
        x, mask = torch.cat((rows, words), 1), batches.pair_mask(pack, valid)
        return self.model.fusion.encode(x, mask, rows.shape[1])[:, 0]

    def beside(self, files, views, texts):
        """texts[i] beside picture files[i]; each picture is embedded once."""
        each = list(dict.fromkeys(zip(files, views)))
        rows, valid, tags = self.look(*zip(*each))
        place = {key: n for n, key in enumerate(each)}
        which = [place[key] for key in zip(files, views)]
        return self.pair(texts, rows[which], valid[which], [tags[n] for n in which])

    def answer_targets(self, items, views):
        targets = torch.zeros(len(items), len(self.corpus.answers))
        for row, (item, view) in enumerate(zip(items, views)):
            for answer, score in item[3 + view % 2]:
                targets[row, answer] = score
        return targets

    def answer_loss(self, vectors, items, views, taught=None):
        """`taught`: a teacher's probabilities; where nobody has answered, they alone count."""
        truth = targets = self.answer_targets(items, views)
        if taught is not None:
            targets = torch.lerp(truth, taught, torch.where(truth.any(1, keepdim=True), self.s["taught"], 1.0))
        loss = F.binary_cross_entropy_with_logits(self.model.heads.vqa(vectors), targets, reduction="sum")
        return loss / truth.sum().clamp(min=1.0)

    def vqa_logits(self, items, views):
        texts = [i[1 + v % 2] for i, v in zip(items, views)]
        return self.model.heads.vqa(self.beside([i[0] for i in items], views, texts))

    def vqa(self, items, text_items=()):
        files = [i[0] for i in items]
        views = self.scenes.any_views(files)
        vectors = self.beside(files, views, [i[1 + v % 2] for i, v in zip(items, views)])
        loss = self.answer_loss(vectors, items, views, self.teachers.answers(items, views) if self.teachers else None)
        if text_items:
            n = len(text_items)
            nothing = torch.zeros(n, 0, self.model.config.fusion.hidden)
            vectors = self.pair([i[1] for i in text_items], nothing, torch.zeros(n, 0, dtype=torch.bool), [[]] * n)
            loss = loss + self.s.get("text_weight", 0.3) * self.answer_loss(vectors, text_items, [0] * n)
        return loss

    # Retrieval

    def match_scores(self, files, views, texts):
        """Every text beside every picture -> [pictures, texts], logit of "match" less that of "no match"."""
        p, t = len(files), len(texts)
        vectors = self.beside([f for f in files for _ in range(t)], [f for f in views for _ in range(t)], list(texts) * p)
        logits = self.model.heads.retrieve(vectors)
        return (logits[:, 1] - logits[:, 0]).reshape(p, t)

    def junk(self):
        """A text that belongs to no picture: a word that says nothing, chance words, or a caption's words in disorder."""
        rng, kind = self.corpus.rng, self.corpus.rng.random()
        if kind < 0.4:
            return self.corpus.tokenizer.encode(rng.choice(JUNK))
        if kind < 0.7:
            return rng.choices(self.corpus.vocabulary.tolist(), k=rng.randint(1, 6))
        return rng.sample(ids := rng.choice(rng.choice(self.corpus.captions["train"])[1])[0], min(len(ids), rng.randint(1, 3)))

    def retrieve(self, groups):
        """Groups of alike pictures with a caption each, and one junk text: who belongs to whom. Each picture chooses among the
        texts, each caption among the pictures, and every pair says for itself whether it belongs together."""
        loss = 0.0
        for items in groups:
            files, n = [i[0] for i in items], len(items)
            views = self.scenes.any_views(files)
            texts = [self.corpus.rng.choice(i[1])[v % 2] for i, v in zip(items, views)] + [self.junk()]
            scores = self.match_scores(files, views, [self.corpus.text_ids(t) for t in texts])
            right = torch.arange(n)
            truth = torch.eye(n, n + 1)
            weight = torch.where(truth > 0, 0.5 / n, 0.5 / (n * n))
            alone = (F.binary_cross_entropy_with_logits(scores, truth, reduction="none") * weight).sum()
            loss = loss + F.cross_entropy(scores, right) + F.cross_entropy(scores[:, :n].T, right) + alone
        return loss / len(groups)


class Alike:
    """Groups of pictures that look alike: one and the nearest of some drawn by chance."""

    def __init__(self, items, scenes: Scenes, generator):
        self.queue, self.items = common.Shuffle(range(len(items)), generator), items
        self.means = scenes.means([i[0] for i in items])  # [N, c]

    def take(self, count: int, size: int, among=150):
        groups = []
        for first in self.queue.take(count):
            pool = [n for n in self.queue.take(among) if n != first]
            near = (self.means[pool] @ self.means[first]).topk(min(size - 1, len(pool))).indices.tolist()
            groups.append([self.items[n] for n in [first, *(pool[i] for i in near)]])
        return groups


# Validation


@torch.no_grad()
def validate(fuser: Fuser, count: int, tasks=("caption", "vqa", "retrieve")) -> dict:
    """Losses and accuracies on validation pictures, with whatever weights the model has now."""
    fuser.model.eval()
    out = captions_of(fuser, count) if "caption" in tasks else {}
    out |= answers_right(fuser, count * 2) if "vqa" in tasks else {}
    out |= {"retrieve_1of8": matches_right(fuser, count // 8)} if "retrieve" in tasks else {}
    fuser.model.train()
    return {k: round(sum(v) / len(v), 4) for k, v in out.items() if v}


def captions_of(fuser: Fuser, count: int) -> dict:
    """Of each set the loss, and CIDEr-D of greedy captions."""
    model, corpus, out, by_set = fuser.model, fuser.corpus, defaultdict(list), defaultdict(list)
    for item in corpus.captions["val"]:
        by_set[item[0].split("/")[0]].append(item)
    truth = {c.image: c.texts for c in corpus.records}
    for name, items in by_set.items():
        items = items[:count]
        for n in range(0, len(items), 24):
            out[f"{name}_loss"].append(float(fuser.caption(items[n:n + 24], train=False)))
        if fuser.causal:
            files = [i[0] for i in items]
            parts = (files[n:n + 50] for n in range(0, len(files), 50))
            said = [ids for part in parts for ids, in fuser.speak(part, model.config.caption.max_tokens)]
            cider = metrics.Cider([[metrics.tokens(t) for t in truth[f]] for f in files])
            out[f"{name}_cider"].append(100 * cider([metrics.tokens(corpus.tokenizer.decode(ids)) for ids in said]))
    return out


def answers_right(fuser: Fuser, count: int) -> dict:
    out, asked = defaultdict(list), fuser.corpus.questions["val"]
    asked = sorted(random.Random(5).sample(asked, min(count, len(asked))))
    for n in range(0, len(asked), 48):
        part = asked[n:n + 48]
        best = fuser.vqa_logits(part, [0] * len(part)).argmax(1).tolist()
        for item, b in zip(part, best):
            out["vqa_" + item[0].split("/")[0]].append(dict(item[3]).get(b, 0.0))
    return out


def matches_right(fuser: Fuser, groups: int) -> list[float]:
    """Of eight validation pictures and a caption each: is a picture's own caption first?"""
    items, out = fuser.corpus.captions["val"], []
    items = random.Random(5).sample(items, min(len(items), 8 * groups))
    for n in range(0, len(items) - 7, 8):
        part = items[n:n + 8]
        scores = fuser.match_scores([i[0] for i in part], [0] * 8, [fuser.corpus.text_ids(i[1][0][0]) for i in part])
        out += (scores.argmax(1) == torch.arange(8)).float().tolist()
    return out


# Training


class Tasks:
    """Draws the steps of a stage."""

    def __init__(self, r, s, fuser: Fuser, seed: int):
        corpus, generator = fuser.corpus, torch.Generator("cpu").manual_seed(seed)
        share = lambda item: r.get("visit", {}).get(item[0].split("/")[0], 1.0)
        self.s, self.fuser, self.batch = s, fuser, s["batch"] // common.world()
        self.captions = common.Shuffle(corpus.captions["train"], generator, share=share)
        self.questions = common.Shuffle(corpus.questions["train"], generator, key=lambda q: q[0], share=share)
        self.made = common.Shuffle(corpus.made_questions, generator, key=lambda q: q[0], share=share)
        self.machine = common.Shuffle(corpus.machine_captions, generator)
        self.bare = common.Shuffle(corpus.bare, generator)
        self.texts = common.Shuffle(corpus.text_questions, generator)
        self.sentences = common.Shuffle(corpus.sentences, generator)
        self.critic = risk.Critic(corpus) if "risk" in s["tasks"] else None
        self.alike = Alike(corpus.captions["train"], fuser.scenes, generator) if "retrieve" in s["tasks"] else None

    def loss(self, task: str):
        s, batch = self.s, self.batch
        if task == "caption":
            machine = int(batch * s.get("machine", 0.0)) if self.machine.items else 0
            return self.fuser.caption(self.captions.take(batch - machine) + self.machine.take(machine))
        if task == "risk":
            most = self.fuser.model.config.caption.max_tokens
            return risk.loss(self.fuser, self.critic, self.captions.take(batch), s.get("draws", 5), most)
        if task == "sentence":
            chosen = self.sentences.take(batch * 5)
            return self.fuser.sentence([chosen[i::batch] for i in range(batch)])
        if task == "vqa":
            made = int(batch * 2 * s.get("made", 0.4)) if self.made.items else 0
            borrowed = int(batch * 2 * s.get("borrowed", 0.0)) if self.bare.items else 0
            asked = self.questions.take(batch * 2 - made - borrowed) + self.made.take(made) + self.borrow(borrowed)
            return self.fuser.vqa(asked, self.texts.take(batch * s.get("texts", 4)) if self.texts.items else ())
        return self.fuser.retrieve(self.alike.take(max(1, batch // 24), s.get("group", 7)))

    def borrow(self, count: int) -> list:
        """Questions about other pictures, asked about pictures that nobody has described: no answer is known."""
        asked = self.fuser.corpus.rng.choices(self.fuser.corpus.questions["train"], k=count)
        return [(file, *q[1:3], [], []) for file, q in zip(self.bare.take(count), asked)]


def train(r, stage, root, scenes_folder, out, eyes, start=None, minutes=None, steps=None):
    """`eyes`: tee.pt or a model directory, whose scenes these are; `start`: checkpoint or model directory, whose words to go on from."""
    s = r["fuse"][stage]
    torch.manual_seed(r["seed"]), random.seed(r["seed"])
    config, tokenizer = recipe.model_config(r, answers=1), build.tokenizer(r)
    scenes = Scenes(scenes_folder, config, lambda labels: model.tag_ids(labels))
    corpus = Corpus(root, scenes.row, tokenizer, config, None, "sentence" in s["tasks"], r.get("least_uses", 1),
                    ask.questions(data.captions(root), r["seed"]) if r.get("ask") else ())
    model = build.with_eyes(r, eyes, corpus.answers)
    if start:
        build.speak_like(model, start)
    model.tee.requires_grad_(False), model.cells.blocks.requires_grad_(False)
    if s.get("keep_words"):
        model.fusion.embeddings.requires_grad_(False)
    fuser = Fuser(model, corpus, scenes, s)
    if s.get("teachers"):
        listen(fuser, r, s, root, eyes, out)
    run = common.Run(out, minutes, steps, s.get("warm_up", 0.03), end=s.get("end", 0.02))
    opt = optimiser(model, s)
    average = common.Average(model, s.get("average", 0.995))
    state = run.resume()
    if state:
        model.load_state_dict(state["model"]), opt.load_state_dict(state["opt"])
        average.state, average.count = state["average"], 1000
    print(f"{stage}: captions {len(corpus.captions['train'])} pictures, questions {len(corpus.questions['train'])}, "
          f"by rule {len(corpus.made_questions)}, text-only {len(corpus.text_questions)}, {len(corpus.vocabulary)} words, "
          f"{len(corpus.answers)} answers", flush=True)
    loop(r, s, run, fuser, opt, average)
    if common.rank() == 0:
        torch.save({"model": average.state, "answers": corpus.answers, "vocabulary": corpus.vocabulary},
                   pathlib.Path(out) / "final.pt")


def listen(fuser: Fuser, r, s, root, eyes, out) -> None:
    """Gives the student its teachers, and what they make of pictures that nobody has described."""
    corpus, scenes = fuser.corpus, fuser.scenes
    fuser.teachers = teach.Teachers([Fuser(build.teacher(r, eyes, corpus.answers, t), corpus, scenes, {}) for t in s["teachers"]], r["seed"])
    if s.get("machine") or s.get("borrowed"):
        corpus.bare = teach.uncaptioned(root, corpus, scenes)
        with common.cast(s.get("half", False)):
            corpus.machine_captions = teach.machine_captions(fuser.teachers, corpus, corpus.bare, pathlib.Path(out) / "machine.jsonl",
                                                             s.get("min_agreement", 0.3))
    print(f"{len(s['teachers'])} teachers, captions of {len(corpus.machine_captions)} of {len(corpus.bare)} pictures by machine", flush=True)


def optimiser(model, s):
    """What MiniLM brings, or what goes on from there, learns at `lr`; what starts from chance at `lr_new`."""
    fresh = ("cells.", "fusion.regions.", "fusion.cells.", "heads.vqa.", "heads.retrieve.")
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    groups = [([p for n, p in named if n.startswith(fresh) == new], s["lr_new" if new else "lr"]) for new in (False, True)]
    return common.optimiser(groups, s.get("decay", 0.02))


def loop(r, s, run, fuser, opt, average):
    model, corpus = fuser.model, fuser.corpus
    tasks = Tasks(r, s, fuser, r["seed"] + run.step + 7919 * common.rank())
    names, shares = zip(*s["tasks"].items())
    model.train()
    over = common.over(run)
    while not over:
        task = random.Random(r["seed"] * 100003 + run.step).choices(names, shares)[0]
        with common.cast(s.get("half", False)):
            loss = tasks.loss(task)
        common.step(opt, loss * s.get("weight", {}).get(task, 1.0), run)
        if run.step % 4 == 0:
            average.update(model)
        run.add(**{task: loss})
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
    p.add_argument("--eyes", required=True, help="tee.pt or model directory that made the scenes")
    p.add_argument("--start", help="checkpoint or model directory whose words to go on from")
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
    train(r, args.stage, args.data, args.scenes, args.out, args.eyes, args.start, minutes, args.steps)


if __name__ == "__main__":
    main()
