"""Answers of the C engine: one run of `minivlm` for a whole set, a line a picture. Needs no PyTorch."""
import contextlib
import itertools
import json
import pathlib
import subprocess
import threading

from evaluation import rows

TEXTS_A_LINE = 2000  # `minivlm` takes 4096


class EngineError(Exception):
    pass


class Engine:
    """Generators of rows, as evaluation.predict.Reference has them; pictures are named below `root`."""

    def __init__(self, program, model, root, threads: int | None = None, precision: str | None = None):
        """`precision`: as `minivlm --precision` takes it; None: its default."""
        self.program, self.model = pathlib.Path(program).resolve(), pathlib.Path(model).resolve()
        self.root, self.options = root, [f"--threads={threads}"] * bool(threads) + [f"--precision={precision}"] * bool(precision)
        if not self.program.exists():
            raise EngineError(f"{self.program} is not there: cmake --preset release && cmake --build --preset release")

    def captions(self, names, num_beams=None, length_penalty=None):
        options = [f"--num-beams={num_beams}"] if num_beams else []
        options += [f"--length-penalty={length_penalty}"] if length_penalty is not None else []
        for row in self.ask("caption", [{"image": n} for n in names], options):
            yield {"image": row["file"], "caption": row["caption"], "score": row["score"]}

    def answers(self, asked):
        """asked: questions with .image and .text; those of one picture go into one line."""
        groups = itertools.groupby(sorted(asked, key=lambda q: q.image), key=lambda q: q.image)
        lines = [{"image": image, "questions": [q.text for q in many]} for image, many in groups]
        for row in self.ask("vqa", lines, ["--top-k=1"]):
            yield from rows.answers(row)

    def matches(self, names, sentences):
        """Every picture beside every sentence."""
        parts = [sentences[i:i + TEXTS_A_LINE] for i in range(0, len(sentences), TEXTS_A_LINE)]
        for row in self.ask("retrieve", [{"image": n, "texts": part} for n in names for part in parts]):
            yield from rows.matches(row)

    def regions(self, names):
        for row in self.ask("regions", [{"image": n} for n in names]):
            yield {"image": row["file"], "regions": row["regions"], "width": row["image"]["width"],
                   "height": row["image"]["height"]}

    def ask(self, command: str, lines: list[dict], options=()):
        """The answer to each line, in order; the first error ends it all."""
        arguments = [str(self.program), command, "--json", "--jsonl=-", "--no-progress", f"--model={self.model}", *self.options, *options]
        count = 0
        with subprocess.Popen(arguments, cwd=self.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              encoding="utf-8") as process:
            feeder = threading.Thread(target=feed, args=(process.stdin, lines))
            feeder.start()
            try:
                assert process.stdout
                for count, text in enumerate(process.stdout, 1):
                    yield checked(json.loads(text))
            except BaseException:  # GeneratorExit too: nobody wants the rest
                process.kill()
                raise
            finally:
                feeder.join()
        if process.returncode or count < len(lines):
            raise EngineError(f"minivlm {command} ended with exit code {process.returncode} after {count} of "
                              f"{len(lines)} lines")


def checked(row: dict) -> dict:
    if "error" in row:
        raise EngineError(f"{row.get('file', 'no image')}: {row['error']['message']}")
    return row


def feed(stdin, lines):
    """On a thread of its own: answers are read while lines are written."""
    with contextlib.suppress(BrokenPipeError), stdin:
        for line in lines:
            stdin.write(json.dumps(line) + "\n")
