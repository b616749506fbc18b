"""config.json of a model directory as dataclasses. An unknown key is an error; so is a missing one, but for those with a
default."""
import dataclasses
import json
import pathlib
import typing
from dataclasses import dataclass

LEVELS = 5  # P2..P6
TAP_STRIDES = (4, 8, 16, 32)  # of P2..P5
RATIOS = (0.5, 1.0, 2.0)  # height / width of the anchors


class ConfigError(ValueError):
    """A config.json that does not follow docs/model-format.md; the text names the key."""


@dataclass
class Image:
    resize: str  # "square" or "short_side"
    size: int
    max_size: int
    divisor: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass
class Stage:
    """One row of the EfficientNet table; all but the first of `repeats` blocks have stride 1."""
    expand: int
    kernel: int
    stride: int
    channels: int
    repeats: int


@dataclass
class Backbone:
    activation: str  # "swish" or "relu6"
    squeeze_excite: bool
    padding: str  # "symmetric" or "same"
    stem: int
    stages: tuple[Stage, ...]

    def tap_channels(self) -> list[int]:
        """Channels of P2..P5: those of the last stage at each stride."""
        stride, channels = 2, {2: self.stem}
        for stage in self.stages:
            stride *= stage.stride
            channels[stride] = stage.channels
        return [channels[s] for s in TAP_STRIDES]


@dataclass
class Bifpn:
    channels: int
    repeats: int


@dataclass
class Context:
    """The grid of cells beside the regions."""
    channels: int  # outputs of its 1x1 convolution
    own_blocks: int  # how many of the last blocks of the backbone it has to itself
    pool: int  # a cell is the mean of pool x pool places of the map
    regions: int  # how many of the kept regions, best first, the fusion still sees


@dataclass
class Rpn:
    anchor_sizes: tuple[int, ...]
    pre_nms: int
    nms: float
    proposals: int


@dataclass
class Roi:
    pool: int
    sampling: int
    hidden: int
    classes: int  # without background
    nms: float
    score_threshold: float
    min_regions: int
    max_regions: int


@dataclass
class Fusion:
    layers: int
    hidden: int
    heads: int
    ffn: int
    vocab: int
    positions: int


@dataclass
class Text:
    caption_length: int
    text_length: int
    tags_length: int
    tag_threshold: float


@dataclass
class Caption:
    num_beams: int
    max_tokens: int
    length_penalty: float
    decoder: str = "mask"  # or "causal": the next word is predicted where the last one stands


@dataclass
class Vqa:
    answers: int


@dataclass
class Weights:
    file: str
    sha256: str


@dataclass
class Config:
    format: str
    name: str
    version: str
    image: Image
    backbone: Backbone
    bifpn: Bifpn
    rpn: Rpn
    roi: Roi
    fusion: Fusion
    text: Text
    caption: Caption
    vqa: Vqa
    weights: Weights
    context: Context | None = None

    def __post_init__(self):
        check(self)

    @classmethod
    def from_dict(cls, values: dict) -> "Config":
        return _section(cls, values, "config")

    @classmethod
    def from_file(cls, path) -> "Config":
        return cls.from_dict(json.loads(pathlib.Path(path).read_text(encoding="utf-8")))

    def to_dict(self) -> dict:
        values = dataclasses.asdict(self)
        values["backbone"]["stages"] = [list(dataclasses.astuple(s)) for s in self.backbone.stages]
        if self.context is None:
            del values["context"]
        if self.caption.decoder == "mask":
            del values["caption"]["decoder"]
        return values

    def to_json(self) -> str:
        """One line for each section, so that a person can read and compare it."""
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in self.to_dict().items()]
        return "{\n" + ",\n".join(lines) + "\n}\n"


def paper(name: str = "minivlm-paper") -> Config:
    """The sizes of the paper: EfficientNet-B0, 64-channel BiFPN, MiniLM-L12-H384, 1,594 classes, 3,129 answers."""
    stages = [[1, 3, 1, 16, 1], [6, 3, 2, 24, 2], [6, 5, 2, 40, 2], [6, 3, 2, 80, 3],
              [6, 5, 1, 112, 3], [6, 5, 2, 192, 4], [6, 3, 1, 320, 1]]
    return Config.from_dict({
        "format": "minivlm-1", "name": name, "version": "0",
        "image": {"resize": "short_side", "size": 512, "max_size": 1333, "divisor": 32,
                  "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        "backbone": {"activation": "swish", "squeeze_excite": True, "padding": "symmetric", "stem": 32,
                     "stages": stages},
        "bifpn": {"channels": 64, "repeats": 3},
        "rpn": {"anchor_sizes": [32, 64, 128, 256, 512], "pre_nms": 1000, "nms": 0.7, "proposals": 300},
        "roi": {"pool": 4, "sampling": 2, "hidden": 1024, "classes": 1594, "nms": 0.5, "score_threshold": 0.2,
                "min_regions": 10, "max_regions": 50},
        "fusion": {"layers": 12, "hidden": 384, "heads": 12, "ffn": 1536, "vocab": 30522, "positions": 512},
        "text": {"caption_length": 40, "text_length": 35, "tags_length": 30, "tag_threshold": 0.2},
        "caption": {"num_beams": 3, "max_tokens": 20, "length_penalty": 1.0},
        "vqa": {"answers": 3129},
        "weights": {"file": "model.safetensors", "sha256": "0" * 64}})


def lite(config: Config) -> Config:
    """The same sizes with EfficientNet-Lite's blocks: ReLU6, no squeeze-excite, TensorFlow's padding."""
    values = config.to_dict()
    values["backbone"].update(activation="relu6", squeeze_excite=False, padding="same")
    return Config.from_dict(values)


# Reading: the field types of the dataclasses are the schema.


def _section(kind, values, where: str):
    """dict -> dataclass, strictly."""
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: an object is expected")
    types = typing.get_type_hints(kind)
    for key in values:
        if key not in types:
            raise ConfigError(f"{where}.{key}: unknown key")
    for field in dataclasses.fields(kind):
        if field.name not in values and field.default is dataclasses.MISSING:
            raise ConfigError(f"{where}.{field.name}: missing")
    return kind(**{key: _value(types[key], value, f"{where}.{key}") for key, value in values.items()})


def _value(kind, value, where: str):
    if kind is Stage:
        if not isinstance(value, list) or len(value) != 5:
            raise ConfigError(f"{where}: five numbers are expected")
        return Stage(*(_value(int, v, where) for v in value))
    if kind == Context | None:
        kind = Context
    if dataclasses.is_dataclass(kind):
        return _section(kind, value, where)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where}: a list is expected")
        return tuple(_value(typing.get_args(kind)[0], v, where) for v in value)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ConfigError(f"{where}: {kind.__name__} is expected, not {value!r}")
    return value


# Checking: what the types cannot say.


def _require(condition: bool, text: str):
    if not condition:
        raise ConfigError(text)


def check(c: Config) -> None:
    """Raises ConfigError where the values do not fit each other."""
    _require(c.format == "minivlm-1", f"config.format: {c.format!r} is not minivlm-1")
    _check_positive(c)
    _check_image_half(c)
    _check_text_half(c)


def _check_positive(c: Config) -> None:
    for section in (c.image, c.bifpn, c.rpn, c.roi, c.fusion, c.text, c.caption, c.vqa, *([c.context] if c.context else [])):
        for field in dataclasses.fields(section):  # type: ignore[arg-type]
            value = getattr(section, field.name)
            if type(value) is int:
                where = f"config.{type(section).__name__.lower()}.{field.name}"
                lowest = 0 if field.name in ("min_regions", "own_blocks", "regions") else 1
                _require(value >= lowest, f"{where}: {value} is less than {lowest}")


def _check_image_half(c: Config) -> None:
    i, b = c.image, c.backbone
    _require(i.resize in ("square", "short_side"), f"config.image.resize: {i.resize!r}")
    _require(i.resize == "square" or i.max_size >= i.size, "config.image.max_size: less than size")
    _require(i.divisor % 32 == 0, "config.image.divisor: not a multiple of 32")
    _require(len(i.mean) == 3 and len(i.std) == 3, "config.image: mean and std have three numbers")
    _require(all(s > 0 for s in i.std), "config.image.std: not above zero")
    _require(b.activation in ("swish", "relu6"), f"config.backbone.activation: {b.activation!r}")
    _require(b.padding in ("symmetric", "same"), f"config.backbone.padding: {b.padding!r}")
    stride = 2
    for s in b.stages:
        _require(min(s.expand, s.channels, s.repeats) >= 1, "config.backbone.stages: a number below one")
        _require(s.kernel in (3, 5) and s.stride in (1, 2), "config.backbone.stages: kernel 3 or 5, stride 1 or 2")
        stride *= s.stride
    _require(b.stem >= 1 and stride == 32, f"config.backbone.stages: total stride {stride}, not 32")
    _require(len(c.rpn.anchor_sizes) == LEVELS, "config.rpn.anchor_sizes: five numbers are expected")
    _require(all(size > 0 for size in c.rpn.anchor_sizes), "config.rpn.anchor_sizes: not above zero")
    for where, value in (("rpn.nms", c.rpn.nms), ("roi.nms", c.roi.nms),
                         ("roi.score_threshold", c.roi.score_threshold)):
        _require(0.0 <= value <= 1.0, f"config.{where}: not in 0..1")
    _require(c.roi.min_regions <= c.roi.max_regions, "config.roi.min_regions: above max_regions")
    if c.context:
        _require(c.context.own_blocks <= sum(s.repeats for s in b.stages), "config.context.own_blocks: more than there are")
        _require(c.context.regions <= c.roi.max_regions, "config.context.regions: above roi.max_regions")


def _check_text_half(c: Config) -> None:
    f, t = c.fusion, c.text
    _require(f.hidden % f.heads == 0, "config.fusion.hidden: not a multiple of heads")
    _require(t.text_length >= 3, "config.text.text_length: less than three")
    _require(max(t.caption_length, t.text_length) + t.tags_length <= f.positions,
             "config.fusion.positions: too few for the lengths in config.text")
    _require(c.caption.decoder in ("mask", "causal"), f"config.caption.decoder: {c.caption.decoder!r}")
    _require(c.caption.num_beams <= 10, "config.caption.num_beams: above 10")
    _require(c.caption.max_tokens <= 64, "config.caption.max_tokens: above 64")
    _require(c.caption.max_tokens < t.caption_length, "config.caption.max_tokens: not below text.caption_length")
