"""Writes the answers in the documents anew and draws their pictures: called by scripts/documents.sh."""
import argparse
import pathlib
import re
import subprocess
import tempfile

from documents import fences, figures, live
from documents.fences import ROOT


class Service:
    def __init__(self, build: pathlib.Path, model: pathlib.Path, folder: str):
        self.process = subprocess.Popen([build / "minivlm-server", f"--model.dir={model}", "--server.port=0", "--log.format=json",
                                         f"--collections.path={folder}/c.db"], cwd=ROOT, stderr=subprocess.PIPE, text=True)

    def __enter__(self) -> int:
        """-> its port"""
        port = 0
        for line in self.process.stderr:
            found = re.search(r'"event":"listening".*?"port":(\d+)', line)
            port = int(found[1]) if found else port
            if '"event":"ready"' in line:
                return port
        raise SystemExit("the service did not start")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models/minivlm-base")
    parser.add_argument("--log", type=pathlib.Path, help="log.jsonl of the training that made the model: new curves")
    args = parser.parse_args()
    build = args.build.resolve()
    for document in fences.RUN:
        with tempfile.TemporaryDirectory() as folder, Service(build, args.model, folder) as port:
            print(f"{document}: {live.redo(document, fences.Desk(folder, build, port))} answers have changed")
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
