"""Random weights that make a lively network: no layer dies or explodes, scores differ, boxes and captions vary.

A network with the usual random weights gives nearly the same answer to everything, and a test against it would pass with
half of the arithmetic wrong. So every part is scaled by what it gives on the pictures themselves."""
import dataclasses

import torch
from minivlm import image
from minivlm.bifpn import Node
from minivlm.conv import Conv

OBJECTNESS, DELTAS, CLASSES, BOXES = 2.0, 0.25, 2.5, (1.0, 1.0, 0.7, 0.7)  # wanted standard deviations


@torch.no_grad()
def enliven(model, pictures: list, seed: int) -> None:
    """Draws all weights anew from the seed. Batch-norms stay; folding is the caller's."""
    torch.manual_seed(seed)
    c = model.config.image  # one size makes a batch without padding; a small one leaves P6 too few cells to judge by
    square = dataclasses.replace(c, resize="square", size=max(c.size, 128))
    prepared = [image.prepare(square, picture) for picture in pictures]
    images, sizes = image.batch(prepared), [p.resized for p in prepared]
    _norms(model.tee)
    pyramid = _settle(model.tee, lambda: model.tee.pyramid(images))
    _rpn(model.tee, pyramid)
    boxes = [b for b, _ in model.tee.propose(pyramid, sizes)]
    _roi(model.tee.roi, model.tee.roi.align(pyramid, boxes))
    if model.cells:
        _norms(model.cells)
        _settle(model.cells, lambda: model.cells(model.look(images)[1]))
    _fusion(model.fusion)
    _heads(model)
    _settle_heads(model, pictures)


def _uniform(t, low, high):
    return t.uniform_(low, high)


def _norms(module) -> None:
    for part in module.modules():
        if isinstance(part, Conv):
            part.weight.normal_(std=(2.0 / part.weight[0].numel()) ** 0.5)
            if part.bias is not None:
                part.bias.normal_(std=0.2)
            if part.bn is not None:
                _uniform(part.bn.weight, 0.7, 1.4)
                part.bn.bias.normal_(std=0.4)
    for part in module.modules():
        if isinstance(part, Node):
            _uniform(part.fuse, -0.2, 1.5)  # the relu cuts some


def _settle(module, run):
    """One pass in training mode sets the running statistics to those of the pictures."""
    for part in module.modules():
        if isinstance(part, Conv) and part.bn is not None:
            part.bn.momentum = 1.0
    module.train()
    run()
    for part in module.modules():
        if isinstance(part, Conv) and part.bn is not None:
            variance = part.bn.running_var  # of a few cells only in the highest level: no channel may blow up
            variance.copy_(0.5 * variance + 0.5 * variance.mean())
    module.eval()
    return run()


def _scale(layer, outputs, wanted, mean=0.0) -> None:
    """Rescales a layer, in place, so that each output has this deviation and mean over `outputs` [n, out]."""
    factor = wanted / outputs.std(0).clamp(min=1e-6)  # [out]
    layer.weight.mul_(factor.reshape(-1, *[1] * (layer.weight.dim() - 1)))
    layer.bias.copy_((layer.bias - outputs.mean(0)) * factor + mean)


def _rpn(tee, pyramid) -> None:
    for conv, wanted in ((tee.rpn.cls, OBJECTNESS), (tee.rpn.box, DELTAS)):
        conv.weight.normal_()
        conv.bias.normal_()
        outputs = torch.cat([conv(p).permute(0, 2, 3, 1).flatten(0, 2) for p in pyramid])  # [n, out]
        _scale(conv, outputs, wanted)


def _roi(roi, aligned) -> None:
    x = aligned
    for layer in (roi.fc6, roi.fc7):
        layer.weight.normal_()
        layer.bias.zero_()
        _scale(layer, layer(x), 1.0, torch.empty_like(layer.bias).normal_(std=0.3))
        x = torch.relu(layer(x))
    roi.cls.weight.normal_()
    roi.box.weight.normal_()
    _scale(roi.cls, roi.cls(x), CLASSES)
    _scale(roi.box, roi.box(x), torch.tensor(BOXES))


def _linear(layer, gain: float) -> None:
    layer.weight.normal_(std=gain / layer.in_features ** 0.5)
    layer.bias.normal_(std=0.2)


def _norm(norm) -> None:
    _uniform(norm.weight, 0.7, 1.3)
    norm.bias.normal_(std=0.2)


def _fusion(fusion) -> None:
    e = fusion.embeddings
    std = 2.5 / e.word.weight.shape[1] ** 0.5  # the caption head multiplies by the word embeddings too
    for table, factor in ((e.word, 1.0), (e.position, 1.5), (e.segment, 1.0)):
        table.weight.normal_(std=std * factor)
    _norm(e.norm)
    for boxes in (getattr(fusion, name) for name in ("regions", "cells") if hasattr(fusion, name)):
        _linear(boxes.project, 1.0)
        _norm(boxes.norm)
    share = (2.0 / len(fusion.layers)) ** 0.5  # deep stacks mix until all rows are alike, unless each layer adds less
    for layer in fusion.layers:
        a = layer.attention
        for part, gain in ((a.query, 2.0), (a.key, 2.0), (a.value, 1.5), (a.output, 2.0 * share)):
            _linear(part, gain)
        _linear(layer.ffn.up, 1.2)
        _linear(layer.ffn.down, 1.5 * share)
        _norm(a.norm)
        _norm(layer.ffn.norm)


def _heads(model) -> None:
    heads = model.heads
    _linear(heads.caption.transform, 1.5)
    _norm(heads.caption.norm)
    heads.caption.bias.normal_(std=0.3)
    for pooled in (heads.vqa, heads.retrieve):
        _linear(pooled.pooler, 1.2)
        _linear(pooled.classifier, 3.0)


def _settle_heads(model, pictures) -> None:
    """Takes out of each head what it says about anything, so that the pictures and words decide."""
    t, length = model.tokenizer, model.config.caption.max_tokens
    scenes = [model.see(picture) for picture in pictures]
    at_mask, at_cls = [], []  # [D] each
    for scene in scenes:
        scorer = model.scorer(scene, cached=False)
        scorer.logits = lambda x: x
        for n in range(length):
            words = torch.randint(len(t.tokens), (n,)).tolist()
            at_mask.append(scorer.next_logits([[t.cls] + words], [0])[0])
            text = [t.cls] + words[:model.config.text.text_length - 2] + [t.sep]
            at_cls.append(model.fusion.encode(model.embed_pair(scene, text))[0, 0])
    caption = model.heads.caption
    x = caption.norm(torch.nn.functional.gelu(caption.transform(torch.stack(at_mask))))  # [n, D]
    factor = 1.0 / x.std(0)
    caption.norm.bias.copy_((caption.norm.bias - x.mean(0)) * factor)
    caption.norm.weight.mul_(factor)
    caption.bias[t.sep] += 3.0  # so that some captions end before the limit
    for pooled in (model.heads.vqa, model.heads.retrieve):
        _scale(pooled.classifier, pooled(torch.stack(at_cls)), 2.0)
