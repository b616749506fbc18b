"""HEIC and AVIF files. pillow-heif and Pillow encode single pictures; the files of several items, which telephones write
and attackers twist, are put together here from those."""
import io
import struct

import numpy as np
import pillow_heif
from PIL import Image

from .case import Case, decode, save, turned

ALPHA, DEPTH, ICC, TURNED = "IMAGE_WARN_ALPHA", "IMAGE_WARN_DEPTH", "IMAGE_WARN_ICC", "IMAGE_WARN_TURNED"
CORRUPT, LARGE, UNSUPPORTED = "ERR_CORRUPT_IMAGE", "ERR_IMAGE_TOO_LARGE", "ERR_UNSUPPORTED_IMAGE"


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + name + body


def full(name: bytes, body: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(name, struct.pack(">I", version << 24 | flags) + body)


def find(data: bytes, name: bytes) -> bytes:
    """The body of the first box of this name, wherever it stands."""
    at = data.index(name)
    return data[at + 4:at - 4 + struct.unpack(">I", data[at - 4:at])[0]]


def ispe(width: int, height: int) -> bytes:
    return full(b"ispe", struct.pack(">II", width, height))


class Coded:
    """A coded picture: the configuration of its codec and its data, taken out of an encoder's file."""

    def __init__(self, pixels: np.ndarray, kind: str = "HEIF", **options):
        image = Image.fromarray(pixels)
        if kind == "HEIF":
            data = save(image, kind, quality=90, chroma=444, **options)
        else:
            data = save(image, kind, quality=90, subsampling="4:4:4", **options)
        name = b"hvcC" if kind == "HEIF" else b"av1C"
        self.type = b"hvc1" if kind == "HEIF" else b"av01"
        self.config = box(name, find(data, name))
        self.data = data[data.index(b"mdat") + 4:]
        self.size = ispe(pixels.shape[1], pixels.shape[0])
        self.pixels = decode(data)

    def item(self, *properties: bytes, size: bytes | None = None) -> tuple:
        return self.type, self.data, [size or self.size, self.config, *properties]


def file(items: list[tuple], references: list[tuple[bytes, int, list[int]]] = (), primary: int = 1, brand: bytes = b"heic",
         places: dict[int, tuple[int, int]] | None = None) -> bytes:
    """items: (type, data, properties), numbered from 1; places: (offset, length) of an item in place of the right one."""
    properties = b"".join(p for _, _, found in items for p in found)
    infe = b"".join(full(b"infe", struct.pack(">HH", i, 0) + kind + b"\0", 2) for i, (kind, _, _) in enumerate(items, 1))
    associations, index = b"", 1
    for i, (_, _, found) in enumerate(items, 1):
        associations += struct.pack(">HB", i, len(found)) + bytes(range(index, index + len(found)))
        index += len(found)
    refs = b"".join(box(kind, struct.pack(">HH", of, len(to)) + b"".join(struct.pack(">H", t) for t in to))
                    for kind, of, to in references)

    def meta(start: int) -> bytes:
        places_found, at = b"", start
        for i, (_, data, _) in enumerate(items, 1):
            offset, length = (places or {}).get(i, (at, len(data)))
            places_found += struct.pack(">HHHII", i, 0, 1, offset, length)
            at += len(data)
        return full(b"meta", full(b"hdlr", bytes(4) + b"pict" + bytes(13)) + full(b"pitm", struct.pack(">H", primary))
                    + full(b"iloc", b"\x44\0" + struct.pack(">H", len(items)) + places_found)
                    + full(b"iinf", struct.pack(">H", len(items)) + infe) + (full(b"iref", refs) if refs else b"")
                    + box(b"iprp", box(b"ipco", properties) + full(b"ipma", struct.pack(">I", len(items)) + associations)))

    begin = box(b"ftyp", brand + bytes(4) + b"mif1" + brand)
    body = b"".join(data for _, data, _ in items)
    return begin + meta(len(begin) + len(meta(0)) + 8) + box(b"mdat", body)


def grid(rows: int, columns: int, width: int, height: int, *properties: bytes) -> tuple:
    return b"grid", struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height), [ispe(width, height), *properties]


def case(name: str, data: bytes, pixels: np.ndarray | None = None, **about) -> Case:
    kind = "IMAGE_AVIF" if name.endswith("avif") else "IMAGE_HEIC"
    return Case(name, data, kind, pixels=decode(data) if pixels is None else pixels, is_lossy=True, **about)


def tiles(picture: np.ndarray) -> tuple[list[Coded], np.ndarray]:
    whole = np.tile(picture, (4, 4, 1))[:128, :128]
    coded = [Coded(np.ascontiguousarray(whole[y:y + 64, x:x + 64])) for y in (0, 64) for x in (0, 64)]
    top, low = (np.concatenate((coded[i].pixels, coded[i + 1].pixels), 1) for i in (0, 2))
    return coded, np.concatenate((top, low), 0)


def deep_file(picture: np.ndarray) -> bytes:
    values = (picture.astype(np.uint16) << 4 | picture >> 4) << 4
    image = pillow_heif.from_bytes("RGB;16", (picture.shape[1], picture.shape[0]), values.tobytes())
    out = io.BytesIO()
    image.save(out, quality=95, chroma=444)
    return out.getvalue()


def cases(picture: np.ndarray) -> list[Case]:
    pillow_heif.register_heif_opener()
    rgb = Image.fromarray(picture)
    height, width, _ = picture.shape
    y, x = np.mgrid[0:height, 0:width]
    rgba = Image.fromarray(np.concatenate((picture, ((x * 6 + y * 3) % 256).astype(np.uint8)[..., None]), 2))
    coded, whole = tiles(picture)
    even = np.ascontiguousarray(np.tile(picture, (2, 3, 1))[:64, :96])  # smaller ones are padded by the encoder
    one, av1 = Coded(even), Coded(even, "AVIF")
    parts = [c.item() for c in coded]
    found = [
        case("lossy.heic", save(rgb, "HEIF", quality=90, chroma=444)),
        case("lossy.avif", save(rgb, "AVIF", quality=90, subsampling="4:4:4")),
        case("alpha.heic", save(rgba, "HEIF", quality=90, chroma=444), warnings=[ALPHA]),
        case("alpha.avif", save(rgba, "AVIF", quality=90, subsampling="4:4:4"), warnings=[ALPHA]),
        case("icc.avif", save(rgb, "AVIF", quality=90, subsampling="4:4:4", icc_profile=bytes(500)), warnings=[ICC]),
        case("grey.avif", save(rgb.convert("L"), "AVIF", quality=95, subsampling="4:0:0")),
        case("grey-limited.avif", save(rgb.convert("L"), "AVIF", quality=95, subsampling="4:0:0", range="limited")),
        case("grey-limited-alpha.avif", save(rgba.convert("LA").convert("RGBA"), "AVIF", quality=95, subsampling="4:0:0", range="limited"),
             warnings=[ALPHA]),
        case("deep.heic", deep_file(picture), warnings=[DEPTH]),
        case("made.heic", file([one.item()]), one.pixels),
        case("made.avif", file([av1.item()], brand=b"avif"), av1.pixels),
        case("with-film.avif", file([av1.item()], brand=b"avif") + box(b"moov", b""), av1.pixels, warnings=["IMAGE_WARN_ANIMATION"]),
        case("mif1.heic", file([one.item()], brand=b"mif1"), one.pixels),
        case("grid.heic", file([grid(2, 2, 128, 128), *parts], [(b"dimg", 1, [2, 3, 4, 5])]), whole),
        case("grid-cut.heic", file([grid(2, 2, 100, 90), *parts], [(b"dimg", 1, [2, 3, 4, 5])]), whole[:90, :100]),
        case("grid-turned.heic", file([grid(2, 2, 100, 90, box(b"irot", b"\3")), *parts], [(b"dimg", 1, [2, 3, 4, 5])]),
             turned(whole[:90, :100], 6), orientation=6, warnings=[TURNED]),
        case("thumbnail.heic", file([one.item(), coded[0].item()], [(b"thmb", 2, [1])]), one.pixels),
        case("second-is-primary.heic", file([coded[0].item(), one.item()], primary=2), one.pixels),
    ]
    for turns, orientation in ((1, 8), (2, 3), (3, 6)):
        found.append(case(f"turned-{turns}.heic", file([one.item(box(b"irot", bytes([turns])))]), turned(one.pixels, orientation),
                          orientation=orientation, warnings=[TURNED]))
    for axis, orientation in ((0, 4), (1, 2)):
        found.append(case(f"mirrored-{axis}.heic", file([one.item(box(b"imir", bytes([axis])))]),
                          turned(one.pixels, orientation), orientation=orientation, warnings=[TURNED]))
    return found


def broken(picture: np.ndarray) -> dict[str, tuple[str, bytes]]:
    coded, _ = tiles(picture)
    even = np.ascontiguousarray(np.tile(picture, (2, 3, 1))[:64, :96])  # smaller ones are padded by the encoder
    one, av1 = Coded(even), Coded(even, "AVIF")
    parts = [c.item() for c in coded]
    four = [(b"dimg", 1, [2, 3, 4, 5])]
    plain = file([one.item()])
    exif = b"\0\0\0\0II*\0"
    return {
        "truncated.heic": (CORRUPT, plain[:len(plain) * 2 // 3]),
        "truncated.avif": (CORRUPT, file([av1.item()], brand=b"avif")[:-60]),
        "signature-only.heic": (CORRUPT, plain[:24]),
        "no-data.heic": (CORRUPT, plain[:plain.index(b"mdat")]),
        "bomb.heic": (LARGE, file([one.item(size=ispe(60000, 60000))])),
        "bomb.avif": (LARGE, file([av1.item(size=ispe(9000, 9000))], brand=b"avif")),
        "small-size.heic": (CORRUPT, file([Coded(np.zeros((300, 400, 3), np.uint8)).item(size=ispe(8, 8))])),
        "small-size.avif": (CORRUPT, file([Coded(np.zeros((300, 400, 3), np.uint8), "AVIF").item(size=ispe(8, 8))], brand=b"avif")),
        "no-size.heic": (CORRUPT, file([(one.type, one.data, [one.config])])),
        "no-config.heic": (CORRUPT, file([(one.type, one.data, [one.size])])),
        "no-primary.heic": (CORRUPT, file([one.item()], primary=9)),
        "film.heic": (CORRUPT, file([(one.type, one.data * 9, [one.size, one.config])])),
        "film.avif": (CORRUPT, file([(av1.type, av1.data * 9, [av1.size, av1.config])], brand=b"avif")),
        "empty.avif": (CORRUPT, file([av1.item()], places={1: (60, 0)}, brand=b"avif")),
        "outside.heic": (CORRUPT, file([one.item()], places={1: (1 << 31, 100)})),
        "grid-self.heic": (UNSUPPORTED, file([grid(1, 1, 64, 64)], [(b"dimg", 1, [1])])),
        "grid-loop.heic": (UNSUPPORTED, file([grid(1, 1, 64, 64), grid(1, 1, 64, 64)], [(b"dimg", 1, [2]), (b"dimg", 2, [1])])),
        "grid-twice.heic": (CORRUPT, file([grid(2, 2, 128, 128), *parts], [(b"dimg", 1, [2, 2, 2, 2])])),
        "grid-missing.heic": (CORRUPT, file([grid(2, 2, 128, 128), *parts[:3]], [(b"dimg", 1, [2, 3, 4])])),
        "grid-small.heic": (CORRUPT, file([grid(2, 2, 60, 60), *parts], four)),
        "grid-wide.heic": (CORRUPT, file([grid(1, 1, 10, 10), Coded(np.zeros((2000, 2400, 3), np.uint8)).item()],
                                        [(b"dimg", 1, [2])])),
        "overlay.heic": (UNSUPPORTED, file([(b"iovl", bytes(20), [one.size]), one.item()], [(b"dimg", 1, [2])])),
        "only-exif.heic": (UNSUPPORTED, file([(b"Exif", exif, [one.size])])),
        "many-items.heic": (LARGE, file([one.item()] + [(b"Exif", exif, [])] * 1100)),
    }
