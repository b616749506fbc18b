"""Stage 4: end to end. The words' gradient reaches the pyramid and the last blocks of the backbone.

Pictures are seen anew at every visit, each time cropped, stretched, lit and mirrored a little differently. A frozen copy of
the TEE, the teacher, looks at the same picture and chooses the regions; the learning TEE says about them what it now sees.
Its proposals, classes and boxes are held to the teacher's (`keep`), so that it goes on choosing like it. The first
`frozen` blocks of the backbone serve both. Batch-norms are folded before: their statistics stay those of ImageNet.

--risk runs stage 5, minimum risk on the candidates of risk.py, with the recipe's "risk" settings over those of this stage."""
import argparse
import copy
import pathlib
import random

import torch
import torch.nn.functional as F

from minivlm import MiniVLM, tee, weights
from minivlm.conv import fold
from minivlm.text import Tokenizer
from train import common, fuse, late, pretrained, recipe, risk
from train.cache import Images


class Pictures:
    """The decoded pictures, in place of cached scenes."""

    def __init__(self, folder, config, mirrored: set):
        self.images, self.config, self.mirrored = Images(folder), config.image, mirrored
        self.row = self.images.row

    def flips(self, files) -> list[int]:
        """A coin for each picture that is trained on; the same for all its appearances in a batch."""
        coins = {f: random.randint(0, 1) if f in self.mirrored else 0 for f in files}
        return [coins[f] for f in files]

    def batch(self, files, flips, vary: bool):  # -> [B, 3, s, s]
        x = late.pixels_of(self.images, [self.row[f] for f in files], flips, self.config)
        return late.varied(x, late.windows(len(x))) if vary else x


class Eyes:
    """The learning TEE and its teacher."""

    def __init__(self, model: MiniVLM, frozen: int, half: bool):
        self.tee, self.config, self.half = model.tee, model.config, half
        self.teacher = copy.deepcopy(model.tee).requires_grad_(False)
        self.frozen = frozen
        late.freeze(model.tee.backbone, frozen)

    def look(self, images):
        """-> aligned [B, R, C * 16], geometry [B, R, 6], valid [B, R], the teacher's logits and deltas of each region, loss
        that keeps the proposals."""
        b, size = len(images), images.shape[2]
        with torch.no_grad(), late.cast(self.half):
            x, taps = late.early(self.teacher.backbone, self.frozen, images)
            pyramid = self.teacher.bifpn(late.late(self.teacher.backbone, self.frozen, x, taps))
            wanted = [torch.cat(part, 1).float() for part in self.teacher.rpn(pyramid)]
            seen = self.teacher.detect([p.float() for p in pyramid], [(size, size)] * b)
        maps = late.late(self.tee.backbone, self.frozen, x.float(), taps)
        with late.cast(self.half):
            pyramid = self.tee.bifpn(maps)
            found = [torch.cat(part, 1).float() for part in self.tee.rpn(pyramid)]
        keep = sum(F.smooth_l1_loss(mine, theirs) for mine, theirs in zip(found, wanted))
        rows = [d.regions.proposals for d in seen]
        aligned = self.tee.roi.align([p.float() for p in pyramid], [d.proposals[r] for d, r in zip(seen, rows)])
        pad = torch.nn.utils.rnn.pad_sequence
        counts = [len(r) for r in rows]
        geometry = pad([tee.geometry(d.regions.boxes, (size, size)) for d in seen], True)
        valid = torch.arange(geometry.shape[1])[None] < torch.tensor(counts)[:, None]
        logits, deltas = (pad([getattr(d, name)[r].float() for d, r in zip(seen, rows)], True) for name in ("logits", "deltas"))
        return pad(list(aligned.split(counts)), True), geometry, valid, logits, deltas, keep


class Tuner(fuse.Fuser):
    """The losses of stage 3 on pictures instead of scenes."""

    def __init__(self, model, corpus, settings, pictures: Pictures):
        super().__init__(model, corpus, settings)
        self.question_key = lambda question: question[0]  # every picture is looked at once a batch
        self.pictures, self.eyes = pictures, Eyes(model, settings.get("frozen", 0), settings.get("half", False))

    def look(self, files, flips):
        each = list(dict.fromkeys(zip(files, flips)))
        images = self.pictures.batch(*zip(*each), vary=self.model.training and self.s.get("vary", True))
        *scene, kept = self.eyes.look(images)
        regions, valid, tags, keep = self.see(*scene)
        place = {key: n for n, key in enumerate(each)}
        rows = [place[key] for key in zip(files, flips)]
        return regions[rows], valid[rows], [tags[n] for n in rows], keep + kept


def welcome_back(bias) -> None:
    """Words that earlier stages ruled out may be said again, as readily as others."""
    silent = bias <= weights.SILENT
    if silent.any():
        bias[silent] = bias[~silent].mean()


def start_from(r, start, eyes=None) -> tuple[MiniVLM, list[str]]:
    """A checkpoint of stage 3 or a model directory -> the model with its batch-norms folded; `eyes`: tee.pt of a later run of
    stage 1, in place of its TEE."""
    start = pathlib.Path(start)
    if start.is_dir():
        given = MiniVLM.from_dir(start)
        answers, state = given.labels.answers, given.state_dict()
    else:
        stored = torch.load(start, map_location="cpu", weights_only=True)
        answers, state = stored["answers"], stored["model"]
    model = common.fitting(fuse.build_model(recipe.model_config(r, len(answers)), answers, r), state)
    welcome_back(model.heads.caption.bias.data)
    if eyes:
        common.fitting(model.tee, torch.load(eyes, map_location="cpu", weights_only=True))
    return fold(model), answers


def train(r, root, cached, start, out, candidates=None, minutes=None, steps=None, eyes=None):
    s = {**r["fuse"]["all"], **r.get("tune", {}), **(r["risk"] if candidates else {})}
    torch.manual_seed(r["seed"]), random.seed(r["seed"])
    model, answers = start_from(r, start, eyes)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    tokenizer = Tokenizer.from_file(pretrained.minilm_vocab() if r["pretrained"] else r["vocab"])
    pictures = Pictures(cached, model.config, set())
    corpus = fuse.Corpus(root, pictures, tokenizer, model.config, answers, "sentence" in s["tasks"] and not candidates,
                         r.get("least_uses", 1))
    pictures.mirrored = {i[0] for part in (corpus.captions, corpus.questions) for i in part["train"]}
    model = model.to(memory_format=torch.channels_last)
    tuner, run = Tuner(model, corpus, s, pictures), common.Run(out, minutes, steps)
    for part in (model.tee.bifpn, model.tee.rpn):
        part.requires_grad_(s["lr_eyes"] > 0)
    if not s["lr_eyes"]:
        model.tee.backbone.requires_grad_(False)
    opt = common.optimiser([(model.fusion, s["lr"]), (model.heads, s["lr"]), (model.tee.roi, s["lr_roi"]),
                            (model.tee.bifpn, s["lr_eyes"]), (model.tee.rpn, s["lr_eyes"]), (model.tee.backbone, s["lr_eyes"] / 4)])
    average = common.Average(model, s["average"])
    state = run.resume()
    if state:
        model.load_state_dict(state["model"]), opt.load_state_dict(state["opt"])
        average.state, average.count = state["average"], 1000
    with late.cast(tuner.eyes.half):
        if candidates:
            risk.loop(r, s, run, tuner, opt, average, risk.Candidates(candidates, corpus).items)
        else:
            fuse.loop(r, s, run, tuner, opt, average)
    final = risk.blend(before, average.state, s["blend"]) if candidates else average.state
    torch.save({"model": final, "answers": answers, "vocabulary": corpus.vocabulary}, pathlib.Path(out) / "final.pt")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--recipe", required=True)
    p.add_argument("--data", required=True)
    p.add_argument("--cache", required=True, help="folder of images.npy (cache.py)")
    p.add_argument("--start", required=True, help="final.pt of stage 3, or a model directory")
    p.add_argument("--out", required=True)
    p.add_argument("--risk", metavar="CANDIDATES", help="minimum risk on this file of risk.py")
    p.add_argument("--tee", help="tee.pt of a later run of stage 1: its eyes in place of those of --start")
    p.add_argument("--minutes", type=float)
    args = p.parse_args()
    r = recipe.load(args.recipe)
    recipe.prepare(r)
    s = r["risk"] if args.risk else r["tune"]
    train(r, args.data, args.cache, args.start, args.out, args.risk, args.minutes or s.get("minutes"), s.get("steps"), args.tee)


if __name__ == "__main__":
    main()
