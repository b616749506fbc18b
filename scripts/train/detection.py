"""Losses of the two detector stages, for pictures whose boxes are complete and for those where only some classes are."""
import torch
import torch.nn.functional as F
from minivlm import boxes as bx
from minivlm.roi import BOX_WEIGHTS

MIN = 0.4  # share of an object that must be in the window for it to count as seen


class Truth:
    """Boxes of one picture in pixels of the network's input, classes from 1, which classes are complete, attributes, and
    where an object may be or not."""

    def __init__(self, boxes, classes, known, attributes=None, maybe=None):
        self.boxes, self.classes, self.known = boxes, classes, known  # [g, 4], [g], bool [K] or None: all
        self.attributes = torch.zeros(len(boxes), 0) if attributes is None else attributes  # [g, A], 1 where it has it
        self.maybe = torch.zeros(0, 4) if maybe is None else maybe  # [m, 4]

    def doubtful(self, boxes):
        """Which of the boxes [n, 4] are mostly an object that may be there or not -> bool [n]"""
        return bx.iou(boxes, self.maybe).gt(0.3).any(1)

    @classmethod
    def of(cls, record, names: dict[str, int], classes: int, size: int, flip: bool, looks: dict[str, int] | None = None,
           window=(0.0, 0.0, 1.0, 1.0)):
        """`names` and `looks`: numbers of the classes (from 1) and of the attributes (from 0). `window`: the part of the
        (mirrored) picture that the network sees; an object mostly outside may be there or not."""
        said, looks = record.attributes or [[]] * len(record.boxes), looks or {}
        kept = [(b, names[l], [looks[a] for a in own if a in looks])
                for b, l, own in zip(record.boxes, record.labels, said) if l in names]
        boxes = torch.tensor([b for b, _, _ in kept], dtype=torch.float32).reshape(-1, 4)
        attributes = torch.zeros(len(kept), len(set(looks.values())))
        for row, (_, _, own) in zip(attributes, kept):
            row[own] = 1.0
        maybe = torch.tensor(record.maybe, dtype=torch.float32).reshape(-1, 4)
        boxes, share = _seen(boxes, flip, window)
        maybe, _ = _seen(maybe, flip, window)
        maybe = torch.cat((maybe, boxes[(share > 0) & (share < MIN)]))
        boxes, maybe = (b * size - b.new_tensor([0, 0, 1, 1]) for b in (boxes, maybe))  # inclusive pixels
        known = None
        if record.known:
            known = torch.zeros(classes + 1, dtype=torch.bool)
            known[[names[k] for k in record.known if k in names]] = True
        stay, numbers = share >= MIN, torch.tensor([n for _, n, _ in kept], dtype=torch.long)
        return cls(boxes[stay], numbers[stay], known, attributes[stay], maybe)


def _seen(boxes, flip: bool, window):
    """Relative boxes [n, 4] -> the same in the window of the mirrored picture, cut at its border, and the share of each
    that is inside."""
    if flip:
        boxes = torch.stack((1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]), 1)
    x0, y0, x1, y1 = (float(v) for v in window)
    span = boxes.new_tensor([x1 - x0, y1 - y0] * 2)
    boxes = (boxes - boxes.new_tensor([x0, y0, x0, y0])) / span
    cut = boxes.clamp(0, 1)

    def area(b):
        return (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    return cut, area(cut) / area(boxes).clamp(min=1e-9)


def rpn_targets(anchors, truth: Truth, size: int, sample=256):
    """-> rows of positive anchors, their boxes, rows of negative anchors (none where boxes are incomplete)."""
    inside = ((anchors[:, :2] >= -16) & (anchors[:, 2:] < size + 16)).all(1)
    none = torch.zeros(0, dtype=torch.long)
    if len(truth.boxes) == 0:
        negative = (inside & ~truth.doubtful(anchors)).nonzero()[:, 0] if truth.known is None else none
        return none, truth.boxes, _some(negative, sample // 2)
    overlap = bx.iou(anchors, truth.boxes)  # [n, g]
    best, which = overlap.max(1)
    positive = (best >= 0.6) & inside
    top = (overlap * inside[:, None]).max(0)
    positive[(overlap >= top.values.clamp(min=0.2) - 1e-4).any(1) & inside] = True
    negative = (best < 0.3) & inside & ~positive & ~truth.doubtful(anchors) if truth.known is None else torch.zeros_like(positive)
    rows = _some(positive.nonzero()[:, 0], sample // 2)
    return rows, truth.boxes[which[rows]], _some(negative.nonzero()[:, 0], sample - len(rows))


def _some(rows, count):
    return rows[torch.randperm(len(rows))[:count]]


def rpn_loss(logits, deltas, anchors, truths, size):
    """Lists over levels; truths: a Truth or None a picture. -> objectness loss, box loss."""
    logits, deltas, anchors = torch.cat(logits, 1), torch.cat(deltas, 1), torch.cat(anchors)
    scores, targets, moved, wanted = [], [], [], []
    for b, truth in enumerate(truths):
        if truth is None:
            continue
        positive, boxes, negative = rpn_targets(anchors, truth, size)
        rows = torch.cat((positive, negative))
        scores.append(logits[b, rows])
        targets.append(torch.cat((torch.ones(len(positive)), torch.zeros(len(negative)))))
        moved.append(deltas[b, positive])
        wanted.append(bx.encode(boxes, anchors[positive]))
    if not scores:
        return logits.sum() * 0, logits.sum() * 0
    targets = torch.cat(targets)
    objectness = F.binary_cross_entropy_with_logits(torch.cat(scores).float(), targets)
    box = F.smooth_l1_loss(torch.cat(moved).float(), torch.cat(wanted), beta=1 / 9, reduction="sum")
    return objectness, box / max(1, len(targets))


def roi_targets(proposals, truth: Truth, count: int):
    """Samples `count` of proposals and true boxes -> boxes, class (0: no known object), true box and attributes of each."""
    boxes = torch.cat((truth.boxes, proposals))
    clear = ~truth.doubtful(boxes)
    if len(truth.boxes) == 0:
        rows = _some(clear.nonzero()[:, 0], count)
        none = torch.zeros(len(rows), truth.attributes.shape[1])
        return boxes[rows], torch.zeros(len(rows), dtype=torch.long), boxes[rows], none
    best, which = bx.iou(boxes, truth.boxes).max(1)
    positive = _some((best >= 0.5).nonzero()[:, 0], count // 2)
    negative = _some(((best < 0.5) & clear).nonzero()[:, 0], count - len(positive))
    rows = torch.cat((positive, negative))
    classes = truth.classes[which[rows]].clone()
    classes[len(positive):] = 0
    return boxes[rows], classes, truth.boxes[which[rows]], truth.attributes[which[rows]] * (classes > 0)[:, None]


def class_loss(logits, classes, known):
    """Cross-entropy. Where only the classes `known` [n, K] are complete, an unmatched box is merely none of those:
    -log(1 - sum of their probabilities)."""
    log_p = logits.float().log_softmax(-1)
    own = log_p.gather(1, classes[:, None])[:, 0]
    allowed = log_p.masked_fill(known, -torch.inf).logsumexp(-1)  # probability of not being a known class
    return -torch.where((classes == 0) & known.any(1), allowed, own)


def box_loss(deltas, boxes, classes, targets):
    rows = classes > 0
    wanted = bx.encode(targets[rows], boxes[rows], BOX_WEIGHTS)
    return F.smooth_l1_loss(deltas[rows].float(), wanted, beta=1.0, reduction="sum") / max(1, len(classes))


def attribute_loss(logits, attributes):
    """Cross-entropy of the regions whose attributes are known, several sharing the probability; 0 where there are none."""
    rows = attributes.any(1)
    wanted = attributes[rows] / attributes[rows].sum(1, keepdim=True)
    return -(wanted * logits[rows].log_softmax(-1)).sum() / rows.sum().clamp(min=1)


def average_precision(found, records, threshold=0.5) -> dict[int, float]:
    """AP at one overlap (all-point interpolation) for each class with a true box.

    found: for each picture (boxes [n, 4], scores [n], classes [n]); records: a Truth for each."""
    classes = sorted({int(c) for t in records for c in t.classes})
    out = {}
    for k in classes:
        hits, total = [], 0
        for (boxes, scores, labels), truth in zip(found, records):
            own, theirs = truth.boxes[truth.classes == k], labels == k
            total += len(own)
            taken = set()
            order = torch.argsort(scores[theirs], descending=True)
            for score, box in zip(scores[theirs][order].tolist(), boxes[theirs][order]):
                overlap = bx.iou(box[None], own)[0] if len(own) else torch.zeros(0)
                free = [(float(v), i) for i, v in enumerate(overlap) if i not in taken and v >= threshold]
                hits.append((score, bool(free)))
                if free:
                    taken.add(max(free)[1])
        out[k] = _area(sorted(hits, key=lambda h: -h[0]), total)
    return out


def _area(hits, total):
    precision, recall, right = [], [], 0
    for n, (_, hit) in enumerate(hits, 1):
        right += hit
        precision.append(right / n)
        recall.append(right / total)
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum(p * (r - q) for p, r, q in zip(precision, recall, [0.0] + recall[:-1]))
