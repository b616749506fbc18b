"""Our metrics against the public COCO caption tools, and by hand."""
import json
import pathlib
import random
import tempfile
import unittest
from unittest import mock

import numpy as np
import support  # noqa: F401
import torch
from evaluation import baselines, examples, metrics, table
from train import data

WORDS = "a dog man in the red runs on grass with ball blue two people".split()


class Captions(unittest.TestCase):
    def setUp(self):
        rng = random.Random(4)

        def sentence():
            return " ".join(rng.choices(WORDS, k=rng.randint(1, 14)))

        self.references = [[sentence() for _ in range(rng.randint(1, 5))] for _ in range(40)]
        self.candidates = [sentence() for _ in range(39)] + [self.references[-1][0]]

    def test_equal_to_the_public_tools(self):
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.rouge.rouge import Rouge
        truth, said = dict(enumerate(self.references)), {i: [c] for i, c in enumerate(self.candidates)}
        ours = metrics.caption_scores(self.candidates, self.references)
        b = Bleu(4).compute_score(truth, said, verbose=0)[0]
        self.assertAlmostEqual(ours["BLEU-1"], 100 * b[0], 6)
        self.assertAlmostEqual(ours["BLEU-4"], 100 * b[3], 6)
        self.assertAlmostEqual(ours["ROUGE-L"], 100 * Rouge().compute_score(truth, said)[0], 6)
        self.assertAlmostEqual(ours["CIDEr-D"], 100 * Cider().compute_score(truth, said)[0], 6)

    def test_people(self):
        """Who says the same as all others has the most that can be had; one person alone does not count."""
        one, other = ["a dog runs on grass"] * 3, ["two men on a red boat"] * 2
        self.assertEqual([round(v) for v in metrics.people_each([one, other, ["a lone cat"]])], [1000, 1000])
        self.assertLess(metrics.people_each([one, [*other, "a cat sits"]])[1], 500)

    def test_tokens(self):
        self.assertEqual(metrics.tokens('A man\'s dog, "Rex", isn\'t here.'), "a man 's dog rex is n't here".split())
        self.assertEqual(metrics.tokens("T-shirt - 2 ."), ["t-shirt", "2"])

    def test_programs_in_java(self):
        """SPICE runs once its parser lies where pycocoevalcap looks for it."""
        class Program:
            def compute_score(self, truth, said):
                assert truth == {0: ["a dog", "the dog"]} and said == {0: ["a dog runs"]}
                return 0.25, None

        with tempfile.TemporaryDirectory() as folder, mock.patch("shutil.which"), \
                mock.patch("importlib.util.find_spec") as spec, mock.patch("pycocoevalcap.meteor.meteor.Meteor", Program), \
                mock.patch("pycocoevalcap.spice.spice.Spice", Program):
            spec.return_value.submodule_search_locations = [folder]
            given = [["a", "dog", "runs"]], [[["a", "dog"], ["the", "dog"]]]
            self.assertEqual(metrics.java_scores(*given), {"METEOR": 25.0})
            models = pathlib.Path(folder, metrics.SPICE_MODELS)
            models.parent.mkdir(parents=True)
            models.touch()
            self.assertEqual(metrics.java_scores(*given), {"METEOR": 25.0, "SPICE": 25.0})
            spec.return_value = None
            self.assertEqual(metrics.java_scores(*given), {})


class Answers(unittest.TestCase):
    def test_official_rule(self):
        self.assertAlmostEqual(metrics.vqa_accuracy("Red", ["red"] * 2 + ["blue"] * 8), 0.6)
        self.assertEqual(metrics.vqa_accuracy("blue", ["red"] * 2 + ["blue"] * 8), 1.0)
        self.assertEqual(metrics.vqa_accuracy("the two", ["2"] * 10), 1.0)
        self.assertEqual(metrics.vqa_accuracy("dog", ["cat"]), 0.0)

    def test_frequent_answers(self):
        def q(text, answer):
            return data.Question("x", text, [answer], "train", "s", data.question_kind(text))
        train = [q("is it a", "yes"), q("is it b", "yes"), q("how many a", "2")]
        asked = [q("how many c", "?"), q("where is d", "?")]
        self.assertEqual(baselines.frequent_answers(train, asked, True), ["2", "yes"])
        self.assertEqual(baselines.frequent_answers(train, asked, False), ["yes", "yes"])


class NearestPicture(unittest.TestCase):
    def test_every_number_counts_alike(self):
        known = np.array([[100.0, 0.0], [0.0, 1.0], [0.0, -1.0], [-100.0, 0.0]])
        self.assertEqual(baselines.nearest(known, np.array([[1.0, 0.9], [50.0, 0.0]])).tolist(), [1, 0])

    def test_vectors_are_means_of_the_last_map(self):
        class Taps:
            def batch(self, rows, flips, levels):
                return [torch.tensor([[[[r, r + 2.0]], [[-r, -r]]] for r in map(float, rows)])]
        found = baselines.picture_vectors(Taps(), [4, 0, 7], batch=2)
        self.assertEqual(found.tolist(), [[5.0, -4.0], [1.0, 0.0], [8.0, -7.0]])


class Retrieval(unittest.TestCase):
    def test_recalls(self):
        scores = [[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [1.0, 1.0, 1.0]]
        found = metrics.ranks(scores, [{0}, {2}, {0}])
        self.assertEqual(found, [0, 2, 2])  # ties count against
        page = metrics.recalls(found, at=(1, 2, 3))
        self.assertEqual([round(page[f"R@{k}"]) for k in (1, 2, 3)], [33, 33, 100])
        self.assertEqual((page["R@3 95 %"], page["R@1 95 %"]), ([100.0, 100.0], [0.0, 100.0]))

    def test_chance(self):
        chance = baselines.chance_recalls(4, 2, at=(1, 2))
        self.assertAlmostEqual(chance["R@1"], 50.0)
        self.assertAlmostEqual(chance["R@2"], 100 * (1 - (2 / 4) * (1 / 3)))


class Card(unittest.TestCase):
    def test_best_examples_say_nothing_twice(self):
        found = [(2.0, "a", "a dog", "x"), (3.0, "b", "a cat", "x"), (1.0, "c", "a cat", "x"), (0.5, "d", "a cow", "x")]
        self.assertEqual([row[1] for row in examples.best(found, 3)], ["b", "a", "d"])
        self.assertEqual(examples.table(found[:1]).splitlines()[-1], "| `a` | a dog | x |")

    def test_interval_holds_the_mean(self):
        values = [float(n % 7) for n in range(300)]
        low, high = metrics.interval(values)
        mean = sum(values) / len(values)
        self.assertTrue(low < mean < high < mean + 0.5)
        self.assertEqual(metrics.interval([2.0] * 9), [2.0, 2.0])

    def test_table(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, value in (("old", 40.0), ("new", 50.0)):
                page = {"accuracy": value, "accuracy 95 %": [value - 1, value + 2], "questions": 9}
                (pathlib.Path(folder) / name).mkdir()
                (pathlib.Path(folder) / name / "coco_qa.json").write_text(json.dumps(page))
                ranks = {"R@1": value, "R@1 95 %": [value - 1, value + 2], "R@5": 60.0, "R@10": 70.0}
                retrieval = {"text of picture": ranks, "picture of text": ranks, "galleries": 3, "pictures": 300}
                (pathlib.Path(folder) / name / "retrieval.json").write_text(json.dumps(retrieval))
            folders = [f"{folder}/old", f"{folder}/new"]
            plain, formats = table.table(folders), table.formats(folders)
            page["against"] = {"gain": 10.0, "gain 95 %": [-0.5, 20.0], "compared": 9}
            (pathlib.Path(folder) / "new/coco_qa.json").write_text(json.dumps(page))
            paired = table.table(folders)
        row = "| questions, COCO-QA val (9) | accuracy, % | 40.0 (39.0 to 42.0) | 50.0 (49.0 to 52.0) |"
        self.assertIn(row, plain.splitlines())
        self.assertIn(row + " +10.0 (-0.5 to +20.0) |", paired.splitlines())
        self.assertIn("| text of picture, 3 galleries of 100 Flickr8k test pictures with their captions | R@1 / 5 / 10 | "
                      "40.0 (39.0 to 42.0) / 60.0 / 70.0 | 50.0 (49.0 to 52.0) / 60.0 / 70.0 |", plain.splitlines())
        self.assertIn("| questions, COCO-QA val: accuracy | 40.00 | 50.00 (+25.0 %) |", formats.splitlines())


if __name__ == "__main__":
    unittest.main()
