"""Picture file -> upright 8-bit RGB -> the network's input."""
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps

from . import config as cfg


@dataclass
class Prepared:
    tensor: torch.Tensor  # [3, h, w], padded
    resized: tuple[int, int]  # height, width before padding
    upright: tuple[int, int]  # height, width of the picture


def load(source) -> Image.Image:
    """Opens a file name or file object: EXIF applied, alpha laid on white, 16 bits cut to 8, RGB."""
    picture = Image.open(source)
    picture.load()
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture)
        picture = Image.fromarray((values.astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        rgba = np.asarray(picture.convert("RGBA")).astype(np.int32)
        alpha = rgba[..., 3:]
        rgb = (rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
        picture = Image.fromarray(rgb.astype(np.uint8))
    return picture.convert("RGB")


def target_size(c: cfg.Image, height: int, width: int) -> tuple[int, int]:
    """-> height, width after resizing. round() is half to even, int() cuts off."""
    if c.resize == "square":
        return c.size, c.size
    short, long = min(height, width), max(height, width)
    s = c.size
    if round(s * long / short) > c.max_size:
        s = max(1, round(c.max_size * short / long))
    t = int(s * long / short)
    return (s, t) if height <= width else (t, s)


def resize(picture: Image.Image, height: int, width: int) -> Image.Image:
    """Bilinear with antialias, the horizontal pass always first.

    In two calls, because from version 13 on Pillow chooses the order of the passes by their cost, and the rounding between
    them makes that visible."""
    across = picture.resize((width, picture.height), Image.Resampling.BILINEAR)
    return across.resize((width, height), Image.Resampling.BILINEAR)


def prepare(c: cfg.Image, picture: Image.Image) -> Prepared:
    """The network's input of one upright RGB picture."""
    upright = (picture.height, picture.width)
    height, width = target_size(c, *upright)
    pixels = torch.from_numpy(np.array(resize(picture, height, width)))  # [h, w, 3] uint8
    x = pixels.permute(2, 0, 1).float() / 255.0
    x = (x - torch.tensor(c.mean)[:, None, None]) / torch.tensor(c.std)[:, None, None]
    x = torch.nn.functional.pad(x, (0, -width % c.divisor, 0, -height % c.divisor))  # right, below
    return Prepared(x, (height, width), upright)


def batch(prepared: list[Prepared]) -> torch.Tensor:
    """[B, 3, h, w] of inputs that may differ in size: zeros on the right and below.

    With squeeze-excite or SAME padding more zeros change the result a little, so only training mixes sizes."""
    height = max(p.tensor.shape[1] for p in prepared)
    width = max(p.tensor.shape[2] for p in prepared)
    x = torch.zeros(len(prepared), 3, height, width)
    for row, p in zip(x, prepared):
        row[:, :p.tensor.shape[1], :p.tensor.shape[2]] = p.tensor
    return x
