"""The C engine beside the PyTorch reference on the same pictures: how often they say the same, how far numbers part."""
from dataclasses import dataclass

from evaluation import rows

QUESTIONS = ("What is in the picture?", "How many people are there?", "What colour is the dog?", "Is it raining?",
             "Where is the ball?", "What is the man doing?")


@dataclass
class Asked:
    image: str
    text: str


def words(caption: str) -> str:
    """Without spaces: the engine writes "t-shirt" where the reference leaves pieces, "t - shirt"."""
    return caption.replace(" ", "")


def share(equal: list[bool]) -> float:
    return 100 * sum(equal) / len(equal) if equal else 100.0


def iou(a, b) -> float:
    """Boxes of inclusive pixels, (x0, y0, x1, y1); an empty box covers nothing."""
    def area(box):
        return max(0.0, box[2] - box[0] + 1) * max(0.0, box[3] - box[1] + 1)
    both = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    return both / (area(a) + area(b) - both) if both else float(list(a) == list(b))


def overlaps(mine: list[dict], theirs: list[dict]) -> list[float]:
    """For each region of the reference the best overlap with one of the same label; 0 where there is none."""
    return [max((iou(r["box"], m["box"]) for m in mine if m["label"] == r["label"]), default=0.0) for r in theirs]


def pairs(engine_rows, reference_rows, total: int):
    """(row of the engine, row of the reference) about the same thing."""
    for mine, theirs in rows.progress(zip(engine_rows, reference_rows, strict=True), total):
        for key in ("image", "question", "text"):
            if mine.get(key) != theirs.get(key):
                raise ValueError(f"the programs went apart: {mine} beside {theirs}")
        yield mine, theirs


def compare(engine, reference, names: list[str], sentences: list[str], shown: int = 10) -> dict:
    """Captions, QUESTIONS, every picture beside every sentence, regions."""
    asked = [Asked(n, q) for n in sorted(names) for q in QUESTIONS]
    said = list(pairs(engine.captions(names), reference.captions(names), len(names)))
    answered = list(pairs(engine.answers(asked), reference.answers(asked), len(asked)))
    matched = list(pairs(engine.matches(names, sentences), reference.matches(names, sentences),
                         len(names) * len(sentences)))
    seen = list(pairs(engine.regions(names), reference.regions(names), len(names)))
    boxes = [v for mine, theirs in seen for v in overlaps(mine["regions"], theirs["regions"])]
    different = [(m["image"], m["caption"], t["caption"]) for m, t in said if words(m["caption"]) != words(t["caption"])]
    return {"pictures": len(names),
            "equal captions": share([words(m["caption"]) == words(t["caption"]) for m, t in said]),
            "questions": len(asked), "equal answers": share([m["answer"] == t["answer"] for m, t in answered]),
            "largest difference of answer scores": max(abs(m["score"] - t["score"]) for m, t in answered
                                                       if m["answer"] == t["answer"]),
            "pairs": len(matched),
            "largest difference of match scores": max(abs(m["score"] - t["score"]) for m, t in matched),
            "regions": len(boxes), "mean IoU of boxes": sum(boxes) / len(boxes), "smallest IoU": min(boxes),
            "pictures with the same labels in the same order": share(
                [[r["label"] for r in m["regions"]] == [r["label"] for r in t["regions"]] for m, t in seen]),
            "different captions": different[:shown]}
