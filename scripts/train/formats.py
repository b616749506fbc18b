"""Readers of the standard public annotation files; they give the records of data.py.

`folder` is where the pictures lie below the data folder; the result names them as "folder/file"."""
import json
import pathlib

from train.data import Boxes, Captions, Question, normal_answer, relative


def _json(path):
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


def coco_captions(path, folder: str, split: str) -> list[Captions]:
    """captions_*.json of COCO."""
    content = _json(path)
    out = {i["id"]: Captions(f"{folder}/{i['file_name']}", [], split) for i in content["images"]}
    for a in content["annotations"]:
        out[a["image_id"]].texts.append(a["caption"].strip())
    return [c for c in out.values() if c.texts]


def karpathy_split(path, folder: str) -> list[Captions]:
    """dataset_coco.json, dataset_flickr8k.json or dataset_flickr30k.json of Karpathy; "restval" is training."""
    out = []
    for i in _json(path)["images"]:
        name = "/".join(p for p in (folder, i.get("filepath", ""), i["filename"]) if p)
        split = "train" if i["split"] == "restval" else i["split"]
        out.append(Captions(name, [s["raw"].strip() for s in i["sentences"]], split))
    return out


def coco_boxes(path, folder: str, split: str) -> list[Boxes]:
    """instances_*.json of COCO, and any set in its format (Objects365); crowds are left out."""
    content = _json(path)
    names = {c["id"]: c["name"] for c in content["categories"]}
    rows = {i["id"]: [] for i in content["images"]}
    for a in content["annotations"]:
        if not a.get("iscrowd"):
            rows[a["image_id"]].append([*a["bbox"], names[a["category_id"]]])
    return [relative(f"{folder}/{i['file_name']}", rows[i["id"]], [], split, (i["width"], i["height"]))
            for i in content["images"]]


def visual_genome(path, folder: str, sizes: dict[str, tuple[int, int]], split="train") -> list[Boxes]:
    """objects.json of Visual Genome, or attributes.json, which has the same boxes and what they look like; `sizes`: file
    name -> (width, height), from image_data.json."""
    out = []
    for i in _json(path):
        name = f"{i['image_id']}.jpg"
        rows = [[o["x"], o["y"], o["w"], o["h"], o["names"][0].strip().lower(),
                 [a.strip().lower() for a in o.get("attributes") or []]]
                for o in i.get("objects") or i.get("attributes", []) if o["names"]]
        if name in sizes:
            out.append(relative(f"{folder}/{name}", rows, [], split, sizes[name]))
    return out


def vqa_v2(questions, annotations, pattern: str, split: str) -> list[Question]:
    """The two files of VQA v2; `pattern` makes a picture's path of its number, such as "coco/{:012}.jpg"."""
    known = {a["question_id"]: a for a in _json(annotations)["annotations"]}
    out = []
    for q in _json(questions)["questions"]:
        a = known[q["question_id"]]
        answers = [normal_answer(x["answer"]) for x in a["answers"]]
        out.append(Question(pattern.format(q["image_id"]), q["question"], answers, split, "vqa_v2",
                            a.get("question_type", ""), q["question_id"]))
    return out


def flickr(path, folder: str, splits: dict[str, str]) -> list[Captions]:
    """Flickr8k.token.txt or results_20130124.token: "file#n<tab>caption" lines; `splits`: file -> split, default train."""
    out: dict[str, Captions] = {}
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        if "\t" in line:
            name, text = line.split("\t", 1)
            name = name.split("#")[0]
            out.setdefault(name, Captions(f"{folder}/{name}", [], splits.get(name, "train"))).texts.append(text.strip())
    return list(out.values())
