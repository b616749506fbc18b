"""The program `minivlm` for tests of it: runs, their answers, and what the reference says of the pictures.

MINIVLM_BUILD_DIR names the build folder (default build/release)."""
import json
import os
import pathlib
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = str(pathlib.Path(os.environ.get("MINIVLM_BUILD_DIR", ROOT / "build/release")).resolve() / "minivlm")
TINY, IMAGES = "tests/data/tiny", "tests/data/images"
GOLDEN = json.loads((ROOT / "tests/golden/tiny.json").read_text(encoding="utf-8"))["images"]
PICTURES = {name: f"{IMAGES}/{name}.png" for name in GOLDEN}
WAVES, DISCS = PICTURES["waves"], PICTURES["discs"]
QUESTIONS = [q["question"] for q in GOLDEN["waves"]["vqa"]]
SENTENCES = [r["text"] for r in GOLDEN["waves"]["retrieve"]]
ENVIRONMENT = {**os.environ, "MINIVLM_MODEL": TINY, "TERM": "xterm"}
OK, FAILED, USAGE = 0, 1, 2


def start(*arguments, **settings) -> subprocess.Popen:
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    return subprocess.Popen([PROGRAM, *arguments], **{"cwd": ROOT, "env": ENVIRONMENT, **pipes, **settings})


def run(*arguments, given=b"", **settings) -> tuple[int, str, str]:
    """-> exit code, standard output, standard error"""
    with start(*arguments, **settings) as process:
        try:
            out, err = process.communicate(given, timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, (out or b"").decode(), (err or b"").decode()


def rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def lines(*objects) -> bytes:
    return "".join((o if isinstance(o, str) else json.dumps(o)) + "\n" for o in objects).encode()


def repeated(option: str, values) -> list[str]:
    return [part for value in values for part in (option, value)]


def squeezed(text: str) -> str:
    return text.replace(" ", "")


class Case(unittest.TestCase):
    def json(self, *arguments, code=OK, **settings) -> list[dict]:
        got, out, err = run(*arguments, "--json", **settings)
        self.assertEqual((got, err), (code, ""))
        return rows(out)

    def text(self, *arguments, code=OK, **settings) -> str:
        got, out, err = run(*arguments, **settings)
        if err.startswith("minivlm: only the first "):  # one of QUESTIONS is longer than what the small model reads
            err = err[err.index("\n") + 1:]
        self.assertEqual((got, err), (code, ""))
        return out

    def refused(self, code: int, *arguments, saying: str, **settings):
        """Nothing but one line of complaint."""
        got, out, err = run(*arguments, **settings)
        self.assertEqual((got, out, err.count("\n")), (code, "", 1), err)
        self.assertIn(saying, err)
