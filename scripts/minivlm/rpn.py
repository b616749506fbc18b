"""Proposals: one 1x1 convolution over each level, then the best boxes that do not overlap."""
import numpy as np
import torch
from torch import nn

from . import boxes as bx, config as cfg
from .conv import Conv


class Rpn(nn.Module):
    def __init__(self, c: cfg.Rpn, channels: int):
        super().__init__()
        self.c = c
        self.cls = Conv(channels, len(cfg.RATIOS), bias=True, norm=False)
        self.box = Conv(channels, 4 * len(cfg.RATIOS), bias=True, norm=False)
        for conv in (self.cls, self.box):
            nn.init.normal_(conv.weight, std=0.01)

    def forward(self, pyramid):
        """P2..P6 -> for each level logits [B, n] and deltas [B, n, 4], n = h * w * 3 in the order row, column, ratio."""
        logits = [self.cls(p).permute(0, 2, 3, 1).flatten(1) for p in pyramid]
        deltas = [self.box(p).permute(0, 2, 3, 1).reshape(p.shape[0], -1, 4) for p in pyramid]
        return logits, deltas

    def anchors(self, pyramid):
        """P2..P6 -> for each level [n, 4], in the order of the logits."""
        return [level_anchors(2 ** (i + 2), size, *p.shape[2:], device=p.device)
                for i, (size, p) in enumerate(zip(self.c.anchor_sizes, pyramid))]

    @torch.no_grad()
    def propose(self, logits, deltas, anchors, sizes, pre_nms=None, proposals=None):
        """-> for each image (boxes [n, 4], logits [n]), best first. `sizes`: [(height, width)] before padding."""
        pre_nms, proposals = pre_nms or self.c.pre_nms, proposals or self.c.proposals
        height, width = torch.tensor(sizes, device=logits[0].device).unsqueeze(-1).unbind(1)  # [B, 1] each
        found = []
        for level_logits, level_deltas, level in zip(logits, deltas, anchors):
            best = bx.best_first(level_logits.float())[:, :pre_nms]  # [B, k]
            scores = level_logits.float().gather(1, best)
            picked = level_deltas.float().gather(1, best.unsqueeze(-1).expand(-1, -1, 4))
            boxes = bx.clip(bx.decode(picked, level[best]), width, height)  # [B, k, 4]
            found.append((boxes, scores, bx.nms(boxes, self.c.nms)))
        boxes, scores, keep = (torch.cat(parts, 1) for parts in zip(*found))  # levels in order P2..P6
        return [_best(b[k], s[k], proposals) for b, s, k in zip(boxes, scores, keep)]


def _best(boxes, scores, count):
    order = bx.best_first(scores)[:count]
    return boxes[order], scores[order]


def window_anchors(stride: int, size: int) -> np.ndarray:
    """[3, 4]: the anchors of cell (0, 0), ratios 0.5, 1, 2. Rounds the window of one stride first, then scales it."""
    centre = 0.5 * (stride - 1)
    anchors = []
    for ratio in cfg.RATIOS:
        width = np.round(np.sqrt(stride * stride / ratio))  # numpy rounds half to even
        height = np.round(width * ratio)
        half_w, half_h = 0.5 * (width * size / stride - 1), 0.5 * (height * size / stride - 1)
        anchors.append((centre - half_w, centre - half_h, centre + half_w, centre + half_h))
    return np.array(anchors)


def level_anchors(stride: int, size: int, rows: int, columns: int, device=None):  # -> [rows * columns * 3, 4]
    window = torch.tensor(window_anchors(stride, size), dtype=torch.float32, device=device)
    y = torch.arange(rows, device=device) * stride
    x = torch.arange(columns, device=device) * stride
    y, x = torch.meshgrid(y, x, indexing="ij")
    shift = torch.stack((x, y, x, y), -1).to(torch.float32)  # [rows, columns, 4]
    return (shift.unsqueeze(2) + window).reshape(-1, 4)
