"""How the image half's weights become whole numbers, by what the layers see on pictures.

Rounding each weight to the next of 255 numbers moves a layer's output by about a per cent, and fifteen blocks add that up. But
the error of one weight can be made up for by those of the same row that are not yet rounded, as far as their inputs are alike
on real pictures (GPTQ, Frantar et al., arXiv 2210.17323). What is left of it in the mean goes into the bias. Layers are done in
the order in which they run, each on what the ones before it, already in bytes, give it. Nothing of this costs time when the
model runs."""
import pathlib

import torch
from minivlm import config as cfg, quantised
from safetensors.torch import load_file
from torch import nn

MOST_ROWS = 8192  # of what a layer reads, for its statistics
DAMPING = 0.01  # of the mean square of an input, so that what the pictures do not tell is left alone
NARROWER = (1.0, 0.97, 0.94, 0.9, 0.86, 0.82)  # ranges to try, of the largest weight of a row


def _rows(x):
    """What a layer reads, [B, C, h, w] or [n, C] -> [at most MOST_ROWS, C]"""
    x = x.movedim(1, -1).flatten(0, -2) if x.dim() == 4 else x
    return x[torch.linspace(0, len(x) - 1, min(MOST_ROWS, len(x))).long()].double()


def _scales(w, weight):
    """[out, in] and how much each input counts -> [out]: the range that loses least"""
    largest = w.abs().amax(1).clamp(min=1e-12)
    best, least = largest / 127.0, torch.full_like(largest, float("inf"))
    for part in NARROWER:
        scale = part * largest / 127.0
        q = torch.round(w / scale[:, None]).clamp(-127, 127)
        lost = ((w - q * scale[:, None]).square() * weight).sum(1)
        best, least = torch.where(lost < least, scale, best), torch.minimum(lost, least)
    return best


@torch.no_grad()
def round_weights(w, x):
    """[out, in] and rows of inputs [n, in] -> int8 of the same shape and scale [out]."""
    h = x.T @ x / len(x)
    counts = h.diagonal().mean() * DAMPING + h.diagonal()
    h = h + torch.eye(len(h), dtype=h.dtype) * (h.diagonal().mean() * DAMPING + 1e-12)
    scale = _scales(w, counts)
    order = torch.argsort(counts, descending=True)
    left = w[:, order].clone()
    chain = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h[order][:, order])), upper=True)
    q = torch.empty_like(left)
    for i in range(left.shape[1]):
        q[:, i] = torch.round(left[:, i] / scale).clamp(-127, 127)
        lost = (left[:, i] - q[:, i] * scale) / chain[i, i]
        left[:, i:] -= torch.outer(lost, chain[i, i:])
    back = torch.empty_like(q)
    back[:, order] = q
    return back.to(torch.int8), scale.float()


def in_bytes_of(directory) -> set[str]:
    """The weights of a model directory that are in 8 bits."""
    directory = pathlib.Path(directory)
    file = load_file(directory / cfg.Config.from_file(directory / "config.json").weights.file)
    return {name for name, t in file.items() if t.dtype == torch.int8}


def _run(model, images) -> None:
    taps, entry = model.look(images)
    model.tee.bifpn(taps)
    if model.cells is not None:
        model.cells(entry)


def _mean(out):
    return out.mean((0, 2, 3))


@torch.no_grad()
def settle(model, in_bytes, images, names) -> dict[str, tuple]:
    """model: folded, in floats; in_bytes: the same as the engine runs it (quantised.apply), which is changed on the way; names: of the
    weights that are in 8 bits. -> {name of a weight: (int8, scale)} of the convolutions among them; their biases are set anew in both."""
    layers = {name: layer for name, layer in quantised.image_half(in_bytes).items()
              if isinstance(layer, nn.Conv2d) and f"{name}.weight" in names}
    means: dict[str, torch.Tensor] = {}
    floats, found = dict(model.named_modules()), {}
    hooks = [floats[name].register_forward_hook(lambda _, __, out, name=name: means.__setitem__(name, _mean(out))) for name in layers]
    _run(model, images)

    def before(name, layer):
        def hook(_, args):
            w = floats[name].weight
            q, scale = round_weights(w.flatten(1).double(), _rows(args[0]))
            found[f"{name}.weight"] = q.reshape(w.shape), scale
            layer.weight.copy_(q.reshape(w.shape) * scale[:, None, None, None])
        return hook

    def after(name, layer):
        def hook(_, __, out):
            off = means[name] - _mean(out)
            layer.bias += off
            floats[name].bias += off
            return out + off[:, None, None]
        return hook
    for name, layer in layers.items():
        hooks += [layer.register_forward_pre_hook(before(name, layer)), layer.register_forward_hook(after(name, layer))]
    _run(in_bytes, images)
    for hook in hooks:
        hook.remove()
    return found
