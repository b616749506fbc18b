"""Models to train: whose eyes, which words to start from."""
import pathlib

import torch
from minivlm import MiniVLM, weights
from minivlm.conv import fold
from minivlm.model import Labels
from minivlm.text import Tokenizer

from train import cache, common, pretrained, recipe


def tokenizer(r) -> Tokenizer:
    return Tokenizer.from_file(pretrained.minilm_vocab() if r["pretrained"] else r["vocab"])


def fresh(r, answers) -> MiniVLM:
    """Everything as it comes from elsewhere: ImageNet's backbone in the cells, MiniLM in the fusion."""
    config = recipe.model_config(r, answers=len(answers))
    model = MiniVLM(config, tokenizer(r), Labels(recipe.classes(r), [], list(answers)), r["dropout"])
    if r["pretrained"]:
        model.fusion.load_state_dict(pretrained.minilm_state(config.fusion.layers), strict=False)
    if model.cells and config.context:
        first = cache.first_backbone(r).blocks
        own = [b.state_dict() for b in first[len(first) - config.context.own_blocks:]]
        for block, state in zip(model.cells.blocks, own):
            block.load_state_dict(state)
        if r["pretrained"]:
            pretrained.load_head(model.cells.head)
    torch.nn.init.constant_(model.heads.vqa.classifier.bias, -4.595)
    return model


def with_eyes(r, start, answers=("",)) -> MiniVLM:
    """A fresh model, folded, that looks with the TEE of tee.pt or of a model directory."""
    model, start = fresh(r, answers), pathlib.Path(start)
    if start.is_dir():
        state = MiniVLM.from_dir(start).tee.state_dict()
    else:
        state = torch.load(start, map_location="cpu", weights_only=True)
    common.fitting(model.tee, state)
    return fold(model).eval()


@torch.no_grad()
def speak_like(model: MiniVLM, start) -> None:
    """Takes fusion, heads and the cells' convolution from another model: a checkpoint or a model directory. What has no counterpart
    there stays; of the answers those that both know are taken."""
    start = pathlib.Path(start)
    if start.is_dir():
        given = MiniVLM.from_dir(start)
        known, state = given.labels.answers, given.state_dict()
    else:
        stored = torch.load(start, map_location="cpu", weights_only=True)
        known, state = stored["answers"], stored.get("average", stored["model"])
    mine = model.state_dict()
    row = {answer: n for n, answer in enumerate(known)}
    pairs = [(n, row[a]) for n, a in enumerate(model.labels.answers) if a in row]
    for name, value in mine.items():
        if name.startswith("heads.vqa.classifier."):
            for here, there in pairs:
                value[here] = state[name][there]
        elif name.startswith(("fusion.", "heads.", "cells.head.")) and name in state and state[name].shape == value.shape:
            value.copy_(state[name])
    bias = model.heads.caption.bias
    silent = bias <= weights.SILENT
    if silent.any():  # words that were ruled out may be said again, as readily as others
        bias[silent] = bias[~silent].mean()


def teacher(r, eyes, answers, start) -> MiniVLM:
    """A model that is only asked: with these eyes, and the words of a checkpoint or model directory."""
    model = with_eyes(r, eyes, answers)
    speak_like(model, start)
    return model.requires_grad_(False)
