"""EfficientNet (B0 and Lite) up to its last inverted residual block: image -> P2..P5."""
import torch
from torch import nn

from . import config as cfg
from .conv import Conv


class Block(nn.Module):
    """Inverted residual: widen 1x1, filter each channel k x k, weigh channels, narrow 1x1."""

    def __init__(self, c: cfg.Backbone, inputs: int, stage: cfg.Stage, stride: int):
        super().__init__()
        wide = inputs * stage.expand
        self.act = activation(c.activation)
        self.residual = stride == 1 and inputs == stage.channels
        self.drop = 0.0  # drop-connect probability in training
        self.expand = Conv(inputs, wide) if stage.expand > 1 else None
        self.depthwise = Conv(wide, wide, stage.kernel, stride, groups=wide, padding=c.padding)
        self.se_reduce = self.se_expand = None
        if c.squeeze_excite:
            narrow = max(1, inputs // 4)
            self.se_reduce = Conv(wide, narrow, bias=True, norm=False)
            self.se_expand = Conv(narrow, wide, bias=True, norm=False)
        self.project = Conv(wide, stage.channels)

    def forward(self, x):  # [B, in, h, w] -> [B, out, h/stride, w/stride]
        y = x
        if self.expand is not None:
            y = self.act(self.expand(y))  # [B, E, h, w]
        y = self.act(self.depthwise(y))  # [B, E, h/stride, w/stride]
        if self.se_reduce is not None:
            s = y.mean((2, 3), keepdim=True)  # [B, E, 1, 1], over the padding too
            s = self.se_expand(self.act(self.se_reduce(s)))
            y = y * torch.sigmoid(s)
        y = self.project(y)  # [B, out, h/stride, w/stride], linear
        return x + self._drop_connect(y) if self.residual else y

    def _drop_connect(self, y):
        """Training only: leaves the block out of some samples and makes up for it in the others."""
        if not self.training or self.drop == 0.0:
            return y
        keep = torch.rand(y.shape[0], 1, 1, 1, device=y.device) >= self.drop
        return y * (keep / (1.0 - self.drop)).to(y.dtype)


def make_blocks(c: cfg.Backbone) -> list[Block]:
    blocks, inputs = [], c.stem
    for stage in c.stages:
        for i in range(stage.repeats):
            blocks.append(Block(c, inputs, stage, stage.stride if i == 0 else 1))
            inputs = stage.channels
    return blocks


class Backbone(nn.Module):
    def __init__(self, c: cfg.Backbone, drop_connect: float = 0.0):
        super().__init__()
        self.act = activation(c.activation)
        self.stem = Conv(3, c.stem, 3, 2, padding=c.padding)
        self.blocks = nn.ModuleList(make_blocks(c))
        self.set_drop_connect(drop_connect)

    def set_drop_connect(self, last: float) -> None:
        """Drop-connect grows linearly from 0 in the first block towards `last`."""
        for i, block in enumerate(self.blocks):
            block.drop = last * i / len(self.blocks)

    def forward(self, images):  # [B, 3, h, w] -> P2..P5: [B, c, h/stride, w/stride]
        return self.with_entry(images, 0)[0]

    def with_entry(self, images, last: int):
        """-> P2..P5, and what enters the last `last` blocks (0: what leaves the last one)."""
        x = self.act(self.stem(images))  # [B, stem, h/2, w/2]
        stride, taps, entries = 2, {}, [x]
        for block in self.blocks:
            x = block(x)
            entries.append(x)
            stride *= block.depthwise.stride[0]
            taps[stride] = x  # the last block of a stride stays
        return [taps[s] for s in cfg.TAP_STRIDES], entries[len(self.blocks) - last]


def activation(name: str) -> nn.Module:
    return {"swish": nn.SiLU, "relu6": nn.ReLU6}[name]()
