"""TEE, the two-stage efficient feature extractor: images -> regions. Each stage can be called by itself."""
from dataclasses import dataclass

import torch
from torch import nn

from . import config as cfg
from .backbone import Backbone
from .bifpn import Bifpn
from .roi import Regions, Roi
from .rpn import Rpn


@dataclass
class Detection:
    """Everything about one image on the way to its regions."""
    proposals: torch.Tensor  # [n, 4]
    objectness: torch.Tensor  # [n] logits
    aligned: torch.Tensor  # [n, C * pool * pool]
    features: torch.Tensor  # [n, H]
    logits: torch.Tensor  # [n, K]
    deltas: torch.Tensor  # [n, 4]
    regions: Regions


class Tee(nn.Module):
    def __init__(self, c: cfg.Config):
        super().__init__()
        self.backbone = Backbone(c.backbone)
        self.bifpn = Bifpn(c.backbone.tap_channels(), c.bifpn.channels, c.bifpn.repeats)
        self.rpn = Rpn(c.rpn, c.bifpn.channels)
        self.roi = Roi(c.roi, c.bifpn.channels)

    def pyramid(self, images):  # [B, 3, h, w] -> P2..P6 [B, C, h/stride, w/stride]
        return self.bifpn(self.backbone(images))

    def propose(self, pyramid, sizes):
        """-> for each image (boxes [n, 4], logits [n]); sizes: [(height, width)] before padding."""
        logits, deltas = self.rpn(pyramid)
        return self.rpn.propose(logits, deltas, self.rpn.anchors(pyramid), sizes)

    def region_features(self, pyramid, boxes):  # boxes of each image [n_b, 4] -> [sum n_b, H]
        return self.roi.features(self.roi.align(pyramid, boxes))

    def detect(self, pyramid, sizes) -> list[Detection]:
        proposed = self.propose(pyramid, sizes)
        boxes = [b for b, _ in proposed]
        counts = [len(b) for b in boxes]
        aligned = self.roi.align(pyramid, boxes)  # [sum n_b, C * pool * pool]
        features = self.roi.features(aligned)
        logits, deltas = self.roi.predict(features)
        parts = zip(proposed, sizes, *(t.split(counts) for t in (aligned, features, logits, deltas)))
        return [Detection(b, o, a, f, l, d, self.roi.select(f, l, d, b, size)) for (b, o), size, a, f, l, d in parts]

    def forward(self, images, sizes) -> list[Regions]:  # [B, 3, h, w]
        return [d.regions for d in self.detect(self.pyramid(images), sizes)]


def to_upright(boxes, resized: tuple[int, int], upright: tuple[int, int]):
    """Boxes of the resized image -> pixels of the upright one. Sizes are (height, width)."""
    x, y = upright[1] / resized[1], upright[0] / resized[0]
    return boxes * boxes.new_tensor((x, y, x, y))


def geometry(boxes, upright: tuple[int, int]):  # [n, 4] in upright pixels -> [n, 6]
    height, width = upright
    x0, y0, x1, y1 = boxes.unbind(-1)
    return torch.stack((x0 / width, y0 / height, x1 / width, y1 / height, (x1 - x0) / width, (y1 - y0) / height), -1)
