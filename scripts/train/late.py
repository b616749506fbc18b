"""Pictures seen anew at every visit, and a backbone of which only the last blocks learn.

The first `frozen` blocks stay those of the start, so their maps serve a learning backbone and a copy of how it was."""
import numpy as np
import torch
import torch.nn.functional as F
from minivlm import config as cfg

from train.cache import Images, normalise

CROP, STRETCH, LIGHT = 0.7, 1.25, 0.2  # smallest share of a side, largest change of aspect, largest change of brightness


def windows(count: int, crop=CROP):  # -> [count, 4]
    """Parts of pictures, (x0, y0, x1, y1) relative to their sides: each cropped and stretched a little differently."""
    side = crop + (1 - crop) * torch.rand(count)
    aspect = STRETCH ** (torch.rand(count) - 0.5)
    spans = torch.stack(((side * aspect).clamp(max=1.0), (side / aspect).clamp(max=1.0)), 1)
    corners = (1 - spans) * torch.rand(count, 2)
    return torch.cat((corners, corners + spans), 1)


def varied(x, parts):  # [B, 3, s, s] in [-1, 1], [B, 4] -> [B, 3, s, s]
    """The parts stretched back to the square, each lit differently."""
    b = len(x)
    theta = torch.zeros(b, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = (parts[:, 2:] - parts[:, :2]).unbind(1)
    theta[:, :, 2] = parts[:, :2] + parts[:, 2:] - 1
    x = F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), padding_mode="border", align_corners=False)
    contrast, light = (1 + LIGHT * (2 * torch.rand(2, b, 1, 1, 1) - 1)).unbind(0)
    mean = x.mean((1, 2, 3), keepdim=True)
    return (((x - mean) * contrast + mean + light - 1).clamp(-1, 1)).contiguous(memory_format=torch.channels_last)


def pixels_of(images: Images, rows, flips, config):  # -> [B, 3, s, s]
    """`config`: the model's "image" section."""
    pixels = np.stack([images.pixels[r][:, ::-1] if flip else images.pixels[r] for r, flip in zip(rows, flips)])
    return normalise(pixels, config.mean, config.std)


def freeze(backbone, frozen: int) -> None:
    for part in (backbone.stem, *backbone.blocks[:frozen]):
        part.requires_grad_(False)


@torch.no_grad()
def early(backbone, frozen: int, x):
    """-> what leaves the frozen blocks, and the last map of every stride so far."""
    return _through(backbone.blocks[:frozen], backbone.act(backbone.stem(x)), {})


def late(backbone, frozen: int, x, taps):
    """-> P2..P5 of the early maps and this backbone's own last blocks."""
    taps = _through(backbone.blocks[frozen:], x, taps)[1]
    return [taps[s] for s in cfg.TAP_STRIDES]


def _through(blocks, x, taps):
    taps, stride = dict(taps), max(taps, default=2)
    for block in blocks:
        x = block(x)
        stride *= block.depthwise.stride[0]
        taps[stride] = x
    return x, taps
