"""All stages of a recipe, one after the other: caches, boxes by machine (with --teacher), TEE, scenes, fusion, export.

A stage whose result exists is skipped; a stage that was stopped goes on from its last checkpoint."""
import argparse
import pathlib

import torch
from minivlm import weights

from train import build, cache, convert, export, fuse, label, recipe, scenes, smoke, tee


def sets_of(root) -> list[str]:
    return sorted(f.name for f in pathlib.Path(root).iterdir() if (f / "images").is_dir())


def make_scenes(r, root, cached, eyes, out, compiled=True):
    images = cache.Images(cached)
    files, mirrored = scenes.wanted_files(root, images, scenes.wants_bare(r))
    torch.manual_seed(r["seed"])
    scenes.build(build.with_eyes(r, eyes), images, files, out, mirrored, compiled=compiled, **scenes.settings(r, eyes))


def budget(settings: dict) -> dict:
    return {name: settings.get(name) for name in ("minutes", "steps")}


def speak(r, root, work, eyes, start=None) -> pathlib.Path:
    """The stages of the recipe's "fuse" section, each from where the one before ended -> the last one's checkpoint."""
    for stage in r["fuse"]:
        final = work / stage / "final.pt"
        if not final.exists():
            fuse.train(r, stage, root, work / "scenes", work / stage, eyes, start, **budget(r["fuse"][stage]))
        start = final
    return start


def make_model(r, checkpoint, out, kind="mixed"):
    model, config = export.load(r, checkpoint)
    labels = {"objects": model.labels.objects, "attributes": [], "answers": model.labels.answers}
    card = "Trained, not yet measured: see docs/training.md for what a model card should say.\n"
    weights.export(model, config, out, export.kind_of(kind), model.tokenizer.tokens, labels, card)
    export.write_self_test(out)


def eyes_of(r, root, work, teacher) -> pathlib.Path:
    """The stages that teach the TEE -> tee.pt"""
    if teacher and not (work / "labelled").exists():
        label.run(r, root, work / "cache", teacher, r["threads"])
        (work / "labelled").touch()
    if not (work / "tee/tee.pt").exists():
        tee.train(r, root, work / "cache", work / "tee", **budget(r["tee"]))
    return work / "tee/tee.pt"


def run(r: dict, root: pathlib.Path, work: pathlib.Path, out: pathlib.Path, teacher=None, eyes=None, start=None, compiled=True) -> None:
    if r.get("sources") and not (work / "converted").exists():
        convert.convert(r, root)
        work.mkdir(parents=True, exist_ok=True)
        (work / "converted").touch()
    if not (work / "cache/done").exists():
        files = cache.list_files(root, sets_of(root))
        cache.build(r, root, work / "cache", files, workers=r["threads"], compiled=compiled, maps=eyes is None)
        (work / "cache/done").touch()
    eyes = eyes or eyes_of(r, root, work, teacher)
    if not (work / "scenes/scenes.json").exists():
        make_scenes(r, root, work / "cache", eyes, work / "scenes", compiled)
    make_model(r, speak(r, root, work, eyes, start), out)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--smoke", action="store_true", help="the whole pipeline on drawn pictures, under three minutes")
    p.add_argument("--recipe")
    p.add_argument("--data", type=pathlib.Path)
    p.add_argument("--work", type=pathlib.Path, help="caches, checkpoints and logs")
    p.add_argument("--out", type=pathlib.Path, help="model directory to write")
    p.add_argument("--teacher", help="folder where the packages of teacher/package.json are installed: boxes by machine, which "
                                     "are written below --data")
    p.add_argument("--eyes", help="model directory whose TEE sees, instead of training one")
    p.add_argument("--start", help="model directory or checkpoint whose fusion and heads to go on from, instead of MiniLM's")
    args = p.parse_args()
    if args.smoke:
        smoke.show(args.work)
        return
    if missing := [name for name in ("recipe", "data", "work", "out") if not getattr(args, name)]:
        p.error("also needed: " + ", ".join("--" + name for name in missing))
    r = recipe.load(args.recipe)
    recipe.prepare(r)
    run(r, args.data, args.work, args.out, args.teacher, args.eyes, args.start)


if __name__ == "__main__":
    main()
