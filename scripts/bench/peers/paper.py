"""Two networks of random weights: MiniVLM in the sizes of the paper, and the large one that the paper compares itself with. Needs
PyTorch.

The large one: ResNet-101 up to its fourth stage, proposals on one map of stride 16, the fifth stage on 14 x 14 of every
proposal (Anderson et al., arXiv 1707.07998), then BERT-base on 50 regions and the words of a question. It is cut into graphs
as graphs.py cuts ours, `dense`, `head` and `question`."""
import pathlib

import torch
from golden import lively, pictures, tiny
from minivlm import MiniVLM, config as cfg, image, weights
from minivlm.model import Labels
from minivlm.text import Tokenizer
from torch import nn
from train.export import kind_of

from peers import graphs

SHORT, LONG, PROPOSALS, REGIONS = 600, 1000, 300, 50
CARD = "Random weights in the sizes of the paper, to be timed: it knows nothing.\n"


def _model(config: cfg.Config) -> MiniVLM:
    labels = Labels([f"object {i}" for i in range(config.roi.classes)], [], [f"answer {i}" for i in range(config.vqa.answers)])
    return MiniVLM(config, Tokenizer(tiny.synthetic_vocabulary(config.fusion.vocab)), labels).eval()


def export_small(directory: pathlib.Path, kind: str) -> None:
    """A model directory of random weights in the sizes of the paper."""
    model = _model(cfg.paper())
    lively.enliven(model, [pictures.draw(256, 192, formula) for formula in (0, 1)], seed=1)
    weights.export(model, model.config, directory, kind_of(kind), model.tokenizer.tokens, vars(model.labels), CARD)


class Bottleneck(nn.Module):
    """Batch-norm is folded: each convolution has a bias."""

    def __init__(self, inputs: int, narrow: int, stride: int):
        super().__init__()
        outputs = 4 * narrow
        self.body = nn.Sequential(nn.Conv2d(inputs, narrow, 1), nn.ReLU(), nn.Conv2d(narrow, narrow, 3, stride, 1), nn.ReLU(),
                                  nn.Conv2d(narrow, outputs, 1))
        self.around = nn.Identity() if inputs == outputs and stride == 1 else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x):  # [B, in, h, w] -> [B, out, h/stride, w/stride]
        return torch.relu(self.body(x) + self.around(x))


def _stage(inputs: int, narrow: int, count: int, stride: int) -> nn.Sequential:
    return nn.Sequential(Bottleneck(inputs, narrow, stride), *(Bottleneck(4 * narrow, narrow, 1) for _ in range(count - 1)))


class LargeDense(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1), _stage(64, 64, 3, 1),
                                  _stage(256, 128, 4, 2), _stage(512, 256, 23, 2))
        self.rpn = nn.Sequential(nn.Conv2d(1024, 512, 3, padding=1), nn.ReLU(), nn.Conv2d(512, 5 * 12, 1))

    def forward(self, images):  # [B, 3, h, w] -> [B, 1024, h/16, w/16] and the maps of twelve anchors
        x = self.body(images)
        return x, self.rpn(x)


class LargeHead(nn.Module):
    def __init__(self, classes: int):
        super().__init__()
        self.body, self.predict = _stage(1024, 512, 3, 2), nn.Linear(2048, 5 * (classes + 1))

    def forward(self, aligned):  # [n, 1024, 14, 14] -> features, logits and deltas
        x = self.body(aligned).mean((2, 3))
        return x, self.predict(x)


@torch.no_grad()
def export_large(picture_file: pathlib.Path, folder: pathlib.Path) -> None:
    """dense, head and question, and what they are fed with."""
    values = cfg.paper().to_dict()
    values["fusion"].update(hidden=768, ffn=3072)
    values["roi"]["hidden"] = 2048
    config = cfg.Config.from_dict(values)
    width, height = image.load(picture_file).size
    scale = min(SHORT / min(width, height), LONG / max(width, height))
    rows, columns = round(height * scale), round(width * scale)
    words = graphs.text([7] * 9, 0, [0] * 9)
    feeds = {"dense": {"images": torch.randn(1, 3, rows, columns).numpy()},
             "head": {"aligned": torch.rand(PROPOSALS, 1024, 14, 14).numpy()},
             "question": words | {"regions": torch.rand(1, REGIONS, 2048 + 6).numpy()}}
    modules = {"dense": LargeDense(), "head": LargeHead(config.roi.classes), "question": graphs.Question(_model(config))}
    graphs.write(modules, feeds, folder)
