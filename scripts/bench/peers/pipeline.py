"""From the bytes of a picture to its regions, an answer and a caption, over any runtime of runtimes.py."""
import io
import json
import pathlib

import numpy as np
from PIL import Image

from peers.runtimes import there


def many(feed: dict, n: int) -> dict:
    """What one picture is fed with, for n of them."""
    return {name: np.ascontiguousarray(np.repeat(x, n, axis=0)) for name, x in feed.items()}


class Pipeline:
    def __init__(self, runtime, folder: pathlib.Path):
        self.runtime = runtime
        self.feeds = {g: dict(np.load(folder / f"{g}.npz")) for g in there(folder)}
        self.has_captions = "step" in self.feeds
        if self.has_captions:
            self.about = json.loads((folder / "about.json").read_text())
            self.said = np.array(self.about["said"])

    def decode(self, bodies) -> np.ndarray:
        """JPEG bytes -> [B, 3, h, w]; the pictures are of one shape."""
        height, width = self.about["size"]
        out = np.zeros((len(bodies), 3, *self.about["padded"]), np.float32)
        for i, body in enumerate(bodies):
            picture = Image.open(io.BytesIO(body))
            picture.draft("RGB", (width, height))  # scaling in the DCT domain, as we do it
            pixels = np.asarray(picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR), np.float32)
            out[i, :, :height, :width] = ((pixels / 255.0 - self.about["mean"]) / self.about["std"]).transpose(2, 0, 1)
        return out

    def regions(self, images: np.ndarray):
        self.runtime.run("dense", {"images": images})
        return self.runtime.run("head", many(self.feeds["head"], len(images)))

    def question(self, n: int = 1):
        return self.runtime.run("question", many(self.feeds["question"], n))

    def begin(self, n: int = 1) -> np.ndarray:
        return self.runtime.run("context", many(self.feeds["context"], n))[0]

    def advance(self, tokens: np.ndarray, position: int, past: np.ndarray):
        """The last token of each caption -> the next one of each, and the new past"""
        rows = self.about["rows"]
        ids = np.stack([tokens] + [np.full_like(tokens, self.about["mask"])] * (rows - 1), 1)
        positions = np.tile(np.arange(position, position + rows), (len(tokens), 1))
        seen = past.shape[4]
        mask = np.triu(np.full((rows, seen + rows), -10000.0, np.float32), seen + 1)
        logits, past = self.runtime.run("step", {"ids": ids, "positions": positions, "mask": mask, "past": past})
        return self.said[logits.argmax(-1)], past

    def caption(self, n: int = 1) -> list[int]:
        """Greedy, as many words as the reference has; -> the words of the first"""
        past = self.begin(n)
        tokens, words = np.full(n, self.about["cls"], np.int64), []
        for position in range(self.about["tokens"]):
            tokens, past = self.advance(tokens, position, past)
            words.append(int(tokens[0]))
        return words

    def whole(self, bodies) -> None:
        self.regions(self.decode(bodies))
        self.caption(len(bodies))
