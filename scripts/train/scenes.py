"""Stage 2: what the model sees of every picture, kept once: the grid of cells, and what the trained TEE finds.

Training pictures are kept in several views: 0 as they are, 1 mirrored, and `views` more (the recipe's "scenes" section),
each cropped, stretched and lit by chance, those of odd numbers mirrored. With `bytes` the eyes round as the engine's do
that multiply in 8 bits, so that the fusion learns from what it will be served.

Files in the folder, [N, ...] each, of view 1 with "flip_" before the name, of later ones with "view2_", "view3_", ...:
    cells.npy [h * w, c] f16, flip_cells.npy           the map that enters the convolution of the cells
    features.npy [R, H] f16, boxes.npy [R, 4] f32      the kept regions, where the fusion sees any; flip_...
    scores.npy [R], classes.npy [R], counts.npy        of the kept regions, for the tags
    scenes.json {"files": [N], "mirrored": [..], "size": side of the square}"""
import argparse
import itertools
import json
import pathlib
import random
import time

import numpy as np
import torch
from minivlm import MiniVLM, quantised, tee
from minivlm.cells import STRIDE, grid

from train import data, late, recipe
from train.build import with_eyes
from train.cache import Images, normalise


def wanted_files(root, images: Images, bare=False):
    """-> pictures that have captions or questions; those of them that are trained on, to be kept in all views. `bare`: those
    too that have neither and may be learned from."""
    records = data.captions(root) + data.questions(root)
    files = {r.image for r in records if r.split in ("train", "val", "test")}
    learned = {r.image for r in records if r.split == "train"}
    more = set(images.files) - files - data.held(root) if bare else set()
    return [f for f in images.files if f in files | more], learned | more


CROP = 0.84  # of a view: smallest share of a side


def prefix(view: int) -> str:
    return ("", "flip_")[view] if view < 2 else f"view{view}_"


class Writer:
    def __init__(self, model: MiniVLM, files, out):
        self.c, self.files, self.out = model.config, files, pathlib.Path(out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.arrays: dict[str, np.ndarray] = {}

    def put(self, name: str, row: int, values) -> None:
        values = values.cpu().numpy()
        if name not in self.arrays:
            most = () if not values.ndim else (self.c.roi.max_regions if "cells" not in name else len(values),)
            kind = np.float16 if name.endswith(("cells", "features")) else values.dtype
            self.arrays[name] = np.lib.format.open_memmap(self.out / f"{name}.npy", "w+", kind,
                                                          (len(self.files), *most, *values.shape[1:]))
        if values.ndim:
            self.arrays[name][row, :len(values)] = values
        else:
            self.arrays[name][row] = values

    def scene(self, row: int, side: str, cells, found) -> None:
        self.put(f"{side}cells", row, cells)
        if self.c.context.regions:
            self.put(f"{side}features", row, found.features)
            self.put(f"{side}boxes", row, found.boxes)
        if not side:
            for name in ("scores", "classes"):
                self.put(name, row, getattr(found, name))
            self.put("counts", row, torch.tensor(len(found.scores)))


def view_of(x, view: int):  # [B, 3, s, s] -> the same, as the view has them
    x = x.flip(3) if view % 2 else x
    return late.varied(x, late.windows(len(x), CROP)) if view > 1 else x


@torch.inference_mode()
def build(model: MiniVLM, images: Images, files, out, mirrored=None, batch=16, compiled=True, views=0, in_bytes=None):
    """`model`: folded, with the eyes of the stages before. `mirrored`: the files to keep in all views; None: all. `views`: how many
    beside the plain and the mirrored one. `in_bytes`: the model directory of the eyes, whose 8 bits they are to have."""
    c, writer, started = model.config, Writer(model, files, out), time.time()
    mirrored = set(files) if mirrored is None else mirrored & set(files)

    def look(pixels):
        taps, entry = model.look(pixels)
        cells = model.cells.last_map(entry).flatten(2).transpose(1, 2)
        return model.tee.bifpn(taps), quantised.rows(cells) if in_bytes else cells

    if in_bytes:
        quantised.apply_eyes(model, in_bytes)
    see = torch.compile(look) if compiled else look
    for view in range(2 + views):
        chosen = [n for n, f in enumerate(files) if not view or f in mirrored]
        for first in range(0, len(chosen), batch):
            part = chosen[first:first + batch]
            full = part + part[-1:] * (batch - len(part))  # one shape, one compilation
            pixels = normalise(images.pixels[[images.row[files[n]] for n in full]], c.image.mean, c.image.std)
            pyramid, cells = see(view_of(pixels, view).contiguous(memory_format=torch.channels_last))
            found = model.tee.detect(pyramid, [(c.image.size, c.image.size)] * batch)
            for n, grid_, d in zip(part, cells, found):
                writer.scene(n, prefix(view), grid_, d.regions)
            if first // batch % 50 == 0:
                print(f"scenes {view} {first}/{len(chosen)} {time.time() - started:.0f} s", flush=True)
    index = {"files": files, "mirrored": sorted(mirrored), "size": c.image.size}
    (writer.out / "scenes.json").write_text(json.dumps(index))


class Scenes:
    """Batches of what the fusion sees, by the model's `context`. With a GPU all of it lies in its memory."""

    def __init__(self, folder, model_config, tag_ids):
        """`tag_ids`: labels -> token ids (MiniVLM.tag_ids)."""
        folder, self.c, self.tag_ids = pathlib.Path(folder), model_config, tag_ids
        index = json.loads((folder / "scenes.json").read_text())
        self.files, self.size, self.mirrored = index["files"], index["size"], set(index["mirrored"])
        self.row = {f: n for n, f in enumerate(self.files)}
        names = ["cells"] + ["features", "boxes"] * bool(self.c.context.regions)
        there = itertools.takewhile(lambda view: (folder / f"{prefix(view)}cells.npy").exists(), itertools.count())
        self.views = [{n: self._open(folder / f"{prefix(view)}{n}.npy") for n in names} for view in there]
        self.scores, self.classes, self.counts = (np.load(folder / f"{n}.npy") for n in ("scores", "classes", "counts"))
        place = grid((self.size, self.size), STRIDE * self.c.context.pool).flatten(0, 1)
        self.places = tee.geometry(place, (self.size, self.size))  # [m, 6]
        self.tags: dict[int, list[int]] = {}

    def any_views(self, files) -> list[int]:
        """A view by chance of each picture that is kept in several, 0 of the others; the same for all its appearances in a batch.
        Odd ones are mirrored."""
        chosen = {f: random.randrange(len(self.views)) if f in self.mirrored else 0 for f in files}
        return [chosen[f] for f in files]

    def cells(self, files, views, finish):  # -> [B, m, channels + 6]; finish: that of the model's cells
        side = self.size // STRIDE
        x = self._pick("cells", files, views).transpose(1, 2).unflatten(2, (side, side))  # [B, c, h, w]
        x = finish(x).flatten(2).transpose(1, 2)
        return torch.cat((x, self.places.to(x).expand(len(x), -1, -1)), -1)

    def regions(self, files, views):  # -> [B, n, H + 6] and valid [B, n]; None twice where the fusion sees none
        most = self.c.context.regions
        if not most:
            return None, None
        geometry = tee.geometry(self._pick("boxes", files, views)[:, :most], (self.size, self.size))
        counts = torch.tensor([int(self.counts[self.row[f]]) for f in files])
        x = torch.cat((self._pick("features", files, views)[:, :most], geometry), -1)
        return x, torch.arange(x.shape[1])[None] < counts[:, None]

    def tags_of(self, file, names) -> list[int]:
        """`names`: of the classes, from 1."""
        row = self.row[file]
        if row not in self.tags:
            sure = self.scores[row, :self.counts[row]] >= self.c.text.tag_threshold
            self.tags[row] = self.tag_ids([names[k - 1] for k in self.classes[row, :self.counts[row]][sure].tolist()])
        return self.tags[row]

    @staticmethod
    def _open(file):
        device = torch.get_default_device()
        return np.load(file, mmap_mode="r") if device.type == "cpu" else torch.from_numpy(np.load(file)).to(device)

    def _pick(self, name, files, views):
        rows = [self.views[view][name][self.row[f]] for f, view in zip(files, views)]
        return torch.from_numpy(np.stack(rows)).float() if isinstance(rows[0], np.ndarray) else torch.stack(rows).float()

    def means(self, files):
        """The map of each picture, averaged over its places and scaled to length 1, on the CPU -> [N, c]"""
        maps = self.views[0]["cells"]
        rows = [torch.as_tensor(np.array(m) if isinstance(m, np.ndarray) else m, device="cpu").float().mean(0)
                for m in (maps[self.row[f]] for f in files)]
        return torch.nn.functional.normalize(torch.stack(rows), dim=1)


def wants_bare(r: dict) -> bool:
    """Whether a stage learns from pictures that nobody has described (teach.py)."""
    return any(s.get("machine") or s.get("borrowed") for s in r["fuse"].values())


def settings(r: dict, eyes) -> dict:
    """What the recipe says of this stage, as arguments of build. Eyes are in bytes where a model directory brings them so."""
    s = r.get("scenes", {})
    return {"views": s.get("views", 0), "in_bytes": eyes if s.get("bytes") and pathlib.Path(eyes).is_dir() else None}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--recipe", required=True)
    p.add_argument("--data", required=True)
    p.add_argument("--cache", required=True)
    p.add_argument("--start", required=True, help="tee.pt of the first stage, or a model directory: whose eyes see")
    p.add_argument("--out", required=True)
    args = p.parse_args()
    r = recipe.load(args.recipe)
    recipe.prepare(r)
    images = Images(args.cache)
    files, mirrored = wanted_files(args.data, images, wants_bare(r))
    build(with_eyes(r, args.start), images, files, args.out, mirrored, **settings(r, args.start))


if __name__ == "__main__":
    main()
