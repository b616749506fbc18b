"""The figures of a model card, from what `eval.py score` and `eval.py detect` printed into files of a folder.

    python -m evaluation.table OLD NEW                  Markdown, a column a folder
    python -m evaluation.table --formats FP32 SHIPPED   each measure, and by how much of it the later folders differ from the first

Files: flickr8k.json, coco.json (captions), vqa_v2.json, vqa_v2_majority.json, coco_qa.json, daquar.json (questions), retrieval.json,
detect.json; those that are missing in a folder are left out. Where the last folder was scored with `--against`, a column says by how
much the same pictures, questions or texts came out better, with its interval of 95 %."""
import argparse
import json
import pathlib

CAPTIONS = ("BLEU-4", "METEOR", "ROUGE-L", "CIDEr-D")
ROWS = {"flickr8k": "captions, Flickr8k test", "coco": "captions, COCO val, five references", "vqa_v2": "questions, VQA v2 on COCO val, ten answers",
        "vqa_v2_majority": "the same, one answer known", "coco_qa": "questions, COCO-QA val", "daquar": "questions, DAQUAR test"}
RECALLS = ("text of picture", "picture of text")


def span(page: dict, key: str, sign="") -> str:
    low, high = page[f"{key} 95 %"]
    return f"{page[key]:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f})"


def cells(page: dict) -> str:
    if "CIDEr-D" in page:
        return " / ".join(f"{page[k]:.1f}" for k in CAPTIONS[:-1]) + " / " + span(page, "CIDEr-D")
    return span(page, "accuracy")


def recalls(page: dict) -> str:
    return " / ".join([span(page, "R@1"), *(f"{page[key]:.1f}" for key in ("R@5", "R@10"))])


def read(folder) -> dict[str, dict]:
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in pathlib.Path(folder).glob("*.json")}


def rows(pages: list[dict]):
    """-> (title, measure, cells, gains of the last page or None)"""
    for name, title in ROWS.items():
        if all(name in p for p in pages):
            first, is_caption = pages[0][name], "CIDEr-D" in pages[0][name]
            count = first["pictures" if is_caption else "questions"]
            yield (f"{title} ({count})", " / ".join(CAPTIONS) if is_caption else "accuracy, %", [cells(p[name]) for p in pages],
                   pages[-1][name].get("against"))
    for key in RECALLS if all("retrieval" in p for p in pages) else ():
        first = pages[0]["retrieval"]
        title = f"{key}, {first['galleries']} galleries of {first['pictures'] // first['galleries']} Flickr8k test pictures with their captions"
        yield title, "R@1 / 5 / 10", [recalls(p["retrieval"][key]) for p in pages], pages[-1]["retrieval"].get("against", {}).get(key)
    if all("detect" in p for p in pages):
        yield f"regions, COCO val ({pages[0]['detect']['pictures']})", "AP50", [span(p["detect"], "AP50") for p in pages], None


def table(folders) -> str:
    found = list(rows([read(f) for f in folders]))
    names = [pathlib.Path(f).name for f in folders]
    if not any(gains for *_, gains in found):
        return markdown(["task", "measure", *names], [[title, measure, *values] for title, measure, values, _ in found])
    lines = [[title, measure, *values, span(gains, "gain", "+") if gains else ""] for title, measure, values, gains in found]
    return markdown(["task", "measure", *names, "difference (CIDEr-D, accuracy, R@1)"], lines)


def formats(folders) -> str:
    pages, lines = [read(f) for f in folders], []
    for name, title in ROWS.items():
        if all(name in p for p in pages):
            for key in (k for k in (*CAPTIONS, "accuracy") if all(k in p[name] for p in pages)):
                whole, *rest = (p[name][key] for p in pages)
                lines.append([f"{title}: {key}", f"{whole:.2f}", *(f"{v:.2f} ({100 * (v / whole - 1):+.1f} %)" for v in rest)])
    return markdown(["measure", *(pathlib.Path(f).name for f in folders)], lines)


def markdown(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *lines])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folders", nargs="+")
    p.add_argument("--formats", action="store_true")
    args = p.parse_args()
    print((formats if args.formats else table)(args.folders))


if __name__ == "__main__":
    main()
