"""JPEG files of all kinds."""
import struct
from collections.abc import Callable

import numpy as np
from PIL import Image

from .case import Case, decode, exif, save, turned

SOI = b"\xff\xd8"
ROTATED, ICC, CMYK = "IMAGE_WARN_ROTATED", "IMAGE_WARN_ICC", "IMAGE_WARN_CMYK"
ROTATED_XMP = "IMAGE_WARN_ROTATED_XMP"


def segments(data: bytes) -> list[bytes]:
    """SOI, each segment, and from the first scan on everything in one piece."""
    parts, at = [data[:2]], 2
    while data[at + 1] != 0xDA:
        length = 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
        parts.append(data[at:at + length])
        at += length
    return parts + [data[at:]]


def segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def insert(data: bytes, extra: bytes) -> bytes:
    """After SOI."""
    return data[:2] + extra + data[2:]


def without(data: bytes, marker: int) -> bytes:
    return b"".join(s for s in segments(data) if s[1] != marker)


def adobe_transform(data: bytes, transform: int) -> bytes:
    return b"".join(s[:15] + bytes([transform]) + s[16:] if s[1] == 0xEE else s for s in segments(data))


def frame_header(data: bytes, **fields) -> bytes:
    """Another precision, width or height in the frame header."""
    out = []
    for s in segments(data):
        if s[1] in (0xC0, 0xC1, 0xC2):
            precision, height, width = struct.unpack(">BHH", s[4:9])
            s = s[:4] + struct.pack(">BHH", fields.get("precision", precision), fields.get("height", height),
                                    fields.get("width", width)) + s[9:]
        out.append(s)
    return b"".join(out)


def before_restarts(data: bytes, padding: bytes) -> bytes:
    """Bytes before each restart marker, as webcams and scanners write them."""
    for n in range(8):
        data = data.replace(bytes([0xFF, 0xD0 + n]), padding + bytes([0xFF, 0xD0 + n]))
    return data


def restarts(data: bytes) -> list[int]:
    """Where the restart markers are."""
    return [at for at in range(data.index(b"\xff\xda"), len(data) - 1) if data[at] == 0xFF and 0xD0 <= data[at + 1] <= 0xD7]


def numbered(data: bytes, order: Callable[[int], int]) -> bytes:
    """The same with other numbers in its restart markers."""
    out = bytearray(data)
    for i, at in enumerate(restarts(data)):
        out[at + 1] = 0xD0 + order(i)
    return bytes(out)


def xmp(orientation: str) -> bytes:
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + orientation.encode() + b"</x:xmpmeta>")


def lossy(name: str, data: bytes, **about) -> Case:
    pixels = about.pop("pixels", None)
    return Case(name, data, pixels=decode(data) if pixels is None else pixels, is_lossy=True, **about)


def shapes(picture: np.ndarray) -> list[Case]:
    """Of the coding and of the file."""
    rgb = Image.fromarray(picture)
    small = Image.fromarray(picture[:19, :26])
    plain = save(rgb, "JPEG", quality=90)
    progressive = save(rgb, "JPEG", quality=90, progressive=True)
    cmyk = save(Image.fromarray(np.concatenate((255 - picture, picture[::-1, :, :1] // 3), 2), "CMYK"), "JPEG", quality=92)
    ycck = save(Image.fromarray(np.concatenate((np.asarray(rgb.convert("YCbCr")), 255 - picture[::-1, :, :1] // 3), 2),
                                "CMYK"), "JPEG", quality=92)
    stored = save(small, "JPEG", quality=95, subsampling=0)
    found = [
        lossy("baseline.jpg", plain),
        lossy("baseline-444.jpg", save(rgb, "JPEG", quality=95, subsampling=0)),
        lossy("baseline-422.jpg", save(rgb, "JPEG", quality=80, subsampling=1)),
        lossy("progressive.jpg", progressive, progressive=True),
        lossy("optimised.jpg", save(rgb, "JPEG", quality=50, optimize=True)),
        lossy("restart.jpg", save(rgb, "JPEG", quality=85, restart_marker_blocks=2)),
        lossy("grey.jpg", save(rgb.convert("L"), "JPEG", quality=90)),
        lossy("grey-progressive.jpg", save(rgb.convert("L"), "JPEG", progressive=True), progressive=True),
        lossy("rgb.jpg", save(rgb, "JPEG", quality=90, keep_rgb=True)),
        lossy("one-pixel.jpg", save(rgb.crop((0, 0, 1, 1)), "JPEG")),
        lossy("one-column.jpg", save(rgb.crop((3, 0, 4, 34)), "JPEG")),
        lossy("one-row.jpg", save(rgb.crop((0, 3, 45, 4)), "JPEG", progressive=True), progressive=True),
        lossy("cmyk-adobe.jpg", cmyk, warnings=[CMYK]),
        lossy("cmyk-bare.jpg", without(cmyk, 0xEE), warnings=[CMYK]),
        lossy("ycck-adobe.jpg", adobe_transform(ycck, 2), warnings=[CMYK]),
        lossy("icc.jpg", save(small, "JPEG", icc_profile=bytes(3000)), warnings=[ICC]),
        lossy("xmp.jpg", insert(stored, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>"))),
        lossy("comment.jpg", insert(stored, segment(0xFE, b"\0\xff\xd9" * 900) + b"\xff\xff\xff" + segment(0xE7, b""))),
        lossy("no-huffman-tables.jpg", without(plain, 0xC4), pixels=decode(plain)),  # as in motion JPEG
        lossy("trailing.jpg", plain + b"PK\3\4 and more bytes \xff\xd8\xff\xe0" * 9),
        lossy("padded.jpg", b"".join(segments(stored)[:2]) + b"\1\2\3" + b"".join(segments(stored)[2:])[:-2] + bytes(9)
              + b"\xff\xd9", pixels=decode(stored)),
        lossy("no-end-marker.jpg", plain[:-2], pixels=decode(plain)),  # Pillow refuses it
    ]
    restart = save(rgb, "JPEG", quality=85, restart_marker_blocks=2)
    for name, padding in (("zeros", bytes(4)), ("long", b"\1\2\3" * 20), ("fill", b"\xff" * 5)):
        found.append(lossy(f"restart-{name}.jpg", before_restarts(restart, padding), pixels=decode(restart)))
    for name, order in (("off", lambda i: (i + 1) % 8), ("same", lambda i: 0), ("swapped", lambda i: (i ^ 1) % 8)):
        found.append(lossy(f"restart-{name}.jpg", numbered(restart, order), pixels=decode(restart),
                           warnings=["IMAGE_WARN_RESTARTS"]))
    found += [
        lossy("no-end-marker-progressive.jpg", progressive[:-2], pixels=decode(progressive), progressive=True),
        lossy("two-starts.jpg", SOI + SOI + plain, pixels=decode(plain)),
        lossy("several.jpg", insert(stored, segment(0xE2, b"MPF\0" + bytes(40))) + plain, pixels=decode(stored)),
        lossy("two-files.jpg", stored + plain, pixels=decode(stored), warnings=["IMAGE_WARN_PAGES"]),
    ]
    return found


def orientations(picture: np.ndarray) -> list[Case]:
    small = Image.fromarray(picture[:19, :26])
    stored = save(small, "JPEG", quality=95, subsampling=0)
    cmyk = save(Image.fromarray(np.concatenate((255 - picture, picture[::-1, :, :1] // 3), 2), "CMYK"), "JPEG", quality=92)
    found = [
        lossy("xmp-more.jpg", insert(stored, xmp("<x/>") + segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32 +
                                                                 bytes(8) + b"<rdf tiff:Orientation='6'/>")),
              orientation=6, warnings=[ROTATED_XMP], pixels=turned(decode(stored), 6)),
        lossy("xmp-6.jpg", insert(stored, xmp('<rdf tiff:Orientation="6"/>')), orientation=6, warnings=[ROTATED_XMP]),
        lossy("xmp-8.jpg", insert(stored, xmp("<tiff:Orientation> 8 </tiff:Orientation>")), orientation=8,
              warnings=[ROTATED_XMP], pixels=turned(decode(stored), 8)),
        lossy("xmp-after-exif.jpg", insert(stored, segment(0xE1, b"Exif\0\0" + exif(3)) + xmp('<rdf tiff:Orientation="6"/>')),
              orientation=3, warnings=[ROTATED]),
        lossy("xmp-and-upright.jpg", insert(stored, segment(0xE1, b"Exif\0\0" + exif(1)) + xmp('<rdf tiff:Orientation="6"/>'))),
        lossy("exif-before-jfif.jpg", stored[:2] + segment(0xE1, b"Exif\0\0" + exif(6)) + stored[2:], orientation=6,
              warnings=[ROTATED]),
    ]
    for n in range(1, 9):
        data = insert(stored, segment(0xE1, b"Exif\0\0" + exif(n)))
        found.append(lossy(f"exif-{n}.jpg", data, orientation=n, warnings=[ROTATED] if n > 1 else []))
    turned_cmyk = insert(cmyk, segment(0xE1, b"Exif\0\0" + exif(6, big=True)))
    found += [
        lossy("exif-cmyk.jpg", turned_cmyk, orientation=6, warnings=[ROTATED, CMYK]),
        lossy("exif-long.jpg", insert(stored, segment(0xE1, b"Exif\0\0" + exif(8, True, 4))), orientation=8, warnings=[ROTATED]),
        lossy("exif-9.jpg", insert(stored, segment(0xE1, b"Exif\0\0" + exif(9)))),
        lossy("exif-after-xmp.jpg", insert(stored, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0x") +
                                           segment(0xE1, b"Exif\0\0" + exif(3))), orientation=3, warnings=[ROTATED]),
    ]
    return found


def cases(picture: np.ndarray) -> list[Case]:
    return shapes(picture) + orientations(picture)
