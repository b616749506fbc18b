#!/usr/bin/env python3
"""Makes the test images of the decoders and what must come out of them.

    make_image_golden.py          writes tests/data/images/codec and tests/data/resize.inc again

Every picture is made of formulas: our own work, CC0. What Pillow says they look like is the golden result:

    codec/NAME                    the file under test
    codec/expected/NAME.png       a lossy file's pixels as Pillow decodes them (compared with a tolerance)
    codec/table.inc               IMAGE_ROW(file, err, format, width, height, orientation, progressive, warnings, sha)
                                  sha: first 16 hex digits of SHA-256 of the upright RGB pixels; "" where lossy
    resize.inc                    RESIZE_ROW(width, height, to width, to height, sha) of noise resized by Pillow

Needs Pillow, pillow-heif and numpy (versions in requirements-reference.txt)."""
import hashlib
import io
import pathlib
import shutil
import warnings

import numpy as np
from golden import pictures
from images import broken, gifs, heifs, jpegs, pngs, tiffs, webps
from images.case import Case
from PIL import Image

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests/data"

RESIZES = [(1, 1, 1, 1), (1, 1, 7, 5), (2, 2, 1, 1), (3, 2, 64, 85), (64, 64, 65, 65), (65, 65, 64, 64), (63, 65, 64, 64),
           (7, 9, 8, 8), (8, 8, 8, 8), (8, 8, 8, 3), (8, 8, 3, 8), (100, 75, 100, 40), (100, 75, 40, 75), (1, 100, 30, 20),
           (100, 1, 30, 20), (120, 90, 85, 64), (75, 110, 256, 256), (255, 257, 256, 256), (256, 256, 256, 256),
           (640, 480, 256, 256), (480, 640, 256, 256), (641, 479, 255, 257), (640, 480, 682, 512), (333, 500, 512, 768),
           (500, 333, 1, 1), (1200, 400, 1333, 444), (1000, 999, 999, 1000), (2048, 1536, 256, 256), (31, 17, 500, 3),
           (17, 31, 3, 500), (1, 20000, 64, 256), (20000, 1, 256, 64), (65535, 2, 25, 16), (2, 65535, 16, 25),
           (65535, 1, 1, 1), (13, 11, 700, 500)]


def noise(width: int, height: int) -> np.ndarray:
    """The same bytes as in tests/unit/engine/image/test_resize.c: the top byte of a multiplied index."""
    index = np.arange(width * height * 3, dtype=np.uint32)
    return ((index * np.uint32(2654435761)) >> np.uint32(24)).astype(np.uint8).reshape(height, width, 3)


def sha(pixels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()[:16]


def write_resizes() -> None:
    rows = []
    for width, height, to_width, to_height in RESIZES:
        across = Image.fromarray(noise(width, height)).resize((to_width, height), Image.Resampling.BILINEAR)
        result = across.resize((to_width, to_height), Image.Resampling.BILINEAR)
        rows.append(f'RESIZE_ROW({width}, {height}, {to_width}, {to_height}, "{sha(np.asarray(result))}")\n')
    (DATA / "resize.inc").write_text("/* Made by scripts/make_image_golden.py. */\n" + "".join(rows))


def write_case(case: Case, directory: pathlib.Path) -> str:
    (directory / case.name).write_bytes(case.data)
    if case.error:
        return f'IMAGE_ROW("{case.name}", {case.error}, 0, 0, 0, 0, 0, 0, "")\n'
    pixels, digest = case.pixels, ""
    if case.is_lossy:
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG", optimize=True)
        (directory / "expected" / f"{case.name}.png").write_bytes(out.getvalue())
    else:
        digest = sha(pixels)
    height, width, _ = pixels.shape
    return (f'IMAGE_ROW("{case.name}", OK, {case.format}, {width}, {height}, {case.orientation}, {int(case.progressive)}, '
            f'{" | ".join(case.warnings) or 0}, "{digest}")\n')


def main() -> None:
    warnings.simplefilter("ignore")  # Pillow complains about the odd EXIF blocks, as it should
    directory = DATA / "images/codec"
    picture = np.asarray(pictures.draw(45, 34, 0))
    cases = [c for kind in (jpegs, pngs, webps, gifs, heifs, tiffs, broken) for c in kind.cases(picture)]
    names = [c.name for c in cases]
    assert len(set(names)) == len(names)
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "expected").mkdir(parents=True)
    rows = [write_case(c, directory) for c in sorted(cases, key=lambda c: c.name)]
    (directory / "table.inc").write_text("/* Made by scripts/make_image_golden.py. */\n" + "".join(rows))
    write_resizes()
    size = sum(f.stat().st_size for f in directory.rglob("*") if f.is_file())
    print(f"{len(cases)} images, {size} bytes; {len(RESIZES)} resizes")


if __name__ == "__main__":
    main()
