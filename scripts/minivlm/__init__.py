"""MiniVLM in PyTorch: the reference that the C engine is measured against, and the model that the training code trains.

One file is one part of the paper (Wang et al., arXiv 2012.06946). docs/model-format.md states the arithmetic; where this
package and that page differ, one of them is wrong.

    image.py     picture file -> input tensor            text.py    words <-> token ids
    backbone.py  EfficientNet -> P2..P5                  fusion.py  transformer over text, tags and regions
    cells.py     backbone -> grid of context cells       heads.py   caption, vqa, retrieve
    bifpn.py     P2..P5 -> pyramid P2..P6
    rpn.py       pyramid -> proposals                    decode.py  greedy and beam search
    roi.py       proposals -> region features, labels    weights.py files of a model directory
    tee.py       all of the image half                   model.py   everything together
"""
from .config import Config
from .model import Labels, MiniVLM

__all__ = ["Config", "Labels", "MiniVLM"]
