"""All stages of a recipe, one after the other: caches, boxes by machine (with --teacher), TEE, scenes, fusion, end to end,
minimum risk, export.

A stage whose result exists is skipped; a stage that was stopped goes on from its last checkpoint."""
import argparse
import pathlib

from evaluation.engine import Engine
from minivlm import weights
from train import cache, convert, export, fuse, label, recipe, risk, scenes, smoke, tee, tune


def sets_of(root) -> list[str]:
    return sorted(f.name for f in pathlib.Path(root).iterdir() if (f / "images").is_dir())


def make_scenes(r, root, cached, tee_file, out):
    images = cache.Images(cached)
    files, mirrored = scenes.wanted_files(root, images)
    config = recipe.model_config(r, answers=1)
    seer = tee.load(r, tee_file)
    taps = cache.open_taps(r, cached, seer.backbone)
    scenes.build(seer, images, taps, files, out, config.image.size, config.roi.max_regions, mirrored)


def end_to_end(r, root, work) -> pathlib.Path:
    """The stage after the fusion, where the recipe has one -> the checkpoint that comes next."""
    if "tune" not in r:
        return work / "all/final.pt"
    if not (work / "tune/final.pt").exists():
        tune.train(r, root, work / "cache", work / "all/final.pt", work / "tune", **budget(r["tune"]))
    return work / "tune/final.pt"


def lower_risk(r, root, work, start, engine) -> pathlib.Path:
    """The last training, where the recipe has one -> the checkpoint to ship."""
    if "risk" not in r:
        return start
    if not (work / "candidates.jsonl").exists():
        make_model(r, start, work / "speaker")
        part = work / "candidates.part"
        risk.write_candidates(Engine(engine, work / "speaker", root), root, part, r["risk"]["candidates"])
        part.rename(work / "candidates.jsonl")
    if not (work / "risk/final.pt").exists():
        tune.train(r, root, work / "cache", start, work / "risk", work / "candidates.jsonl", **budget(r["risk"]))
    return work / "risk/final.pt"


def budget(settings: dict) -> dict:
    return {name: settings.get(name) for name in ("minutes", "steps")}


def make_model(r, checkpoint, out, kind="mixed"):
    model, config = export.load(r, checkpoint)
    labels = {"objects": model.labels.objects, "attributes": [], "answers": model.labels.answers}
    card = "Trained, not yet measured: see docs/training.md for what a model card should say.\n"
    weights.export(model, config, out, export.kind_of(kind), model.tokenizer.tokens, labels, card)
    export.write_self_test(out)


def run(r: dict, root: pathlib.Path, work: pathlib.Path, out: pathlib.Path, engine, teacher=None) -> None:
    if r.get("sources") and not (work / "converted").exists():
        convert.convert(r, root)
        work.mkdir(parents=True, exist_ok=True)
        (work / "converted").touch()
    if not (work / "cache/done").exists():
        cache.build(r, root, work / "cache", cache.list_files(root, sets_of(root)), workers=r["threads"])
        (work / "cache/done").touch()
    if teacher and not (work / "labelled").exists():
        label.run(r, root, work / "cache", teacher, r["threads"])
        (work / "labelled").touch()
    if not (work / "tee/tee.pt").exists():
        tee.train(r, root, work / "cache", work / "tee", **budget(r["tee"]))
    if not (work / "scenes/scenes.json").exists():
        make_scenes(r, root, work / "cache", work / "tee/tee.pt", work / "scenes")
    for stage in [s for s in ("pretrain", "all") if s in r["fuse"] and not (work / s / "final.pt").exists()]:
        fuse.train(r, stage, root, work / "scenes", work / stage, **fuse.start_of(r, stage, work), **budget(r["fuse"][stage]))
    make_model(r, lower_risk(r, root, work, end_to_end(r, root, work), engine), out)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--smoke", action="store_true", help="the whole pipeline on drawn pictures, under three minutes")
    p.add_argument("--recipe")
    p.add_argument("--data", type=pathlib.Path)
    p.add_argument("--work", type=pathlib.Path, help="caches, checkpoints and logs")
    p.add_argument("--out", type=pathlib.Path, help="model directory to write")
    p.add_argument("--teacher", help="folder where the packages of teacher/package.json are installed: boxes by machine, which "
                                     "are written below --data")
    p.add_argument("--engine", default="build/release/minivlm", help="the C program that speaks for the last stage")
    args = p.parse_args()
    if args.smoke:
        smoke.show(args.work)
        return
    if missing := [name for name in ("recipe", "data", "work", "out") if not getattr(args, name)]:
        p.error("also needed: " + ", ".join("--" + name for name in missing))
    r = recipe.load(args.recipe)
    recipe.prepare(r)
    run(r, args.data, args.work, args.out, args.engine, args.teacher)


if __name__ == "__main__":
    main()
