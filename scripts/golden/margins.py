"""How near a decision is to tipping over. A golden test is only as good as its least margin: an engine whose arithmetic
differs in the last bits must still decide alike."""
import torch
from minivlm import boxes as bx, decode, roi


def image_margins(model, prepared) -> dict[str, float]:
    """Least distance of each kind of decision on one picture."""
    tee = model.tee
    pyramid = tee.pyramid(prepared.tensor.unsqueeze(0))
    d, = tee.detect(pyramid, [prepared.resized])
    probabilities = d.logits.softmax(-1)
    scores, _ = roi.best_class(probabilities)
    top = probabilities[:, 1:].topk(2).values  # [n, 2]
    boxes = bx.clip(bx.decode(d.deltas, d.proposals, roi.BOX_WEIGHTS), prepared.resized[1], prepared.resized[0])
    kept = d.regions.proposals
    thresholds = torch.tensor([model.config.roi.score_threshold, model.config.text.tag_threshold])
    return {"proposal order": _gaps(d.objectness),
            "proposal nms": _overlap_margin(d.proposals, model.config.rpn.nms),
            "class": float((top[kept, 0] - top[kept, 1]).min()),
            "score order": _gaps(scores),
            "region nms": _overlap_margin(boxes, model.config.roi.nms),
            "threshold": float((scores[kept, None] - thresholds).abs().min())}


def caption_margin(model, scene) -> float:
    """Greedy: least difference between the best and the second token over the steps."""
    scorer, prefix, smallest = model.scorer(scene), [model.tokenizer.cls], float("inf")
    with torch.no_grad():
        for token in model.caption(scene, num_beams=1)[0].tokens:
            logits = scorer.next_logits([prefix], [0])
            best = decode.allowed_log_probabilities(logits, [prefix], model.tokenizer)[0].topk(2).values
            smallest, prefix = min(smallest, float(best[0] - best[1])), prefix + [token]
    return smallest


def _gaps(values) -> float:
    ordered = values.sort().values
    return float((ordered[1:] - ordered[:-1]).min())


def _overlap_margin(boxes, threshold: float) -> float:
    overlap = bx.iou(boxes, boxes)
    overlap.fill_diagonal_(0.0)
    return float((overlap - threshold).abs().min())
