"""WebP files: lossy, lossless, alpha, animated, with metadata."""
import struct

import numpy as np
from PIL import Image

from .case import Case, decode, exif, on_white, save, turned

ALPHA, ANIMATION, ROTATED, ICC = "IMAGE_WARN_ALPHA", "IMAGE_WARN_ANIMATION", "IMAGE_WARN_ROTATED", "IMAGE_WARN_ICC"


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(name + struct.pack("<I", len(c)) + c + b"\0" * (len(c) % 2) for name, c in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def number_24(value: int) -> bytes:
    return struct.pack("<I", value)[:3]


def extended(width: int, height: int, flags: int) -> tuple[bytes, bytes]:
    return b"VP8X", bytes([flags, 0, 0, 0]) + number_24(width - 1) + number_24(height - 1)


def bitstream(image: Image.Image, **options) -> tuple[bytes, bytes]:
    """The only chunk of a simple file."""
    data = save(image, "WEBP", **options)
    return data[12:16], data[20:20 + struct.unpack("<I", data[16:20])[0]]


def first_frame(canvas: tuple[int, int], x: int, y: int, image: Image.Image, flags: int) -> bytes:
    """An animation whose first frame is smaller than the canvas."""
    name, body = bitstream(image, lossless=True)
    chunk = name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    frame = (number_24(x // 2) + number_24(y // 2) + number_24(image.width - 1) + number_24(image.height - 1) + number_24(50)
             + b"\0" + chunk)
    return riff(extended(*canvas, flags | 2), (b"ANIM", b"\0\0\0\xff\0\0"), (b"ANMF", frame))


def case(name: str, data: bytes, pixels: np.ndarray | None = None, **about) -> Case:
    is_lossy = pixels is None
    return Case(name, data, "IMAGE_WEBP", pixels=decode(data) if is_lossy else pixels, is_lossy=is_lossy, **about)


def cases(picture: np.ndarray) -> list[Case]:
    rgb = Image.fromarray(picture)
    height, width, _ = picture.shape
    y, x = np.mgrid[0:height, 0:width]
    rgba = np.concatenate((picture, ((x * 6 + y * 3) % 256).astype(np.uint8)[..., None]), 2)
    alpha = Image.fromarray(rgba)
    small = picture[:9, :13]
    lossless = save(rgb, "WEBP", lossless=True)
    still = bitstream(Image.fromarray(small), lossless=True)
    part = np.full((20, 30, 3), 255, np.uint8)
    part[6:15, 4:17] = small
    found = [
        case("lossy.webp", save(rgb, "WEBP", quality=80)),
        case("lossy-one-pixel.webp", save(rgb.crop((0, 0, 1, 1)), "WEBP")),
        case("lossy-alpha.webp", save(alpha, "WEBP", quality=80), warnings=[ALPHA]),
        case("lossless.webp", lossless, picture),
        case("lossless-alpha.webp", save(alpha, "WEBP", lossless=True, exact=True), on_white(rgba), warnings=[ALPHA]),
        case("icc.webp", save(rgb, "WEBP", lossless=True, icc_profile=bytes(501)), picture, warnings=[ICC]),
        case("animated.webp", save(rgb, "WEBP", lossless=True, save_all=True, append_images=[Image.fromarray(picture[::-1])]),
             picture, warnings=[ANIMATION]),
        case("animated-part.webp", first_frame((30, 20), 4, 6, Image.fromarray(small), 16), part, warnings=[ANIMATION, ALPHA]),
        case("trailing.webp", lossless + b"\x89PNG garbage", picture),
        case("unknown-chunk.webp", riff(extended(13, 9, 0), (b"what", b"odd"), still, (b"XMP ", b"<x/>")), small),
    ]
    for n in (2, 3, 4, 5, 6, 7, 8):
        data = riff(extended(13, 9, 8), still, (b"EXIF", b"Exif\0\0" * (n % 2) + exif(n)))
        found.append(case(f"exif-{n}.webp", data, turned(small, n), orientation=n, warnings=[ROTATED]))
    packet = b"<x:xmpmeta><rdf tiff:Orientation='6'/></x:xmpmeta>"
    found.append(case("xmp-6.webp", riff(extended(13, 9, 4), still, (b"XMP ", packet)), turned(small, 6), orientation=6,
                      warnings=["IMAGE_WARN_ROTATED_XMP"]))
    return found
