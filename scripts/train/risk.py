"""The last stage of training: captions by minimum risk (Shen et al. 2016), the n-best form of self-critical training.

    python -m train.risk --model MODEL --data DATA --out FILE       the C engine's best captions of every picture
    python -m train.tune --risk FILE --start FINAL --out FOLDER ..  moves probability towards those CIDEr-D likes

With log-probabilities l of a picture's candidates and their CIDEr-D r: P = softmax(alpha * l), loss = -sum P * (r - mean r).
The tasks of stage 3 go on at their shares, so that they are not forgotten. What is kept is the mean of the weights before
and after (`blend`): on the validation split it beats both (docs/training.md)."""
import argparse
import random

import torch
import torch.nn.functional as F

from evaluation import metrics, rows
from evaluation.engine import Engine
from train import batches, common, data


def write_candidates(speaker, root, out, count: int) -> None:
    """One JSON line a training picture; speaker: evaluation.engine.Engine or evaluation.predict.Reference."""
    names = [c.image for c in data.captions(root) if c.split == "train"]
    rows.write(out, speaker.candidates(names, count), len(names))


class Candidates:
    """[(picture, [ids], rewards)] of every picture with at least two different candidates."""

    def __init__(self, path, corpus):
        truth = {c.image: c.texts for c in corpus.records if c.split == "train"}
        names = list(truth)
        cider = metrics.Cider([[metrics.tokens(t) for t in truth[n]] for n in names])
        places = {n: i for i, n in enumerate(names)}
        self.items = []
        for row in rows.read(path):
            name, texts = row["image"], list(dict.fromkeys(row["captions"]))
            if name in places and len(texts) > 1:
                rewards = [cider.one(places[name], metrics.tokens(t)) for t in texts]
                self.items.append((name, [corpus.words(t) for t in texts], rewards))


def log_probs(fuser, items):
    """Summed log-probability of every candidate, one tensor a picture, and the loss that keeps the regions."""
    regions, valid, tags, keep = fuser.look([i[0] for i in items], [0] * len(items))
    context, context_valid = fuser.context(regions, valid, tags)
    pack = batches.pack_captions([i[1] for i in items], context_valid, fuser.corpus.tokenizer)
    text = fuser.model.fusion.embed_text(pack.ids, pack.positions, torch.zeros_like(pack.ids))
    x = fuser.model.fusion.encode(torch.cat((context, text), 1), pack.mask)[:, context.shape[1]:]
    head, vocabulary = fuser.model.heads.caption, fuser.corpus.vocabulary
    x = head.norm(F.gelu(head.transform(x.flatten(0, 1)[pack.where])))
    logits = F.linear(x, fuser.model.fusion.embeddings.word.weight[vocabulary], head.bias[vocabulary])
    words = -F.cross_entropy(logits, fuser.corpus.output_row[pack.targets], reduction="none", ignore_index=-1)
    lengths = [len(ids) + 1 for i in items for ids in i[1]]
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(words.device)
    sums = torch.zeros(len(lengths), device=words.device).index_add(0, owner, words)
    return sums.split([len(i[1]) for i in items]), keep


def risk_of(sums, rewards, alpha: float):
    """sums, rewards: one tensor [candidates] a picture -> mean loss; 0 where all candidates are equally good."""
    loss = sums[0].new_zeros(())
    for total, reward in zip(sums, rewards):
        reward = torch.as_tensor(reward, dtype=total.dtype, device=total.device)
        loss = loss - ((alpha * total).softmax(0) * (reward - reward.mean())).sum()
    return loss / len(sums)


def blend(before: dict, after: dict, share: float) -> dict:
    return {k: v + (after[k] - v) * share if v.is_floating_point() else v for k, v in before.items()}


def loop(r, s, run, fuser, opt, average, candidates):
    corpus = fuser.corpus
    generator = torch.Generator("cpu").manual_seed(r["seed"] + 7919 * common.rank())
    pictures, captions = (common.Shuffle(items, generator) for items in (candidates, corpus.captions["train"]))
    questions = common.Shuffle(corpus.questions["train"], generator, key=fuser.question_key)
    tasks, shares = zip(*s["shares"].items())
    batch = s["batch"] // common.world()
    fuser.model.train()
    over = common.over(run)
    while not over:
        task = random.Random(r["seed"] * 7 + run.step).choices(tasks, shares)[0]
        if task == "risk":
            items = pictures.take(batch)
            sums, keep = log_probs(fuser, items)
            loss = risk_of(sums, [i[2] for i in items], s["alpha"])
        elif task == "caption":
            loss, keep = fuser.caption(captions.take(batch))
        elif task == "vqa":
            loss, keep = fuser.vqa(questions.take(batch * 3))
        else:
            loss, keep = fuser.retrieve(captions.take(batch))
        common.step(opt, loss * s.get("weight", {}).get(task, 1.0) + s.get("keep", 0.2) * keep, run)
        average.update(fuser.model)
        run.add(**{task: loss, "keep": keep})
        run.report(20)
        over = common.over(run)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "data", "out"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--engine", default="build/release/minivlm")
    p.add_argument("--count", type=int, default=6)
    args = p.parse_args()
    write_candidates(Engine(args.engine, args.model, args.data), args.data, args.out, args.count)


if __name__ == "__main__":
    main()
