"""More captions for COCO's pictures: the package pycocoevalcap carries COCO's caption files of 2014 inside its SPICE.

    python -m train.coco_captions --data DATA [--set coco]           of training pictures
    python -m train.coco_captions --data DATA --split val            of validation pictures, for eval.py alone

A picture is known by the number in its file name. Training pictures, those that no file has in another split, go to
SET/captions_coco.jsonl, which data.py reads beside SET/captions.jsonl; those of another split to SET/references_SPLIT.jsonl,
which training never opens."""
import argparse
import json
import pathlib
import re
import zipfile

from train import data, pretrained

JAR = ("pycocoevalcap", "spice/spice-1.0.jar")
FILES = [f"coco/annotations/captions_{part}2014.json" for part in ("train", "val")]
AT_MOST = 5  # a few pictures have six or seven


def sentences(jar) -> dict[int, list[str]]:
    """Number of the picture -> what people said."""
    out: dict[int, list[str]] = {}
    with zipfile.ZipFile(jar) as archive:
        for file in FILES:
            for a in json.loads(archive.read(file))["annotations"]:
                out.setdefault(a["image_id"], []).append(" ".join(a["caption"].split()))
    return out


def number(file: str) -> int | None:
    found = re.search(r"(\d{12})\.\w+$", file)
    return int(found.group(1)) if found else None


def rows(root, name: str, said: dict[int, list[str]]) -> list[dict]:
    held = data.held(root)
    files = sorted(f"{name}/images/{f.name}" for f in (pathlib.Path(root) / name / "images").iterdir())
    return [{"image": f, "captions": said[number(f)][:AT_MOST], "split": "train"}
            for f in files if f not in held and number(f) in said]


def references(root, name: str, said: dict[int, list[str]], split: str) -> list[dict]:
    """All pictures of a split, with the same number of sentences each."""
    tables = [data.read_jsonl(pathlib.Path(root) / name / file) for file in ("images.jsonl", "captions.jsonl", "vqa.jsonl")]
    files = {data.picture(name, r) for table in tables for r in table if r.get("split") == split}
    return [{"image": f, "captions": said[number(f)][:AT_MOST], "split": split} for f in sorted(files)
            if len(said.get(number(f), ())) >= AT_MOST]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True)
    p.add_argument("--set", default="coco")
    p.add_argument("--split", default="train")
    args = p.parse_args()
    said, is_train = sentences(pretrained.package_file(*JAR)), args.split == "train"
    found = rows(args.data, args.set, said) if is_train else references(args.data, args.set, said, args.split)
    text = "".join(json.dumps(row) + "\n" for row in found)
    file = "captions_coco.jsonl" if is_train else f"references_{args.split}.jsonl"
    (pathlib.Path(args.data) / args.set / file).write_text(text, encoding="utf-8")
    print(f"{len(found)} pictures, {sum(len(row['captions']) for row in found)} captions")


if __name__ == "__main__":
    main()
