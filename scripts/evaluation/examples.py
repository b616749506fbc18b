"""Captions for a model card, the good beside the ordinary, from what `eval.py predict caption` wrote.

    python -m evaluation.examples CAPTIONS.jsonl --data DATA --set flickr8k --split test

Prints two Markdown tables: the best by CIDEr-D (no caption twice) and as many drawn by chance."""
import argparse
import pathlib
import random

from train import data

from evaluation import metrics, rows


def best(found: list[tuple[float, str, str, str]], count: int):
    """The highest scores, each caption once."""
    said: set[str] = set()
    for row in sorted(found, reverse=True):
        if len(said) < count and row[2] not in said:
            said.add(row[2])
            yield row


def scored(path, records) -> list[tuple[float, str, str, str]]:
    """-> (CIDEr-D, picture, caption, what one person wrote)"""
    said = {pathlib.PurePath(r.get("image") or r["file"]).name: r["caption"] for r in rows.read(path)}
    records = [r for r in records if pathlib.PurePath(r.image).name in said]
    cider = metrics.Cider([[metrics.tokens(t) for t in r.texts] for r in records])
    out = []
    for n, record in enumerate(records):
        name = pathlib.PurePath(record.image).name
        out.append((cider.one(n, metrics.tokens(said[name])), name, said[name], record.texts[0].rstrip(" .")))
    return out


def table(chosen) -> str:
    head = ["| picture | the model | one person |", "|---|---|---|"]
    return "\n".join(head + [f"| `{name}` | {caption} | {person} |" for _, name, caption, person in chosen])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("captions", help="JSON lines")
    p.add_argument("--data", required=True)
    p.add_argument("--set", required=True)
    p.add_argument("--split", default="test")
    p.add_argument("--count", type=int, default=20)
    p.add_argument("--seed", type=int, default=17)
    args = p.parse_args()
    records = [c for c in data.captions(args.data) if c.split == args.split and c.image.startswith(args.set + "/")]
    found = scored(args.captions, records)
    print(table(best(found, args.count)), table(random.Random(args.seed).sample(found, args.count)), sep="\n\n")


if __name__ == "__main__":
    main()
