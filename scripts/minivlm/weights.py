"""The files of a model directory: names, shapes, types, export and load."""
import copy
import hashlib
import json
import pathlib

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from .config import Config
from .conv import fold

KINDS = ("fp32", "bf16", "fp16", "int8")
SCALE = ".scale"
WORDS, SAID, WORD_BIAS = "fusion.embeddings.word.weight", "fusion.embeddings.word.said", "heads.caption.bias"
SILENT = -100.0  # a word with a bias of at most this is never said


class WeightsError(ValueError):
    """A weights file that does not fit; the text names the tensor."""


def quantise(w):
    """[out, ...] -> int8 of the same shape and scale [out], symmetric, value = q * scale[row]."""
    flat = w.float().flatten(1)
    largest = flat.abs().amax(1)
    scale = torch.where(largest > 0, largest / 127.0, torch.ones_like(largest))  # [out]
    q = torch.round(flat / scale[:, None]).clamp(-127, 127).to(torch.int8)
    return q.reshape(w.shape), scale


def dequantise(q, scale):
    return q.float() * scale.reshape(-1, *[1] * (q.dim() - 1))


def folded_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state of a folded copy: names and shapes of docs/model-format.md, fp32."""
    model = fold(copy.deepcopy(model).cpu().float().eval())
    return {name: t.detach().contiguous() for name, t in model.state_dict().items()}


def pack(state: dict, kind="fp32", rounded=None) -> dict:
    """fp32 state -> tensors of the file. `kind` is one of KINDS, or a function name -> kind; `rounded` has what quantise() would
    give, {name: (int8, scale)}, for those that somebody has rounded with more care.

    Vectors (biases, norms, scales, fusion weights) stay fp32 in any case. Beside int8 word embeddings the rows of the words
    that can be said are kept in fp16 too: a caption is chosen among them by their products with the state."""
    tensors = {}
    for name, t in state.items():
        chosen = kind(name) if callable(kind) else kind
        if chosen not in KINDS:
            raise ValueError(f"{name}: {chosen!r} is none of {KINDS}")
        if not torch.isfinite(t).all():
            raise WeightsError(f"{name}: not finite")
        if t.dim() < 2 or chosen == "fp32":
            tensors[name] = t.float()
        elif chosen == "bf16":
            tensors[name] = t.to(torch.bfloat16)
        elif chosen == "fp16":
            if t.abs().max() > torch.finfo(torch.float16).max:
                raise WeightsError(f"{name}: too large for fp16")
            tensors[name] = t.to(torch.float16)
        else:
            tensors[name], tensors[name + SCALE] = (rounded or {}).get(name) or quantise(t)
            if name == WORDS:
                tensors[SAID] = t[state[WORD_BIAS] > SILENT].to(torch.float16)
    return tensors


def unpack(tensors: dict) -> dict:
    """Tensors of the file -> fp32 state."""
    state, said = {}, tensors.get(SAID)
    for name, t in tensors.items():
        if name == SAID:  # below, over the rows in int8
            continue
        if name.endswith(SCALE) and tensors.get(name.removesuffix(SCALE), t).dtype == torch.int8:
            continue
        if t.dtype == torch.int8:
            if name + SCALE not in tensors:
                raise WeightsError(f"{name}{SCALE}: missing")
            t = dequantise(t, tensors[name + SCALE])
        if not torch.isfinite(t).all():
            raise WeightsError(f"{name}: not finite")
        state[name] = t.float()
    if said is not None:
        rows = state[WORD_BIAS] > SILENT
        if said.shape != (int(rows.sum()), state[WORDS].shape[1]):
            raise WeightsError(f"{SAID}: shape {list(said.shape)}, expected {[int(rows.sum()), state[WORDS].shape[1]]}")
        if not torch.isfinite(said).all():
            raise WeightsError(f"{SAID}: not finite")
        state[WORDS][rows] = said.float()
    return state


def export(model, config: Config, directory, kind="fp32", vocab=(), labels=None, card="", rounded=None) -> Config:
    """Writes a model directory and returns its config, which carries the hash of the weights."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / config.weights.file
    save_file(pack(folded_state(model), kind, rounded), file)
    file.chmod(0o644)
    values = config.to_dict()
    values["weights"]["sha256"] = sha256(file)
    config = Config.from_dict(values)
    (directory / "config.json").write_text(config.to_json(), encoding="utf-8")
    (directory / "vocab.txt").write_text("".join(token + "\n" for token in vocab), encoding="utf-8")
    lists = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in labels.items())
    (directory / "labels.json").write_text("{\n" + lists + "\n}\n", encoding="utf-8")
    (directory / "README.md").write_text(card, encoding="utf-8")
    return config


def load(model: nn.Module, config: Config, directory) -> None:
    """Fills a folded model; a missing, unknown or misshapen tensor is an error that names it."""
    file = pathlib.Path(directory) / config.weights.file
    if sha256(file) != config.weights.sha256:
        raise WeightsError(f"{file.name}: the hash differs from config.weights.sha256")
    state, wanted = unpack(load_file(file)), model.state_dict()
    for name in wanted:
        if name not in state:
            raise WeightsError(f"{name}: missing")
    for name, t in state.items():
        if name not in wanted:
            raise WeightsError(f"{name}: unknown")
        if t.shape != wanted[name].shape:
            raise WeightsError(f"{name}: shape {list(t.shape)}, expected {list(wanted[name].shape)}")
    model.load_state_dict(state)


def sha256(file) -> str:
    return hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest()
