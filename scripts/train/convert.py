"""Public annotation files -> the JSONL files that data.py reads. The recipe's "sources" name the files:

    {"reader": "coco_captions", "set": "coco", "path": "annotations/captions_train2017.json", "folder": "coco/images/train2017", "split": "train"}

Readers: coco_captions, karpathy_split, coco_boxes, visual_genome, vqa_v2, flickr (formats.py). Paths are below --data;
pictures are wherever "folder" says. Writes SET/captions.jsonl, SET/vqa.jsonl, SET/boxes.jsonl."""
import argparse
import dataclasses
import json
import pathlib

from train import data, formats, recipe


def read(source: dict, root: pathlib.Path) -> list:
    s = {k: v for k, v in source.items() if k not in ("reader", "set")}
    for key in ("path", "questions", "annotations"):
        if key in s:
            s[key] = root / s[key]
    if source["reader"] == "visual_genome":
        rows = json.loads((root / s.pop("sizes")).read_text(encoding="utf-8"))
        s["sizes"] = {f"{r['image_id']}.jpg": (r["width"], r["height"]) for r in rows}
    if source["reader"] == "flickr":
        lists = s.pop("splits", {})  # split -> file with a list of names
        s["splits"] = {name.strip(): split for split, file in lists.items()
                       for name in (root / file).read_text().splitlines() if name.strip()}
    return getattr(formats, source["reader"])(**s)


def write(root: pathlib.Path, name: str, records: list) -> None:
    kinds = {data.Captions: "captions", data.Question: "vqa", data.Boxes: "boxes"}
    for kind, file in kinds.items():
        rows = [dataclasses.asdict(r) for r in records if type(r) is kind]
        if rows:
            (root / name).mkdir(parents=True, exist_ok=True)
            with open(root / name / f"{file}.jsonl", "w", encoding="utf-8") as out:
                out.writelines(json.dumps(row) + "\n" for row in rows)
            print(f"{name}/{file}.jsonl: {len(rows)}", flush=True)


def convert(r: dict, root) -> None:
    root, by_set = pathlib.Path(root), {}
    for source in r.get("sources", []):
        by_set.setdefault(source["set"], []).extend(read(source, root))
    for name, records in by_set.items():
        write(root, name, records)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--recipe", required=True)
    p.add_argument("--data", required=True)
    args = p.parse_args()
    convert(recipe.load(args.recipe), args.data)


if __name__ == "__main__":
    main()
