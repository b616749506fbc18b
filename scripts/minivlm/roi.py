"""The region head: RoIAlign, two fully connected layers (the region feature), class and box; and which regions to keep."""
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from . import boxes as bx, config as cfg

BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
LEVELS = (2, 5)  # P6 serves the proposals only


@dataclass
class Regions:
    """What the fusion sees of an image, best first. Boxes are pixels of the resized image; see tee.geometry."""
    features: torch.Tensor  # [n, H]
    boxes: torch.Tensor  # [n, 4]
    scores: torch.Tensor  # [n]
    classes: torch.Tensor  # [n], from 1
    proposals: torch.Tensor  # [n], index of the proposal


class Roi(nn.Module):
    def __init__(self, c: cfg.Roi, channels: int):
        super().__init__()
        self.c = c
        self.fc6 = nn.Linear(channels * c.pool * c.pool, c.hidden)
        self.fc7 = nn.Linear(c.hidden, c.hidden)
        self.cls = nn.Linear(c.hidden, c.classes + 1)
        self.box = nn.Linear(c.hidden, 4)
        for layer in (self.fc6, self.fc7):
            nn.init.kaiming_uniform_(layer.weight, a=1)
            nn.init.zeros_(layer.bias)
        for layer, std in ((self.cls, 0.01), (self.box, 0.001)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def align(self, pyramid, boxes):
        """P2..P6 and for each image its boxes [n_b, 4] -> [sum n_b, C * pool * pool]"""
        return roi_align(pyramid[:4], boxes, self.c.pool, self.c.sampling)

    def features(self, aligned):  # [n, C * pool * pool] -> [n, H], the region feature
        return F.relu(self.fc7(F.relu(self.fc6(aligned))))

    def predict(self, features):  # [n, H] -> class logits [n, K], deltas [n, 4]
        return self.cls(features), self.box(features)

    @torch.no_grad()
    def select(self, features, logits, deltas, proposals, size) -> Regions:
        """One image: its n proposals with their features -> the regions that stay, best first."""
        probabilities = logits.float().softmax(-1)  # [n, K]
        scores, classes = best_class(probabilities)
        boxes = bx.clip(bx.decode(deltas.float(), proposals, BOX_WEIGHTS), size[1], size[0])
        order = bx.best_first(scores)
        order = order[bx.nms(boxes[order], self.c.nms)]  # one NMS for all classes
        above = int((scores[order] >= self.c.score_threshold).sum())
        order = order[:min(max(above, self.c.min_regions), self.c.max_regions)]
        return Regions(features[order], boxes[order], scores[order], classes[order], order)


def best_class(probabilities):  # [n, K] -> score [n], class [n]; never background; ties: lower class
    scores = probabilities[:, 1:].max(-1, keepdim=True).values
    ties = probabilities[:, 1:] == scores
    return scores.squeeze(-1), ties.to(torch.uint8).argmax(-1) + 1


def level_of(boxes):  # [n, 4] -> [n] in 2..5
    root = bx.area(boxes).clamp(min=1e-12).sqrt()
    level = torch.floor(4 + torch.log2(root / 224.0 + 1e-6))
    return level.clamp(*LEVELS).long()


def roi_align(pyramid, boxes, pool: int, sampling: int):
    """P2..P5 [B, C, h, w], boxes of each image [n_b, 4] -> [sum n_b, C * pool * pool], order channel, row, column.

    A bin is the mean of sampling x sampling bilinear reads, that is a weighted sum of 4 * sampling^2 cells. So all bins of
    all boxes on all levels are one embedding_bag over one table of cells: nothing is copied, and gradients reach the maps."""
    channels = pyramid[0].shape[1]
    table = torch.cat([p.permute(0, 2, 3, 1).reshape(-1, channels) for p in pyramid]).float()  # [cells, C]
    with torch.no_grad():
        cells, weights = _bags(pyramid, boxes, pool, sampling)  # [n * pool^2, 4 * sampling^2]
    with torch.autocast(table.device.type, enabled=False):
        bins = F.embedding_bag(cells, table, mode="sum", per_sample_weights=weights)  # [n * pool^2, C]
    return bins.reshape(-1, pool * pool, channels).transpose(1, 2).flatten(1)


def _bags(pyramid, boxes, pool, sampling):
    """Rows of the table of cells and their weights for every bin."""
    device = pyramid[0].device
    image = torch.cat([torch.full((len(b),), i, device=device) for i, b in enumerate(boxes)])  # [n]
    boxes = torch.cat(list(boxes)).float()  # [n, 4]
    level = level_of(boxes) - LEVELS[0]  # [n] in 0..3
    shapes = torch.tensor([p.shape[2:] for p in pyramid], device=device)  # [4, 2]
    starts = torch.tensor([0] + [p.shape[0] * p.shape[2] * p.shape[3] for p in pyramid[:-1]], device=device).cumsum(0)
    height, width = shapes[level].unbind(1)  # [n]
    first = starts[level] + image * height * width  # [n]: the box's map in the table
    scale = torch.exp2(-(level + LEVELS[0]).float())  # [n]
    y, wy = _reads(boxes[:, 1] * scale, boxes[:, 3] * scale, height, pool, sampling)  # [n, pool, 2 * sampling]
    x, wx = _reads(boxes[:, 0] * scale, boxes[:, 2] * scale, width, pool, sampling)
    cells = first[:, None, None, None, None] + y[:, :, None, :, None] * width[:, None, None, None, None] \
        + x[:, None, :, None, :]  # [n, pool, pool, 2 * sampling, 2 * sampling]
    weights = wy[:, :, None, :, None] * wx[:, None, :, None, :]
    reads = (2 * sampling) ** 2
    return cells.reshape(-1, reads), weights.reshape(-1, reads)


def _reads(low, high, length, pool, sampling):
    """One axis: the cells that each bin reads and their weights, [n, pool, 2 * sampling] both.

    No half-pixel shift. A read more than one cell outside is 0; one at the edge takes the edge cell."""
    n = len(low)
    step = (high - low).clamp(min=1.0) / pool  # [n]: size of a bin
    bins = torch.arange(pool, device=low.device, dtype=torch.float32)[None, :, None]  # [1, pool, 1]
    points = (torch.arange(sampling, device=low.device, dtype=torch.float32) + 0.5)[None, None, :]
    step = step[:, None, None]
    at = low[:, None, None] + bins * step + points * step / sampling  # [n, pool, sampling]
    last = (length - 1)[:, None, None]
    inside = (at >= -1.0) & (at <= length[:, None, None])
    at = torch.minimum(at.clamp(min=0.0), last.to(at.dtype))
    cell = torch.minimum(at.floor().long(), last)  # [n, pool, sampling]
    part = at - cell
    cells = torch.stack((cell, torch.minimum(cell + 1, last)), -1)  # [n, pool, sampling, 2]
    weights = torch.stack((1.0 - part, part), -1) * (inside / sampling).unsqueeze(-1)
    return cells.reshape(n, pool, -1), weights.reshape(n, pool, -1)
