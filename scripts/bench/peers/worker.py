#!/usr/bin/env python3
"""One runtime in a process of its own: reads lines {"rounds": n, "batch": [..]} and answers {stage: [milliseconds]}.

Stages are those of `minivlm bench`: regions (of a picture that is resized), vqa, "caption greedy", "greedy in all" (from
the bytes on); "batch B" is the last for B pictures together, a picture. Called by compare.py."""
import argparse
import json
import os
import pathlib
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[i]) for i in (1, 2)]

from peers.pipeline import Pipeline  # noqa: E402
from peers.runtimes import RUNTIMES  # noqa: E402


def timed(run) -> float:
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1e3


def measure(p: Pipeline, body: bytes, rounds: int, batches) -> dict[str, list[float]]:
    images = p.feeds["dense"]["images"]
    stages = {"regions": lambda: p.regions(images), "vqa": p.question}
    if p.has_captions:
        stages |= {"caption greedy": p.caption, "greedy in all": lambda: p.whole([body])}
    times = {name: [timed(run) for _ in range(rounds)] for name, run in stages.items()}
    for n in batches:
        times[f"batch {n}"] = [timed(lambda: p.whole([body] * n)) / n for _ in range(max(1, rounds // 2))]
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runtime", choices=RUNTIMES)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("image", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # some runtimes are chatty
    p = Pipeline(RUNTIMES[args.runtime](args.folder, args.threads), args.folder)
    body = args.image.read_bytes()
    measure(p, body, 1, [])  # warms up
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(measure(p, body, order["rounds"], order["batch"])), file=answers, flush=True)


if __name__ == "__main__":
    main()
