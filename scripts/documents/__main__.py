"""Writes the answers in the documents anew and draws their pictures: called by scripts/documents.sh."""
import argparse
import pathlib
import subprocess
import tempfile

from support import Server

from documents import fences, figures, live
from documents.fences import ROOT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models/minivlm-base")
    parser.add_argument("--log", type=pathlib.Path, help="log.jsonl of the training that made the model: new curves")
    args = parser.parse_args()
    build = args.build.resolve()
    for document in fences.RUN:
        with tempfile.TemporaryDirectory() as folder, Server(f"--collections.path={folder}/c.db", model=args.model, build=build) as s:
            print(f"{document}: {live.redo(document, fences.Desk(folder, build, s.port))} answers have changed")
    figures.write("speed", figures.speed_of((ROOT / "SPEED.md").read_text(encoding="utf-8")))
    figures.write("captions", figures.said_of(build / "minivlm", args.model))
    if args.log:
        figures.write("training", figures.training_of(args.log))
    for name, text in figures.drawings().items():
        (figures.IMAGES / name).write_text(text, encoding="utf-8")
        print(f"docs/images/{name}")
    subprocess.run([build / "minivlm", "regions", "--model", args.model, "--draw", figures.IMAGES / "cat-regions.jpg", "docs/photos/cat.jpg"],
                   cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
