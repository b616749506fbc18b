"""Random weights that make a lively network: no layer dies or explodes, scores differ, boxes and captions vary.

A network with the usual random weights gives nearly the same answer to everything, and a test against it would pass with
half of the arithmetic wrong. So every part is scaled by what it gives on the pictures themselves."""
import torch
from minivlm import image
from minivlm.conv import Conv

OBJECTNESS, DELTAS, CLASSES, BOXES = 2.0, 0.25, 2.5, (1.0, 1.0, 0.7, 0.7)  # wanted standard deviations


@torch.no_grad()
def enliven(model, prepared: list[image.Prepared], seed: int) -> None:
    """Draws all weights anew from the seed and leaves the model folded later to the caller."""
    torch.manual_seed(seed)
    images, sizes = image.batch(prepared), [p.resized for p in prepared]
    _norms(model.tee)
    pyramid = _settle_norms(model.tee, images)
    _rpn(model.tee, pyramid)
    boxes = [b for b, _ in model.tee.propose(pyramid, sizes)]
    _roi(model.tee.roi, model.tee.roi.align(pyramid, boxes))
    _fusion(model.fusion)
    _heads(model)


def _uniform(t, low, high):
    return t.uniform_(low, high)


def _norms(tee) -> None:
    for part in tee.modules():
        if isinstance(part, Conv):
            part.weight.normal_(std=(2.0 / part.weight[0].numel()) ** 0.5)
            if part.bias is not None:
                part.bias.normal_(std=0.2)
            if part.bn is not None:
                _uniform(part.bn.weight, 0.7, 1.4)
                part.bn.bias.normal_(std=0.4)
    for cell in tee.bifpn.cells:
        for node in cell.nodes:
            _uniform(node.fuse, -0.2, 1.5)  # the relu cuts some


def _settle_norms(tee, images):
    """One pass in training mode sets the running statistics to those of the pictures."""
    for part in tee.modules():
        if isinstance(part, Conv) and part.bn is not None:
            part.bn.momentum = 1.0
    tee.train()
    tee.pyramid(images)
    tee.eval()
    return tee.pyramid(images)


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
    _linear(fusion.regions.project, 1.0)
    _norm(fusion.regions.norm)
    for layer in fusion.layers:
        a = layer.attention
        for part, gain in ((a.query, 2.0), (a.key, 2.0), (a.value, 1.5), (a.output, 2.0)):
            _linear(part, gain)
        _linear(layer.ffn.up, 1.2)
        _linear(layer.ffn.down, 1.5)
        _norm(a.norm)
        _norm(layer.ffn.norm)


def _heads(model) -> None:
    heads = model.heads
    _linear(heads.caption.transform, 1.5)
    _norm(heads.caption.norm)
    heads.caption.bias.normal_(std=0.3)
    heads.caption.bias[model.tokenizer.sep] += 3.5  # so that some captions end before the limit
    for pooled in (heads.vqa, heads.retrieve):
        _linear(pooled.pooler, 1.2)
        _linear(pooled.classifier, 3.0)
