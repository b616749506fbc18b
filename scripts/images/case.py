"""One test image and what must come out of it."""
import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageOps


@dataclass
class Case:
    name: str
    data: bytes
    format: str = "IMAGE_JPEG"
    error: str = ""  # enum err; no pixels then
    pixels: np.ndarray | None = None  # upright RGB
    is_lossy: bool = False
    orientation: int = 1
    progressive: bool = False
    warnings: list[str] = field(default_factory=list)


def save(image: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def decode(data: bytes) -> np.ndarray:
    """What scripts/minivlm/image.py does, for modes of 8 bits: EXIF applied, alpha laid on white, RGB."""
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if "A" in picture.getbands() or "transparency" in picture.info:
        return on_white(np.asarray(picture.convert("RGBA")))
    return np.asarray(picture.convert("RGB"))


def on_white(rgba: np.ndarray) -> np.ndarray:
    wide = rgba.astype(np.int32)
    alpha = wide[..., 3:]
    return ((wide[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def exif(orientation: int, big: bool = False, kind: int = 3) -> bytes:
    """A TIFF block with one directory entry."""
    order = "big" if big else "little"

    def number(value: int, size: int) -> bytes:
        return value.to_bytes(size, order)

    value = number(orientation, 2) + b"\0\0" if kind == 3 else number(orientation, 4)
    entry = number(0x0112, 2) + number(kind, 2) + number(1, 4) + value
    return (b"MM\0*" if big else b"II*\0") + number(8, 4) + number(1, 2) + entry + number(0, 4)


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Stored pixels, upright."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    across = {2: -1, 3: -1, 6: -1, 7: -1}.get(orientation, 1)
    down = {3: -1, 4: -1, 7: -1, 8: -1}.get(orientation, 1)
    return np.ascontiguousarray(pixels[::down, ::across])
