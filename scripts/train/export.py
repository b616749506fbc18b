"""The last stage: trained weights -> a model directory (batch-norm folded, small number formats)."""
import argparse
import json
import pathlib

import torch
from evaluation import predict
from minivlm import MiniVLM, config as cfg, image, quantised, weights
from minivlm.conv import fold
from PIL import Image
from safetensors.torch import load_file

from train import build, common, recipe, rounding


def load(r: dict, checkpoint) -> tuple:
    """final.pt, or last.pt of a running stage (its averaged weights) -> model in eval mode."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    answers, vocabulary = state["answers"], state["vocabulary"]
    config = recipe.model_config(r, answers=len(answers))
    model = common.fitting(build.fresh(r, answers), state["average"] if "average" in state else state["model"])
    silent = torch.ones(config.fusion.vocab, dtype=torch.bool)
    silent[vocabulary] = False
    with torch.no_grad():
        model.heads.caption.bias[silent] = weights.SILENT  # what the restricted softmax of training meant
    return model.eval(), config


KINDS = ("mixed", "fast", *weights.KINDS)


def kind_of(kind: str):
    """mixed: the matrices of the fusion, the heads and the region head int8, which is what the engine then multiplies in (SPEED.md has what it
    costs: nothing that can be measured). The word embeddings, nearly half of the numbers, are int8 too; beside them stand the
    rows of the words that can be said in fp16, for the words that go in (in int8 alone they cost 2.6 % of CIDEr-D). All else
    is fp16, which has eight times the precision of bf16 in the same bytes; so is the projection of cells, which the engine
    multiplies in floats. int8: the projection of cells too. The
    backbone and the pyramid stay fp16 even then: in int8 their maps are off by 5 to 7 % (the narrow depthwise filters of a
    Lite network differ too much within a channel), for 3.5 MB more. fast: mixed, and the rest of the image half that can run
    in 8 bits too, the cells' convolution and projection among them: regions in less than half of the time, for 1 to 3 % of some measures
    (SPEED.md)."""
    def choose(name: str) -> str:
        if kind == "fast" and quantised.IMAGE_HALF.fullmatch(name.removesuffix(".weight")):
            return "int8"
        if kind in ("mixed", "fast"):
            fusion = ("fusion.layers.", "fusion.regions.project.", "fusion.embeddings.word.", "heads.", "tee.roi.")
            return "int8" if name.startswith(fusion) else "fp16"
        small = name.startswith(("tee.backbone.", "tee.bifpn.", "tee.rpn.")) or name.endswith("segment.weight")
        return "fp16" if kind == "int8" and small else kind
    return choose


def kind_of_directory(directory) -> str:
    """mixed or fast, by what the image half of a model directory is in; other kinds count as mixed."""
    file = load_file(pathlib.Path(directory) / cfg.Config.from_file(pathlib.Path(directory) / "config.json").weights.file)
    eyes = [t for name, t in file.items() if name.startswith("tee.b") and quantised.IMAGE_HALF.fullmatch(name.removesuffix(".weight"))]
    return "fast" if eyes and all(t.dtype == torch.int8 for t in eyes) else "mixed"


@torch.no_grad()
def _self_test(model, nudge=0) -> dict[str, float]:
    """nudge: which of a few bytes of the picture is another by one; 0: none"""
    picture = bytearray(8 * v for y in range(32) for x in range(32) for v in (x, y, x ^ y))
    picture[97 * nudge] ^= nudge > 0
    scene = model.see(Image.frombytes("RGB", (32, 32), bytes(picture)))
    vector = predict.pooled(model, scene, [model.text_ids("what is this?")])
    match = model.heads.retrieve(vector)[0]
    return {"caption_score": model.caption(scene)[0].score,
            "answer_score": float(model.heads.vqa(vector).max().sigmoid()),
            "match_score": float((match[1] - match[0]).sigmoid())}


def apart(values: list[float], least=0.03) -> list[float]:
    """Those that are not within `least` of one before them; the first two in any case."""
    kept = values[:2]
    for v in values[2:]:
        kept += [v] * all(abs(v - k) >= least for k in kept)
    return kept


def write_self_test(directory) -> None:
    """selftest.json: what the exported files say about a made-up picture, which the service makes too (server/work/sample_png.c):
    in floats, and with what the engine multiplies in 8 bits. Where two captions are nearly as good, another rounding may choose the
    other: so does a picture that is another by one byte, and what is said then counts too."""
    in_bytes = MiniVLM.from_dir(directory)
    quantised.apply(in_bytes, directory)
    found = [_self_test(MiniVLM.from_dir(directory)), *(_self_test(in_bytes, nudge) for nudge in range(4))]
    values = {key: apart([scores[key] for scores in found]) for key in found[0]}
    (pathlib.Path(directory) / "selftest.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def round_by(pictures, model, directory) -> dict:
    """Looks at the pictures with `model` and with what was exported to `directory`; -> how the weights are to be rounded (rounding.py).
    The biases of `model` change with them."""
    in_bytes = MiniVLM.from_dir(directory)
    quantised.apply(in_bytes, directory)
    seen = image.batch([model.prepare(image.load(p)) for p in pictures])
    return rounding.settle(model, in_bytes, seen, rounding.in_bytes_of(directory))


def load_directory(directory) -> tuple:
    model = MiniVLM.from_dir(directory)
    return model, model.config


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--recipe")
    p.add_argument("--checkpoint")
    p.add_argument("--from", dest="source", metavar="DIR", help="a model directory instead, to be written in another kind")
    p.add_argument("--out", required=True)
    p.add_argument("--kind", default="mixed", choices=KINDS)
    p.add_argument("--card", help="README.md of the model; default: a line that says there is none")
    p.add_argument("--round-by", nargs="+", default=[], metavar="PICTURE",
                   help="some fifty pictures of the training set: the weights of the image half in 8 bits are rounded by what it sees there")
    p.add_argument("--set", nargs="*", default=[], metavar="SECTION.KEY=VALUE", help="changes to config.json")
    args = p.parse_args()
    if args.source:
        model, config = load_directory(args.source)
    elif args.recipe and args.checkpoint:
        r = recipe.load(args.recipe)
        for change in args.set:
            path, value = change.split("=", 1)
            section, key = path.split(".")
            r["model"].setdefault(section, {})[key] = json.loads(value)
        model, config = load(r, args.checkpoint)
    else:
        p.error("either --from, or --recipe and --checkpoint")
    card = pathlib.Path(args.card).read_text(encoding="utf-8") if args.card else "Trained, not yet measured.\n"
    labels = {"objects": model.labels.objects, "attributes": [], "answers": model.labels.answers}
    everything = model.tokenizer.tokens, labels, card
    weights.export(model, config, args.out, kind_of(args.kind), *everything)
    if args.round_by:
        model = fold(model)
        weights.export(model, config, args.out, kind_of(args.kind), *everything, round_by(args.round_by, model, args.out))
    write_self_test(args.out)
    size = (pathlib.Path(args.out) / config.weights.file).stat().st_size
    print(f"{args.out}: {size / 1e6:.1f} MB, {sum(t.numel() for t in model.state_dict().values()) / 1e6:.1f} M numbers")


if __name__ == "__main__":
    main()
