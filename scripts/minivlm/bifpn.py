"""BiFPN: mixes the backbone's maps top-down and bottom-up, `repeats` times: P2..P5 -> P2..P6."""
import torch
import torch.nn.functional as F
from torch import nn

from .conv import Conv, pool

FUSE_EPS = 1e-4


class Node(nn.Module):
    """Weighted mean of maps of one size, swish, depthwise separable 3x3 convolution."""

    def __init__(self, channels: int, inputs: int):
        super().__init__()
        self.fuse = nn.Parameter(torch.ones(inputs))
        self.depthwise = Conv(channels, channels, 3, groups=channels, norm=False)
        self.pointwise = Conv(channels, channels, bias=True)

    def forward(self, *maps):  # each [B, C, h, w] -> [B, C, h, w]
        w = F.relu(self.fuse)
        w = w / (w.sum() + FUSE_EPS)
        x = sum(w[i] * x for i, x in enumerate(maps))
        return self.pointwise(self.depthwise(F.silu(x)))


class Cell(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        n_inputs = [2, 2, 2, 2, 3, 3, 3, 2]  # top-down P5 P4 P3 P2, bottom-up P3 P4 P5 P6
        self.nodes = nn.ModuleList(Node(channels, n) for n in n_inputs)

    def forward(self, down, up=None):
        """`down`: five maps P2..P6; `up`: those the bottom-up half takes, where they differ."""
        up = down if up is None else up
        td = list(down)  # td[4] = in[4]
        for node, i in zip(self.nodes[:4], (3, 2, 1, 0)):
            td[i] = node(down[i], enlarge(td[i + 1], down[i]))  # [B, C, h_i, w_i]
        out = [td[0]]
        for node, i in zip(self.nodes[4:7], (1, 2, 3)):
            out.append(node(up[i], td[i], pool(out[i - 1])))  # [B, C, h_i, w_i]
        out.append(self.nodes[7](up[4], pool(out[3])))
        return out


class Bifpn(nn.Module):
    def __init__(self, tap_channels: list[int], channels: int, repeats: int):
        super().__init__()
        self.lateral = nn.ModuleList(Conv(c, channels, bias=True) for c in tap_channels)
        self.lateral2 = nn.ModuleList(Conv(c, channels, bias=True) for c in tap_channels[1:3])
        self.cells = nn.ModuleList(Cell(channels) for _ in range(repeats))

    def forward(self, taps):  # P2..P5 [B, c, h, w] -> P2..P6 [B, C, h, w]
        down = [lateral(tap) for lateral, tap in zip(self.lateral, taps)]
        down.append(pool(down[3]))  # P6
        up = [down[0], self.lateral2[0](taps[1]), self.lateral2[1](taps[2]), down[3], down[4]]
        for cell in self.cells:
            down = cell(down, up)
            up = None
        return down


def enlarge(x, like):
    """Nearest neighbour to the size of `like`: src = floor(dst * src_len / dst_len)."""
    if like.shape[2] == 2 * x.shape[2] and like.shape[3] == 2 * x.shape[3]:
        return F.interpolate(x, scale_factor=2, mode="nearest")  # the same, with a faster gradient
    rows = torch.arange(like.shape[2], device=x.device) * x.shape[2] // like.shape[2]
    columns = torch.arange(like.shape[3], device=x.device) * x.shape[3] // like.shape[3]
    return x[:, :, rows][:, :, :, columns]
