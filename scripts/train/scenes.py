"""Stage 2: what the trained TEE sees of every picture, kept once.

For each picture (and its mirror image) the kept regions with their pooled 4 x 4 maps, not the finished features: fc6 and
fc7 go on learning with the fusion, and the class and box layers learn to say about the new features what they said about
the old ones, so that the choice of regions stays. Files in the folder:
    aligned.npy [N, 2, R, C * 16] f16   boxes.npy [N, 2, R, 4] f32   logits.npy [N, 2, R, K] f16   deltas.npy [N, 2, R, 4]
    counts.npy [N, 2]   scenes.json {"files": [N]}"""
import argparse
import json
import pathlib
import random
import time

import numpy as np
import torch

from minivlm.tee import Tee
from train import data, recipe
from train.cache import Images, open_taps
from train.tee import load


@torch.inference_mode()
def see(tee: Tee, bifpn, taps, size: int):
    """-> for each picture (aligned [n, C * 16], Regions, logits, deltas) of its kept regions."""
    pyramid = bifpn(taps)
    out = []
    for d in tee.detect(pyramid, [(size, size)] * len(taps[0])):
        rows = d.regions.proposals
        out.append((d.aligned[rows], d.regions, d.logits[rows], d.deltas[rows]))
    return out


def wanted_files(root, images: Images):
    """-> pictures that have captions or questions; those of them that are trained on, to be kept mirrored too."""
    records = data.captions(root) + data.questions(root)
    files = {r.image for r in records if r.split in ("train", "val", "test")}
    return [f for f in images.files if f in files], {r.image for r in records if r.split == "train"}


def build(tee: Tee, images: Images, taps, files, out, size: int, regions: int, mirrored=None, batch=16, compiled=True):
    """`mirrored`: the files to keep mirrored too; None: all."""
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    channels = tee.roi.fc6.in_features
    classes = tee.roi.cls.out_features

    def array(name, shape, kind):
        return np.lib.format.open_memmap(out / name, "w+", kind, (len(files), 2, *shape))

    aligned, logits = array("aligned.npy", (regions, channels), np.float16), array("logits.npy", (regions, classes), np.float16)
    boxes, deltas = array("boxes.npy", (regions, 4), np.float32), array("deltas.npy", (regions, 4), np.float32)
    counts, started = array("counts.npy", (), np.int64), time.time()
    bifpn = torch.compile(tee.bifpn) if compiled else tee.bifpn
    for flip in (0, 1):
        chosen = [n for n, f in enumerate(files) if not flip or mirrored is None or f in mirrored]
        for first in range(0, len(chosen), batch):
            part = chosen[first:first + batch]
            full = part + part[-1:] * (batch - len(part))  # one shape, one compilation
            seen = see(tee, bifpn, taps.batch([images.row[files[n]] for n in full], [flip] * batch), size)
            for n, (maps, kept, k, d) in zip(part, seen):
                m = len(maps)
                aligned[n, flip, :m], logits[n, flip, :m] = maps.half().cpu().numpy(), k.half().cpu().numpy()
                boxes[n, flip, :m], deltas[n, flip, :m] = kept.boxes.cpu().numpy(), d.cpu().numpy()
                counts[n, flip] = m
            if first // batch % 50 == 0:
                print(f"scenes {flip} {first}/{len(chosen)} {time.time() - started:.0f} s", flush=True)
    (out / "scenes.json").write_text(json.dumps({"files": files, "size": size}))


class Scenes:
    def __init__(self, folder):
        folder = pathlib.Path(folder)
        index = json.loads((folder / "scenes.json").read_text())
        self.files, self.size = index["files"], index["size"]
        self.row = {f: n for n, f in enumerate(self.files)}
        self.aligned, self.boxes, self.logits, self.deltas = (
            np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("aligned", "boxes", "logits", "deltas"))
        self.counts = np.load(folder / "counts.npy")

    def flips(self, files) -> list[int]:
        """A coin for each picture that is kept mirrored, 0 for the others."""
        return [random.randint(0, 1) if self.counts[self.row[f], 1] else 0 for f in files]

    def batch(self, files, flips):
        """-> aligned [B, R, C * 16], geometry [B, R, 6], valid [B, R], logits [B, R, K], deltas [B, R, 4]"""
        rows = [self.row[f] for f in files]

        def pick(array):
            values = np.stack([array[r, f] for r, f in zip(rows, flips)])
            return torch.from_numpy(values).to(torch.get_default_device()).float()

        boxes = pick(self.boxes) / self.size
        x0, y0, x1, y1 = boxes.unbind(-1)
        geometry = torch.stack((x0, y0, x1, y1, x1 - x0, y1 - y0), -1)
        counts = torch.tensor([self.counts[r, f] for r, f in zip(rows, flips)])
        valid = torch.arange(boxes.shape[1])[None] < counts[:, None]
        return pick(self.aligned), geometry, valid, pick(self.logits), pick(self.deltas)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--recipe", required=True)
    p.add_argument("--data", required=True)
    p.add_argument("--cache", required=True)
    p.add_argument("--tee", required=True, help="tee.pt of the first stage")
    p.add_argument("--out", required=True)
    args = p.parse_args()
    r = recipe.load(args.recipe)
    recipe.prepare(r)
    config, tee = recipe.model_config(r, answers=1), load(r, args.tee)
    images = Images(args.cache)
    files, mirrored = wanted_files(args.data, images)
    build(tee, images, open_taps(r, args.cache, tee.backbone), files, args.out, config.image.size, config.roi.max_regions, mirrored)


if __name__ == "__main__":
    main()
