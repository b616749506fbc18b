"""PNG files of all types, written by hand, so that the true pixels are known without a decoder."""
import struct
import zlib

import numpy as np

from .case import Case, exif, on_white, turned

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
ALPHA, DEPTH, ROTATED, ICC = "IMAGE_WARN_ALPHA", "IMAGE_WARN_DEPTH", "IMAGE_WARN_ROTATED", "IMAGE_WARN_ICC"
ROTATED_XMP = "IMAGE_WARN_ROTATED_XMP"
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def packed_rows(samples: np.ndarray, depth: int) -> list[bytes]:
    """[h, w, channels] of values below 2^depth."""
    if depth == 16:
        return [row.astype(">u2").tobytes() for row in samples]
    if depth == 8:
        return [row.astype(np.uint8).tobytes() for row in samples]
    shifts = np.arange(depth - 1, -1, -1)
    bits = (samples.reshape(len(samples), -1, 1) >> shifts) & 1
    return [np.packbits(row.reshape(-1).astype(np.uint8)).tobytes() for row in bits]


def filtered(rows: list[bytes], step: int) -> bytes:
    """All five filters in turn."""
    out, above = [], bytes(len(rows[0])) if rows else b""
    for y, row in enumerate(rows):
        kind = y % 5
        line = bytearray([kind])
        for i, value in enumerate(row):
            a = row[i - step] if i >= step else 0
            b = above[i]
            c = above[i - step] if i >= step else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line.append((value - (0, a, b, (a + b) // 2, paeth)[kind]) & 255)
        out.append(bytes(line))
        above = row
    return b"".join(out)


def build(samples: np.ndarray, color: int, depth: int, before: bytes = b"", after: bytes = b"", interlaced: bool = False,
          size: tuple[int, int] | None = None) -> bytes:
    height, width, channels = samples.shape
    step = max(1, channels * depth // 8)
    parts = [samples[y::dy, x::dx] for x, y, dx, dy in PASSES] if interlaced else [samples]
    stream = b"".join(filtered(packed_rows(p, depth), step) for p in parts if p.size)
    data = zlib.compress(stream, 9)
    header = struct.pack(">IIBBBBB", *(size or (width, height)), depth, color, 0, 0, int(interlaced))
    half = len(data) // 2
    return (SIGNATURE + chunk(b"IHDR", header) + before + chunk(b"IDAT", data[:half]) + chunk(b"IDAT", data[half:]) + after
            + chunk(b"IEND", b""))


def grey_to_rgb(values: np.ndarray, depth: int) -> np.ndarray:
    """Scaled to 8 bits as the standard says: 2^depth - 1 becomes 255; 16 bits lose the low byte."""
    eight = values >> 8 if depth == 16 else values * (255 // ((1 << depth) - 1))
    return np.repeat(eight.astype(np.uint8), 3, axis=2)


def case(name: str, data: bytes, pixels: np.ndarray, warnings: list[str], orientation: int = 1) -> Case:
    return Case(name, data, "IMAGE_PNG", pixels=pixels, warnings=warnings, orientation=orientation)


def grey_cases(picture: np.ndarray) -> list[Case]:
    found = []
    base = picture[..., :1].astype(np.int64) * 257 + np.arange(picture.shape[1])[None, :, None]
    for depth in (1, 2, 4, 8, 16):
        values = base.clip(0, 65535) >> (16 - depth)
        pixels, warn = grey_to_rgb(values, depth), [DEPTH] if depth == 16 else []
        for interlaced in (False, True):
            name = f"grey-{depth}{'-interlaced' if interlaced else ''}.png"
            found.append(case(name, build(values, GREY, depth, interlaced=interlaced), pixels, warn))
        clear = int(values[5, 7, 0])
        seen = np.where(values == clear, 255, pixels).astype(np.uint8)
        found.append(case(f"grey-{depth}-trns.png", build(values, GREY, depth, chunk(b"tRNS", struct.pack(">H", clear))),
                          seen, [ALPHA] + warn))
    return found


def palette_cases(picture: np.ndarray) -> list[Case]:
    found = []
    for depth in (1, 2, 4, 8):
        n = 1 << depth
        palette = np.stack((np.arange(n) * 255 // (n - 1), 255 - np.arange(n) * 97 % 256, np.arange(n) * 31 % 256), 1)
        index = picture[..., :1].astype(np.int64) >> (8 - depth)
        plte = chunk(b"PLTE", palette.astype(np.uint8).tobytes())
        pixels = palette.astype(np.uint8)[index[..., 0]]
        found.append(case(f"palette-{depth}.png", build(index, PALETTE, depth, plte, interlaced=depth == 2), pixels, []))
        alpha = np.full(n, 255, np.uint8)
        alpha[:n // 2] = np.arange(n // 2) * 40 % 256
        rgba = np.concatenate((pixels, alpha[index]), 2)
        trns = chunk(b"tRNS", alpha[:n // 2].tobytes())
        found.append(case(f"palette-{depth}-trns.png", build(index, PALETTE, depth, plte + trns), on_white(rgba), [ALPHA]))
    return found


def colour_cases(picture: np.ndarray) -> list[Case]:
    found = []
    height, width, _ = picture.shape
    y, x = np.mgrid[0:height, 0:width]
    alpha = ((x * 6 + y * 3) % 256)[..., None]
    for depth in (8, 16):
        def deep(values):
            return values.astype(np.int64) * 256 + values * 7 % 251 if depth == 16 else values.astype(np.int64)

        warn = [DEPTH] if depth == 16 else []
        rgba = np.concatenate((picture, alpha.astype(np.uint8)), 2)
        la = np.concatenate((picture[..., :1], alpha.astype(np.uint8)), 2)
        seen_la = on_white(np.concatenate((np.repeat(picture[..., :1], 3, 2), alpha.astype(np.uint8)), 2))
        for interlaced in (False, True):
            tail = f"{depth}{'-interlaced' if interlaced else ''}.png"
            found += [
                case(f"rgb-{tail}", build(deep(picture), RGB, depth, interlaced=interlaced), picture, warn),
                case(f"rgba-{tail}", build(deep(rgba), RGBA, depth, interlaced=interlaced), on_white(rgba), [ALPHA] + warn),
                case(f"grey-alpha-{tail}", build(deep(la), GREY_ALPHA, depth, interlaced=interlaced), seen_la, [ALPHA] + warn),
            ]
        clear = deep(picture)[9, 11]
        seen = np.where((deep(picture) == clear).all(2, keepdims=True), 255, picture).astype(np.uint8)
        trns = chunk(b"tRNS", struct.pack(">HHH", *clear))
        found.append(case(f"rgb-{depth}-trns.png", build(deep(picture), RGB, depth, trns), seen, [ALPHA] + warn))
    return found


def other_cases(picture: np.ndarray) -> list[Case]:
    small = picture[:9, :13]
    text = chunk(b"tEXt", b"Comment\0" + b"words " * 2000)
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3000000), 9))
    icc = chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(500)))
    animation = chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 13, 9, 0, 0, 1, 1, 0, 0))
    frame = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 1, 13, 9, 0, 0, 1, 1, 0, 0)) + chunk(b"fdAT", b"\0\0\0\2never read")
    plain = build(small, RGB, 8)
    found = [
        case("text.png", build(small, RGB, 8, text + bomb), small, []),
        case("icc.png", build(small, RGB, 8, icc), small, [ICC]),
        case("gamma.png", build(small, RGB, 8, chunk(b"gAMA", struct.pack(">I", 100000))), small, []),
        case("apng.png", build(small, RGB, 8, animation, frame), small, ["IMAGE_WARN_ANIMATION"]),
        case("trailing.png", plain + b"garbage \xff\xd8\xff\xe0" * 5, small, []),
        case("two-files.png", plain + plain, small, ["IMAGE_WARN_PAGES"]),
        case("no-end.png", plain[:-12], small, []),
        case("one-pixel.png", build(picture[:1, :1], RGB, 8, interlaced=True), picture[:1, :1], []),
        case("late-chunks.png", build(small, RGB, 8, after=animation[:20] + chunk(b"tRNS", bytes(6))), small, []),
        case("unknown-chunk.png", build(small, RGB, 8, chunk(b"abCd", b"private")), small, []),
    ]
    for n in (2, 3, 4, 5, 6, 7, 8):
        for interlaced in (False, True):
            place = {"before": chunk(b"eXIf", exif(n, big=n % 2 == 1))} if n % 3 else {"after": chunk(b"eXIf", exif(n))}
            found.append(case(f"exif-{n}{'-interlaced' if interlaced else ''}.png",
                              build(small, RGB, 8, interlaced=interlaced, **place), turned(small, n), [ROTATED], n))
    return found


def raw_profile(block: bytes) -> bytes:
    """As ImageMagick writes it."""
    digits = block.hex()
    lines = "\n".join(digits[i:i + 72] for i in range(0, len(digits), 72))
    return f"\nexif\n{len(block):8}\n{lines}\n".encode()


def small_window(data: bytes) -> bytes:
    """The zlib header names a window of 256 bytes, which its data exceed."""
    at = data.index(b"IDAT") + 4
    length = struct.unpack(">I", data[at - 8:at - 4])[0]
    return data[:at - 8] + chunk(b"IDAT", b"\x08\x1d" + data[at + 2:at + length]) + data[at + length + 4:]


def web_cases(picture: np.ndarray) -> list[Case]:
    """What browsers show although it is not quite right, and orientations in odd places."""
    small = picture[:9, :13]
    tiled = np.tile(picture[:8], (4, 4, 1))
    wrong = bytearray(chunk(b"tEXt", b"Comment\0words") + chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(500))))
    wrong[15] ^= 1
    wrong[-1] ^= 1
    block = b"Exif\0\0" + exif(6)
    packed = b"Raw profile type exif\0\0" + zlib.compress(raw_profile(block))
    text = b"Raw profile type APP1\0" + raw_profile(exif(8, big=True))
    broken = chunk(b"eXIf", exif(6))[:-1] + b"x"
    xmp = b'XML:com.adobe.xmp\0%b\0\0\0%b'
    packet = b"<x:xmpmeta>" + b" " * 300 + b"<rdf tiff:Orientation='3'/></x:xmpmeta>"
    return [
        case("wrong-crc-skipped.png", build(small, RGB, 8, bytes(wrong)), small, [ICC]),
        case("small-window.png", small_window(build(tiled, RGB, 8)), tiled, []),
        case("raw-exif-packed.png", build(small, RGB, 8, chunk(b"zTXt", packed)), turned(small, 6), [ROTATED], 6),
        case("raw-exif-text.png", build(small, RGB, 8, after=chunk(b"tEXt", text)), turned(small, 8), [ROTATED], 8),
        case("xmp.png", build(small, RGB, 8, chunk(b"iTXt", xmp % (b"\0", packet))), turned(small, 3), [ROTATED_XMP], 3),
        case("xmp-packed.png", build(small, RGB, 8, chunk(b"iTXt", xmp % (b"\1", zlib.compress(packet)))), turned(small, 3),
             [ROTATED_XMP], 3),
        case("raw-xmp.png", build(small, RGB, 8, chunk(b"tEXt", b"Raw profile type xmp\0" + raw_profile(packet))),
             turned(small, 3), [ROTATED_XMP], 3),
        case("wrong-crc-exif.png", build(small, RGB, 8, broken), small, []),
        case("exif-and-xmp.png", build(small, RGB, 8, chunk(b"iTXt", xmp % (b"\0", packet)), chunk(b"eXIf", exif(6))),
             turned(small, 6), [ROTATED], 6),
    ]


def cases(picture: np.ndarray) -> list[Case]:
    small, larger = picture[:17, :23], picture[:20, :27]
    return grey_cases(small) + palette_cases(small) + colour_cases(larger) + other_cases(picture) + web_cases(picture)
