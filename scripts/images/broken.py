"""Files that must be refused, each with its reason."""
import struct
import zlib

import numpy as np
from PIL import Image

from . import gifs, heifs, jpegs, pngs, tiffs, webps
from .case import Case, exif, save

CORRUPT, LARGE, UNSUPPORTED = "ERR_CORRUPT_IMAGE", "ERR_IMAGE_TOO_LARGE", "ERR_UNSUPPORTED_IMAGE"


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x5A]) + data[at + 1:]


def jpeg_cases(picture: np.ndarray) -> dict[str, tuple[str, bytes]]:
    rgb = Image.fromarray(picture)
    plain, progressive = save(rgb, "JPEG", quality=90), save(rgb, "JPEG", quality=90, progressive=True)
    tiny = save(Image.fromarray(picture[:8, :8]), "JPEG", progressive=True)
    parts = jpegs.segments(tiny)
    tail = parts[-1]  # scans, with the tables between them
    end = tail.index(b"\xff\xc4") if b"\xff\xc4" in tail else tail.index(b"\xff\xda", 2)
    first = tail[:end]  # the first scan alone
    restart = save(rgb, "JPEG", quality=85, restart_marker_blocks=1)
    at = restart.index(b"\xff\xd0")
    marks = jpegs.restarts(restart)
    return {
        "truncated.jpg": (CORRUPT, plain[:len(plain) * 2 // 3]),
        "truncated-progressive.jpg": (CORRUPT, progressive[:len(progressive) * 2 // 3]),
        "last-scan-missing.jpg": (CORRUPT, progressive[:progressive.rindex(b"\xff\xda")] + b"\xff\xd9"[:0]),
        "dnl.jpg": (UNSUPPORTED, jpegs.frame_header(plain, height=0)[:-2] + b"\xff\xdc\0\4\0\x22\xff\xd9"),
        "late-damage.jpg": (CORRUPT, plain[:-200] + b"\xaa" * 100 + plain[-100:]),
        "first-rows-missing.jpg": (CORRUPT, plain[:plain.index(b"\xff\xda") + 20]),
        "header-only.jpg": (CORRUPT, plain[:200]),
        "signature-only.jpg": (CORRUPT, plain[:3]),
        "garbage.jpg": (CORRUPT, plain[:20] + bytes(range(256)) * 8),
        "lying-height.jpg": (CORRUPT, jpegs.frame_header(plain, height=340)),
        "zero-height.jpg": (CORRUPT, jpegs.frame_header(plain, height=0)),
        "bomb.jpg": (LARGE, jpegs.frame_header(plain, width=65500, height=65500)),
        "too-wide.jpg": (LARGE, jpegs.frame_header(plain, width=65535)),
        "bomb-progressive.jpg": (LARGE, jpegs.frame_header(progressive, width=6000, height=6000)),
        "scans.jpg": (CORRUPT, b"".join(parts[:-1]) + first * 1000 + tail[end:]),
        "twelve-bit.jpg": (UNSUPPORTED, jpegs.frame_header(plain, precision=12)),
        "lossless-process.jpg": (UNSUPPORTED, plain.replace(b"\xff\xc0", b"\xff\xc3", 1)),
        "jpeg-ls.jpg": (UNSUPPORTED, plain.replace(b"\xff\xc0", b"\xff\xf7", 1)),
        "hierarchical.jpg": (UNSUPPORTED, plain.replace(b"\xff\xc0", b"\xff\xc5", 1)),
        "restart-missing.jpg": (CORRUPT, restart[:marks[2]] + restart[marks[3]:]),
        "restart-twice.jpg": (CORRUPT, restart[:marks[2]] + restart[marks[2]:marks[2] + 2] + restart[marks[2]:]),
        "restart-flood.jpg": (CORRUPT, restart[:at] + b"".join(b"\xff" + bytes([0xD0 + i % 8]) for i in range(4000)) + restart[at:]),
    }


def png_cases(picture: np.ndarray) -> dict[str, tuple[str, bytes]]:
    small = picture[:9, :13]
    plain = pngs.build(small, pngs.RGB, 8)
    trns = pngs.build(small, pngs.RGB, 8, pngs.chunk(b"tRNS", bytes(6)))

    def header(width: int, height: int, depth: int = 8, color: int = 2, method: int = 0) -> bytes:
        return (pngs.SIGNATURE + pngs.chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, method, 0, 0))
                + pngs.chunk(b"IDAT", zlib.compress(bytes(100))) + pngs.chunk(b"IEND", b""))

    return {
        "truncated.png": (CORRUPT, plain[:len(plain) - 60]),
        "signature-only.png": (CORRUPT, plain[:8]),
        "wrong-crc-header.png": (CORRUPT, flip(plain, 30)),
        "wrong-crc-pixels.png": (CORRUPT, flip(plain, plain.rindex(b"IDAT") + 9)),
        "wrong-crc-trns.png": (CORRUPT, flip(trns, trns.index(b"tRNS") + 5)),
        "lying-header.png": (CORRUPT, pngs.build(small, pngs.RGB, 8, size=(13, 900))),
        "bomb.png": (LARGE, header(60000, 60000)),
        "too-long.png": (LARGE, header(1, 65536)),
        "huge.png": (LARGE, header(0x7FFFFFFF, 0x7FFFFFFF)),
        "zero-width.png": (CORRUPT, header(0, 5)),
        "bad-depth.png": (CORRUPT, header(3, 3, depth=4, color=2)),
        "bad-colour.png": (CORRUPT, header(3, 3, color=5)),
        "bad-method.png": (CORRUPT, header(3, 3, method=1)),
        "no-palette.png": (CORRUPT, header(3, 3, color=3)),
        "critical.png": (UNSUPPORTED, plain[:33] + pngs.chunk(b"ABCD", b"unknown") + plain[33:]),
        "ios.png": (UNSUPPORTED, plain[:8] + pngs.chunk(b"CgBI", bytes(4)) + plain[8:]),
        "no-pixels.png": (CORRUPT, pngs.SIGNATURE + plain[8:33] + pngs.chunk(b"IEND", b"")),
    }


def webp_cases(picture: np.ndarray) -> dict[str, tuple[str, bytes]]:
    small = Image.fromarray(picture[:9, :13])
    still = webps.bitstream(small, lossless=True)
    lossy = save(Image.fromarray(picture), "WEBP", quality=80)
    animated = webps.first_frame((30, 20), 4, 6, small, 16)
    return {
        "truncated.webp": (CORRUPT, lossy[:len(lossy) * 2 // 3]),
        "signature-only.webp": (CORRUPT, lossy[:12]),
        "lying-canvas.webp": (CORRUPT, webps.riff(webps.extended(14, 9, 0), still)),
        "bomb.webp": (LARGE, lossy[:26] + b"\xff\x3f" * 2 + lossy[30:]),
        "frame-outside.webp": (CORRUPT, webps.first_frame((14, 20), 4, 6, small, 16)),
        "frame-missing.webp": (CORRUPT, webps.riff(webps.extended(30, 20, 2), (b"ANIM", bytes(6)))),
        "frame-lies.webp": (CORRUPT, flip(animated, animated.index(b"ANMF") + 14)),
        "frame-truncated.webp": (CORRUPT, animated[:70]),
    }


def bytes_changed(data: bytes) -> dict[str, bytes]:
    """What clients and transfers do to a file."""
    return {
        "stripped": data.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b""),  # curl -d @file
        "unix": data.replace(b"\r\n", b"\n"),
        "dos": data.replace(b"\n", b"\r\n"),
        "seven-bits": bytes(b & 127 for b in data),
        "latin": data.decode("latin-1").encode(),
        "utf": data.decode("utf-8", "replace").encode(),
        "led": b"\r\n" + data,
    }


def transfer_cases(picture: np.ndarray) -> dict[str, tuple[str, bytes]]:
    rgb = Image.fromarray(picture)
    files = {"png": save(rgb, "PNG"), "jpg": save(rgb, "JPEG", quality=90)}
    return {f"{how}.{kind}": (CORRUPT, changed) for kind, data in files.items()
            # a small JPEG has hardly a line end
            for how, changed in bytes_changed(data).items() if (how, kind) not in (("unix", "jpg"), ("dos", "jpg"))}


def other_cases(picture: np.ndarray) -> dict[str, tuple[str, bytes]]:
    rgb = Image.fromarray(picture[:9, :13])
    return {
        "picture.bmp": (UNSUPPORTED, save(rgb, "BMP")),
        "picture.svg": (UNSUPPORTED, b'\xef\xbb\xbf \n<svg xmlns="http://www.w3.org/2000/svg"/>'),
        "picture.pdf": (UNSUPPORTED, b"%PDF-1.7\n" + save(rgb, "JPEG")),
        "picture.jxl": (UNSUPPORTED, b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60)),
        "base64.txt": (UNSUPPORTED, b"/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQ"),
        "empty.jpg": (UNSUPPORTED, b""),
        "one-byte.jpg": (UNSUPPORTED, b"\xff"),
        "noise.jpg": (UNSUPPORTED, bytes((i * 2654435761 >> 24) & 255 for i in range(600))),
    }


def cases(picture: np.ndarray) -> list[Case]:
    found = {}
    for part in (jpeg_cases, png_cases, webp_cases, heifs.broken, tiffs.broken, transfer_cases, other_cases):
        found |= part(picture)
    found |= gifs.broken()
    refused = [Case(name, data, error=error) for name, (error, data) in found.items()]
    return refused + odd_exif(picture)


def odd_exif(picture: np.ndarray) -> list[Case]:
    """Metadata that lead nowhere: the pictures are fine and upright."""
    stored = save(Image.fromarray(picture[:9, :13]), "JPEG", quality=95, subsampling=0)
    blocks = {
        "loop": b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHII", 0x8769, 4, 1, 8) + struct.pack("<I", 8),
        "offset": b"II*\0" + struct.pack("<I", 0xFFFFFFF0) + bytes(20),
        "count": b"MM\0*" + struct.pack(">IH", 8, 65535) + struct.pack(">HHIHH", 0x0112, 3, 1, 0, 0),
        "type": exif(6, kind=2),
        "empty": b"",
        "short": exif(6)[:15],
    }
    return [jpegs.lossy(f"exif-{name}.jpg", jpegs.insert(stored, jpegs.segment(0xE1, b"Exif\0\0" + block)))
            for name, block in blocks.items()]
