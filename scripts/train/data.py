"""What the training stages read: captions, questions and boxes of pictures, from the JSONL files of a data folder.

Public formats (COCO, VQA v2, Visual Genome, Flickr8k/30k) are read by formats.py into the same three kinds of record.
A picture is named by its path below the data folder. Splits are "train", "val" and "test"; readers keep them, stages
choose. Boxes are (x0, y0, x1, y1) as parts of the picture's width and height, so that a resized picture keeps them."""
import gzip
import json
import pathlib
import re
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Captions:
    image: str
    texts: list[str]
    split: str


@dataclass
class Question:
    image: str
    text: str
    answers: list[str]  # one a person
    split: str
    source: str
    kind: str = ""  # question type, for per-type baselines
    id: int = 0


@dataclass
class Boxes:
    image: str
    boxes: list[tuple[float, float, float, float]]
    labels: list[str]
    known: list[str] = field(default_factory=list)  # classes whose every box is given; empty: all classes are
    split: str = "train"
    attributes: list[list[str]] = field(default_factory=list)  # of each box, such as ["red", "round"]; empty: none is known
    maybe: list[tuple[float, float, float, float]] = field(default_factory=list)  # a machine is not sure: neither object nor background


def read_jsonl(path: pathlib.Path):
    """Rows of a .jsonl or .jsonl.gz file; none where there is no such file."""
    if not path.exists():
        return
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        for line in file:
            if line.strip():
                yield json.loads(line)


def rows_of(root, pattern: str):
    """(set, file name, row) of every SET/pattern below the data folder, in order of names."""
    for path in sorted(pathlib.Path(root).glob(f"*/{pattern}")):
        for row in read_jsonl(path):
            yield path.parent.name, path.stem, row


def picture(name: str, row: dict) -> str:
    """A row names its picture below SET/images, or by its whole path below the data folder."""
    return row["image"] if "/" in row["image"] else f"{name}/images/{row['image']}"


# Captions


def captions(root) -> list[Captions]:
    """One record a picture, with the sentences of every SET/captions*.jsonl; the first file says its split."""
    out: dict[str, Captions] = {}
    for name, _, r in rows_of(root, "captions*.jsonl"):
        own = out.setdefault(picture(name, r), Captions(picture(name, r), [], r["split"]))
        if own.split == r["split"]:
            own.texts += [t for t in r.get("captions") or r["texts"] if t not in own.texts]
    return list(out.values())


def sentences(root) -> list[str]:
    """Captions without their pictures, of training pictures only."""
    root = pathlib.Path(root)
    out = []
    for r in read_jsonl(root / "text" / "flickr30k_captions.jsonl.gz"):
        if r.get("flickr8k_split") not in ("val", "test"):
            out += r["captions"]
    for r in read_jsonl(root / "text" / "coco_captions_val2017_and_30k.jsonl.gz"):
        if r["split"] == "train":
            out += r["captions"]
    return out


# Questions


def normal_answer(text: str) -> str:
    """Lower case, underscores as spaces, no full stop at the end, single spaces."""
    return " ".join(str(text).lower().replace("_", " ").strip(" .").split())


def question_kind(text: str) -> str:
    """First two words, as a stand-in for VQA v2's question types where a set has none."""
    return " ".join(text.lower().split()[:2])


def questions(root) -> list[Question]:
    out = []
    for pattern in ("vqa.jsonl", "vqa_majority.jsonl", "object_questions.jsonl"):
        for n, (name, stem, r) in enumerate(rows_of(root, pattern)):
            answers = [normal_answer(a) for a in r["answers"]]
            text = r.get("question") or r["text"]
            kind = r.get("question_type") or r.get("kind") or question_kind(text)
            source = "objects" if stem == "object_questions" else r.get("source", name)
            out.append(Question(picture(r.get("set", name), r), text, answers, r["split"], source, kind, r.get("question_id", n)))
    for n, (name, _, r) in enumerate(rows_of(root, "vsr.jsonl")):  # a statement becomes a yes/no question
        text = "is it true that " + r["statement"].lower().strip(" .") + " ?"
        out.append(Question(picture(name, r), text, ["yes" if r["label"] else "no"], r["split"], "vsr", "is it", n))
    return out


def answer_list(records: list[Question], least: int) -> list[str]:
    """Answers given at least `least` times, each question counting an answer once; most frequent first."""
    count = Counter(a for q in records for a in set(target(q)))
    return [a for a, n in sorted(count.items(), key=lambda item: (-item[1], item[0])) if n >= least and a]


def target(q: Question) -> dict[str, float]:
    """Answer -> soft score. Ten answers: VQA v2's min(n / 3, 1). A list of one person (DAQUAR): all are right."""
    if len(q.answers) < 10:
        return {a: 1.0 for a in q.answers}
    return {a: min(1.0, n * 0.3) for a, n in Counter(q.answers).items()}


# Boxes


# Files whose rows do not say which classes are complete.
KNOWN = {("coco", "boxes_person"): ["person"], ("voc_subset5", "boxes"): ["car", "person", "cat", "train", "bus"]}


def boxes(root, sizes: dict[str, tuple[int, int]]) -> list[Boxes]:
    """`sizes`: picture -> (width, height) of the stored file. A complete record wins over an incomplete one."""
    out = []
    for name, stem, r in rows_of(root, "boxes*.jsonl"):
        image, known = picture(name, r), r.get("known", KNOWN.get((name, stem), []))
        if image not in sizes:
            continue
        if "labels" in r:  # written by convert.py
            out.append(Boxes(image, [tuple(b) for b in r["boxes"]], r["labels"], known, r["split"],
                             r.get("attributes", []), [tuple(b) for b in r.get("maybe", [])]))
        else:
            out.append(relative(image, r["boxes"], known, r.get("split", "train"), sizes[image]))
    whole = {b.image for b in out if not b.known}
    return [b for b in out if not b.known or b.image not in whole]


def relative(image, rows, known, split, size) -> Boxes:
    """Rows of [x, y, width, height, class] in pixels, a list of attributes behind it or not -> Boxes."""
    w, h = size
    record = Boxes(image, [], [], known, split)
    for x, y, bw, bh, label, *attributes in rows:
        box = (max(0.0, x / w), max(0.0, y / h), min(1.0, (x + bw) / w), min(1.0, (y + bh) / h))
        if box[2] - box[0] > 0.004 and box[3] - box[1] > 0.004:
            record.boxes.append(box)
            record.labels.append(label)
            record.attributes.append(attributes[0] if attributes else [])
    return record


# Splits


def held(root) -> set[str]:
    """Pictures that some file has in another split than "train": nothing may be learned from them."""
    files = ("captions*.jsonl", "vqa.jsonl", "object_questions.jsonl", "vsr.jsonl", "boxes*.jsonl", "images.jsonl")
    return {picture(name, r) for file in files for name, _, r in rows_of(root, file) if r.get("split") not in ("train", None)}


# Words of a picture, for image-level supervision

STOP = set("a an the of in on at to and is are with for by from while as its his her their it this that there be being "
           "up down out over into near through what how who where which does do did has have other another each "
           "some two's s he she they them him who's can not no yes or very".split())


def words(text: str) -> list[str]:
    return [w for w in re.findall(r"[a-z]+", text.lower()) if w not in STOP and len(w) > 1]


def picture_words(caps: list[Captions], asked: list[Question], split="train") -> dict[str, Counter]:
    """Picture -> how many of its sentences use each word. Of a question only the answer and the nouns it presumes count."""
    out: dict[str, Counter] = {}
    for c in caps:
        if c.split == split:
            for text in c.texts:
                out.setdefault(c.image, Counter()).update(set(words(text)))
    for q in asked:
        if q.split == split and q.source == "coco_qa":  # made from captions: what it mentions is there
            out.setdefault(q.image, Counter()).update(set(words(q.text)) | set(words(q.answers[0])))
    return out


SWAP = {"left": "right", "right": "left"}


def mirror(text: str) -> str:
    """What a sentence says of the mirrored picture."""
    return re.sub(r"\b(left|right)\b", lambda m: SWAP[m.group().lower()], text, flags=re.I)
