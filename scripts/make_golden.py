#!/usr/bin/env python3
"""Makes the small models, pictures and golden results of the tests, or a full-size model with golden results.

    make_golden.py                       writes tests/data and tests/golden again, bit for bit (same torch version)
    make_golden.py --full OUT_DIR        a random model of the paper's size and its golden results, about 200 MB
    make_golden.py --search 40           tries seeds and prints how safe their decisions are; writes nothing
    make_golden.py --from MODEL_DIR OUT  golden results of an existing model on larger pictures

Needs requirements-reference.txt. scripts/golden/record.py and units.py say what is in the results."""
import argparse
import json
import pathlib
import sys

import torch
from golden import lively, margins, pictures, tiny, units
from golden.record import Recorder, other_decoder
from minivlm import config as cfg, image, quantised, weights
from minivlm.conv import fold
from minivlm.model import Labels, MiniVLM
from minivlm.text import Tokenizer
from PIL import Image
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEEDS = {"tiny": 20, "tiny-lite": 22, "tiny-cells": 4, "tiny-both": 9}  # found with --search
KINDS = {"tiny": "fp32", "tiny-lite": "int8", "tiny-cells": "int8", "tiny-both": "fp32"}
# Recorded with the fusion in 8 bits too: pictures on which no result hangs on a byte that the last bit of a float tips over.
BYTES = {"tiny-lite": ("stripes", "small"), "tiny-cells": ("discs", "stripes", "small")}
CARD = """# {name}

Random weights, for tests only: it knows nothing. Made by `{command}`, seed {seed}, torch {torch};
no data went into it.
"""


def draw_pictures(table: dict, directory: pathlib.Path) -> dict[str, Image.Image]:
    """Saves the pictures and reads them back, as every other reader will."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, (width, height, formula) in table.items():
        pictures.draw(width, height, formula).save(directory / f"{name}.png", optimize=True)
    return {name: image.load(directory / f"{name}.png") for name in table}


def make_model(config: cfg.Config, tokens: list[str], labels: Labels, pics: dict, seed: int) -> MiniVLM:
    model = MiniVLM(config, Tokenizer(tokens), labels).eval()
    lively.enliven(model, list(pics.values()), seed)
    if KINDS.get(config.name) == "int8":  # whose file has the words that can be said apart: some cannot, none of the 8 special ones
        with torch.no_grad():
            model.heads.caption.bias[8::3] = weights.SILENT
    return model


def export(model: MiniVLM, directory: pathlib.Path, kind: str, about: dict) -> MiniVLM:
    """Writes the model directory and reads it back, so that rounding of the weights is part of the golden results."""
    card = CARD.format(name=model.config.name, **about)
    weights.export(model, model.config, directory, kind, model.tokenizer.tokens, vars(model.labels), card)
    return MiniVLM.from_dir(directory)


def record(model: MiniVLM, pics: dict, directory: pathlib.Path, about: dict, suffix="") -> Recorder:
    recorder = Recorder(model, tiny.QUESTIONS, tiny.SENTENCES)
    for name, picture in pics.items():
        recorder.picture(name, picture)
    directory.mkdir(parents=True, exist_ok=True)
    stem = directory / (model.config.name + suffix)
    save_file(recorder.tensors, f"{stem}.safetensors")
    page = {"model": model.config.name, "weights_sha256": model.config.weights.sha256, **about,
            "margins": min_margins(model, pics), "images": recorder.pages}
    pathlib.Path(f"{stem}.json").write_text(json.dumps(page, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")
    return recorder


def image_half(directory: pathlib.Path, pics: dict, dtype) -> dict:
    """The maps of the image half as it runs by default: in 8 bits where the file has its matrices so."""
    model = MiniVLM.from_dir(directory)
    quantised.apply(model, directory)
    model, out = model.to(dtype), {}
    for name, picture in pics.items():
        taps, entry = model.look(model.prepare(picture).tensor.to(dtype)[None])
        maps = {f"tap{i + 2}": t for i, t in enumerate(taps)} | {f"pyramid{i + 2}": t for i, t in enumerate(model.tee.bifpn(taps))}
        if model.cells:
            maps["cells.map"] = model.cells(entry)
        out[name] = {part: t[0].double() for part, t in maps.items()}
    return out


@torch.no_grad()
def record_image_half(directory: pathlib.Path, pics: dict, golden: pathlib.Path) -> None:
    """By double precision. Where the reference's own floats round a sum another way, a byte tips over, and these random networks make much
    of it: pictures on which floats and doubles part are left out, for no other implementation can do better."""
    precise, single = image_half(directory, pics, torch.float64), image_half(directory, pics, torch.float32)
    tensors, pages = {}, {}
    for name, maps in precise.items():
        apart = max(float((single[name][part] - t).norm() / t.norm()) for part, t in maps.items())
        print(f"{directory.name} {name}: floats and doubles {apart:.5f} apart")
        if apart < 1e-3:
            tensors |= {f"{name}.{part}": t.float().contiguous() for part, t in maps.items()}
            pages[name] = {"apart": float(f"{apart:.2g}")}
    save_file(tensors, golden / f"{directory.name}-image.safetensors")
    page = {"model": directory.name, "weights_sha256": cfg.Config.from_file(directory / "config.json").weights.sha256, "images": pages}
    (golden / f"{directory.name}-image.json").write_text(json.dumps(page, indent=1) + "\n", encoding="utf-8")


def min_margins(model: MiniVLM, pics: dict) -> dict[str, float]:
    least: dict[str, float] = {}
    for picture in pics.values():
        with torch.no_grad():
            found = margins.image_margins(model, model.prepare(picture))
        scene = model.see(picture)
        found["greedy token"] = margins.caption_margin(model, scene)
        with other_decoder(model):
            found["greedy token, other decoder"] = margins.caption_margin(model, scene)
        for what, value in found.items():
            least[what] = min(least.get(what, 9.0), round(value, 7))
    return least


def record_text(tokens: list[str], file: pathlib.Path) -> None:
    tokenizer = Tokenizer(tokens)
    cases = [{"text": text, "ids": tokenizer.encode(text)} for text in tiny.TEXTS]
    file.write_text(json.dumps({"vocab": "tests/data/tiny/vocab.txt", "cases": cases}, indent=1) + "\n")


def describe(recorder: Recorder) -> None:
    """What a person should look at: is the network alive?"""
    for name, page in recorder.pages.items():
        t = recorder.tensors
        spread = " ".join(f"{k}={float(t[f'{name}.{k}'].std()):.2f}" for k in
                          ("tap5", "pyramid2", "pyramid6", "roi.features", "regions.inputs", "cells.map", "vqa0.logits")
                          if f"{name}.{k}" in t)
        print(f"{recorder.model.config.name} {name}: std {spread}")
        print(f"  {len(page['labels'])} regions of {len(t[f'{name}.proposals.boxes'])}: "
              + " ".join(f"{label}:{s:.2f}" for label, s in zip(page["labels"], page["scores"])))
        print(f"  vqa {[v['answers'][0] for v in page['vqa']]} retrieve {[r['score'] for r in page['retrieve']]}")
        print(f"  greedy {page['caption']['greedy']['text']!r}")
        for h in page["caption"]["beams"]:
            print(f"  beam   {h['text']!r} {h['score']:.3f} {len(h['tokens'])} tokens")


def about(seed: int) -> dict:
    return {"command": " ".join(["scripts/make_golden.py"] + sys.argv[1:]), "seed": seed, "torch": torch.__version__}


def tiny_labels() -> Labels:
    return Labels(tiny.OBJECTS, [], tiny.ANSWERS)


def make_tiny(root: pathlib.Path) -> None:
    pics = draw_pictures(pictures.TINY, root / "data/images")
    for name in SEEDS:
        info = about(SEEDS[name])
        model = make_model(tiny.config(name), tiny.vocabulary(), tiny_labels(), pics, SEEDS[name])
        model = export(model, root / "data" / name, KINDS[name], info)
        recorder = record(model, pics, root / "golden", info)
        describe(recorder)
        print(f"  least margins {min_margins(model, pics)}")
        if name in BYTES:
            record_image_half(root / "data" / name, pics, root / "golden")
            quantised.apply(model, root / "data" / name, everything=True)
            record(model, {n: pics[n] for n in BYTES[name]}, root / "golden", info, "-bytes")
    save_file(units.record(pics), root / "golden/units.safetensors")
    record_text(tiny.vocabulary(), root / "golden/text.json")


def make_full(directory: pathlib.Path, seed: int, variant: str, kind: str, vocab: pathlib.Path | None) -> None:
    config = cfg.paper("full-" + variant)
    config = cfg.lite(config) if variant == "lite" else config
    size = config.fusion.vocab
    tokens = Tokenizer.from_file(vocab).tokens if vocab else tiny.synthetic_vocabulary(size)
    if len(tokens) != size:
        raise SystemExit(f"{vocab}: {len(tokens)} tokens, {size} are needed")
    labels = Labels([f"{tiny.OBJECTS[i % 12]} {i}" for i in range(config.roi.classes)], [],
                    [f"answer {i}" for i in range(config.vqa.answers)])
    pics = draw_pictures(pictures.FULL, directory / "images")
    model = export(make_model(config, tokens, labels, pics, seed), directory / "model", kind, about(seed))
    describe(record(model, pics, directory / "golden", about(seed)))


def search(count: int) -> None:
    """Good seeds: captions and answers that differ, some captions that end early, margins far from zero."""
    pics = {n: pictures.draw(w, h, f) for n, (w, h, f) in pictures.TINY.items()}
    for name in SEEDS:
        for seed in range(1, count + 1):
            model = make_model(tiny.config(name), tiny.vocabulary(), tiny_labels(), pics, seed)
            state = weights.unpack(weights.pack(weights.folded_state(model), KINDS[name]))
            fold(model).load_state_dict(state)
            print(f"{name} seed {seed}: {variety(model, pics)}, least "
                  + ", ".join(f"{k} {v:.0e}" for k, v in min_margins(model, pics).items()), flush=True)


@torch.no_grad()
def variety(model: MiniVLM, pics: dict) -> str:
    scenes = [model.see(p) for p in pics.values()]
    greedy = [model.caption(scene, num_beams=1)[0].tokens for scene in scenes]
    beams = [h.tokens for scene in scenes for h in model.caption(scene)]
    ended = sum(tokens[-1] == model.tokenizer.sep for tokens in greedy + beams)
    answers = {int(model.vqa(scene, q).argmax()) for scene in scenes for q in tiny.QUESTIONS}
    most = max(float(level.std()) for p in pics.values() for level in model.tee.pyramid(model.prepare(p).tensor[None]))
    return (f"{len({tuple(g) for g in greedy})} captions of {len(set(sum(greedy, [])))} tokens, {ended} of "
            f"{len(greedy + beams)} end by themselves, {len(answers)} answers, {[len(s.boxes) for s in scenes]} regions, "
            f"pyramid std up to {most:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", type=pathlib.Path, metavar="OUT_DIR")
    parser.add_argument("--from", dest="source", type=pathlib.Path, nargs=2, metavar=("MODEL_DIR", "OUT_DIR"))
    parser.add_argument("--variant", choices=("paper", "lite"), default="paper")
    parser.add_argument("--kind", choices=weights.KINDS, default="fp32", help="type of the full model's weights")
    parser.add_argument("--vocab", type=pathlib.Path, help="vocab.txt of the full model; made up if left out")
    parser.add_argument("--seed", type=int, default=1, help="of the full model")
    parser.add_argument("--search", type=int, metavar="N")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "tests", help="instead of tests/")
    args = parser.parse_args()
    torch.set_num_threads(1)  # sums in one order
    if args.search:
        search(args.search)
    elif args.full:
        make_full(args.full, args.seed, args.variant, args.kind, args.vocab)
    elif args.source:
        pics = draw_pictures(pictures.FULL, args.source[1] / "images")
        describe(record(MiniVLM.from_dir(args.source[0]), pics, args.source[1] / "golden", about(0)))
    else:
        make_tiny(args.out)


if __name__ == "__main__":
    main()
