"""Work that training would repeat every epoch, done once: photographs decoded to one square size, and what the frozen
half of the backbone makes of them.

A cache folder holds
    images.npy   [N, size, size, 3] uint8       images.json   {"files": [N], "sizes": [[width, height], ..]}
    P2.npy, P3.npy, P4.npy, P5.npy   [N, h, w, c] float16, and flip_P*.npy of the mirrored pictures
Arrays are memory-mapped, so a cache may be larger than memory. Half precision is enough: nothing is trained below."""
import argparse
import json
import pathlib
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
from minivlm import image
from minivlm.backbone import Backbone
from minivlm.conv import fold

from train import pretrained, recipe

LEVELS = ("P2", "P3", "P4", "P5")


def decode(job):
    """(path, size) -> the picture squashed to a square, and its own size; the same resize as the engine's."""
    path, size = job
    picture = image.load(path)
    return np.asarray(image.resize(picture, size, size)), picture.size


def build_images(root: pathlib.Path, files: list[str], out: pathlib.Path, size: int, workers: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    pixels = np.lib.format.open_memmap(out / "images.npy", "w+", np.uint8, (len(files), size, size, 3))
    sizes = []
    with ProcessPoolExecutor(workers) as pool:
        for n, (picture, own) in enumerate(pool.map(decode, ((root / f, size) for f in files), chunksize=64)):
            pixels[n] = picture
            sizes.append(own)
    pixels.flush()
    (out / "images.json").write_text(json.dumps({"files": files, "sizes": sizes}))


class Images:
    """The decoded pictures and their index by file name."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        index = json.loads((folder / "images.json").read_text())
        self.files, self.sizes = index["files"], index["sizes"]
        self.row = {name: n for n, name in enumerate(self.files)}
        self.pixels = np.load(folder / "images.npy", mmap_mode="r")

    def __len__(self):
        return len(self.files)


def normalise(pixels: np.ndarray, mean, std):  # [B, s, s, 3] uint8 -> [B, 3, s, s]
    x = torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).to(torch.get_default_device()).float() / 255
    x = (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    return x.contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def build_taps(backbone, images: Images, out: pathlib.Path, mean, std, flip=False, batch=32, compiled=True) -> None:
    """P2..P5 of every picture. `backbone` is in eval mode and folded."""
    run = torch.compile(backbone) if compiled else backbone
    maps, started = None, time.time()
    for first in range(0, len(images), batch):
        pixels = images.pixels[first:first + batch]
        short = batch - len(pixels)
        pixels = np.concatenate([pixels, np.repeat(pixels[-1:], short, 0)]) if short else pixels
        taps = run(normalise(pixels[:, :, ::-1] if flip else pixels, mean, std))
        taps = [t.permute(0, 2, 3, 1).half().numpy()[:batch - short] for t in taps]  # [B, h, w, c]
        if maps is None:
            maps = [np.lib.format.open_memmap(out / f"{'flip_' if flip else ''}{name}.npy", "w+", np.float16,
                                              (len(images), *t.shape[1:])) for name, t in zip(LEVELS, taps)]
        for array, tap in zip(maps, taps):
            array[first:first + batch] = tap
        if first // batch % 50 == 0:
            print(f"taps {first}/{len(images)} {first / (time.time() - started):.0f} pictures/s", flush=True)


class Taps:
    """Random access to the cached maps, mirrored or not."""

    def __init__(self, folder, flips=True):
        folder = pathlib.Path(folder)
        self.maps = [[np.load(folder / f"{side}{name}.npy", mmap_mode="r") for name in LEVELS]
                     for side in (("", "flip_") if flips else ("",))]

    def batch(self, rows, flips, levels=(0, 1, 2, 3)):
        """Rows and 0/1 flips -> for each level [B, c, h, w] in channels-last order."""
        out = []
        for level in levels:
            maps = np.stack([self.maps[f][level][r] for r, f in zip(rows, flips)])
            out.append(torch.from_numpy(maps).permute(0, 3, 1, 2).to(torch.get_default_device()).float())
        return out


class LiveTaps:
    """The same maps computed at every visit, for data too large to cache and a device fast enough not to need it."""

    def __init__(self, folder, backbone, mean, std):
        self.images, self.mean, self.std = Images(folder), mean, std
        self.backbone = backbone.to(torch.get_default_device()).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def batch(self, rows, flips, levels=(0, 1, 2, 3)):
        pixels = np.stack([self.images.pixels[r][:, ::-1] if f else self.images.pixels[r] for r, f in zip(rows, flips)])
        taps = self.backbone(normalise(pixels, self.mean, self.std))
        return [taps[level] for level in levels]


def first_backbone(r: dict) -> Backbone:
    """The recipe's backbone as training finds it: pretrained, or (smoke runs) always the same chance weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(r["seed"])
        backbone = Backbone(recipe.model_config(r, answers=1).backbone)
    if r["pretrained"]:
        pretrained.load_lite0(backbone)
    return backbone.eval()


def frozen_backbone(r: dict) -> Backbone:
    return fold(first_backbone(r))


def is_live(r: dict) -> bool:
    """Whether maps are made at every visit: told so, or because the backbone learns."""
    return r.get("live", False) or r["tee"].get("frozen") is not None


def open_taps(r: dict, folder, backbone=None):
    """`backbone`: one that has learned; None: the frozen one."""
    if is_live(r):
        c = recipe.model_config(r, answers=1).image
        return LiveTaps(folder, backbone or frozen_backbone(r), c.mean, c.std)
    return Taps(folder)


def build(r: dict, root, out, files=None, flips=(False, True), workers=2, compiled=True, maps=True) -> None:
    """The whole cache. `files` None: only the taps, of the pictures already there; `maps` False: only the pictures."""
    config = recipe.model_config(r, answers=1)
    if files is not None:
        build_images(pathlib.Path(root), files, pathlib.Path(out), config.image.size, workers)
    if is_live(r) or not maps:
        return
    backbone = frozen_backbone(r).to(memory_format=torch.channels_last)
    for flip in flips:
        build_taps(backbone, Images(out), pathlib.Path(out), config.image.mean, config.image.std, flip, compiled=compiled)


def list_files(root, sets) -> list[str]:
    """All pictures of the sets; COCO's lie in folders of their own below "images"."""
    root = pathlib.Path(root)
    return [str(f.relative_to(root)) for s in sets if (root / s / "images").is_dir()
            for f in sorted((root / s / "images").rglob("*")) if f.is_file()]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--recipe", required=True)
    p.add_argument("--data", required=True, help="folder of the data sets")
    p.add_argument("--cache", required=True, help="folder to write")
    p.add_argument("--workers", type=int, default=2)
    p.add_argument("--sets", nargs="+", default=["flickr8k", "coco", "daquar", "voc_subset5"],
                   help="sub-folders of --data, pictures below SET/images")
    args = p.parse_args()
    r = recipe.load(args.recipe)
    recipe.prepare(r)
    build(r, args.data, args.cache, list_files(args.data, args.sets), workers=args.workers)


if __name__ == "__main__":
    main()
