#!/usr/bin/env python3
"""Compares the decoders with Pillow on folders of public test pictures.

    suites.py --tool build/release/tests/decode_to_ppm [--log FILE] FOLDER...

Each folder is a suite, read with all below it; a file counts by the end of its name. A row of the
table for each: files, equal within 2 levels, both refuse, only minivlm, only Pillow, differ. The log has a line for
each file that is not equal: what both say, or by how much they differ, and the share of values
that do.

Needs Pillow, pillow-heif and numpy (versions in requirements-reference.txt), and the program decode_to_ppm (tests/tools), which
writes what the decoders make of a file. Pictures are not part of this project: PngSuite, exif-samples and the test
pictures of libjpeg-turbo, libwebp, Pillow, libtiff and libheif come with their sources."""
import argparse
import pathlib
import subprocess
import sys
import warnings

import numpy as np
import pillow_heif
from PIL import Image, ImageOps

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from images.case import on_white

LEVELS = 2
COLUMNS = ("equal", "both refuse", "only minivlm", "only Pillow", "differ")
KINDS = ("JPEG", "PNG", "WEBP", "GIF", "HEIF", "AVIF", "TIFF")
SUFFIXES = {".jpg", ".jpeg", ".jfif", ".png", ".apng", ".webp", ".gif", ".heic", ".heif", ".avif", ".tif", ".tiff"}


def by_pillow(path: pathlib.Path) -> np.ndarray | str:
    """Upright RGB on white, or why not."""
    try:
        with Image.open(path, formats=KINDS) as opened:
            opened.load()
            picture = ImageOps.exif_transpose(opened)
        if picture.mode.startswith("I;16"):
            return np.repeat((np.asarray(picture) >> 8).astype(np.uint8)[..., None], 3, 2)
        if picture.mode in ("I", "F"):
            return f"mode {picture.mode}"
        if "A" in picture.getbands() or "a" in picture.getbands() or "transparency" in picture.info:
            return on_white(np.asarray(picture.convert("RGBA")))
        return np.asarray(picture.convert("RGB"))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def by_minivlm(tool: str, path: pathlib.Path) -> np.ndarray | str:
    try:
        done = subprocess.run([tool, str(path)], capture_output=True, check=False, timeout=120)
    except subprocess.TimeoutExpired:
        return "took more than 120 s"
    if done.returncode != 0:
        return done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
    kind, size, most, body = done.stdout.split(b"\n", 3)
    width, height = map(int, size.split())
    assert kind == b"P6" and most == b"255"
    return np.frombuffer(body, np.uint8).reshape(height, width, 3)


def compare(path: pathlib.Path, tool: str) -> tuple[str, str]:
    """Column and line for the log."""
    ours, theirs = by_minivlm(tool, path), by_pillow(path)
    if isinstance(ours, str) and isinstance(theirs, str):
        return "both refuse", f"minivlm: {ours}; Pillow: {theirs}"
    if isinstance(ours, str):
        return "only Pillow", f"minivlm: {ours}"
    if isinstance(theirs, str):
        return "only minivlm", f"Pillow: {theirs}"
    if ours.shape != theirs.shape:
        return "differ", f"{ours.shape[1]}x{ours.shape[0]}, Pillow {theirs.shape[1]}x{theirs.shape[0]}"
    difference = np.abs(ours.astype(np.int16) - theirs)
    if difference.max(initial=0) <= LEVELS:
        return "equal", ""
    return "differ", f"by up to {difference.max()}, {100 * (difference > LEVELS).mean():.2f} % of the values"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tool", required=True, help="the program decode_to_ppm")
    parser.add_argument("--log", type=argparse.FileType("w"), default=None)
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    Image.init()
    Image.MAX_IMAGE_PIXELS = 60_000_000
    pillow_heif.register_heif_opener()
    print(f"{'suite':24} {'files':>6} " + " ".join(f"{c:>12}" for c in COLUMNS))
    for folder in arguments.folders:
        counts = dict.fromkeys(COLUMNS, 0)
        paths = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in SUFFIXES and p.is_file()]
        for path in paths:
            column, told = compare(path, arguments.tool)
            counts[column] += 1
            if arguments.log and column != "equal":
                print(f"{path.relative_to(folder.parent)}\t{column}\t{told}", file=arguments.log, flush=True)
        print(f"{folder.name:24} {len(paths):6} " + " ".join(f"{counts[c]:12}" for c in COLUMNS), flush=True)


if __name__ == "__main__":
    main()
