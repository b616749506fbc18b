"""MiniVLM: pictures and words in, captions, answers and match probabilities out."""
import json
import pathlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from . import cells, decode, image, tee, weights
from .config import Config
from .conv import fold
from .fusion import TAGS, TEXT, Fusion
from .heads import Heads
from .text import Tokenizer, tag_string


@dataclass
class Labels:
    objects: list[str] = field(default_factory=list)  # objects[i] names class i + 1
    attributes: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)  # answers[i] names output i

    @classmethod
    def from_file(cls, path) -> "Labels":
        return cls(**json.loads(pathlib.Path(path).read_text(encoding="utf-8")))


@dataclass
class Scene:
    """An image as the fusion sees it. One scene serves any number of captions, questions and sentences."""
    regions: tee.Regions
    boxes: torch.Tensor  # [n, 4], pixels of the upright image
    inputs: torch.Tensor | None  # [n, H + 6] of the regions that the fusion sees; None: of none, whatever the picture
    cells: torch.Tensor | None  # [m, channels + 6]; None: a model without cells
    labels: list[str]
    tags: list[int]  # token ids with their [SEP], or none


class MiniVLM(nn.Module):
    def __init__(self, config: Config, tokenizer: Tokenizer, labels: Labels | None = None,
                 dropout: float = 0.0):
        super().__init__()
        self.config, self.tokenizer, self.labels = config, tokenizer, labels or Labels()
        self.tee = tee.Tee(config)
        self.cells = cells.Cells(config.backbone, config.context) if config.context else None
        self.fusion = Fusion(config.fusion, config.roi.hidden, dropout, config.context)
        self.heads = Heads(config, dropout)

    @classmethod
    def from_dir(cls, directory) -> "MiniVLM":
        """A folded model, ready to run."""
        directory = pathlib.Path(directory)
        config = Config.from_file(directory / "config.json")
        tokenizer = Tokenizer.from_file(directory / "vocab.txt")
        labels = Labels.from_file(directory / "labels.json")
        for what, found, wanted in (("vocab.txt", len(tokenizer.tokens), config.fusion.vocab),
                                    ("objects", len(labels.objects), config.roi.classes),
                                    ("answers", len(labels.answers), config.vqa.answers)):
            if found != wanted:
                raise ValueError(f"{what}: {found} entries, config.json says {wanted}")
        model = fold(cls(config, tokenizer, labels)).eval()
        weights.load(model, config, directory)
        return model

    # Image -> scene

    def prepare(self, picture) -> image.Prepared:
        return image.prepare(self.config.image, picture)

    @torch.no_grad()
    def see(self, picture) -> Scene:
        """An upright RGB picture (image.load) -> its scene."""
        p = self.prepare(picture)
        taps, entry = self.look(p.tensor.unsqueeze(0))
        regions = self.tee.detect(self.tee.bifpn(taps), [p.resized])[0].regions
        return self.scene(regions, entry, p)

    def look(self, images):
        """-> P2..P5, and the map that the cells start from (None in a model without cells)."""
        if self.cells is None or self.config.context is None:
            return self.tee.backbone(images), None
        return self.tee.backbone.with_entry(images, self.config.context.own_blocks)

    def scene(self, regions: tee.Regions, entry, p: image.Prepared) -> Scene:
        boxes = tee.to_upright(regions.boxes, p.resized, p.upright)
        context = self.config.context
        inputs = None
        if context is None or context.regions:
            inputs = torch.cat((regions.features.float(), tee.geometry(boxes, p.upright)), 1)  # [n, H + 6]
            inputs = inputs[:context.regions] if context else inputs
        grid = self.cells.inputs(entry, p.resized, p.upright) if self.cells else None
        labels = [self.labels.objects[k - 1] for k in regions.classes.tolist()]
        sure = [l for l, s in zip(labels, regions.scores.tolist()) if s >= self.config.text.tag_threshold]
        return Scene(regions, boxes, inputs, grid, labels, self.tag_ids(sure))

    # Words -> token ids

    def tag_ids(self, labels: list[str]) -> list[int]:
        ids = self.tokenizer.encode(tag_string(labels))[:self.config.text.tags_length - 1]
        return ids + [self.tokenizer.sep] if ids else []

    def text_ids(self, text: str) -> list[int]:
        """[CLS] question or sentence [SEP]"""
        ids = self.tokenizer.encode(text)[:self.config.text.text_length - 2]
        return [self.tokenizer.cls] + ids + [self.tokenizer.sep]

    # Embeddings of one sequence

    def embed_scene(self, scene: Scene):
        """Regions and cells -> [1, n + m, D]"""
        return self.fusion.embed_boxes(*(None if x is None else x.unsqueeze(0) for x in (scene.inputs, scene.cells)))

    def embed_context(self, scene: Scene):
        """Captioning: tags, regions and cells -> [1, c, D]"""
        tags = self._embed(scene.tags, self.config.text.caption_length, [TAGS] * len(scene.tags))
        return torch.cat((tags, self.embed_scene(scene)), 1)

    def embed_pair(self, scene: Scene, text: list[int]):
        """Questions and sentences: text, tags, regions, cells -> [1, n, D]"""
        ids = text + scene.tags
        words = self._embed(ids, 0, [TEXT] * len(text) + [TAGS] * len(scene.tags))
        return torch.cat((words, self.embed_scene(scene)), 1)

    def _embed(self, ids: list[int], first: int, segments: list[int]):
        device = self.fusion.embeddings.word.weight.device
        words = torch.tensor(ids, dtype=torch.long, device=device)
        positions = torch.arange(first, first + len(ids), device=device)
        kinds = torch.tensor(segments, dtype=torch.long, device=device)
        return self.fusion.embed_text(words[None], positions[None], kinds[None])  # [1, n, D]

    # Tasks

    @torch.no_grad()
    def vqa(self, scene: Scene, question: str):
        """-> logits [answers]; their sigmoid is the score."""
        x = self.fusion.encode(self.embed_pair(scene, self.text_ids(question)))
        return self.heads.vqa(x[0, 0])

    @torch.no_grad()
    def retrieve(self, scene: Scene, sentence: str):
        """-> logits [2]; softmax(logits)[1] is the probability that they belong together."""
        x = self.fusion.encode(self.embed_pair(scene, self.text_ids(sentence)))
        return self.heads.retrieve(x[0, 0])

    @torch.no_grad()
    def scorer(self, scene: Scene, cached: bool = True) -> decode.Scorer:
        kind: Any = decode.CachedScorer if cached else decode.FullScorer
        causal = self.config.caption.decoder == "causal"
        return kind(self.fusion, self.heads.caption, self.tokenizer, self.embed_context(scene), causal)

    def caption(self, scene: Scene, num_beams=None, max_tokens=None, length_penalty=None, cached=True):
        """-> hypotheses, best first; settings that are left out come from config.json."""
        c = self.config.caption
        num_beams = num_beams or c.num_beams
        max_tokens = max_tokens or c.max_tokens
        length_penalty = c.length_penalty if length_penalty is None else length_penalty
        scorer = self.scorer(scene, cached)
        if num_beams == 1:
            return [decode.greedy(scorer, max_tokens)]
        return decode.beam(scorer, num_beams, max_tokens, length_penalty)
