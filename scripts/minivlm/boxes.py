"""Boxes are inclusive pixels everywhere: (x0, y0, x1, y1), width = x1 - x0 + 1. Shapes are [..., 4]."""
import math

import torch

LOG_RATIO_MAX = math.log(1000.0 / 16.0)


def _center(boxes):
    x0, y0, x1, y1 = boxes.unbind(-1)
    w, h = x1 - x0 + 1, y1 - y0 + 1
    return x0 + 0.5 * w, y0 + 0.5 * h, w, h


def decode(deltas, boxes, weights=(1.0, 1.0, 1.0, 1.0)):
    """Applies (dx, dy, dw, dh) to boxes."""
    cx, cy, w, h = _center(boxes)
    dx, dy, dw, dh = (d / weight for d, weight in zip(deltas.unbind(-1), weights))
    cx, cy = dx * w + cx, dy * h + cy
    w, h = dw.clamp(max=LOG_RATIO_MAX).exp() * w, dh.clamp(max=LOG_RATIO_MAX).exp() * h
    return torch.stack((cx - 0.5 * w, cy - 0.5 * h, cx + 0.5 * w - 1, cy + 0.5 * h - 1), -1)


def encode(targets, boxes, weights=(1.0, 1.0, 1.0, 1.0)):
    """The deltas that turn boxes into targets: the inverse of decode, for training."""
    tx, ty, tw, th = _center(targets)
    cx, cy, w, h = _center(boxes)
    deltas = ((tx - cx) / w, (ty - cy) / h, torch.log(tw / w), torch.log(th / h))
    return torch.stack([d * weight for d, weight in zip(deltas, weights)], -1)


def clip(boxes, width, height):
    """Into [0, width - 1] x [0, height - 1]; both may be tensors that broadcast against boxes[..., 0]."""
    width, height = (torch.as_tensor(v, dtype=boxes.dtype, device=boxes.device) for v in (width, height))
    zero = boxes.new_zeros(())
    x0, y0, x1, y1 = boxes.unbind(-1)
    return torch.stack((torch.clamp(x0, zero, width - 1), torch.clamp(y0, zero, height - 1),
                        torch.clamp(x1, zero, width - 1), torch.clamp(y1, zero, height - 1)), -1)


def area(boxes):
    return (boxes[..., 2] - boxes[..., 0] + 1) * (boxes[..., 3] - boxes[..., 1] + 1)


def iou(a, b):  # [..., n, 4], [..., m, 4] -> [..., n, m]
    a, b = a.unsqueeze(-2), b.unsqueeze(-3)
    sides = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2]) + 1
    sides = sides.clamp(min=0)
    both = sides[..., 0] * sides[..., 1]
    return both / (area(a) + area(b) - both)


def nms(boxes, threshold: float):  # [..., n, 4], best first -> [..., n] bool, True where kept
    """Greedy suppression without a loop over boxes.

    A box stays unless a better box that stays overlaps it above the threshold. Repeating that rule from "all stay" gives
    the greedy answer: after k rounds every box that hangs on a chain of at most k better ones is settled."""
    n = boxes.shape[-2]
    better = torch.ones(n, n, dtype=torch.bool, device=boxes.device).triu(1)  # [i, j]: i < j
    suppresses = ((iou(boxes, boxes) > threshold) & better).to(boxes.dtype)  # [..., i, j]
    keep = torch.ones(boxes.shape[:-1], dtype=torch.bool, device=boxes.device)
    while True:
        hit = torch.matmul(keep.to(boxes.dtype).unsqueeze(-2), suppresses).squeeze(-2)  # [..., j]
        kept = hit == 0
        if torch.equal(kept, keep):
            return keep
        keep = kept


def best_first(scores):  # [..., n] -> [..., n] indices; ties: lower index
    return torch.sort(scores, dim=-1, descending=True, stable=True).indices
