"""Curves of a training log (JSON lines) as one PNG: every number that the log holds, over minutes."""
import argparse
import json
import pathlib

SKIP = {"stage", "step", "minutes"}


def read(path) -> dict[str, list[tuple[float, float]]]:
    """Name -> [(minutes, value)]"""
    curves: dict[str, list[tuple[float, float]]] = {}
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for name, value in row.items():
            if name not in SKIP:
                curves.setdefault(name, []).append((row["minutes"], value))
    return curves


def draw(curves, out):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    columns = 3
    rows = -(-len(curves) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(4 * columns, 2.6 * rows), squeeze=False)
    for axis, (name, points) in zip(axes.flat, sorted(curves.items())):
        axis.plot(*zip(*points), linewidth=1)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("minutes", fontsize=8)
        axis.grid(alpha=0.3)
    for axis in list(axes.flat)[len(curves):]:
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(out, dpi=110)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("log", help="log.jsonl of a stage")
    p.add_argument("out", help="PNG to write")
    args = p.parse_args()
    draw(read(args.log), args.out)


if __name__ == "__main__":
    main()
