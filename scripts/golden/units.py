"""Golden results of single functions on inputs that a small model never gives them.

    anchors.S                    [9, 4]   cells (0,0), (0,1), (1,0) of stride S, the paper's sizes
    nms.boxes, .scores, .keep    200 boxes with equal scores among them; the kept ones at threshold 0.5, best first
    roi.mapL                     [C, h, w] maps of levels 2..5 of a 320 x 448 image
    roi.boxes, .levels           [n, 4], [n]  all levels, edges, outside, thinner than a pixel
    roi.poolP                    [n, C * P * P] with P = 4 and 3
    decode.boxes, .deltas, .out  [n, 4] each: weights (10, 10, 5, 5), clipped to 448 x 320
    resize.SOURCE.HxW            [H, W, 3]  pictures of tests/data/images resized, values 0..255"""
import numpy as np
import torch
from minivlm import boxes as bx, image, roi, rpn

PAPER_ANCHORS = {4: 32, 8: 64, 16: 128, 32: 256, 64: 512}
RESIZED = {"waves": [(64, 85), (33, 17), (101, 131)], "discs": [(94, 64), (7, 5)], "stripes": [(31, 96), (64, 201)],
           "small": [(64, 64), (40, 13), (1, 1)]}
HEIGHT, WIDTH = 320, 448


def record(pictures: dict) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    tensors = {f"anchors.{stride}": rpn.level_anchors(stride, size, 2, 2)[:9] for stride, size in PAPER_ANCHORS.items()}
    tensors |= _nms() | _roi() | _decode()
    for name, sizes in RESIZED.items():
        for h, w in sizes:
            tensors[f"resize.{name}.{h}x{w}"] = torch.from_numpy(np.array(image.resize(pictures[name], h, w)))
    return {name: t.float().contiguous() for name, t in tensors.items()}


def _random_boxes(n: int, low: float, high: float):
    """Centres anywhere in the image, sides between the two, spread evenly over their logarithm."""
    sides = torch.exp(torch.empty(n, 2).uniform_(np.log(low), np.log(high)))
    centres = torch.rand(n, 2) * torch.tensor([WIDTH, HEIGHT])
    return bx.clip(torch.cat((centres - sides / 2, centres + sides / 2), 1), WIDTH, HEIGHT)


def _nms() -> dict:
    boxes = _random_boxes(200, 40.0, 200.0)
    scores = torch.randint(0, 60, (200,)) / 64.0  # many ties
    order = bx.best_first(scores)
    return {"nms.boxes": boxes, "nms.scores": scores, "nms.keep": order[bx.nms(boxes[order], 0.5)]}


def _roi() -> dict:
    maps = [torch.randn(1, 2, HEIGHT // s, WIDTH // s) for s in (4, 8, 16, 32)]
    edges = torch.tensor([[0, 0, WIDTH - 1, HEIGHT - 1], [0, 0, 0, 0], [WIDTH - 1, HEIGHT - 1, WIDTH - 1, HEIGHT - 1],
                          [100, 50, 100, 300], [WIDTH - 9, 0, WIDTH - 1, 200], [0, HEIGHT - 1, 300, HEIGHT - 1],
                          [-40, -30, 60, 50], [400, 280, 520, 390]], dtype=torch.float32)
    boxes = torch.cat((edges, _random_boxes(40, 2.0, 700.0)))
    tensors = {"roi.boxes": boxes, "roi.levels": roi.level_of(boxes)}
    tensors |= {f"roi.map{i + 2}": m[0] for i, m in enumerate(maps)}
    return tensors | {f"roi.pool{p}": roi.roi_align(maps, [boxes], p, 2) for p in (3, 4)}


def _decode() -> dict:
    boxes, deltas = _random_boxes(32, 4.0, 400.0), torch.randn(32, 4) * torch.tensor([8.0, 8.0, 5.0, 5.0])
    deltas[0], deltas[1] = 0.0, torch.tensor([0.0, 0.0, 30.0, 30.0])  # unchanged; over the limit of the log-ratio
    out = bx.clip(bx.decode(deltas, boxes, roi.BOX_WEIGHTS), WIDTH, HEIGHT)
    return {"decode.boxes": boxes, "decode.deltas": deltas, "decode.out": out}
