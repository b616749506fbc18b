"""The training pipeline: packing, losses, readers, and the whole of it on drawn pictures."""
import gzip
import json
import pathlib
import re
import tempfile
import unittest
import zipfile
from unittest import mock

import torch
from golden import tiny
from minivlm import Labels, MiniVLM, image, weights
from minivlm.decode import FullScorer
from minivlm.text import Tokenizer
from support import DATA, ROOT
from train import (
    adapt,
    agreement,
    ask,
    batches,
    build,
    coco_captions,
    common,
    data,
    detection,
    formats,
    fuse,
    label,
    late,
    plot,
    recipe,
    risk,
    run as stages,
    scenes,
    smoke,
    teach,
    tee,
)
from train.corpus import Corpus


class Packing(unittest.TestCase):
    """Training must show each [MASK] exactly what decoding shows it."""

    def setUp(self):
        torch.manual_seed(0)
        config = recipe.model_config({"model": {"fusion": {"layers": 2, "hidden": 48, "heads": 4, "ffn": 96,
                                                          "vocab": len(tiny.vocabulary()), "positions": 80},
                                                "roi": {"hidden": 32}}}, answers=4)
        self.model = MiniVLM(config, Tokenizer(tiny.vocabulary()), Labels()).eval()
        self.context = torch.randn(1, 7, 48)

    def packed_logits(self, captions, valid, causal):
        m = self.model
        pack = batches.pack_captions([captions], valid, m.tokenizer, causal)
        text = m.fusion.embed_text(pack.ids, pack.positions, torch.zeros_like(pack.ids))
        x = m.fusion.encode(torch.cat((self.context, text), 1), pack.mask, 7)
        return m.heads.caption(x.flatten(0, 1)[pack.where], m.fusion.embeddings.word.weight), pack

    @torch.no_grad()
    def test_same_as_decoding(self):
        captions = [[90, 91, 92, 93], [100, 101], [95]]
        cls, sep = self.model.tokenizer.cls, self.model.tokenizer.sep
        for causal in (False, True):
            logits, pack = self.packed_logits(captions, torch.ones(1, 7, dtype=torch.bool), causal)
            scorer = FullScorer(self.model.fusion, self.model.heads.caption, self.model.tokenizer, self.context, causal)
            wanted = torch.cat([scorer.next_logits([[cls] + c[:k]], [0]) for c in captions for k in range(len(c) + 1)])
            self.assertLess(float((logits - wanted).abs().max()), 1e-4)
            self.assertEqual(pack.targets.tolist(), [t for c in captions for t in c + [sep]])

    @torch.no_grad()
    def test_padding_is_not_seen(self):
        valid = torch.tensor([[True] * 5 + [False] * 2])
        before, _ = self.packed_logits([[90, 91]], valid, True)
        self.context[:, 5:] += 3.0
        after, _ = self.packed_logits([[90, 91]], valid, True)
        self.assertLess(float((before - after).abs().max()), 1e-5)


class Asking(unittest.TestCase):
    def test_what_captions_say_is_asked(self):
        said = ["Two brown dogs are running through the snow.", "Two dogs running in snow", "A pair of dogs in the snow"]
        c = [data.Captions("x", said, "train"), data.Captions("y", ["A man in a red shirt is holding a tennis racket."] * 2, "train")]
        found = {(q.image, q.text): q.answers for seed in range(30) for q in ask.questions(c, seed)}
        self.assertEqual(found["x", "how many dogs are there?"], ["2"])
        self.assertEqual(found["x", "what are running through the snow ?"], ["dogs"])
        self.assertEqual(found["y", "what color is the shirt?"], ["red"])
        self.assertEqual(found["y", "what sport is this?"], ["tennis"])
        denied = {text for (image, text), answers in found.items() if image == "x" and answers == ["no"]}
        self.assertTrue(denied)
        self.assertFalse([text for text in denied if re.search("(dog|snow).*picture|(a|an) dog|is there snow", text)])

    def test_nothing_of_other_splits(self):
        self.assertEqual(ask.questions([data.Captions("x", ["Two dogs run."], "val")], 1), [])

    def test_yes_as_often_as_no(self):
        c = [data.Captions(str(n), ["A dog on a red couch.", "A dog"], "train") for n in range(40)]
        answers = [q.answers[0] for q in ask.questions(c, 1)]
        self.assertEqual(answers.count("yes"), answers.count("no"))


class Detection(unittest.TestCase):
    def test_incomplete_pictures_do_not_punish_other_classes(self):
        known = torch.tensor([[False, True, False]])
        certain = torch.tensor([[-20.0, -20.0, 20.0]])  # says class 2 where only class 1 is labelled
        self.assertLess(float(detection.class_loss(certain, torch.tensor([0]), known)), 1e-4)
        wrong = torch.tensor([[-20.0, 20.0, -20.0]])
        self.assertGreater(float(detection.class_loss(wrong, torch.tensor([0]), known)), 10)
        complete = torch.zeros(1, 3, dtype=torch.bool)
        self.assertGreater(float(detection.class_loss(certain, torch.tensor([0]), complete)), 10)

    def test_no_negatives_from_incomplete_pictures(self):
        anchors = torch.tensor([[0.0, 0, 15, 15], [16, 16, 31, 31], [0, 16, 15, 31]])
        truth = detection.Truth(anchors[:1], torch.tensor([1]), torch.tensor([False, True]))
        positive, _, negative = detection.rpn_targets(anchors, truth, 32)
        self.assertEqual((positive.tolist(), negative.tolist()), ([0], []))
        truth.known = None
        self.assertEqual(sorted(detection.rpn_targets(anchors, truth, 32)[2].tolist()), [1, 2])

    def test_attributes_are_those_of_the_box_that_a_region_covers(self):
        record = data.Boxes("x", [(0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0)], ["a", "b"], attributes=[["red", "odd"], []])
        truth = detection.Truth.of(record, {"a": 1, "b": 2}, 2, 100, False, {"red": 0, "crimson": 0, "blue": 1})
        boxes, classes, _, looks = detection.roi_targets(torch.tensor([[0.0, 0, 44, 49], [60, 0, 99, 20]]), truth, 6)
        self.assertEqual(sorted(zip(classes.tolist(), looks.tolist())), sorted(
            [(1, [1.0, 0.0]), (1, [1.0, 0.0]), (2, [0.0, 0.0]), (0, [0.0, 0.0])]))
        right, wrong = torch.tensor([[9.0, -9.0], [0.0, 0.0]]), torch.tensor([[-9.0, 9.0], [0.0, 0.0]])
        wanted = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
        self.assertLess(float(detection.attribute_loss(right, wanted)), 0.01)
        self.assertGreater(float(detection.attribute_loss(wrong, wanted)), 10)
        self.assertEqual(float(detection.attribute_loss(wrong, wanted * 0)), 0.0)

    def test_mirrored_truth(self):
        record = data.Boxes("x", [(0.1, 0.2, 0.3, 0.6)], ["a"])
        truth = detection.Truth.of(record, {"a": 1}, 1, 100, True)
        self.assertTrue(torch.allclose(truth.boxes, torch.tensor([[70.0, 20, 89, 59]]), atol=1e-3))

    def test_average_precision(self):
        box = torch.tensor([[0.0, 0, 9, 9], [20, 20, 29, 29]])
        truth = detection.Truth(box, torch.tensor([1, 1]), None)
        found = (torch.cat((box, box[:1])), torch.tensor([0.9, 0.3, 0.6]), torch.tensor([1, 1, 1]))
        self.assertAlmostEqual(detection.average_precision([found], [truth])[1], 0.5 + 0.5 * 2 / 3)


class Readers(unittest.TestCase):
    def test_soft_targets(self):
        q = data.Question("x", "?", ["red"] * 2 + ["blue"] * 7 + ["green"], "train", "vqa_v2")
        self.assertEqual({k: round(v, 2) for k, v in data.target(q).items()}, {"red": 0.6, "blue": 1.0, "green": 0.3})
        self.assertEqual(data.target(data.Question("x", "?", ["a", "b"], "train", "daquar")), {"a": 1.0, "b": 1.0})

    def test_mirror(self):
        self.assertEqual(data.mirror("Left of the leftmost, right"), "right of the leftmost, left")

    def test_only_training_sentences(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "text").mkdir()
            rows = [{"captions": ["kept"], "split": "train"}, {"captions": ["not this"], "split": "val"}]
            with gzip.open(f"{folder}/text/coco_captions_val2017_and_30k.jsonl.gz", "wt") as file:
                file.write("\n".join(json.dumps(r) for r in rows))
            self.assertEqual(data.sentences(folder), ["kept"])

    def test_public_formats(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            images = [{"id": 9, "file_name": "000000000009.jpg", "width": 100, "height": 50}]
            (root / "instances.json").write_text(json.dumps({
                "images": images, "categories": [{"id": 18, "name": "dog"}],
                "annotations": [{"image_id": 9, "category_id": 18, "bbox": [10, 10, 40, 20], "iscrowd": 0}]}))
            (root / "captions.json").write_text(json.dumps({
                "images": images, "annotations": [{"image_id": 9, "caption": "A dog."}, {"image_id": 9, "caption": "Dog"}]}))
            (root / "questions.json").write_text(json.dumps({"questions": [
                {"image_id": 9, "question_id": 90, "question": "What animal?"}]}))
            (root / "answers.json").write_text(json.dumps({"annotations": [
                {"question_id": 90, "question_type": "what", "answers": [{"answer": "dog"}] * 10}]}))
            (root / "tokens.txt").write_text("1.jpg#0\tA cat .\n1.jpg#1\tOne cat\n2.jpg#0\tA cow\n")
            (root / "objects.json").write_text(json.dumps([{"image_id": 3, "objects": [
                {"names": ["Tree "], "x": 5, "y": 5, "w": 20, "h": 30}]}]))
            (root / "attributes.json").write_text(json.dumps([{"image_id": 3, "attributes": [
                {"names": ["tree"], "x": 5, "y": 5, "w": 20, "h": 30, "attributes": ["Tall ", "green"]},
                {"names": ["sky"], "x": 0, "y": 0, "w": 100, "h": 20}]}]))
            self.assertEqual(formats.coco_captions(root / "captions.json", "im", "train")[0].texts, ["A dog.", "Dog"])
            box = formats.coco_boxes(root / "instances.json", "im", "train")[0]
            self.assertEqual((box.image, box.labels, box.boxes), ("im/000000000009.jpg", ["dog"], [(0.1, 0.2, 0.5, 0.6)]))
            q = formats.vqa_v2(root / "questions.json", root / "answers.json", "im/{:012}.jpg", "val")[0]
            self.assertEqual((q.image, q.kind, q.answers[0]), ("im/000000000009.jpg", "what", "dog"))
            c = formats.flickr(root / "tokens.txt", "im", {"2.jpg": "test"})
            self.assertEqual([(r.image, len(r.texts), r.split) for r in c], [("im/1.jpg", 2, "train"), ("im/2.jpg", 1, "test")])
            v = formats.visual_genome(root / "objects.json", "im", {"3.jpg": (100, 50)})[0]
            self.assertEqual((v.image, v.labels, v.boxes[0]), ("im/3.jpg", ["tree"], (0.05, 0.1, 0.25, 0.7)))
            looks = formats.visual_genome(root / "attributes.json", "im", {"3.jpg": (100, 50)})[0]
            self.assertEqual((looks.labels, looks.attributes), (["tree", "sky"], [["tall", "green"], []]))
            plain = data.relative("x", [[0, 0, 5, 5, "a"]], [], "train", (10, 10))
            self.assertEqual(plain.attributes, [[]])


class CocoCaptions(unittest.TestCase):
    def test_from_the_jar_to_the_reader(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "coco/images").mkdir(parents=True)
            for n in (1, 2, 3, 4):
                (root / f"coco/images/{n:012}.jpg").touch()
            rows = [{"image": f"{1:012}.jpg", "captions": ["a dog"], "split": "train"},
                    {"image": f"{2:012}.jpg", "captions": ["a cat"], "split": "val"}]
            (root / "coco/captions.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
            (root / "coco/images.jsonl").write_text(json.dumps({"image": f"{3:012}.jpg", "split": "test"}) + "\n")
            with zipfile.ZipFile(root / "x.jar", "w") as jar:
                for file, numbers in zip(coco_captions.FILES, ((1, 2, 9), (3, 4))):
                    said = [{"image_id": n, "caption": f" dog\n{n} "} for n in numbers]
                    jar.writestr(file, json.dumps({"annotations": said}))
            found = coco_captions.rows(root, "coco", coco_captions.sentences(root / "x.jar"))
            (root / "coco/captions_coco.jsonl").write_text("".join(json.dumps(r) + "\n" for r in found))
            read = {c.image[-5]: (c.texts, c.split) for c in data.captions(root)}
            self.assertEqual(read, {"1": (["a dog", "dog 1"], "train"), "2": (["a cat"], "val"), "4": (["dog 4"], "train")})
            self.assertEqual({f[-5] for f in data.held(root)}, {"2", "3"})
            with mock.patch.object(coco_captions, "AT_MOST", 1):
                kept = coco_captions.references(root, "coco", {2: ["a", "b"], 4: ["c"], 3: []}, "val")
            self.assertEqual(kept, [{"image": "coco/images/000000000002.jpg", "captions": ["a"], "split": "val"}])


class Runs(unittest.TestCase):
    def test_a_stopped_run_goes_on(self):
        with tempfile.TemporaryDirectory() as folder:
            run = common.Run(folder, steps=10)
            run.step = 4
            run.save({"x": torch.ones(2)}, force=True)
            again = common.Run(folder, steps=10)
            self.assertEqual(again.resume()["x"].tolist(), [1, 1])
            self.assertEqual((again.step, again.done), (4, False))

    def test_curves(self):
        with tempfile.TemporaryDirectory() as folder:
            run = common.Run(folder, steps=2)
            for value in (3.0, 1.0):
                run.step += 1
                run.add(loss=value)
                run.report(1)
            curves = plot.read(f"{folder}/log.jsonl")
            self.assertEqual([v for _, v in curves["loss"]], [3.0, 1.0])
            plot.draw(curves, f"{folder}/curves.png")
            self.assertGreater(pathlib.Path(f"{folder}/curves.png").stat().st_size, 1000)

    def test_every_recipe_is_a_model(self):
        for file in (ROOT / "scripts/train/recipes").glob("*.json"):
            self.assertGreater(recipe.model_config(recipe.load(file), answers=10).roi.classes, 1)


class Agreement(unittest.TestCase):
    def test_what_others_say_too_weighs_more(self):
        tokenizer = Tokenizer(tiny.vocabulary())
        a, b, c, d, *rest = [w for w in tokenizer.tokens if w.isalpha() and len(w) > 3][:12]
        said = {"x": [f"{a} {b} {c}", f"{a} {b} {d}", " ".join(rest)], "y": [f"{b} {d} {c}"]}
        ids = [(image, [(tokenizer.encode(t), []) for t in texts]) for image, texts in said.items()]
        found = agreement.weights(mock.Mock(captions={"train": ids}, tokenizer=tokenizer), 0.6)
        self.assertAlmostEqual(sum(found["x"]), 3.0)
        self.assertGreater(min(found["x"][:2]), 1.0)
        self.assertAlmostEqual(found["x"][2], 0.4)  # nobody agrees: what is left
        self.assertEqual(found["y"], [1.0])


class Risk(unittest.TestCase):
    def test_better_than_the_others_of_the_same_picture(self):
        gain = risk.advantages(torch.tensor([[0.1, 0.9, 0.2], [0.5, 0.5, 0.5]]))
        self.assertEqual([float(g) > 0 for g in gain[0]], [False, True, False])
        self.assertAlmostEqual(float(gain[0, 1]), 0.9 - 0.15, 6)  # against the mean of the others
        self.assertEqual(gain[1].tolist(), [0.0, 0.0, 0.0])  # equally good: nothing to learn


class Teachers(unittest.TestCase):
    def student(self):
        model = mock.Mock(heads=mock.Mock(vqa=torch.nn.Identity()))
        return fuse.Fuser(model, mock.Mock(answers=["a", "b", "c"]), None, {"taught": 0.25})

    def test_who_has_answered_and_who_has_not(self):
        """Known answers count beside the teacher's; where nobody knows, the teacher's alone."""
        logits, taught = torch.randn(2, 3), torch.tensor([[0.2, 0.6, 0.0], [0.1, 0.0, 0.9]])
        items = [("x", [], [], [(0, 1.0)], [(0, 1.0)]), ("y", [], [], [], [])]
        wanted = torch.tensor([[0.8, 0.15, 0.0], [0.1, 0.0, 0.9]])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")
        torch.testing.assert_close(self.student().answer_loss(logits, items, [0, 0], taught), loss)

    def test_words_of_people_and_of_a_teacher(self):
        fuser, logits = self.student(), torch.randn(3, 4)
        taught, targets = torch.rand(3, 4).softmax(1), torch.tensor([2, -1, 0])  # -1: a word that is never said
        fuser.packed = lambda *args: (logits, targets)
        each = 0.75 * -logits.log_softmax(1)[[0, 2], [2, 0]] - 0.25 * (taught * logits.log_softmax(1)).sum(1)[[0, 2]]
        torch.testing.assert_close(fuser.caption_loss(None, None, [[[1, 2]]], 0.0, None, taught), each.mean())

    def test_only_pictures_that_are_free(self):
        """Neither described ones nor those of another split, whatever file says so."""
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "coco").mkdir()
            for name, row in (("vqa", {"image": "held.jpg", "question": "?", "answers": ["a"], "split": "test"}),
                              ("boxes", {"image": "boxed.jpg", "boxes": [], "split": "train"})):
                (pathlib.Path(folder) / f"coco/{name}.jsonl").write_text(json.dumps(row) + "\n")
            files = [f"coco/images/{name}.jpg" for name in ("held", "boxed", "said", "bare")]
            corpus = mock.Mock(records=[data.Captions(files[2], ["a dog"], "train")])
            found = teach.uncaptioned(folder, corpus, mock.Mock(files=files))
            images = mock.Mock(files=files)
            wanted, all_views = scenes.wanted_files(folder, images, bare=True)
        self.assertEqual(found, [files[1], files[3]])
        self.assertEqual((wanted, all_views), ([files[0], *files[1:]], set(files[1:])))

    def test_what_several_say(self):
        tokenizer = Tokenizer(tiny.vocabulary())
        a, b, c, *rest = [w for w in tokenizer.tokens if w.isalpha() and len(w) > 3][:10]
        said = {"x": [f"{a} {b} {c}", f"{a} {b} {c}", " ".join(rest)], "y": [f"{b} {c} {a}", " ".join(rest[:3]), " ".join(rest[3:])]}

        def speaker(n):
            return mock.Mock(corpus=mock.Mock(tokenizer=tokenizer), speak=lambda files, most: [[tokenizer.encode(said[f][n])] for f in files])

        teachers = teach.Teachers([speaker(n) for n in range(3)], 1)
        corpus = mock.Mock(words=tokenizer.encode, config=mock.Mock(caption=mock.Mock(max_tokens=20)))
        with tempfile.TemporaryDirectory() as folder:
            items = teach.machine_captions(teachers, corpus, ["x", "y"], f"{folder}/machine.jsonl", 0.2)
            again = teach.machine_captions(None, corpus, ["x", "y"], f"{folder}/machine.jsonl", 0.2)
        ids = tokenizer.encode(said["x"][0])
        self.assertEqual(items, [("x", [(ids, ids)])])  # once, and of y nothing
        self.assertEqual(again, items)


class Variations(unittest.TestCase):
    def test_odd_views_are_mirrored(self):
        """And their words with them: a bright left half stays on the side that is spoken of."""
        x = torch.full((6, 3, 32, 32), -1.0)
        x[..., :16] = 1.0
        for view in range(6):
            seen = scenes.view_of(x, view)
            left = seen[..., :8].mean() > seen[..., 24:].mean()
            self.assertEqual(bool(left), view % 2 == 0, view)
        self.assertTrue(torch.equal(scenes.view_of(x, 0), x))

    def test_variations_stay_pictures(self):
        parts = late.windows(4)
        flat = late.varied(torch.full((4, 3, 32, 32), 0.25), parts)
        self.assertLess(float(flat.amax((1, 2, 3)).sub(flat.amin((1, 2, 3))).max()), 1e-5)  # no border creeps in
        self.assertLessEqual(float(late.varied(torch.randn(4, 3, 32, 32), parts).abs().max()), 1.0)

    def test_boxes_move_with_their_picture(self):
        """A bright box in a dark picture is found where Truth says it is, in any window."""
        record = data.Boxes("x", [(0.25, 0.375, 0.625, 0.75)], ["a"])
        images = torch.full((8, 3, 64, 64), -1.0)
        images[:, :, 24:48, 16:40] = 1.0
        parts = late.windows(8)
        for x, part in zip(late.varied(images, parts), parts):
            truth = detection.Truth.of(record, {"a": 1}, 1, 64, False, window=part)
            rows, columns = (x[0] > 0).any(1).nonzero(), (x[0] > 0).any(0).nonzero()
            seen = torch.stack((columns[0], rows[0], columns[-1], rows[-1]))[:, 0].float()
            self.assertLess(float((truth.boxes[0] - seen).abs().max()), 1.5)


class MachineBoxes(unittest.TestCase):
    FOUND = [["cat", 0.9, 0.1, 0.1, 0.5, 0.5], ["cat", 0.5, 0.12, 0.1, 0.5, 0.5], ["dog", 0.2, 0.1, 0.1, 0.5, 0.52],
             ["dog", 0.2, 0.6, 0.6, 0.9, 0.9], ["person", 0.8, 0.0, 0.0, 0.3, 0.9], ["cup", 0.05, 0.0, 0.0, 0.1, 0.1]]

    def test_who_is_believed(self):
        row = label.merged("coco/images/1.jpg", self.FOUND, None)
        self.assertEqual(row["labels"], ["cat", "person"])  # one box an object, nothing unsure
        self.assertEqual(row["maybe"], [[0.6, 0.6, 0.9, 0.9]])  # the other dog is the cat
        people = data.Boxes("coco/images/1.jpg", [(0.7, 0.0, 0.9, 0.9)], ["person"], ["person"])
        row = label.merged("coco/images/1.jpg", self.FOUND, people)
        self.assertEqual(list(zip(row["labels"], row["boxes"]))[0], ("person", (0.7, 0.0, 0.9, 0.9)))
        self.assertEqual(row["labels"], ["person", "cat"])
        self.assertIsNone(label.merged("x", self.FOUND, data.Boxes("x", [(0, 0, 1, 1)], ["cat"])))

    def test_written_as_it_is_read(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "coco").mkdir()
            label.write(folder, [label.merged("coco/images/1.jpg", self.FOUND, None)])
            read = data.boxes(folder, {"coco/images/1.jpg": (10, 10)})[0]
            self.assertEqual((read.labels, read.known, read.maybe), (["cat", "person"], [], [(0.6, 0.6, 0.9, 0.9)]))

    def test_what_may_be_there_teaches_nothing(self):
        record = data.Boxes("x", [(0.0, 0.0, 0.25, 0.25)], ["a"], maybe=[(0.5, 0.5, 1.0, 1.0)])
        truth = detection.Truth.of(record, {"a": 1}, 1, 64, False)
        proposals = torch.tensor([[0.0, 0, 15, 15], [32, 32, 63, 63], [32, 0, 63, 20]])
        boxes, classes, *_ = detection.roi_targets(proposals, truth, 8)
        self.assertEqual(sorted(classes.tolist()), [0, 1, 1])
        self.assertNotIn([32.0, 32, 63, 63], boxes.tolist())
        _, _, negative = detection.rpn_targets(proposals, truth, 64)
        self.assertEqual(negative.tolist(), [2])
        hidden = detection.Truth.of(record, {"a": 1}, 1, 64, False, window=(0.2, 0.0, 1.0, 1.0))
        self.assertEqual((len(hidden.boxes), len(hidden.maybe)), (0, 2))  # a fifth of it is left


class Words(unittest.TestCase):
    def test_only_pictures_at_hand_validate(self):
        """A data folder may describe pictures that are not there."""
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "flickr8k").mkdir()
            rows = [{"image": f"{n}.jpg", "split": "val", "captions": ["a red dog", "a dog"]} for n in range(3)]
            (pathlib.Path(folder) / "flickr8k/captions.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
            corpus = mock.Mock(words=["red", "dog"], images=mock.Mock(row={"flickr8k/images/1.jpg": 0}))
            files, targets = tee.held_out_words(corpus, folder, 8)
        self.assertEqual((files, targets.tolist()), (["flickr8k/images/1.jpg"], [[0.0, 1.0]]))  # "dog" is said twice


class Vocabulary(unittest.TestCase):
    def test_rare_words_are_read_and_not_said(self):
        tokenizer = Tokenizer(tiny.vocabulary())
        often, rare = (next(w for w in tokenizer.tokens if w.isalpha() and len(w) > 2 and w[0] == letter) for letter in "cd")
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "coco").mkdir()
            row = {"image": "1.jpg", "split": "train", "captions": [f"{often} {often} {rare}", f"{often} {often} {often}"]}
            (pathlib.Path(folder) / "coco/captions.jsonl").write_text(json.dumps(row) + "\n")
            config = recipe.model_config({"model": {}}, answers=1)
            corpus = Corpus(folder, {"coco/images/1.jpg"}, tokenizer, config, least=2)
        ids = [tokenizer.encode(word)[0] for word in (often, rare)]
        self.assertEqual(corpus.vocabulary.tolist(), sorted([ids[0], tokenizer.sep]))
        self.assertEqual(corpus.output_row[ids[1]], -1)  # what word_loss ignores
        self.assertIn(ids[1], corpus.captions["train"][0][1][0][0])

    def test_words_come_back(self):
        r = {"pretrained": False, "vocab": DATA / "tiny-cells/vocab.txt", "classes": "coco", "dropout": 0.0, "seed": 1,
             "model": json.loads((DATA / "tiny-cells/config.json").read_text())}
        given = MiniVLM.from_dir(DATA / "tiny-cells")
        silent = given.heads.caption.bias <= weights.SILENT
        model = build.fresh(r, ["new", *reversed(tiny.ANSWERS[:3])])
        build.speak_like(model, DATA / "tiny-cells")
        self.assertTrue(silent.any() and (model.heads.caption.bias > weights.SILENT).all())
        torch.testing.assert_close(model.fusion.cells.project.weight, given.fusion.cells.project.weight)
        torch.testing.assert_close(model.heads.vqa.classifier.weight[1:], given.heads.vqa.classifier.weight[:3].flip(0))


class Batches(unittest.TestCase):
    def test_questions_of_a_picture_come_together(self):
        items = [(picture, n) for n in range(3) for picture in "abcd"]
        taken = common.Shuffle(items, torch.Generator().manual_seed(1), key=lambda i: i[0]).take(12)
        self.assertEqual(sorted(taken), sorted(items))
        self.assertEqual([len({picture for picture, _ in taken[n:n + 3]}) for n in (0, 3, 6, 9)], [1, 1, 1, 1])


class FullRecipe(unittest.TestCase):
    def test_public_folders_to_a_model(self):
        """recipes/full.json on a tiny imitation of the public sets, from their own files to a model directory."""
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            smoke.write_public(folder / "data")
            stages.run(smoke.small_full(folder), folder / "data", folder / "work", folder / "model", compiled=False)
            model = MiniVLM.from_dir(folder / "model")
            scene = model.see(image.load(folder / "data/vg/images/0.jpg"))
            kinds = {p.parent.name + "/" + p.name for p in (folder / "data").glob("*/*.jsonl")}
        self.assertEqual((scene.inputs.shape[0], scene.cells.shape), (3, (1, 16 + 6)))
        self.assertEqual(kinds, {"coco/captions.jsonl", "coco/vqa.jsonl", "coco/boxes.jsonl", "openimages/boxes.jsonl", "vg/boxes.jsonl",
                                 "flickr30k/captions.jsonl"})


class Smoke(unittest.TestCase):
    def test_whole_pipeline(self):
        torch.set_num_threads(2)
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            scores = smoke.run(folder)
            machine = len(smoke.lines(folder / "taught/machine.jsonl"))
            self.assertGreater(len(list((folder / "shards").iterdir())), 1)
            self.assertEqual(MiniVLM.from_dir(folder / "sprint").config.name, "smoke")
            smoke.write_mine(folder / "mine")
            taught = adapt.adapt(folder / "model", folder / "mine", folder / "ours", minutes=1.0, lr=0.003)
            again = MiniVLM.from_dir(folder / "ours")
            said = again.tokenizer.decode(again.caption(again.see(image.load(folder / "mine/images/0.jpg")))[0].tokens)
            card = (folder / "ours/README.md").read_text()
        self.assertGreater(taught["after"]["mine_cider"], taught["before"]["mine_cider"] + 20)
        self.assertTrue(said.startswith("there are the "), said)
        self.assertIn("mine_cider", card)
        for stage, name in (("tee", "loss"), ("tee", "attributes"), ("all", "caption"), ("all", "vqa"), ("all", "retrieve")):
            first, last = scores["losses"][stage][name]
            self.assertLess(last, 0.9 * first, f"{stage} {name}")
        self.assertIn("sentence", scores["losses"]["all"])  # captions without pictures were met
        self.assertIn("risk", scores["losses"]["risk"])
        self.assertEqual(set(scores["losses"]["taught"]), {"caption", "vqa"})
        self.assertEqual(machine, smoke.UNDESCRIBED)
        self.assertGreater(scores["BLEU-1"], 30)
        self.assertTrue(all(c.startswith("a ") for c in scores["captions"]), scores["captions"])


if __name__ == "__main__":
    unittest.main()
