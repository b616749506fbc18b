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
    if r["classes"] != "coco":
        r["classes"] = str(pathlib.Path(path).parent / r["classes"])
    return r


def prepare(r: dict) -> None:
    """Threads, and the device on which every new tensor is made ("device": "cuda"; default: the CPU)."""
    torch.set_num_threads(r["threads"])
    torch.set_default_device(r.get("device", "cpu"))


def classes(r: dict) -> list[str]:
    """Names of the detector's classes: COCO's, or the lines of a file beside the recipe."""
    if r["classes"] == "coco":
        return COCO
    return [line.split(",")[0].strip() for line in pathlib.Path(r["classes"]).read_text().splitlines() if line.strip()]


def model_config(r: dict, answers: int) -> cfg.Config:
    """The paper's configuration with the recipe's changes."""
    values = cfg.paper().to_dict()
    for section, changes in r["model"].items():
        if isinstance(changes, dict):
            values[section].update(changes)
        else:
            values[section] = changes
    values["vqa"]["answers"] = answers
    return cfg.Config.from_dict(values)
