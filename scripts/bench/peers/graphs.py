"""The reference cut into graphs that other runtimes can run, and what they are fed with. Needs PyTorch.

    dense      picture -> pyramid and proposal maps (and context cells)
    head       pooled regions -> features, class logits, deltas
    question   words, regions, cells -> scores of the answers
    context    tags, regions, cells -> keys and values of all layers
    step       last word (and [MASK]), keys and values -> logits of the words that can be said, keys and values

Between dense and head stand proposals, NMS and RoIAlign, which are no graph: peers are given their result for nothing. So
are the token ids of the question."""
import json
import pathlib

import numpy as np
import torch
from minivlm import MiniVLM, image
from torch import nn

SILENT = -100.0  # words with a bias of at most this are never said: no peer computes them either
QUESTION = "what is in the picture?"
OPSET = 17


class Dense(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        taps, entry = self.model.look(images)
        pyramid = self.model.tee.bifpn(taps)
        maps = [m for p in pyramid for m in (self.model.tee.rpn.cls(p), self.model.tee.rpn.box(p))]
        cells = [] if self.model.cells is None else [self.model.cells(entry)]
        return (*pyramid[:4], *maps, *cells)


class Head(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.roi = model.tee.roi

    def forward(self, aligned):
        features = self.roi.features(aligned)
        return (features, *self.roi.predict(features))


class Seen(nn.Module):
    """Text, tags, regions and cells as rows; which of the last two there are is the model's choice."""

    def __init__(self, model):
        super().__init__()
        self.model, self.fusion = model, model.fusion
        self.has_regions, self.has_cells = hasattr(model.fusion, "regions"), model.cells is not None

    def rows(self, ids, positions, segments, boxes):
        regions = boxes[0] if self.has_regions else None
        cells = boxes[-1] if self.has_cells else None
        return torch.cat((self.fusion.embed_text(ids, positions, segments), self.fusion.embed_boxes(regions, cells)), 1)


class Question(Seen):
    def forward(self, ids, positions, segments, *boxes):
        x = self.fusion.encode(self.rows(ids, positions, segments, boxes))
        return torch.sigmoid(self.model.heads.vqa(x[:, 0]))


class Context(Seen):
    def forward(self, ids, positions, segments, *boxes):
        x = self.rows(ids, positions, segments, boxes)
        return torch.stack([torch.stack(memory) for _, memory in self.fusion.steps(x)])  # [L, 2, B, heads, c, d]


class Step(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.fusion, head = model.fusion, model.heads.caption
        said = (head.bias > SILENT).nonzero()[:, 0]
        self.transform, self.norm = head.transform, head.norm
        self.register_buffer("said", said)
        self.register_buffer("word", model.fusion.embeddings.word.weight[said].detach().clone())
        self.register_buffer("bias", head.bias[said].detach().clone())

    def forward(self, ids, positions, mask, past):  # [B, r], [B, r], [r, m + r] to be added, [L, 2, B, heads, m, d]
        x = self.fusion.embed_text(ids, positions, torch.zeros_like(ids))
        steps = list(self.fusion.steps(x, mask, [(layer[0], layer[1]) for layer in past]))
        kept = past.shape[4] + 1
        memory = torch.stack([torch.stack((k[:, :, :kept], v[:, :, :kept])) for _, (k, v) in steps])
        hidden = self.norm(nn.functional.gelu(self.transform(steps[-1][0][:, -1])))
        return nn.functional.linear(hidden, self.word, self.bias), memory


def modules(model) -> dict[str, nn.Module]:
    return {name: kind(model).eval() for name, kind in
            (("dense", Dense), ("head", Head), ("question", Question), ("context", Context), ("step", Step))}


def text(ids, first: int, segments) -> dict:
    return {"ids": np.array([ids], np.int64).reshape(1, -1), "positions": np.arange(first, first + len(ids))[None].astype(np.int64),
            "segments": np.array([segments], np.int64).reshape(1, -1)}


@torch.no_grad()
def feeds(model: MiniVLM, picture) -> tuple[dict, dict]:
    """-> what each graph reads, {graph: {input: array of one picture}}, and what the loop of captions must know"""
    p = model.prepare(picture)
    taps, _ = model.look(p.tensor.unsqueeze(0))
    detection = model.tee.detect(model.tee.bifpn(taps), [p.resized])[0]
    scene = model.see(picture)
    boxes = {"regions": scene.inputs, "cells": scene.cells}
    boxes = {name: x[None].numpy() for name, x in boxes.items() if x is not None}
    question = model.text_ids(QUESTION)
    c = model.config
    found = {"dense": {"images": p.tensor[None].numpy()}, "head": {"aligned": detection.aligned.numpy()},
             "question": text(question + scene.tags, 0, [0] * len(question) + [1] * len(scene.tags)) | boxes,
             "context": text(scene.tags, c.text.caption_length, [1] * len(scene.tags)) | boxes}
    rows = 1 if c.caption.decoder == "causal" else 2
    heads, depth = c.fusion.heads, c.fusion.hidden // c.fusion.heads
    past = np.zeros((c.fusion.layers, 2, 1, heads, 3, depth), np.float32)
    found["step"] = {"ids": np.zeros((1, rows), np.int64), "positions": np.zeros((1, rows), np.int64),
                     "mask": np.zeros((rows, 3 + rows), np.float32), "past": past}
    tokens = model.caption(scene, num_beams=1)[0].tokens
    about = {"rows": rows, "cls": model.tokenizer.cls, "mask": model.tokenizer.mask, "tokens": len(tokens),
             "caption": model.tokenizer.decode(tokens), "size": list(p.resized), "resize": c.image.resize,
             "mean": list(c.image.mean), "std": list(c.image.std), "padded": list(p.tensor.shape[1:])}
    return found, about


# Which axis of which input may change: 0 is the picture of a batch.
MOVES = {"images": {0: "b"}, "aligned": {0: "n"}, "ids": {0: "b", 1: "t"}, "positions": {0: "b", 1: "t"},
         "segments": {0: "b", 1: "t"}, "regions": {0: "b", 1: "n"}, "cells": {0: "b", 1: "m"}, "mask": {1: "s"},
         "past": {2: "b", 4: "p"}}


def outputs(graph: str, count: int) -> list[str]:
    return [f"{graph}_{i}" for i in range(count)]


def write(modules: dict[str, nn.Module], feeds: dict, folder: pathlib.Path) -> None:
    """GRAPH.onnx and GRAPH.npz (what it is fed with) of each module"""
    folder.mkdir(parents=True, exist_ok=True)
    for name, module in modules.items():
        given = tuple(torch.from_numpy(x) for x in feeds[name].values())
        result = module(*given)
        count = len(result) if isinstance(result, tuple) else 1
        moves = {key: MOVES[key] for key in feeds[name]}
        if name == "step":
            moves["ids"] = moves["positions"] = {0: "b"}
        torch.onnx.export(module, given, str(folder / f"{name}.onnx"), input_names=list(feeds[name]),
                          output_names=outputs(name, count), dynamic_axes=moves, opset_version=OPSET, dynamo=False)
        np.savez(folder / f"{name}.npz", **feeds[name])


@torch.no_grad()
def export(model_dir, picture_file, folder: pathlib.Path) -> dict:
    """Writes the graphs, what they are fed with, and about.json; returns what about.json has."""
    model = MiniVLM.from_dir(model_dir)
    found, about = feeds(model, image.load(picture_file))
    about["model"] = str(pathlib.Path(model_dir).resolve())
    about["said"] = modules(model)["step"].said.tolist()
    write(modules(model), found, folder)
    (folder / "about.json").write_text(json.dumps(about))
    return about
