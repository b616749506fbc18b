"""The whole recipe on one large GPU within minutes, for a machine that is lent for a quarter of an hour.

    python -m train.sprint pack --data DATA --start models/minivlm-base --out SHARDS     here: files below 60 MB each
    python -m train.sprint train --shards SHARDS --recipe R --out OUT --minutes 12      there: unpack, look, train, export

`train` needs what training needs and nothing from the network. The eyes and the first words are those of the packed model directory.
The minutes are shared among the stages of the recipe's "fuse" section as the recipe's own minutes are; what the eyes see of all
pictures stays in the GPU's memory. OUT is a model directory, the logs of the stages beside it in OUT/logs. Without a GPU the same
program runs on the CPU."""
import argparse
import pathlib
import shutil
import tarfile
import tempfile
import time

import torch

from train import cache, recipe, run as stages

MAX = 56_000_000  # bytes of a shard: tar adds a little
ROWS = ("*.jsonl", "*.jsonl.gz")


def wanted(root: pathlib.Path) -> list[pathlib.Path]:
    """Rows, sentences and pictures of a data folder, in order of names."""
    files = [f for folder in sorted(p for p in root.iterdir() if p.is_dir()) for kind in ROWS for f in sorted(folder.glob(kind))]
    return files + [root / f for f in cache.list_files(root, stages.sets_of(root))]


def pack(root, start, out, most=MAX) -> list[pathlib.Path]:
    """-> the shards: data/... and start/... in files of at most `most` bytes."""
    root, start, out = pathlib.Path(root), pathlib.Path(start), pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    jobs = [(f"data/{f.relative_to(root)}", f) for f in wanted(root)] + [(f"start/{f.name}", f) for f in sorted(start.iterdir())]
    shards, tar, size = [], None, most
    for name, file in jobs:
        length = file.stat().st_size
        if length > most:
            raise SystemExit(f"{file}: {length} bytes do not fit into a shard of {most}")
        if size + length + 1024 > most:
            if tar:
                tar.close()
            shards.append(out / f"part-{len(shards):02}.tar")
            tar, size = tarfile.open(shards[-1], "w", dereference=True), 0
        tar.add(file.resolve(), name)
        size += length + 1024
    tar.close()
    return shards


def unpack(shards, folder) -> None:
    for shard in sorted(pathlib.Path(shards).glob("part-*.tar")):
        with tarfile.open(shard) as tar:
            tar.extractall(folder, filter="data")


def shares(r: dict, minutes: float) -> None:
    """The recipe's minutes, scaled to those that there are."""
    whole = sum(s["minutes"] for s in r["fuse"].values())
    for s in r["fuse"].values():
        s["minutes"] *= minutes / whole


def train(r: dict, shards, out, minutes: float, compiled=True) -> None:
    began, out = time.time(), pathlib.Path(out)
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        unpack(shards, work)
        root, eyes = work / "data", work / "start"
        with torch.device("cpu"):  # pictures are decoded by processes that know nothing of the GPU
            cache.build(r, root, work / "cache", cache.list_files(root, stages.sets_of(root)), workers=r["threads"], maps=False)
        stages.make_scenes(r, root, work / "cache", eyes, work / "scenes", compiled=compiled)
        print(f"{(time.time() - began) / 60:.1f} minutes until training", flush=True)
        shares(r, minutes - (time.time() - began) / 60)
        stages.make_model(r, stages.speak(r, root, work, eyes, eyes), out)
        for stage in r["fuse"]:
            (out / "logs").mkdir(exist_ok=True)
            shutil.copy(work / stage / "log.jsonl", out / "logs" / f"{stage}.jsonl")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(dest="command", required=True)
    a = commands.add_parser("pack")
    a.add_argument("--data", required=True)
    a.add_argument("--start", required=True, help="model directory to go on from")
    a.add_argument("--out", required=True)
    b = commands.add_parser("train")
    b.add_argument("--shards", required=True)
    b.add_argument("--recipe", required=True)
    b.add_argument("--out", required=True)
    b.add_argument("--minutes", type=float, default=12.0, help="for all of it, unpacking included")
    args = p.parse_args()
    if args.command == "pack":
        for shard in pack(args.data, args.start, args.out):
            print(f"{shard} {shard.stat().st_size / 1e6:.1f} MB")
        return
    r = recipe.load(args.recipe)
    r["device"] = "cuda" if torch.cuda.is_available() else "cpu"
    recipe.prepare(r)
    train(r, args.shards, args.out, args.minutes)


if __name__ == "__main__":
    main()
