"""A recipe is one JSON file: the model's sizes, and the settings of every stage."""
import json
import pathlib

from minivlm import config as cfg

COCO = ("person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
        "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,"
        "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,"
        "wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,"
        "chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,"
        "toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush").split(",")


def load(path) -> dict:
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


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
