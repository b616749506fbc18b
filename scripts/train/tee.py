"""Stage 1: the TEE's pyramid and heads, on a frozen ImageNet backbone whose maps are cached; or, where the recipe's "tee" has
`frozen`, with the backbone's later blocks, on pictures cropped, stretched, lit and mirrored anew at every visit (late.py).

Boxes are few, so the region features learn from three teachers at once:
  boxes     both detector stages, complete and incomplete pictures (detection.py)
  lite0     the classifier that the backbone was trained with, read inside each region: its 1,280 numbers
  words     which words people use about the picture: regions vote (log-sum-exp), one output a word
and, where boxes carry attributes (Visual Genome) and the recipe names them, from a fourth:
  attributes  what an object of this class looks like; a head of this stage only, what it taught stays in the features
Without lite0 and words the features know little beyond "person"."""
import argparse
import pathlib
from collections import Counter

import torch
import torch.nn.functional as F
from minivlm import MiniVLM
from minivlm.conv import fold
from minivlm.tee import Tee
from torch import nn

from train import common, data, detection, late, pretrained, recipe
from train.cache import Images, first_backbone, open_taps


class Teachers(nn.Module):
    """Heads that exist during this stage only."""

    def __init__(self, hidden: int, n_words: int, classes: int, n_attributes: int):
        super().__init__()
        self.looks = None
        if n_attributes:
            self.classes = nn.Embedding(classes + 1, 64)
            self.looks = nn.Sequential(nn.Linear(hidden + 64, 512), nn.ReLU(), nn.Linear(512, n_attributes))
        self.lite0 = nn.Linear(hidden, 1280)
        self.words = nn.Linear(hidden, n_words)
        self.whole = nn.Linear(hidden, n_words)

    def attributes(self, features, classes):  # [n, H], [n] -> logits [n, A]
        return self.looks(torch.cat((features, self.classes(classes)), 1))


class Corpus:
    """The pictures of this stage and what is known of each."""

    def __init__(self, root, images: Images, taps, r):
        self.images, self.taps = images, taps
        self.names, self.looks = recipe.class_numbers(r), recipe.attribute_numbers(r)
        sizes = dict(zip(self.images.files, self.images.sizes))
        self.boxes = {b.image: b for b in data.boxes(root, sizes)}
        caps, asked = data.captions(root), data.questions(root)
        use = data.picture_words(caps, asked)
        count = Counter(w for c in use.values() for w in c)
        self.words = [w for w, _ in count.most_common(r["tee"]["words"])]
        index = {w: n for n, w in enumerate(self.words)}
        said = {c.image: len(c.texts) for c in caps}
        self.targets = {}
        for image, c in use.items():
            rows = [(index[w], min(1.0, n / max(1.0, 0.4 * said.get(image, 2)))) for w, n in c.items() if w in index]
            if rows:
                self.targets[image] = rows
        held = data.held(root)
        row = self.images.row
        train = [f for f in self.images.files if f not in held]
        self.complete = [f for f in train if f in self.boxes and not self.boxes[f].known]
        self.partial = [f for f in train if f in self.boxes and self.boxes[f].known and self.boxes[f].boxes]
        self.worded = [f for f in train if f in self.targets and f in row]
        self.boxed = [f for f in self.images.files if f in self.boxes and self.boxes[f].split == "val" and not self.boxes[f].known]

    def word_targets(self, files):
        """-> targets [B, W], weights [B, 1]: 0 where no sentence of the picture is known."""
        out = torch.zeros(len(files), len(self.words))
        for b, f in enumerate(files):
            for n, score in self.targets.get(f, ()):
                out[b, n] = score
        return out, torch.tensor([[float(f in self.targets)] for f in files])


def random_boxes(count: int, size: int):
    """Boxes of all shapes, larger ones more often; the first is the whole picture."""
    sides = (0.15 + 0.85 * torch.rand(count, 2)) * size
    corner = torch.rand(count, 2) * (size - sides)
    boxes = torch.cat((corner, corner + sides - 1), 1)
    boxes[0] = torch.tensor([0.0, 0.0, size - 1, size - 1])
    return boxes


def embed_inside(classifier, p5, boxes, stride=32):
    """Mean of the teacher's embedding over a 3 x 3 grid of points in each box. [sum n, 1280]"""
    b, c, h, w = p5.shape
    maps = classifier.embed(p5.permute(0, 2, 3, 1).reshape(-1, c)).reshape(b, h, w, -1).permute(0, 3, 1, 2)
    out = []
    at = (torch.arange(3) + 0.5) / 3
    for m, box in zip(maps, boxes):
        x = box[:, :1] + at * (box[:, 2:3] - box[:, :1] + 1)  # [n, 3]
        y = box[:, 1:2] + at * (box[:, 3:] - box[:, 1:2] + 1)
        grid = torch.stack((x[:, None, :].expand(-1, 3, -1) / (w * stride), y[:, :, None].expand(-1, -1, 3) / (h * stride)), -1)
        grid = grid.reshape(1, -1, 9, 2) * 2 - 1
        values = F.grid_sample(m[None], grid, padding_mode="border", align_corners=False)  # [1, 1280, n, 9]
        out.append(values[0].mean(-1).T)
    return torch.cat(out)


class Stage:
    def __init__(self, tee: Tee, teachers: Teachers, corpus: Corpus, classifier, r):
        self.tee, self.teachers, self.corpus, self.classifier, self.r = tee, teachers, corpus, classifier, r
        self.image = recipe.model_config(r, answers=1).image
        self.size = self.image.size
        self.classes = r["model"]["roi"]["classes"]
        self.frozen, self.half = r["tee"].get("frozen"), r["tee"].get("half", False)
        if self.frozen is not None:
            self.first = fold(first_backbone(r)).requires_grad_(False)
            late.freeze(tee.backbone, self.frozen)

    def batch(self, files, train=True):
        """-> P2..P5, a Truth or None a picture, and the P5 that the classifier knows."""
        flips = torch.randint(0, 2, (len(files),)).tolist() if train else [0] * len(files)
        rows = [self.corpus.images.row[f] for f in files]
        varies = train and self.frozen is not None
        parts = late.windows(len(files)) if varies else torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(len(files), 4)
        truths = [None if f not in self.corpus.boxes else
                  detection.Truth.of(self.corpus.boxes[f], self.corpus.names, self.classes, self.size, bool(flip),
                                      self.corpus.looks, part)
                  for f, flip, part in zip(files, flips, parts)]
        if self.frozen is None:
            taps = self.corpus.taps.batch(rows, flips)
            return taps, truths, taps[3]
        x = late.pixels_of(self.corpus.images, rows, flips, self.image)
        with common.cast(self.half):
            x, taps = late.early(self.tee.backbone, self.frozen, late.varied(x, parts) if varies else x)
            with torch.no_grad():
                known = late.late(self.first, self.frozen, x, taps)[3]
            learned = late.late(self.tee.backbone, self.frozen, x, taps)
        return [t.float() for t in learned], truths, known.float()

    def losses(self, files):
        taps, truths, p5 = self.batch(files)
        with common.cast(self.half):
            pyramid = self.tee.bifpn(taps)
        pyramid = [p.float() for p in pyramid]
        logits, deltas = self.tee.rpn(pyramid)
        anchors = self.tee.rpn.anchors(pyramid)
        objectness, rpn_box = detection.rpn_loss(logits, deltas, anchors, truths, self.size)
        proposed = self.tee.rpn.propose(logits, deltas, anchors, [(self.size, self.size)] * len(files), 128, 64)
        boxes, classes, targets, looks, known, own = [], [], [], [], [], []
        per = self.r["tee"]["regions"]
        for (found, _), truth in zip(proposed, truths):
            extra = random_boxes(per // 3, self.size)
            if truth is None:
                picked, k, t, a = found[:per - len(extra)], None, None, None
            else:
                picked, k, t, a = detection.roi_targets(found, truth, per - len(extra))
            boxes.append(torch.cat((extra, picked)))
            ignore = torch.full((len(extra),), -1)
            classes.append(torch.cat((ignore, k if truth is not None else torch.full((len(picked),), -1))))
            targets.append(torch.cat((extra, t if truth is not None else picked)))
            unseen = torch.zeros(len(boxes[-1]), len(set(self.corpus.looks.values())))
            looks.append(unseen if a is None else torch.cat((unseen[:len(extra)], a)))
            mask = torch.zeros(self.classes + 1, dtype=torch.bool)
            known.append((truth.known if truth is not None and truth.known is not None else mask).expand(len(boxes[-1]), -1))
            own.append(len(boxes[-1]))
        features = self.tee.region_features(pyramid, boxes)
        roi_logits, roi_deltas = self.tee.roi.predict(features)
        every, classes = torch.cat(boxes), torch.cat(classes)
        told = classes >= 0
        out = {"objectness": objectness, "rpn_box": rpn_box}
        if told.any():
            out["class"] = detection.class_loss(roi_logits[told], classes[told], torch.cat(known)[told]).mean()
            out["box"] = detection.box_loss(roi_deltas[told], every[told], classes[told], torch.cat(targets)[told])
            if self.teachers.looks:
                out["attributes"] = detection.attribute_loss(self.teachers.attributes(features[told], classes[told]),
                                                             torch.cat(looks)[told])
        out.update(self.semantic(files, p5, features, boxes, own))
        return out

    def semantic(self, files, p5, features, boxes, counts):
        wanted = embed_inside(self.classifier, p5, boxes)  # [n, 1280]
        given = self.teachers.lite0(F.dropout(features, 0.1))
        out = {"lite0": F.mse_loss(given, wanted) / 0.25}
        teacher = F.linear(wanted, self.classifier.fc, self.classifier.fc_bias).softmax(-1)
        student = F.linear(given, self.classifier.fc, self.classifier.fc_bias).log_softmax(-1)
        out["imagenet"] = F.kl_div(student, teacher, reduction="batchmean")
        targets, weights = self.corpus.word_targets(files)
        features = F.dropout(features, 0.2)
        votes = [v.logsumexp(0) - torch.tensor(float(len(v))).log() for v in self.teachers.words(features).split(counts)]
        whole = self.teachers.whole(torch.stack([f.mean(0) for f in features.split(counts)]))
        for name, logits in (("words", torch.stack(votes)), ("whole", whole)):
            loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1, keepdim=True)
            out[name] = (loss * weights).sum() / weights.sum().clamp(min=1)
        return out

    @torch.no_grad()
    def word_ranking(self, files, targets):
        """Mean average precision of the words over held-out pictures: does the picture say what people say of it?"""
        scores = []
        for n in range(0, len(files), 16):
            taps, *_ = self.batch(files[n:n + 16], train=False)
            pyramid = self.tee.bifpn(taps)
            boxes = [b[:24] for b, _ in self.tee.propose(pyramid, [(self.size, self.size)] * len(taps[0]))]
            features = self.tee.region_features(pyramid, boxes)
            counts = [len(b) for b in boxes]
            scores.append(self.teachers.whole(torch.stack([f.mean(0) for f in features.split(counts)])))
        order = torch.cat(scores).argsort(1, descending=True)
        hits = targets.gt(0).gather(1, order).float()
        precision = hits.cumsum(1) / torch.arange(1, hits.shape[1] + 1)
        return float(((precision * hits).sum(1) / hits.sum(1).clamp(min=1)).mean())

    @torch.no_grad()
    def box_precision(self, files) -> float:
        """AP50 of the kept regions, mean over the classes that occur; 0 without files."""
        found, records = [], []
        for n in range(0, len(files), 16):
            taps, truths, _ = self.batch(files[n:n + 16], train=False)
            for d in self.tee.detect(self.tee.bifpn(taps), [(self.size, self.size)] * len(truths)):
                found.append((d.regions.boxes, d.regions.scores, d.regions.classes))
            records += truths
        ap = detection.average_precision(found, records)
        return sum(ap.values()) / max(1, len(ap))


WEIGHTS = {"objectness": 1.0, "rpn_box": 1.0, "class": 1.0, "box": 1.0, "lite0": 0.5, "imagenet": 0.3,
           "words": 0.05, "whole": 0.05, "attributes": 0.2}


def held_out_words(corpus, root, count):
    """Flickr8k validation pictures that are at hand, and their words."""
    use = {f: c for f, c in data.picture_words(data.captions(root), [], "val").items() if f in corpus.images.row}
    files = [f for f in use if f.startswith("flickr8k")][:count] or list(use)[:count]
    targets = torch.zeros(len(files), len(corpus.words))
    index = {w: n for n, w in enumerate(corpus.words)}
    for b, f in enumerate(files):
        for w, n in use[f].items():
            if w in index and n >= 2:
                targets[b, index[w]] = 1.0
    return files, targets


def beginning(start) -> dict:
    """last.pt of this stage, or the TEE of a later stage's final.pt or of a model directory -> {"tee", maybe "teachers"}"""
    if pathlib.Path(start).is_dir():
        return {"tee": MiniVLM.from_dir(start).tee.state_dict()}
    stored = torch.load(start, map_location="cpu", weights_only=True)
    if "tee" in stored:
        return stored
    return {"tee": {k.removeprefix("tee."): v for k, v in stored["model"].items() if k.startswith("tee.")}}


def train(r, root, cache, out, start=None, minutes=None, steps=None):
    torch.manual_seed(r["seed"])
    config = recipe.model_config(r, answers=2)
    learns = r["tee"].get("frozen") is not None
    corpus = Corpus(root, Images(cache), None if learns else open_taps(r, cache), r)
    model, before = Tee(config), beginning(start) if start else {}
    model.backbone.load_state_dict(first_backbone(r).state_dict())
    if "tee" in before:
        common.fitting(model, before["tee"])
    model = model.to(memory_format=torch.channels_last)
    classifier = pretrained.Lite0Classifier(None if r["pretrained"] else config.backbone.tap_channels()[3])
    teachers = Teachers(config.roi.hidden, len(corpus.words), config.roi.classes, len(set(corpus.looks.values())))
    nn.init.constant_(teachers.words.bias, -4.0)
    nn.init.constant_(teachers.whole.bias, -4.0)
    if "teachers" in before:
        teachers.load_state_dict(before["teachers"])
    stage = Stage(model, teachers, corpus, classifier, r)
    run = common.Run(out, minutes, steps)
    lr = r["tee"]["lr"]
    opt = common.optimiser([(model.bifpn, lr), (model.rpn, lr), (model.roi, lr), (teachers, r["tee"].get("lr_teachers", lr)),
                            *([(model.backbone, lr / 4)] if learns else [])], 0.02)
    state = run.resume()
    if state:
        model.load_state_dict(state["tee"]), teachers.load_state_dict(state["teachers"]), opt.load_state_dict(state["opt"])
    generator = torch.Generator("cpu").manual_seed(r["seed"] + run.step)
    pools = [common.Shuffle(p, generator) for p in (corpus.complete, corpus.partial, corpus.worded)]
    for part in model.bifpn.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 0.05  # the run is short
    print(f"complete {len(corpus.complete)} partial {len(corpus.partial)} worded {len(corpus.worded)}", flush=True)
    files, targets = held_out_words(corpus, root, r["tee"]["validate"])

    def validate():
        model.eval()
        run.report(1, word_map=round(stage.word_ranking(files, targets), 4), ap50=round(stage.box_precision(corpus.boxed), 4))
        model.train()
        model.backbone.eval()

    model.train()
    model.backbone.eval()
    while not run.done:
        picked = [f for pool, n in zip(pools, r["tee"]["mix"]) if pool.items for f in pool.take(n)]
        losses = stage.losses(picked)
        total = sum(WEIGHTS[k] * v for k, v in losses.items())
        common.step(opt, total, run, clip=5.0)
        run.add(loss=total, **losses)
        run.report(20)
        if run.step % r["tee"]["validate_every"] == 0:
            validate()
        run.save({"tee": model.state_dict(), "teachers": teachers.state_dict(), "opt": opt.state_dict()})
    validate()
    run.save({"tee": model.state_dict(), "teachers": teachers.state_dict(), "opt": opt.state_dict()}, force=True)
    torch.save(model.state_dict(), pathlib.Path(out) / "tee.pt")
    votes = (teachers.words.weight + teachers.whole.weight).detach()
    torch.save({"words": corpus.words, "weight": votes}, pathlib.Path(out) / "words.pt")


def load(r, file) -> Tee:
    """The trained TEE, ready to look at pictures."""
    model = Tee(recipe.model_config(r, answers=1)).to(torch.get_default_device()).eval()
    return common.fitting(model, torch.load(file, weights_only=True))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--recipe", required=True)
    p.add_argument("--data", required=True)
    p.add_argument("--cache", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--start", help="last.pt of an earlier run of this stage, final.pt of a later stage, or a model directory")
    p.add_argument("--minutes", type=float)
    p.add_argument("--steps", type=int)
    args = p.parse_args()
    r = recipe.load(args.recipe)
    recipe.prepare(r)
    minutes = args.minutes or (None if args.steps else r["tee"]["minutes"])
    train(r, args.data, args.cache, args.out, args.start, minutes, args.steps)


if __name__ == "__main__":
    main()
