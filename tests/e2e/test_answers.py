#!/usr/bin/env python3
"""One builder of answers: a line of `minivlm --json` is what was asked, and then the bytes of the HTTP answer."""
import base64
import json
import subprocess
import unittest

from support import BUILD, ROOT, TINY, Server, form, run

IMAGES = "tests/data/images"
WAVES, DISCS, TURNED, CUT = (f"{IMAGES}/{name}" for name in ("waves.png", "discs.png", "codec/exif-6.jpg",
                                                             "codec/truncated.jpg"))
TEXTS = ["a dog", "what is \u201cthis\u201d?", "\u00fcber"]
LONG = "dog " * 99


class Answers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server())

    def ask(self, *request):
        answer = self.server.post(*request)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.body

    def command(self, command, *arguments, given=None):
        done = subprocess.run([BUILD / "minivlm", command, "--model", TINY, "--json", *arguments], cwd=ROOT, input=given,
                              capture_output=True, timeout=120, check=False)
        self.assertEqual(done.stderr, b"")
        return done.stdout.splitlines(keepends=True)

    def whole(self, asked: dict, answer: bytes) -> bytes:
        return json.dumps(asked, separators=(",", ":"), ensure_ascii=False).encode()[:-1] + b"," + answer[1:]

    def http(self, task, files, fields=()):
        return self.ask(f"/{task}", *form([("image", (ROOT / file).read_bytes()) for file in files] + list(fields)))

    def test_one_picture(self):
        for task, options, fields in (
                ("caption", [], []),
                ("caption", ["--num-beams=3", "--num-captions=3"], [("num_beams", "3"), ("num_captions", "3")]),
                ("caption", ["--num-beams=1", "--regions"], [("num_beams", "1"), ("regions", "true")]),
                ("caption", ["--explain"], [("explain", "true")]),
                ("caption", ["--tolerate-truncated"], [("tolerate_truncated", "true")]),
                ("vqa", ["--question", TEXTS[1]], [("question", TEXTS[1])]),
                ("vqa", ["--question", TEXTS[1], "--top-k=2", "--explain"],
                 [("question", TEXTS[1]), ("top_k", "2"), ("explain", "true")]),
                ("vqa", [a for t in TEXTS for a in ("--question", t)] + ["--explain"],
                 [("question", t) for t in TEXTS] + [("explain", "true")]),
                ("retrieve", [a for t in TEXTS for a in ("--text", t)], [("texts", t) for t in TEXTS]),
                ("vqa", ["--question", LONG], [("question", LONG)]),  # with a warning
                ("retrieve", ["--text", LONG], [("texts", LONG)]),
                ("retrieve", ["--text", TEXTS[0], "--explain"], [("texts", TEXTS[0]), ("explain", "true")])):
            for file in (WAVES, DISCS, CUT if "--tolerate-truncated" in options else TURNED):
                with self.subTest(task=task, options=options, file=file):
                    asked = {"file": file}
                    if task == "retrieve":
                        asked["texts"] = [v for k, v in fields if k == "texts"]
                    line, = self.command(task, *options, file)
                    self.assertEqual(line, self.whole(asked, self.http(task, [file], fields)))

    def test_pictures_beside_sentences(self):
        line, = self.command("retrieve", *(a for t in TEXTS for a in ("--text", t)), "--regions", WAVES, DISCS, WAVES)
        answer = self.http("retrieve", [WAVES, DISCS, WAVES], [("texts", t) for t in TEXTS] + [("regions", "true")])
        self.assertEqual(line, self.whole({"files": [WAVES, DISCS, WAVES], "texts": TEXTS}, answer))

    def test_lines(self):
        """--json and --jsonl print the same; a list of one question is a list."""
        for command, line, arguments in (("caption", {}, []), ("regions", {}, []),
                                         ("vqa", {"question": TEXTS[0]}, ["--question", TEXTS[0]]),
                                         ("vqa", {"questions": TEXTS}, [a for t in TEXTS for a in ("--question", t)]),
                                         ("retrieve", {"texts": TEXTS}, [a for t in TEXTS for a in ("--text", t)])):
            with self.subTest(command):
                given = json.dumps({"image": WAVES, **line}).encode()
                self.assertEqual(self.command(command, "--jsonl=-", given=given), self.command(command, *arguments, WAVES))
        line, = self.command("vqa", "--jsonl=-", given=json.dumps({"image": WAVES, "questions": TEXTS[:1]}).encode())
        answer = self.ask("/vqa", {"image": base64.b64encode((ROOT / WAVES).read_bytes()).decode(), "questions": TEXTS[:1]})
        self.assertEqual(line, self.whole({"file": WAVES}, answer))


run(__name__)
