"""scripts/eval.py: the C engine says what the reference says, and what it says can be scored.

MINIVLM_BUILD_DIR names the build folder of `minivlm` (default build/release)."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import torch
from evaluation import parity, rows
from evaluation.engine import Engine, EngineError
from evaluation.predict import Reference
from minivlm import MiniVLM, fusion
from support import DATA, PICTURES, ROOT

PROGRAM = pathlib.Path(os.environ.get("MINIVLM_BUILD_DIR", ROOT / "build/release")).resolve() / "minivlm"
NAMES = [f"{name}.png" for name in PICTURES]
SENTENCES = ["a dog runs on the green grass", "two people", "ein Boot"]


def engine(program=PROGRAM) -> Engine:
    return Engine(program, DATA / "tiny", DATA / "images")


class BothPrograms(unittest.TestCase):
    def test_parity(self):
        found = parity.compare(engine(), Reference(MiniVLM.from_dir(DATA / "tiny"), DATA / "images"), NAMES, SENTENCES)
        self.assertEqual(found["pictures"], len(NAMES))
        for key in ("equal captions", "equal answers", "pictures with the same labels in the same order"):
            self.assertEqual(found[key], 100, found)
        self.assertLess(found["largest difference of answer scores"], 1e-4)
        self.assertLess(found["largest difference of match scores"], 1e-4)
        self.assertGreater(found["smallest IoU"], 0.99)

    def test_differences_are_seen(self):
        box, other = [0.0, 0.0, 9.0, 9.0], [5.0, 0.0, 14.0, 9.0]
        self.assertAlmostEqual(parity.iou(box, other), 1 / 3)
        self.assertEqual(parity.iou(box, [20.0, 0.0, 29.0, 9.0]), 0.0)
        theirs = [{"label": "dog", "box": box}, {"label": "cat", "box": box}]
        self.assertEqual(parity.overlaps([{"label": "dog", "box": box}], theirs), [1.0, 0.0])
        with self.assertRaisesRegex(ValueError, "went apart"):
            list(parity.pairs([{"image": "a"}], [{"image": "b"}], 1))


class Explained(unittest.TestCase):
    """--explain: mean attention of [CLS] to each region over layers and heads, as shares."""

    @torch.no_grad()
    def reference(self, model, picture, question):
        shares = []

        def attend(q, k, v, attn_mask=None, dropout_p=0.0):
            scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
            if attn_mask is not None:
                scores = scores.masked_fill(~attn_mask, float("-inf")) if attn_mask.dtype == torch.bool else scores + attn_mask
            weights = scores.softmax(-1)
            shares.append(weights[0, :, 0])  # [heads, n]
            return weights @ v

        speaker = Reference(model, DATA / "images")
        n = len(speaker.see(picture).labels)
        with mock.patch.object(fusion.F, "scaled_dot_product_attention", attend):
            speaker.pooled(picture, [question])
        self.assertEqual(len(shares), model.config.fusion.layers)
        mean = torch.stack(shares).mean((0, 1))[-n:]
        return (mean / mean.sum()).tolist()

    def test_attention_of_the_reference(self):
        model = MiniVLM.from_dir(DATA / "tiny")
        for picture in NAMES:
            for question in ("what is this?", "how many dogs are on the boat"):
                wanted = self.reference(model, picture, question)
                row = next(engine().ask("vqa", [{"image": picture, "question": question}], ["--explain"]))
                found = row["explain"]["region_weights"]
                self.assertEqual(len(found), len(wanted))
                self.assertLess(max(abs(a - b) for a, b in zip(found, wanted)), 1e-4)
                self.assertGreater(max(wanted) - min(wanted), 1e-3, "a test of equal weights shows nothing")


class EngineFaults(unittest.TestCase):
    def test_missing_picture(self):
        with self.assertRaisesRegex(EngineError, "nothere.png: No such file"):
            list(engine().captions([NAMES[0], "nothere.png", NAMES[1]]))

    def test_missing_program(self):
        with self.assertRaisesRegex(EngineError, "cmake --preset release"):
            engine("nothere/minivlm")

    def test_program_that_ends_early(self):
        with self.assertRaisesRegex(EngineError, "exit code 1 after 0 of 4 lines"):
            list(engine("/bin/false").captions(NAMES))


class CommandLine(unittest.TestCase):
    """A data folder with three pictures, whose captions are what the model says."""
    NAMES = NAMES[1:]  # of the first it says nothing but an apostrophe

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.data = pathlib.Path(folder.name)
        (self.data / "flickr8k").mkdir()
        (self.data / "flickr8k/images").symlink_to(DATA / "images")
        self.write("captions.jsonl", [{"image": r["image"], "captions": [r["caption"]], "split": "test"}
                                      for r in engine().captions(self.NAMES)])
        self.write("vqa.jsonl", [{"image": n, "question": q, "answers": ["yes"], "split": "test"}
                                 for n in self.NAMES for q in parity.QUESTIONS])

    def write(self, name, objects):
        (self.data / "flickr8k" / name).write_text("".join(json.dumps(o) + "\n" for o in objects))

    def eval(self, *arguments) -> str:
        model = ["--model", DATA / "tiny", "--engine", PROGRAM] if arguments[0] != "score" else []
        return subprocess.run([sys.executable, ROOT / "scripts/eval.py", *arguments, *model, "--data", self.data,
                               "--set", "flickr8k"], check=True, capture_output=True, text=True).stdout

    def score(self, task: str) -> dict:
        self.eval("predict", task, "--out", self.data / "out.jsonl")
        return json.loads(self.eval("score", task, self.data / "out.jsonl"))

    def test_predict_and_score(self):
        found = self.score("caption")
        self.assertEqual((found["BLEU-1"], found["ROUGE-L"], found["pictures"]), (100, 100, len(self.NAMES)))
        told = self.data / "told.jsonl"
        told.write_text("".join(json.dumps({**r, "caption": "nothing"}) + "\n" for r in rows.read(self.data / "out.jsonl")))
        worse = json.loads(self.eval("score", "caption", told, "--against", self.data / "out.jsonl"))["against"]
        self.assertAlmostEqual(worse["gain"], -found["CIDEr-D"], places=1)
        asked = self.score("vqa")
        self.assertEqual(asked["questions"], len(self.NAMES) * len(parity.QUESTIONS))
        said = [a["answer"] for r in rows.read(self.data / "out.jsonl") for a in rows.answers(r)]
        self.assertAlmostEqual(asked["accuracy"], 100 * said.count("yes") / len(said), places=2)
        silent = self.data / "silent.jsonl"
        silent.write_text("".join(json.dumps({**r, "answer": ""}) + "\n" for r in rows.read(self.data / "out.jsonl")))
        better = json.loads(self.eval("score", "vqa", self.data / "out.jsonl", "--against", silent))["against"]
        self.assertEqual((better["gain"], better["compared"]), (asked["accuracy"], asked["questions"]))
        self.assertLessEqual(better["gain 95 %"][0], better["gain"])
        found = self.score("retrieve")
        self.assertEqual((found["pictures"], found["texts"], found["galleries"]), (len(self.NAMES), len(self.NAMES), 1))
        turned = self.data / "turned.jsonl"
        turned.write_text("".join(json.dumps({**r, "score": -r["score"]}) + "\n" for r in rows.read(self.data / "out.jsonl")))
        worse = json.loads(self.eval("score", "retrieve", turned, "--against", self.data / "out.jsonl"))
        for key in ("text of picture", "picture of text"):
            self.assertAlmostEqual(worse["against"][key]["gain"], worse[key]["R@1"] - found[key]["R@1"], places=1)
        self.eval("predict", "retrieve", "--gallery", "2", "--out", self.data / "out.jsonl")
        found = json.loads(self.eval("score", "retrieve", "--gallery", "2", self.data / "out.jsonl"))
        self.assertEqual((found["pictures"], found["galleries"]), (len(self.NAMES) // 2 * 2, len(self.NAMES) // 2))
        self.assertEqual(found["picture of text"]["R@5"], 100)


if __name__ == "__main__":
    unittest.main()
