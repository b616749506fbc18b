"""A recipe is one JSON file: the model's sizes, and the settings of every stage."""
import json
import pathlib

import torch
from minivlm import config as cfg

COCO = ("person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
        "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,"
        "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,"
        "wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,"
        "chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,"
        "toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush").split(",")


def load(path) -> dict:
    """Names of files in a recipe are relative to it."""
    r = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    for key in ("classes", "attributes"):
        if r.get(key, "coco") != "coco":
            r[key] = str(pathlib.Path(path).parent / r[key])
    for stage in r["fuse"].values():
        stage["teachers"] = [str(pathlib.Path(path).parent / t) for t in stage.get("teachers", [])]
    return r


def prepare(r: dict) -> None:
    """Threads, and the device on which every new tensor is made ("device": "cuda"; default: the CPU)."""
    torch.set_num_threads(r["threads"])
    torch.set_default_device(r.get("device", "cpu"))


def classes(r: dict) -> list[str]:
    """Names of the detector's classes: COCO's, or the lines of a file beside the recipe."""
    return [names[0] for names in _lines(r["classes"])] if r["classes"] != "coco" else COCO


def class_numbers(r: dict) -> dict[str, int]:
    """Every name of a class, synonyms too -> its number, from 1."""
    lines = _lines(r["classes"]) if r["classes"] != "coco" else [[c] for c in COCO]
    return {name: n + 1 for n, names in enumerate(lines) for name in names}


def attribute_numbers(r: dict) -> dict[str, int]:
    """Every name of an attribute -> its number, from 0; none where the recipe names no file of them."""
    return {name: n for n, names in enumerate(_lines(r["attributes"])) for name in names} if "attributes" in r else {}


def _lines(file) -> list[list[str]]:
    """A line names one thing, synonyms behind commas."""
    lines = pathlib.Path(file).read_text(encoding="utf-8").splitlines()
    return [[name.strip() for name in line.split(",")] for line in lines if line.strip()]


def model_config(r: dict, answers: int) -> cfg.Config:
    """The paper's configuration with the recipe's changes."""
    values = cfg.paper().to_dict()
    for section, changes in r["model"].items():
        if isinstance(changes, dict):
            values[section] = {**values.get(section, {}), **changes}
        else:
            values[section] = changes
    values["vqa"]["answers"] = answers
    return cfg.Config.from_dict(values)
