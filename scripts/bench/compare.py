#!/usr/bin/env python3
"""Our engine beside the PyTorch reference: same weights, same picture, same machine, one table.

    scripts/bench/compare.py MODEL_DIR IMAGE [--minivlm build/release/minivlm] [--passes 3] [--rounds 10]

Runs `minivlm bench --json` and pytorch_eager.py in turn, `--passes` times, both on one thread, and takes the median over
the passes, so that both meet the same machine. The stages are those of pytorch_eager.py, except that the engine resizes
while it decodes: its `regions` begin with the resized picture. Speed-ups are against the faster PyTorch variant of each
stage. Numbers belong in SPEED.md together with machine and command; a test never depends on them."""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
STAGES = ("regions", "vqa", "caption")
OURS = {"regions": "regions", "vqa": "vqa", "caption greedy": "caption"}  # rows of `minivlm bench`


def run(command: list[str]) -> str:
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    if result.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {result.returncode}")
    return result.stdout


def engine_columns(output: str) -> dict[str, dict[str, float]]:
    """The lines of `minivlm bench --json` -> {column: {stage: milliseconds}}"""
    found = {row["name"]: row["median"] for row in map(json.loads, output.splitlines())}
    return {"minivlm": {stage: found[name] for name, stage in OURS.items()}}


def pytorch_columns(output: str) -> dict[str, dict[str, float]]:
    """The document of pytorch_eager.py -> {column: {stage: milliseconds}}"""
    document = json.loads(output)
    return {f"{document['engine']} {name}": {s: t["median_ms"] for s, t in stages.items()}
            for name, stages in document["variants"].items()}


def collect(programs: list[tuple], passes: int) -> dict[str, dict[str, list[float]]]:
    """Runs the programs, (command, reader of its output), in turn -> {column: {stage: [milliseconds of each pass]}}"""
    times: dict[str, dict[str, list[float]]] = {}
    for _ in range(passes):
        for command, columns in programs:
            for column, stages in columns(run(command)).items():
                for stage, value in stages.items():
                    times.setdefault(column, {}).setdefault(stage, []).append(value)
    return times


def cell(values: list[float] | None) -> str:
    """median, and half the range over the passes"""
    if not values:
        return "-"
    return f"{statistics.median(values):.2f} +- {(max(values) - min(values)) / 2:.2f}"


def table(times: dict) -> str:
    """Markdown: a row for each stage, the first column ours."""
    names = list(times)
    ours, others = names[0], names[1:]
    lines = ["| milliseconds | " + " | ".join(names) + " | speed-up |", "|---" * (len(names) + 2) + "|"]
    for stage in STAGES:
        mine, best = times[ours].get(stage), [statistics.median(times[n][stage]) for n in others if stage in times[n]]
        factor = f"{min(best) / statistics.median(mine):.2f}x" if mine and best and len(names) > 1 else "-"
        lines.append(f"| {stage} | " + " | ".join(cell(times[n].get(stage)) for n in names) + f" | {factor} |")
    return "\n".join(lines)


def machine() -> str:
    """The processor's name, for the record."""
    info = pathlib.Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")] \
        if info.exists() else []
    return f"{names[0] if names else 'unknown processor'}, {os.cpu_count()} CPUs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("image")
    parser.add_argument("--minivlm", default=str(HERE.parents[1] / "build/release/minivlm"))
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=10, help="of each program in each pass")
    parser.add_argument("--json", action="store_true", help="print the passes instead of the table")
    args = parser.parse_args()
    if not pathlib.Path(args.minivlm).exists():
        raise SystemExit(f"{args.minivlm} is not there: cmake --preset release && cmake --build --preset release")
    rounds = ["--rounds", str(args.rounds)]
    ours = [args.minivlm, "bench", "--json", "--threads", "1", *rounds, "--model", args.model, args.image]
    theirs = [sys.executable, str(HERE / "pytorch_eager.py"), args.model, args.image, *rounds]
    times = collect([(ours, engine_columns), (theirs, pytorch_columns)], args.passes)
    if args.json:
        print(json.dumps({"machine": machine(), "passes": times}, indent=1))
    else:
        print(f"{machine()}; one thread; median of {args.passes} passes\n\n{table(times)}")


if __name__ == "__main__":
    main()
