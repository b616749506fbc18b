"""Context cells: a grid of what the end of the backbone sees, for the fusion beside (or instead of) the regions.

The last `own_blocks` blocks of the backbone exist here a second time with weights of their own, so that they can stay what
they were when detection changes the others; a 1x1 convolution follows them (ImageNet's head)."""
import torch
import torch.nn.functional as F
from torch import nn

from . import config as cfg
from .backbone import activation, make_blocks
from .conv import Conv
from .tee import geometry, to_upright

STRIDE = 32  # of the backbone's last map


class Cells(nn.Module):
    def __init__(self, b: cfg.Backbone, c: cfg.Context):
        super().__init__()
        blocks = make_blocks(b)
        self.c, self.act = c, activation(b.activation)
        self.blocks = nn.ModuleList(blocks[len(blocks) - c.own_blocks:])
        self.head = Conv(b.stages[-1].channels, c.channels)

    def forward(self, entry):  # what enters the own blocks -> [B, channels, ceil(h / pool), ceil(w / pool)]
        return self.finish(self.last_map(entry))

    def last_map(self, entry):  # -> [B, c, h, w], what enters the head
        for block in self.blocks:
            entry = block(entry)
        return entry

    def finish(self, x):
        x = self.act(self.head(x))  # [B, channels, h, w]
        return F.avg_pool2d(x, self.c.pool, ceil_mode=True, count_include_pad=False)

    def inputs(self, entry, resized, upright):
        """The cells of one picture as the fusion takes them, row by row -> [m, channels + 6]; entry: [1, c, h, w]

        A cell that begins in the padding is left out."""
        boxes = grid(resized, STRIDE * self.c.pool)  # [rows, columns, 4]
        rows, columns = boxes.shape[:2]
        x = self(entry)[0, :, :rows, :columns].permute(1, 2, 0)  # [rows, columns, channels]
        places = geometry(to_upright(boxes.flatten(0, 1), resized, upright), upright)
        return torch.cat((x.flatten(0, 1).float(), places.to(x.device)), 1)


def grid(resized: tuple[int, int], side: int):
    """Boxes of the cells of a resized picture, cut at its edges -> [rows, columns, 4]"""
    height, width = resized
    y, x = torch.meshgrid(torch.arange(0, height, side), torch.arange(0, width, side), indexing="ij")
    right, below = (x + side).clamp(max=width) - 1, (y + side).clamp(max=height) - 1
    return torch.stack((x, y, right, below), -1).float()
