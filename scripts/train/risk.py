"""After stage 4: captions by minimum risk (Shen et al. 2016), the n-best form of self-critical training.

    risk.py candidates   the C engine writes its best captions of every training picture
    risk.py train        moves probability among them towards those that CIDEr-D likes, beside the losses of stage 4

With log-probabilities l of a picture's candidates and their CIDEr-D r: P = softmax(alpha * l), loss = -sum P * r. The
other tasks go on at their shares, so that they are not forgotten."""
import argparse
import json
import pathlib
import random
import subprocess

import torch
import torch.nn.functional as F

from evaluation import metrics
from minivlm.text import Tokenizer
from train import batches, common, data, fuse, pretrained, recipe
from train.scenes import Scenes


def write_candidates(args):
    """One JSON line a picture, as `minivlm caption --json` prints it."""
    pictures = [c for c in data.captions(args.data) if c.split == "train"]
    lines = "".join(json.dumps({"image": str(pathlib.Path(args.data) / c.image)}) + "\n" for c in pictures)
    command = [args.engine, "caption", "--json", "--no-progress", "--model", args.model, "--num-beams", str(args.beams),
               "--num-captions", str(args.beams), "--jsonl", "-"]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    pathlib.Path(args.out).write_text(done.stdout, encoding="utf-8")
    print(f"{args.out}: {len(done.stdout.splitlines())} of {len(pictures)} pictures")


class Candidates:
    """(file, [ids], rewards) of every picture with at least two different candidates."""

    def __init__(self, path, corpus, root):
        truth = {c.image: c.texts for c in corpus.records if c.split == "train"}
        found = {}
        for row in data.read_jsonl(path):
            name = str(pathlib.Path(row["file"]).relative_to(root))
            if name in truth and "captions" in row:
                found[name] = list(dict.fromkeys(c["text"] for c in row["captions"]))
        names = list(truth)
        cider = metrics.Cider([[metrics.tokens(t) for t in truth[n]] for n in names])
        self.items = [(n, [corpus.words(t) for t in found[n]], [cider.one(k, metrics.tokens(t)) for t in found[n]])
                      for k, n in enumerate(names) if len(found.get(n, ())) > 1]


def log_probs(fuser, items):
    """Summed log-probability of every candidate, one list a picture, and the loss that keeps the regions."""
    regions, valid, tags, keep = fuser.look([i[0] for i in items], [0] * len(items))
    context, context_valid = fuser.context(regions, valid, tags)
    pack = batches.pack_captions([i[1] for i in items], context_valid, fuser.corpus.tokenizer)
    text = fuser.model.fusion.embed_text(pack.ids, pack.positions, torch.zeros_like(pack.ids))
    x = fuser.model.fusion.encode(torch.cat((context, text), 1), pack.mask)[:, context.shape[1]:]
    head, rows = fuser.model.heads.caption, fuser.corpus.vocabulary
    x = head.norm(F.gelu(head.transform(x.flatten(0, 1)[pack.where])))
    logits = F.linear(x, fuser.model.fusion.embeddings.word.weight[rows], head.bias[rows])
    words = -F.cross_entropy(logits, fuser.corpus.output_row[pack.targets], reduction="none", ignore_index=-1)
    lengths = [len(ids) + 1 for i in items for ids in i[1]]
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    sums = torch.zeros(len(lengths)).index_add(0, owner, words)
    return sums.split([len(i[1]) for i in items]), keep


def risk(fuser, items, alpha):
    sums, keep = log_probs(fuser, items)
    loss = torch.zeros(())
    for item, total in zip(items, sums):
        reward = torch.tensor(item[2])
        loss = loss - ((alpha * total).softmax(0) * (reward - reward.mean())).sum()
    return loss / len(items), keep


def train(args):
    r = recipe.load(args.recipe)
    recipe.prepare(r)
    s = {**r["fuse"]["all"], **r["risk"]}
    common.join(args.rank, args.world, args.port)
    torch.set_num_threads(max(1, r["threads"] // args.world))
    start = torch.load(args.start, weights_only=True)
    config = recipe.model_config(r, answers=len(start["answers"]))
    tokenizer = Tokenizer.from_file(pretrained.minilm_vocab() if r["pretrained"] else r["vocab"])
    corpus = fuse.Corpus(args.data, Scenes(args.scenes), tokenizer, config, start["answers"])
    model = fuse.build_model(config, corpus.answers, r)
    model.load_state_dict(start["model"])
    for part in (model.tee.backbone, model.tee.bifpn, model.tee.rpn):
        part.requires_grad_(False)
    fuser, run = fuse.Fuser(model, corpus, s), common.Run(args.out, args.minutes, args.steps)
    candidates = Candidates(args.candidates, corpus, args.data).items
    opt = common.optimiser([(model.fusion, s["lr"]), (model.heads, s["lr"]), (model.tee.roi, s["lr"])])
    average = common.Average(model, s["average"])
    print(f"risk: {len(candidates)} pictures, {sum(len(c[1]) for c in candidates)} candidates", flush=True)
    loop(r, s, run, fuser, opt, average, candidates)
    if common.rank() == 0:
        torch.save({"model": average.state, "answers": corpus.answers, "vocabulary": corpus.vocabulary},
                   pathlib.Path(args.out) / "final.pt")


def loop(r, s, run, fuser, opt, average, candidates):
    corpus = fuser.corpus
    generator = torch.Generator("cpu").manual_seed(r["seed"] + 7919 * common.rank())
    shuffled = [common.Shuffle(items, generator) for items in (candidates, corpus.captions["train"], corpus.questions["train"])]
    tasks, shares = zip(*s["shares"].items())
    batch = s["batch"] // common.world()
    fuser.model.train()
    over = common.over(run)
    while not over:
        task = random.Random(r["seed"] * 7 + run.step).choices(tasks, shares)[0]
        if task == "risk":
            loss, keep = risk(fuser, shuffled[0].take(batch), s["alpha"])
        elif task == "caption":
            loss, keep = fuser.caption(shuffled[1].take(batch))
        elif task == "vqa":
            loss, keep = fuser.vqa(shuffled[2].take(batch * 3))
        else:
            loss, keep = fuser.retrieve(shuffled[1].take(batch))
        common.step(opt, loss * s["weight"].get(task, 1.0) + s.get("keep", 0.2) * keep, run)
        average.update(fuser.model)
        run.add(**{task: loss, "keep": keep})
        run.report(20)
        over = common.over(run)
        if common.rank() == 0 and over:
            fuser.model.load_state_dict(average.state)
            run.report(1, **fuse.validate(fuser, s["validate"]))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(dest="command", required=True)
    c = commands.add_parser("candidates")
    c.add_argument("--engine", default="build/release/minivlm")
    c.add_argument("--model", required=True)
    c.add_argument("--data", required=True)
    c.add_argument("--beams", type=int, default=6)
    c.add_argument("--out", required=True)
    t = commands.add_parser("train")
    for name in ("recipe", "data", "scenes", "start", "candidates", "out"):
        t.add_argument("--" + name, required=True)
    t.add_argument("--rank", type=int, default=0)
    t.add_argument("--world", type=int, default=1)
    t.add_argument("--port", type=int, default=29512)
    t.add_argument("--minutes", type=float)
    t.add_argument("--steps", type=int)
    args = p.parse_args()
    write_candidates(args) if args.command == "candidates" else train(args)


if __name__ == "__main__":
    main()
