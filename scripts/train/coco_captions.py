"""More captions for COCO's training pictures: the package pycocoevalcap carries COCO's caption files of 2014 inside its SPICE.

    python -m train.coco_captions --data DATA [--set coco]

A picture is known by the number in its file name. Pictures of the validation and test splits get none. Written as
SET/captions_coco.jsonl, which data.py reads beside SET/captions.jsonl."""
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


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True)
    p.add_argument("--set", default="coco")
    args = p.parse_args()
    found = rows(args.data, args.set, sentences(pretrained.package_file(*JAR)))
    text = "".join(json.dumps(row) + "\n" for row in found)
    (pathlib.Path(args.data) / args.set / "captions_coco.jsonl").write_text(text, encoding="utf-8")
    print(f"{len(found)} pictures, {sum(len(row['captions']) for row in found)} captions")


if __name__ == "__main__":
    main()
