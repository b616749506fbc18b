"""Teaches a model directory a few hundred of your own pictures.

    python -m train.adapt --model models/minivlm-base --data MINE --out models/mine

MINE holds images/ and captions.jsonl ({"image": "a.jpg", "captions": ["...", ..]}), vqa.jsonl ({"image", "question",
"answers": [..]}), or both. A row may say "split": "train" or "val"; where none does, every fifth picture is kept for
validation. The eyes stay as they are; fusion and heads learn until validation stops getting better, at most --minutes. What is
kept is the best state met, the old one included; README.md of the new directory says what it did before and after."""
import argparse
import json
import pathlib
import random
import tempfile

import torch
from minivlm import Config, MiniVLM, weights

from train import build, cache, common, data, export, fuse, recipe, run as stages
from train.corpus import Corpus
from train.scenes import Scenes

SETTINGS = {"batch": 12, "captions": 5, "made": 0.0, "smoothing": 0.1, "drop_rows": 0.1, "average": 0.95,
            "weight": {"vqa": 0.6}, "tasks": {}}
SET = "mine"
CARD = """# {name}

`{base}` taught {trained} pictures of `{folder}` by `python -m train.adapt` in {minutes:.1f} minutes ({steps} steps), validated on {validated}
others. Its licence is that of `{base}` and of the pictures.

| on the validation pictures | before | after |
|---|---|---|
{rows}
"""


def read(folder: pathlib.Path, name: str) -> list[dict]:
    return list(data.read_jsonl(folder / f"{name}.jsonl"))


def write_set(mine: pathlib.Path, root: pathlib.Path) -> dict[str, int]:
    """The data folder of the pipeline, with a split for every picture -> how many pictures train and validate."""
    tables = {name: read(mine, name) for name in ("captions", "vqa")}
    names = sorted({row["image"] for table in tables.values() for row in table})
    split = {name: "val" if n % 5 == 4 else "train" for n, name in enumerate(random.Random(1).sample(names, len(names)))}
    told = {row["image"]: row["split"] for table in tables.values() for row in table if "split" in row}
    split = told or split
    if set(split.values()) < {"train", "val"}:
        raise SystemExit(f"{mine}: pictures of both splits are needed; five pictures are the least")
    (root / SET).mkdir(parents=True)
    (root / SET / "images").symlink_to((mine / "images").resolve())
    for name, table in tables.items():
        rows = [{**row, "split": split[row["image"]], "source": SET} for row in table if row["image"] in split]
        (root / SET / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {part: sum(s == part for s in split.values()) for part in ("train", "val")}


def recipe_of(config: Config, vocab, threads: int, lr: float) -> dict:
    if config.context is None or config.caption.decoder != "causal":
        raise SystemExit("only models with cells and the causal decoder can be taught here (docs/model-format.md)")
    return {"seed": 17, "threads": threads, "pretrained": False, "vocab": str(vocab), "classes": "coco", "dropout": 0.1,
            "model": config.to_dict(), "scenes": {"bytes": True}, "least_uses": 2, "fuse": {"adapt": {**SETTINGS, "lr": lr, "lr_new": 2 * lr}}}


class Student:
    """The model, what it is taught and how it is judged."""

    def __init__(self, base: pathlib.Path, r: dict, root, scenes):
        given = MiniVLM.from_dir(base)
        self.s, config = r["fuse"]["adapt"], given.config
        corpus = Corpus(root, scenes_index(scenes), given.tokenizer, config, None, False, r["least_uses"])
        answers = list(dict.fromkeys(given.labels.answers + corpus.answers))
        said = (given.heads.caption.bias > weights.SILENT).nonzero()[:, 0].tolist()
        corpus = Corpus(root, scenes_index(scenes), given.tokenizer, config, answers, False, r["least_uses"], keep=said)
        self.model = build.with_eyes({**r, "model": config.to_dict()}, base, answers)
        self.model.labels.objects = given.labels.objects
        build.speak_like(self.model, base)
        self.model.cells.load_state_dict(given.cells.state_dict())
        self.model.tee.requires_grad_(False), self.model.cells.requires_grad_(False)
        self.corpus, self.fuser = corpus, fuse.Fuser(self.model, corpus, Scenes(scenes, config, self.model.tag_ids), self.s)
        self.s["tasks"] = {task: 1.0 for task, items in (("caption", corpus.captions), ("vqa", corpus.questions)) if items["train"]}

    def judge(self) -> dict:
        return fuse.validate(self.fuser, 400, tasks=tuple(self.s["tasks"]))

    @staticmethod
    def better(figures: dict) -> float:
        """One number to stop by: accuracy, less the loss of a caption's word (CIDEr-D of a few pictures jumps)."""
        return sum(-v if k.endswith("_loss") else v for k, v in figures.items() if k.endswith("_loss") or k.startswith("vqa_"))


def scenes_index(folder) -> set[str]:
    return set(json.loads((pathlib.Path(folder) / "scenes.json").read_text())["files"])


def teach(student: Student, r: dict, out, minutes: float, patience=4):
    """-> figures before and after, the run"""
    s, model = student.s, student.model
    course = common.Run(out, minutes)
    tasks = fuse.Tasks(r, s, student.fuser, r["seed"])
    names, shares = zip(*s["tasks"].items())
    opt, average = fuse.optimiser(model, s), common.Average(model, s["average"])
    before = best = student.judge()
    state, waited = {k: v.clone() for k, v in model.state_dict().items()}, 0
    epoch = max(10, len(student.corpus.captions["train"] or student.corpus.questions["train"]) // s["batch"])
    model.train()
    while not course.done and waited < patience:
        task = random.Random(course.step).choices(names, shares)[0]
        common.step(opt, tasks.loss(task) * s["weight"].get(task, 1.0), course)
        average.update(model)
        if course.step % epoch == 0:
            mine = {k: v.detach().clone() for k, v in model.state_dict().items()}
            model.load_state_dict(average.state)
            found = student.judge()
            print(f"step {course.step}, {course.elapsed / 60:.1f} minutes: {found}", flush=True)
            if student.better(found) > student.better(best):
                best, waited, state = found, 0, {k: v.clone() for k, v in average.state.items()}
            else:
                waited += 1
            model.load_state_dict(mine)
    model.load_state_dict(state)
    return before, best, course


def adapt(base, mine, out, minutes=15.0, threads=2, lr=1e-4) -> dict:
    base, mine, out = pathlib.Path(base), pathlib.Path(mine), pathlib.Path(out)
    config = Config.from_file(base / "config.json")
    r = recipe_of(config, base / "vocab.txt", threads, lr)
    recipe.prepare(r)
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        counts = write_set(mine, work / "data")
        cache.build_images(work / "data", cache.list_files(work / "data", [SET]), work / "cache", config.image.size, threads)
        stages.make_scenes(r, work / "data", work / "cache", base, work / "scenes", compiled=False)  # for a few hundred pictures
        student = Student(base, r, work / "data", work / "scenes")
        before, after, course = teach(student, r, work / "run", minutes)
    silence(student)
    rows = "\n".join(f"| {k} | {before[k]:.4g} | {after[k]:.4g} |" for k in before)
    card = CARD.format(name=out.name, base=config.name, trained=counts["train"], validated=counts["val"], folder=mine.name,
                       minutes=course.elapsed / 60, steps=course.step, rows=rows)
    values = {**config.to_dict(), "name": out.name, "vqa": {"answers": len(student.corpus.answers)}}
    labels = {"objects": student.model.labels.objects, "attributes": [], "answers": student.corpus.answers}
    kind = export.kind_of(export.kind_of_directory(base))
    weights.export(student.model, Config.from_dict(values), out, kind, student.model.tokenizer.tokens, labels, card)
    export.write_self_test(out)
    return {"before": before, "after": after, **counts}


@torch.no_grad()
def silence(student: Student) -> None:
    bias = student.model.heads.caption.bias
    silent = torch.ones_like(bias, dtype=torch.bool)
    silent[student.corpus.vocabulary] = False
    bias[silent] = weights.SILENT


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--data", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--minutes", type=float, default=15.0)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--lr", type=float, default=1e-4, help="learning rate")
    args = p.parse_args()
    print(json.dumps(adapt(args.model, args.data, args.out, args.minutes, args.threads, args.lr), indent=2))


if __name__ == "__main__":
    main()
