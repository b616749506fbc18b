"""Boxes by machine: what an SSD-MobileNet trained on COCO sees in the training pictures (teacher/detect.mjs, with its weights).

    python -m train.label --recipe RECIPE --data DATA --cache CACHE --teacher FOLDER_OF_NPM_INSTALL

People have boxed few of the pictures. Of the machine's boxes those with a score of at least SURE count as true, those from
MAYBE on as neither object nor background. People are right where they looked: a picture whose boxes are complete is left
alone, and classes that people boxed completely in a picture keep their boxes. Written as SET/boxes_machine.jsonl below
DATA, which data.py reads as complete. Pictures of the validation and test splits are never shown to the machine."""
import argparse
import json
import pathlib
import subprocess

import torch
from minivlm import boxes as bx

from train import data, recipe
from train.cache import Images

SURE, MAYBE = 0.3, 0.12  # on 417 pictures with people's boxes, 76 % of the machine's boxes above SURE are right
SAME = 0.5  # overlap of two boxes of one object


def training_files(root, images: Images) -> list[str]:
    held = data.held(root)
    return [f for f in images.files if f not in held]


def distinct(found):
    """[label, score, x0, y0, x1, y1] rows -> the best first, without second boxes of one object and class."""
    kept = []
    for row in sorted(found, key=lambda r: -r[1]):
        mine = [k[2:] for k in kept if k[0] == row[0]]
        if not mine or float(overlap([row[2:]], mine).max()) < SAME:
            kept.append(row)
    return kept


def overlap(a, b):
    """Relative boxes, as on a grid fine enough that inclusive corners do not matter."""
    return bx.iou(torch.tensor(a) * 1e4, torch.tensor(b) * 1e4)


def merged(file: str, found, people: data.Boxes | None) -> dict | None:
    """The row of one picture; None where people's boxes are complete."""
    if people and not people.known:
        return None
    boxes, labels = (list(people.boxes), list(people.labels)) if people else ([], [])
    own = set(people.known) if people else set()
    found = distinct([r for r in found if r[0] not in own])
    for label, score, *box in found:
        if score >= SURE:
            boxes.append(box)
            labels.append(label)
    maybe = [box for _, score, *box in found if MAYBE <= score < SURE]
    if boxes and maybe:
        alone = overlap(maybe, boxes).max(1).values < SAME
        maybe = [m for m, a in zip(maybe, alone) if a]
    return {"image": file, "boxes": boxes, "labels": labels, "maybe": maybe, "split": "train"}


def read(path, names: list[str], images: Images):
    """Rows of teacher/detect.mjs: {"row", "boxes": [[class, score, x0, y0, x1, y1]]} -> (file, found)."""
    for line in data.read_jsonl(pathlib.Path(path)):
        boxes = [[names[k], score, *(min(1.0, max(0.0, v)) for v in box)] for k, score, *box in line["boxes"]]
        yield images.files[line["row"]], [b for b in boxes if b[4] > b[2] and b[5] > b[3]]


def write(root, rows) -> None:
    files = {}
    for row in rows:
        files.setdefault(row["image"].split("/")[0], []).append(row)
    for name, group in files.items():
        text = "".join(json.dumps(row) + "\n" for row in group)
        (pathlib.Path(root) / name / "boxes_machine.jsonl").write_text(text, encoding="utf-8")


def run(r: dict, root, cached, teacher, processes=2) -> None:
    """`teacher`: folder where `npm install` put the packages of teacher/package.json."""
    images, names = Images(cached), recipe.classes(r)
    folder = pathlib.Path(cached) / "machine"
    folder.mkdir(exist_ok=True)
    (folder / "rows.json").write_text(json.dumps([images.row[f] for f in training_files(root, images)]))
    script = pathlib.Path(__file__).resolve().parent / "teacher/detect.mjs"
    outs = [folder / f"{n}.jsonl" for n in range(processes)]
    running = [subprocess.Popen(["node", script, teacher, pathlib.Path(cached) / "images.npy", folder / "rows.json", out,
                                 str(n), str(processes)]) for n, out in enumerate(outs)]
    if any([p.wait() for p in running]):
        raise SystemExit("the teacher stopped, see above; started again it goes on")
    people = {b.image: b for b in data.boxes(root, dict(zip(images.files, images.sizes)))}
    rows = [merged(f, found, people.get(f)) for out in outs for f, found in read(out, names, images)]
    rows = [row for row in rows if row]
    write(root, rows)
    print(f"{len(rows)} pictures, {sum(len(row['boxes']) for row in rows)} boxes", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("recipe", "data", "cache", "teacher"):
        p.add_argument("--" + name, required=True)
    args = p.parse_args()
    r = recipe.load(args.recipe)
    run(r, args.data, args.cache, args.teacher, r["threads"])


if __name__ == "__main__":
    main()
