"""The figures of a model card, from what `eval.py score` and `eval.py detect` printed into files of a folder.

    python -m evaluation.table OLD NEW        Markdown, a column a folder

Files: flickr8k.json, coco.json (captions), vqa_v2.json, vqa_v2_majority.json, coco_qa.json, daquar.json (questions), retrieval.json,
detect.json; those that are missing are left out."""
import json
import pathlib
import sys

CAPTIONS = ("BLEU-4", "METEOR", "ROUGE-L", "CIDEr-D")
ROWS = {"flickr8k": "captions, Flickr8k test", "coco": "captions, COCO val, five references", "vqa_v2": "questions, VQA v2 on COCO val, ten answers",
        "vqa_v2_majority": "the same, one answer known", "coco_qa": "questions, COCO-QA val", "daquar": "questions, DAQUAR test"}


def with_interval(page: dict, key: str) -> str:
    low, high = page[f"{key} 95 %"]
    return f"{page[key]:.1f} ({low:.1f} to {high:.1f})"


def cells(name: str, page: dict) -> str:
    if "CIDEr-D" in page:
        return " / ".join(f"{page[k]:.1f}" for k in CAPTIONS[:-1]) + " / " + with_interval(page, "CIDEr-D")
    return with_interval(page, "accuracy")


def read(folder) -> dict[str, dict]:
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in pathlib.Path(folder).glob("*.json")}


def recall_rows(pages: list[dict]):
    for key in ("text of picture", "picture of text"):
        if all("retrieval" in p for p in pages):
            first = pages[0]["retrieval"]
            title = f"{key}, {first['galleries']} galleries of {first['pictures'] // first['galleries']} pictures with their captions"
            yield [title, "R@1", *(with_interval(p["retrieval"][key], "R@1") for p in pages)]
            yield [title, "R@5 / 10", *(" / ".join(f"{p['retrieval'][key][f'R@{k}']:.1f}" for k in (5, 10)) for p in pages)]


def table(folders) -> str:
    pages = [read(f) for f in folders]
    rows = [["task", "measure", *(pathlib.Path(f).name for f in folders)], ["---"] * (2 + len(folders))]
    for name, title in ROWS.items():
        if all(name in p for p in pages):
            is_caption = "CIDEr-D" in pages[0][name]
            count = pages[0][name]["pictures" if is_caption else "questions"]
            rows.append([f"{title} ({count})", " / ".join(CAPTIONS) if is_caption else "accuracy, %", *(cells(name, p[name]) for p in pages)])
    rows += recall_rows(pages)
    if all("detect" in p for p in pages):
        rows.append(["regions, COCO val", "AP50", *(f"{p['detect']['AP50']:.1f}" for p in pages)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    print(table(sys.argv[1:]))
