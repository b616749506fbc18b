"""Answers as JSON lines, the form that both programs share and that scores are taken from.

    {"image", "caption", "score"}            {"image", "question", "answer", "score"}
    {"image", "text", "score"}               {"image", "regions": [{"label", "score", "box"}], "width", "height"}

A line of `minivlm` names its picture "file" and may hold several questions or sentences; answers() and matches() make
one row of each."""
import json
import sys
import time


def answers(row: dict) -> list[dict]:
    image = row.get("file") or row["image"]
    return [{"image": image, "question": r["question"], "answer": r["answer"], "score": r["score"]}
            for r in row.get("results", [row])]


def matches(row: dict) -> list[dict]:
    if "text" in row:
        return [row]
    files = row.get("files") or [row["file"]]
    return [{"image": image, "text": t, "score": s} for image, scores in zip(files, row["scores"]) if scores
            for t, s in zip(row["texts"], scores)]


def read(path) -> list[dict]:
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def progress(rows, total: int):
    """The rows, and on a terminal how far they are."""
    started, shown = time.time(), 0.0
    if not sys.stderr.isatty():
        yield from rows
        return
    for n, row in enumerate(rows, 1):
        yield row
        now = time.time()
        if now - shown > 0.5 or n == total:
            shown = now
            print(f"\r{n}/{total} {now - started:.0f} s, about {(now - started) / n * (total - n):.0f} s left ", end="",
                  file=sys.stderr, flush=True)
    print(file=sys.stderr)


def write(path, rows, total: int):
    with open(path, "w", encoding="utf-8") as file:
        for row in progress(rows, total):
            file.write(json.dumps(row) + "\n")
