"""GIF files: the first picture on its canvas. Whole files are Pillow's, the odd ones are put together here."""
import struct

import numpy as np
from PIL import Image

from .case import Case, decode, save, turned

ALPHA, ANIMATION = "IMAGE_WARN_ALPHA", "IMAGE_WARN_ANIMATION"
COLORS = bytes([255, 255, 255, 0, 0, 0, 200, 30, 30, 20, 90, 220])


def blocks(data: bytes) -> bytes:
    return b"".join(bytes([len(data[i:i + 255])]) + data[i:i + 255] for i in range(0, len(data), 255)) + b"\0"


def lzw(indices: list[int]) -> bytes:
    """Without compression: two bits an index, each preceded by the clear code often enough that codes keep three bits."""
    codes = []
    for i, index in enumerate(indices):
        codes += ([4] if i % 2 == 0 else []) + [index]
    codes.append(5)
    number = sum(code << (3 * i) for i, code in enumerate(codes))
    return b"\2" + blocks(number.to_bytes((3 * len(codes) + 7) // 8, "little"))


def xmp(text: bytes) -> bytes:
    """A packet as it is, not in blocks, and an end that leads out of it wherever a reader of blocks enters."""
    return b"\x21\xff\x0bXMP DataXMP<rdf " + text + b"/>\x01" + bytes(range(255, -1, -1)) + b"\0"


def control(transparent: int | None) -> bytes:
    return b"\x21\xf9\4" + bytes([transparent is not None, 10, 0, transparent or 0, 0])


def picture(x: int, y: int, width: int, height: int, data: bytes | None = None, flags: int = 0, colors: bytes = b"") -> bytes:
    data = data if data is not None else lzw([(i + i // width) % 4 for i in range(width * height)])
    return b"\x2c" + struct.pack("<HHHHB", x, y, width, height, flags) + colors + data


def file(width: int, height: int, *parts: bytes, colors: bytes = COLORS) -> bytes:
    return (b"GIF89a" + struct.pack("<HHBBB", width, height, 0x81 if colors else 0, 0, 0) + colors + b"".join(parts) + b"\x3b")


def pixels(width: int, height: int, x: int, y: int, w: int, h: int, transparent: int | None = None) -> np.ndarray:
    out = np.full((height, width, 3), 255, np.uint8)
    table = np.frombuffer(COLORS, np.uint8).reshape(4, 3).copy()
    if transparent is not None:
        table[transparent] = 255
    index = np.array([(i + i // w) % 4 for i in range(w * h)]).reshape(h, w)
    out[y:y + h, x:x + w] = table[index]
    return out


def case(name: str, data: bytes, expected: np.ndarray, **about) -> Case:
    return Case(name, data, "IMAGE_GIF", pixels=expected, **about)


def cases(rgb: np.ndarray) -> list[Case]:
    image = Image.fromarray(rgb[:20, :27])
    height, width, _ = rgb[:20, :27].shape
    y, x = np.mgrid[0:height, 0:width]
    alpha = np.where((x + y) % 5 == 0, 0, 255).astype(np.uint8)[..., None]
    clear = save(Image.fromarray(np.concatenate((rgb[:20, :27], alpha), 2)), "GIF")
    plain, interlaced = save(image, "GIF", interlace=0), save(image, "GIF", interlace=1)
    animated = save(image, "GIF", save_all=True, append_images=[image.rotate(180)])
    comment = b"\x21\xfe" + blocks(b"no picture " * 60)
    return [
        case("plain.gif", plain, decode(plain)),
        case("interlaced.gif", interlaced, decode(interlaced)),
        case("transparent.gif", clear, decode(clear), warnings=[ALPHA]),
        case("animated.gif", animated, decode(animated), warnings=[ANIMATION]),
        case("part.gif", file(9, 7, picture(3, 2, 5, 4)), pixels(9, 7, 3, 2, 5, 4), warnings=[ALPHA]),
        case("part-clear.gif", file(9, 7, control(2), picture(3, 2, 5, 4)), pixels(9, 7, 3, 2, 5, 4, 2), warnings=[ALPHA]),
        case("outside.gif", file(4, 3, picture(2, 1, 5, 4)), pixels(7, 5, 2, 1, 5, 4), warnings=[ALPHA]),
        case("no-canvas.gif", file(0, 0, picture(0, 0, 5, 4)), pixels(5, 4, 0, 0, 5, 4)),
        case("comment.gif", file(5, 4, comment, control(None), comment, picture(0, 0, 5, 4)), pixels(5, 4, 0, 0, 5, 4)),
        case("own-colors.gif", file(5, 4, picture(0, 0, 5, 4, flags=0x81, colors=COLORS), colors=b""), pixels(5, 4, 0, 0, 5, 4)),
        case("no-colors.gif", file(5, 4, picture(0, 0, 5, 4), colors=b""), np.zeros((4, 5, 3), np.uint8)),
        case("no-end.gif", file(5, 4, picture(0, 0, 5, 4))[:-2], pixels(5, 4, 0, 0, 5, 4)),
        case("second-cut.gif", file(5, 4, picture(0, 0, 5, 4), picture(0, 0, 5, 4))[:-20], pixels(5, 4, 0, 0, 5, 4),
             warnings=[ANIMATION]),
        case("xmp.gif", file(5, 4, xmp(b"tiff:Orientation='6'"), picture(1, 0, 4, 4)),
             turned(pixels(5, 4, 1, 0, 4, 4), 6), orientation=6, warnings=[ALPHA, "IMAGE_WARN_ROTATED_XMP"]),
        case("one-pixel.gif", file(1, 1, picture(0, 0, 1, 1)), pixels(1, 1, 0, 0, 1, 1)),
    ]


def broken() -> dict[str, tuple[str, bytes]]:
    good = file(30, 40, picture(0, 0, 30, 40))
    return {
        "truncated.gif": ("ERR_CORRUPT_IMAGE", good[:200]),
        "signature-only.gif": ("ERR_CORRUPT_IMAGE", good[:6]),
        "header-only.gif": ("ERR_CORRUPT_IMAGE", good[:25]),
        "no-picture.gif": ("ERR_CORRUPT_IMAGE", file(5, 4, control(1))),
        "empty-picture.gif": ("ERR_CORRUPT_IMAGE", file(5, 4, picture(0, 0, 5, 0, lzw([])))),
        "lying-height.gif": ("ERR_CORRUPT_IMAGE", file(5, 90, picture(0, 0, 5, 90, lzw([0] * 20)))),
        "bad-code-size.gif": ("ERR_CORRUPT_IMAGE", file(5, 4, picture(0, 0, 5, 4, b"\x0d" + blocks(bytes(30))))),
        "bad-codes.gif": ("ERR_CORRUPT_IMAGE", file(5, 4, picture(0, 0, 5, 4, b"\2" + blocks(b"\xff" * 30)))),
        "bomb.gif": ("ERR_IMAGE_TOO_LARGE", file(65000, 65000, picture(0, 0, 5, 4))),
        "bomb-part.gif": ("ERR_IMAGE_TOO_LARGE", file(5, 4, picture(60000, 60000, 5, 4))),
    }
