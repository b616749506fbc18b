"""Pictures made of formulas, so that anybody can make them again: our own work, CC0."""
import numpy as np
from PIL import Image

# name -> width, height, formula
TINY = {"waves": (120, 90, 0), "discs": (75, 110, 1), "stripes": (200, 64, 2), "small": (40, 40, 3)}
FULL = {"waves": (640, 480, 0), "discs": (427, 640, 1), "stripes": (1200, 400, 2)}


def draw(width: int, height: int, formula: int) -> Image.Image:
    """Coordinates run from 0 to 1 over the picture, so that sizes share a look."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    u, v = x / width, y / height
    channels = (_waves, _discs, _stripes, _small)[formula](u, v, x, y)
    pixels = np.clip(np.stack(channels, -1) * 255.0 + 0.5, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels)


def _waves(u, v, x, y):
    a = np.sin(9 * u + 4 * np.sin(5 * v))
    b = np.cos(13 * v - 3 * u * u)
    checks = ((x // 12 + y // 9) % 2) * 0.25
    return 0.4 + 0.35 * a + checks, 0.5 + 0.4 * a * b, 0.6 - 0.4 * b + checks


def _discs(u, v, x, y):
    r, g, b = 0.15 + 0.5 * v, 0.2 + 0.3 * u, 0.5 - 0.4 * v
    for k in range(7):  # discs on a spiral, each of its own colour
        angle, reach = 2.4 * k, 0.08 + 0.06 * k
        inside = np.hypot(u - 0.5 - reach * np.cos(angle), v - 0.5 - reach * np.sin(angle)) < 0.05 + 0.015 * k
        r, g, b = (np.where(inside, (0.5 + 0.5 * np.sin(p + 1.7 * k)), c) for c, p in ((r, 0), (g, 2), (b, 4)))
    return r, g, b


def _stripes(u, v, x, y):
    slope = (7 * u + 3 * v) % 1.0
    box = (np.abs(u - 0.7) < 0.12) & (np.abs(v - 0.4) < 0.3)
    return np.where(box, 0.95, slope), np.where(box, 0.1, slope ** 2), np.where(box, 0.15 + 0.5 * v, 1 - u)


def _small(u, v, x, y):
    ring = 0.5 + 0.5 * np.cos(30 * np.hypot(u - 0.3, v - 0.6))
    return ring, (u + v) / 2, 0.5 + 0.5 * np.sin(25 * u * v)
