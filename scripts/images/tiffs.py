"""TIFF files: the kinds that cameras, scanners and editors write, and hostile directories."""
import struct

import numpy as np
from PIL import Image

from .case import Case, decode, save, turned

ALPHA, CMYK, DEPTH, ROTATED = "IMAGE_WARN_ALPHA", "IMAGE_WARN_CMYK", "IMAGE_WARN_DEPTH", "IMAGE_WARN_ROTATED"


def directory(fields: dict[int, tuple[int, int, int]], body: bytes = b"", big: bool = False) -> bytes:
    """A file of one directory at its end; fields: tag -> (type, count, value or offset)."""
    order = ">" if big else "<"
    entries = b""
    for tag, (kind, count, value) in sorted(fields.items()):
        short = struct.pack(order + "HH", value, 0) if kind == 3 and count == 1 else struct.pack(order + "I", value)
        entries += struct.pack(order + "HHI", tag, kind, count) + short
    body += bytes(len(body) % 2)
    return ((b"MM\0*" if big else b"II*\0") + struct.pack(order + "I", 8 + len(body)) + body
            + struct.pack(order + "H", len(fields)) + entries + bytes(4))


def plain(width: int, height: int, data: bytes, big: bool = False, **fields) -> bytes:
    """RGB in one strip; other fields by their number, t258=... """
    known = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 2), 273: (4, 1, 8),
             277: (3, 1, 3), 278: (4, 1, height), 279: (4, 1, len(data))}
    known |= {int(name[1:]): value for name, value in fields.items()}
    return directory(known, data, big)


def case(name: str, data: bytes, pixels: np.ndarray | None = None, is_lossy: bool = False, **about) -> Case:
    return Case(name, data, "IMAGE_TIFF", pixels=decode(data) if pixels is None else pixels, is_lossy=is_lossy, **about)


def tiled(pixels: np.ndarray, is_planar: bool) -> bytes:
    """Uncompressed tiles of 16x16: 768 bytes, or 256 of each channel."""
    height, width, channels = pixels.shape
    across, down = -(-width // 16), -(-height // 16)
    wide = np.zeros((down * 16, across * 16, channels), np.uint8)
    wide[:height, :width] = pixels
    tiles = [wide[y:y + 16, x:x + 16] for y in range(0, down * 16, 16) for x in range(0, across * 16, 16)]
    parts = [t[..., c].tobytes() for c in range(channels) for t in tiles] if is_planar else [t.tobytes() for t in tiles]
    n = len(parts)
    places = struct.pack(f"<{n}I", *(8 + i * len(parts[0]) for i in range(n))) + struct.pack(f"<{n}I", *(len(p) for p in parts))
    body = b"".join(parts)
    return directory({256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 2), 277: (3, 1, channels),
                      284: (3, 1, 2 if is_planar else 1), 322: (4, 1, 16), 323: (4, 1, 16), 324: (4, n, 8 + len(body)),
                      325: (4, n, 8 + len(body) + 4 * n)}, body + places)


def uncompressed_tiles(part: np.ndarray) -> list[Case]:
    return [case("tiles-768.tiff", tiled(part, False), part), case("tiles-planar.tiff", tiled(part, True), part)]


def extra_channels(part: np.ndarray) -> list[Case]:
    """A channel that is no alpha (near infrared) is left out; of two, too; the fourth that nobody explains is alpha."""
    height, width, _ = part.shape
    four, five = np.concatenate((part, part[::-1, :, :1]), 2), np.concatenate((part, part[::-1, :, :2]), 2)
    where = 8 + four.size  # of values that do not fit into their field
    return [case("extra.tiff", plain(width, height, four.tobytes(), t277=(3, 1, 4), t338=(3, 1, 0)), part),
            case("extra-two.tiff", plain(width, height, five.tobytes(), t277=(3, 1, 5), t338=(3, 2, 0)), part),
            case("extra-straight.tiff", plain(width, height, four.tobytes(), t277=(3, 1, 4), t338=(3, 1, 2)), is_lossy=True,
                 warnings=[ALPHA]),
            case("extra-unnamed.tiff", plain(width, height, four.tobytes() + struct.pack("<4H", 8, 8, 8, 8), t277=(3, 1, 4),
                                             t258=(3, 4, where)), is_lossy=True, warnings=[ALPHA])]


def cases(picture: np.ndarray) -> list[Case]:
    part = picture[:20, :27]
    rgb = Image.fromarray(part)
    height, width, _ = part.shape
    y, x = np.mgrid[0:height, 0:width]
    rgba = Image.fromarray(np.concatenate((part, ((x * 6 + y * 3) % 256).astype(np.uint8)[..., None]), 2))
    cmyk = Image.fromarray(np.concatenate((255 - part, part[::-1, :, :1] // 3), 2), "CMYK")
    deep = part[..., 0].astype(np.uint16) * 257
    found = [
        case("raw.tiff", save(rgb, "TIFF"), part),
        case("lzw.tiff", save(rgb, "TIFF", compression="tiff_lzw"), part),
        case("deflate.tiff", save(rgb, "TIFF", compression="tiff_adobe_deflate"), part),
        case("packbits.tiff", save(rgb, "TIFF", compression="packbits"), part),
        case("jpeg.tiff", save(rgb, "TIFF", compression="jpeg", quality=95), is_lossy=True),
        case("fax4.tiff", save(rgb.convert("1"), "TIFF", compression="group4")),
        case("fax3.tiff", save(rgb.convert("1"), "TIFF", compression="group3")),
        case("grey.tiff", save(rgb.convert("L"), "TIFF")),
        case("palette.tiff", save(rgb.convert("P"), "TIFF")),
        case("alpha.tiff", save(rgba, "TIFF"), is_lossy=True, warnings=[ALPHA]),
        case("grey-alpha.tiff", save(rgba.convert("LA"), "TIFF"), is_lossy=True, warnings=[ALPHA]),
        case("cmyk.tiff", save(cmyk, "TIFF"), is_lossy=True, warnings=[CMYK]),
        case("deep.tiff", save(Image.fromarray(deep), "TIFF"), np.repeat(part[..., :1], 3, 2), warnings=[DEPTH]),
        case("tiles.tiff", save(rgb, "TIFF", compression="tiff_lzw", tiffinfo={322: 16, 323: 16}), part),
        case("strips.tiff", save(rgb, "TIFF", compression="tiff_lzw", strip_size=200), part),
        case("pages.tiff", save(rgb, "TIFF", save_all=True, append_images=[rgb.rotate(180)]), part, warnings=["IMAGE_WARN_PAGES"]),
        case("icc.tiff", save(rgb, "TIFF", icc_profile=bytes(500)), part, warnings=["IMAGE_WARN_ICC"]),
        case("big-endian.tiff", plain(width, height, part.tobytes(), big=True), part),
    ]
    found += uncompressed_tiles(part) + extra_channels(part)
    small = picture[:9, :13]
    packet = b'<x:xmpmeta><rdf tiff:Orientation="6"/></x:xmpmeta>'
    told = {"t278": (4, 1, 9), "t279": (4, 1, small.size), "t700": (1, len(packet), 8 + small.size)}
    body = small.tobytes() + packet
    found.append(case("xmp-6.tiff", plain(13, 9, body, **told), turned(small, 6), orientation=6, warnings=["IMAGE_WARN_ROTATED_XMP"]))
    found.append(case("xmp-and-upright.tiff", plain(13, 9, body, t274=(3, 1, 1), **told), small))
    turned_bits = bytes(int(f"{b:08b}"[::-1], 2) for b in small.tobytes())
    found.append(case("fill-order.tiff", plain(13, 9, turned_bits, t266=(3, 1, 2), t278=(4, 1, 9)), small))
    for n in (2, 3, 4, 5, 6, 7, 8):
        data = plain(13, 9, small.tobytes(), t274=(3, 1, n), t278=(4, 1, 9))
        found.append(case(f"orientation-{n}.tiff", data, turned(small, n), orientation=n, warnings=[ROTATED]))
    return found


def broken(picture: np.ndarray) -> dict[str, tuple[str, bytes]]:
    data = picture[:9, :13].tobytes()
    corrupt, large, unsupported = "ERR_CORRUPT_IMAGE", "ERR_IMAGE_TOO_LARGE", "ERR_UNSUPPORTED_IMAGE"
    good = plain(13, 9, data)
    loop = bytearray(good)
    loop[-4:] = loop[4:8]  # the next directory is this one
    return {
        "truncated.tiff": (corrupt, save(Image.fromarray(picture), "TIFF", compression="tiff_lzw")[:400]),
        "signature-only.tiff": (corrupt, good[:8]),
        "no-size.tiff": (corrupt, directory({258: (3, 1, 8)}, data)),
        "bomb.tiff": (large, plain(60000, 60000, data)),
        "bomb-deep.tiff": (large, plain(60000, 60000, data, t258=(3, 1, 16))),
        "huge-strip.tiff": (corrupt, plain(13, 4000, data, t278=(4, 1, 4000))),
        "huge-tile.tiff": (corrupt, plain(13, 9, data, t322=(4, 1, 32768), t323=(4, 1, 32768), t324=(4, 1, 8),
                                          t325=(4, 1, len(data)))),
        "many-samples.tiff": (unsupported, plain(13, 9, data, t277=(3, 1, 60000))),
        "thumbnail-first.tiff": (unsupported, plain(13, 9, data, t254=(4, 1, 1))),
        "odd-compression.tiff": (unsupported, plain(13, 9, data, t259=(3, 1, 34925))),
        "zstd.tiff": (unsupported, plain(13, 9, data, t259=(3, 1, 50000))),
        "float.tiff": (unsupported, plain(13, 9, data * 4, t258=(3, 1, 32), t339=(3, 1, 3))),
        "tiles-outside.tiff": (corrupt, tiled(picture, False).replace(struct.pack("<I", 8), struct.pack("<I", 1 << 20), 1)),
        "strip-outside.tiff": (corrupt, plain(13, 9, data, t273=(4, 1, 0xFFFFFF00))),
        "many-fields.tiff": (unsupported, plain(13, 9, data, **{f"t{30000 + i}": (3, 1, 1) for i in range(600)})),
        "random.tiff": (corrupt, b"II*\0" + bytes((i * 2654435761 >> 24) & 255 for i in range(600))),
    }
