"""What runs in 8 bits, as the engine runs it: the same numbers, in floats.

A row of activations becomes bytes of its own scale and zero at run time, a row of weights is int8 with a scale. The
sums of their products are whole numbers, which floats hold but for the last bits, so a model with these hooks is what
the engine is checked against. Where a sum is rounded to another float, a byte of the next layer may differ by one."""
import pathlib
import re

import torch
from safetensors.torch import load_file
from torch import nn

from . import weights
from .backbone import Block

MIN = 1e-30  # of a row's range: below it the row counts as zeros


def rows(x):
    """[..., n] -> what the bytes of each row stand for (engine/kernels/kernels.h, quantize_rows)."""
    low, high = x.amin(-1, keepdim=True).clamp(max=0.0), x.amax(-1, keepdim=True).clamp(min=0.0)
    span = high - low
    inverse = 255.0 / span
    zero = torch.round(-low * inverse)
    q = (torch.round(x * inverse) + zero).clamp(0.0, 255.0)
    return torch.where(span < MIN, torch.zeros_like(x), (q - zero) * (span / 255.0))


def linears(model) -> dict[str, nn.Linear]:
    """The layers that may run in 8 bits. The projection of cells runs once a picture and stays in floats."""
    parts = [(f"{part}.{name}", layer) for part in ("fusion", "heads") for name, layer in getattr(model, part).named_modules()]
    return {name: layer for name, layer in parts if isinstance(layer, nn.Linear) and name != "fusion.cells.project"}


IMAGE_HALF = re.compile(r"(tee\.backbone|cells)\.blocks\.\d+\.(expand|project)|tee\.bifpn\.lateral2?\.\d+"
                        r"|tee\.bifpn\.cells\.\d+\.nodes\.\d+\.pointwise|tee\.roi\.(fc6|fc7|cls|box)"
                        r"|cells\.head|fusion\.cells\.project")
RELU6_SCALE = 6.0 / 255.0  # of what lies between the products of a block in bytes
FILTER_MOST = 2047  # of the whole numbers that stand for the weights of a depthwise filter


def image_half(model) -> dict[str, nn.Module]:
    """The layers of the image half that run in 8 bits where the file has them so, and nowhere else."""
    return {name: layer for name, layer in model.named_modules() if IMAGE_HALF.fullmatch(name)}


def _pixels(x):
    """[B, C, h, w], each pixel a row; or rows."""
    return rows(x.movedim(1, -1)).movedim(-1, 1) if x.dim() == 4 else rows(x)


def _relu6_bytes(x):
    return torch.round(x / RELU6_SCALE).clamp(0.0, 255.0) * RELU6_SCALE


def blocks(model, file) -> dict[str, nn.Module]:
    """The blocks that run in bytes between their products (engine/model/load/bind_filter8.h)."""
    found = {}
    for name, block in model.named_modules():
        if isinstance(block, Block) and isinstance(block.act, nn.ReLU6) and block.se_reduce is None:
            products = [f"{name}.project.weight"] + ([f"{name}.expand.weight"] if block.expand is not None else [])
            if all(p in file and file[p].dtype == torch.int8 for p in products) and block.depthwise.weight.shape[0] % 4 == 0:
                found[name] = block
    return found


def _whole_filter(w):
    """[channels, 1, k, k] -> the same as whole numbers times a scale of each channel."""
    most = w.abs().amax((1, 2, 3), keepdim=True)
    scale = torch.where(most > 0, most / FILTER_MOST, torch.ones_like(most))
    return torch.round(w / scale) * scale


def _in_bytes(w, stored):
    """The weights that the engine multiplies by: those of the file where they are int8, else quantised as it does it."""
    return w if stored.dtype == torch.int8 else weights.dequantise(*weights.quantise(w))


def _round_images(model, file, layers) -> None:
    """What enters `layers` becomes bytes where the file has them as I8; filters become whole numbers."""
    between = blocks(model, file)
    inner = {f"{name}.project" for name in between}
    for name, layer in layers.items():
        if file[f"{name}.weight"].dtype == torch.int8 and name not in inner:
            layer.register_forward_pre_hook(lambda _, args: (_pixels(args[0]),))
    for block in between.values():
        block.depthwise.weight.copy_(_whole_filter(block.depthwise.weight))
        for layer in (block.depthwise, block.project):
            layer.register_forward_pre_hook(lambda _, args: (_relu6_bytes(args[0]),))


@torch.no_grad()
def apply_eyes(model, directory) -> None:
    """Makes the TEE that came from `directory` round as the engine's does. Cells and fusion stay in floats: they learn."""
    file = load_file(pathlib.Path(directory) / model.config.weights.file)
    _round_images(model, file, {name: layer for name, layer in image_half(model).items() if name.startswith("tee.")})


@torch.no_grad()
def apply(model, directory, everything=False) -> None:
    """Makes the model that came from `directory` run as the engine does: by default (`engine.precision` auto) the
    matrices that the file has as I8 in 8 bits, that of the words only behind a layer in 8 bits. `everything`: all
    matrices of the fusion, as `int8` has them, but the image half in floats, so that the fusion can be compared alone."""
    file = load_file(pathlib.Path(directory) / model.config.weights.file)
    for name, layer in linears(model).items():
        stored = file[f"{name}.weight"]
        if everything or stored.dtype == torch.int8:
            layer.weight.copy_(_in_bytes(layer.weight, stored))
            layer.register_forward_pre_hook(lambda _, args: (rows(args[0]),))
    if not everything:
        _round_images(model, file, image_half(model))
    stored = file[weights.WORDS]
    if everything or (stored.dtype == file["heads.caption.transform.weight"].dtype == torch.int8):
        words = _in_bytes(model.fusion.embeddings.word.weight, stored)
        if stored.dtype == torch.int8:  # without the rows that count where words go in
            words = weights.dequantise(stored, file[weights.WORDS + weights.SCALE])
        model.heads.caption.norm.register_forward_hook(lambda _, args, out: rows(out))
        model.heads.caption.register_forward_pre_hook(lambda _, args: (args[0], words))
