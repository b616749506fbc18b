#!/usr/bin/env python3
"""Times the PyTorch reference in eager mode, fp32, on one picture of one model directory.

    scripts/bench/pytorch_eager.py MODEL_DIR IMAGE [--rounds 20] [--threads 1] [--question TEXT]

Stages: `regions` is an upright RGB picture in memory to its kept regions (resize included, file decoding not); `vqa` is one
question and `caption` one greedy caption from regions that are there. Variants: `folded`, as the model file has it, and
`unfolded`, the same function with its batch-norms apart, as a training framework would run it. Every round runs every
stage of every variant once, so that a slow moment of the machine hits all alike. Prints JSON: medians, least and most."""
import argparse
import json
import pathlib
import statistics
import sys
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from minivlm import MiniVLM, image
from minivlm.conv import Conv

WARM_UP = 2


@torch.no_grad()
def unfold(folded: MiniVLM) -> MiniVLM:
    """The same function with a batch-norm behind each convolution that can have one."""
    model = MiniVLM(folded.config, folded.tokenizer, folded.labels).eval()
    state = folded.state_dict()
    for name, part in model.named_modules():
        if isinstance(part, Conv) and part.bn is not None:
            bias = state.pop(f"{name}.bias")
            if part.bias is not None:
                state[f"{name}.bias"] = torch.zeros_like(bias)
            part.bn.bias.copy_(bias)
            part.bn.running_var.fill_(1.0 - part.bn.eps)
            state |= {f"{name}.bn.{key}": value for key, value in part.bn.state_dict().items()}
    model.load_state_dict(state)
    return model


def stages(model: MiniVLM, picture, question: str) -> dict:
    """name -> something to time"""
    scene = model.see(picture)
    return {"regions": lambda: model.see(picture),
            "vqa": lambda: model.vqa(scene, question),
            "caption": lambda: model.caption(scene, num_beams=1)}


def measure(variants: dict, rounds: int) -> dict:
    """{variant: {stage: callable}} -> {variant: {stage: [milliseconds]}}, in interleaved rounds."""
    times: dict[str, dict[str, list[float]]] = {variant: {stage: [] for stage in parts} for variant, parts in variants.items()}
    for i in range(WARM_UP + rounds):
        for variant, parts in variants.items():
            for stage, run in parts.items():
                start = time.perf_counter()
                run()
                if i >= WARM_UP:
                    times[variant][stage].append((time.perf_counter() - start) * 1e3)
    return times


def summary(milliseconds: list[float]) -> dict:
    return {"median_ms": round(statistics.median(milliseconds), 3), "min_ms": round(min(milliseconds), 3),
            "max_ms": round(max(milliseconds), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("image")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--question", default="what color is the dog?")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, picture = MiniVLM.from_dir(args.model), image.load(args.image)
    variants = {"folded": stages(model, picture, args.question),
                "unfolded": stages(unfold(model), picture, args.question)}
    times = measure(variants, args.rounds)
    scene = model.see(picture)
    caption = model.caption(scene, num_beams=1)[0]
    print(json.dumps({
        "engine": f"pytorch {torch.__version__} eager fp32", "model": model.config.name, "threads": args.threads,
        "rounds": args.rounds, "regions": len(scene.boxes), "caption": model.tokenizer.decode(caption.tokens),
        "caption_tokens": len(caption.tokens),
        "variants": {v: {s: summary(t) for s, t in parts.items()} for v, parts in times.items()}}, indent=1))


if __name__ == "__main__":
    main()
