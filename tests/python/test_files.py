"""The files of a model directory: config.json, tensor names, types, and that every fault is named."""
import copy
import json
import pathlib
import re
import shutil
import tempfile
import unittest

import torch
from bench.pytorch_eager import unfold
from golden import tiny
from minivlm import Config, Labels, MiniVLM, config as cfg, image, weights
from minivlm.conv import fold
from minivlm.text import Tokenizer
from safetensors.torch import load_file, save_file
from support import DATA, GOLDEN, PICTURES, ROOT, TINY


def documented_names() -> list[str]:
    """The table of docs/model-format.md as regular expressions."""
    patterns = []
    page = (ROOT / "docs/model-format.md").read_text()
    table = page[page.index("## Names and shapes"):page.index("BiFPN nodes 0..3")]
    for row in re.findall(r"^\| (`.*?) \| ", table, re.M):
        names = re.findall(r"`([^`]+)`", row)
        for name in names:
            if name.startswith("."):  # the same as before it, with another last part
                name = names[0].rsplit(".", name.count("."))[0] + name
            if name.endswith("."):
                name += "{weight,bias}"
            name = re.sub(r"\{(\d)\.\.(\d)\}", r"[\1-\2]", name)
            name = re.sub(r"\{([\w,]+)\}", lambda m: "(" + m[1].replace(",", "|") + ")", name)
            name = re.sub(r"(?<=\.)N(?=\.)", r"[0-9]+", name)
            patterns.append(name.replace(".", r"\."))
    return patterns


class ConfigFile(unittest.TestCase):
    def setUp(self):
        self.values = json.loads((DATA / "tiny/config.json").read_text())

    def fault(self, change, text):
        values = copy.deepcopy(self.values)
        change(values)
        with self.assertRaisesRegex(cfg.ConfigError, text):
            Config.from_dict(values)

    def test_round_trip(self):
        for name in TINY:
            text = (DATA / name / "config.json").read_text()
            self.assertEqual(Config.from_dict(json.loads(text)).to_json(), text)

    def test_documented_example(self):
        page = (ROOT / "docs/model-format.md").read_text()
        example = re.search(r"```json\n(.*?)```", page, re.S)[1]
        Config.from_dict(json.loads(example))

    def test_faults_are_named(self):
        self.fault(lambda v: v["roi"].update(extra=1), "config.roi.extra: unknown")
        self.fault(lambda v: v["rpn"].pop("nms"), "config.rpn.nms: missing")
        self.fault(lambda v: v["rpn"].update(nms="x"), "config.rpn.nms: float")
        self.fault(lambda v: v["bifpn"].update(channels=1.5), "config.bifpn.channels: int")
        self.fault(lambda v: v["bifpn"].update(repeats=True), "config.bifpn.repeats: int")
        self.fault(lambda v: v["fusion"].update(heads=7), "config.fusion.hidden")
        self.fault(lambda v: v["caption"].update(max_tokens=13), "config.caption.max_tokens")
        self.fault(lambda v: v["caption"].update(num_beams=11), "config.caption.num_beams")
        self.fault(lambda v: v["caption"].update(decoder="x"), "config.caption.decoder")
        self.fault(lambda v: v.update(context={"channels": 4, "own_blocks": 12, "pool": 1, "regions": 0}), "config.context.own_blocks")
        self.fault(lambda v: v.update(context={"channels": 4, "own_blocks": 0, "pool": 1, "regions": 12}), "config.context.regions")
        self.fault(lambda v: v.update(context={"channels": 4, "own_blocks": 0, "pool": 0, "regions": 1}), "config.context.pool")
        self.fault(lambda v: v["backbone"]["stages"].pop(1), "total stride 16")
        self.fault(lambda v: v["backbone"].update(padding="x"), "config.backbone.padding")
        self.fault(lambda v: v["image"].update(divisor=48), "config.image.divisor")
        self.fault(lambda v: v.update(format="minivlm-2"), "config.format")


class Names(unittest.TestCase):
    def test_state_is_as_documented(self):
        patterns = documented_names()
        self.assertGreater(len(patterns), 30)
        names = {n for name in TINY for n in load_file(DATA / name / "model.safetensors")}
        names = [n for n in names if not n.endswith(".scale") and n != weights.SAID]  # named in the text
        for n in names:
            self.assertTrue(any(re.fullmatch(p, n) for p in patterns), f"{n} is not documented")
        for p in patterns:
            if not re.search(r"cells.*se_", p):  # those of a model with squeeze-excite and own blocks
                self.assertTrue(any(re.fullmatch(p, n) for n in names), f"{p}: no tensor of that name")


class Weights(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(6)
        self.directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.labels = Labels(tiny.OBJECTS, [], tiny.ANSWERS)
        self.model = MiniVLM(tiny.config("tiny"), Tokenizer(tiny.vocabulary()), self.labels).eval()

    def export(self, kind):
        weights.export(self.model, self.model.config, self.directory, kind, tiny.vocabulary(), vars(self.labels), "x")
        return MiniVLM.from_dir(self.directory)

    def test_types(self):
        exact = fold(copy.deepcopy(self.model)).state_dict()
        for kind, error in (("fp32", 0.0), ("bf16", 2.0 ** -8), ("fp16", 2.0 ** -11), ("int8", 0.5 / 127 + 1e-6)):
            loaded = self.export(kind).state_dict()
            self.assertEqual(set(loaded), set(exact))
            for name, t in exact.items():
                bound = error * t.abs().flatten(1).amax(1) if t.dim() > 1 else torch.zeros(1)
                difference = (loaded[name] - t).abs().flatten(1).amax(1) if t.dim() > 1 else (loaded[name] - t).abs()
                self.assertTrue((difference <= bound + 1e-9).all(), (kind, name))

    def test_quantise(self):
        w = torch.tensor([[0.0, 0.0], [1.0, -2.54], [127.0, 63.4]])
        q, scale = weights.quantise(w)
        self.assertEqual(q.tolist(), [[0, 0], [50, -127], [127, 63]])
        torch.testing.assert_close(scale, torch.tensor([1.0, 0.02, 1.0]))
        again, scale2 = weights.quantise(weights.dequantise(q, scale))
        self.assertTrue(torch.equal(q, again) and torch.allclose(scale, scale2))

    def test_mixed_types(self):
        self.export(lambda name: "int8" if name.startswith("fusion.layers") else "bf16")
        types = {str(t.dtype) for n, t in load_file(self.directory / "model.safetensors").items()}
        self.assertEqual(types, {"torch.int8", "torch.bfloat16", "torch.float32"})

    def test_words_that_can_be_said(self):
        silent = torch.arange(self.model.config.fusion.vocab) % 3 == 0
        with torch.no_grad():
            self.model.heads.caption.bias[silent] = weights.SILENT
        words = self.model.state_dict()[weights.WORDS]
        error = (self.export("int8").state_dict()[weights.WORDS] - words).abs().amax(1) / words.abs().amax(1)
        self.assertLess(float(error[~silent].max()), 2.0 ** -11)
        self.assertGreater(float(error[silent].median()), 2.0 ** -10)

    def test_faults_are_named(self):
        self.export("int8")
        config, file = Config.from_file(self.directory / "config.json"), self.directory / "model.safetensors"
        good = load_file(file)

        def fault(change, text):
            tensors = dict(good)
            change(tensors)
            save_file(tensors, file)
            values = config.to_dict()
            values["weights"]["sha256"] = weights.sha256(file)
            (self.directory / "config.json").write_text(Config.from_dict(values).to_json())
            with self.assertRaisesRegex(weights.WeightsError, text):
                MiniVLM.from_dir(self.directory)

        fault(lambda t: t.pop("tee.rpn.cls.bias"), "tee.rpn.cls.bias: missing")
        fault(lambda t: t.pop("tee.roi.fc6.weight.scale"), "tee.roi.fc6.weight.scale: missing")
        fault(lambda t: t.update(extra=torch.zeros(2)), "extra: unknown")
        fault(lambda t: t.update({"tee.roi.box.bias": torch.zeros(8)}), "tee.roi.box.bias: shape")
        fault(lambda t: t.update({"tee.roi.box.bias": torch.full((4,), torch.nan)}), "tee.roi.box.bias: not finite")
        fault(lambda t: t.update({weights.SAID: t[weights.SAID][1:]}), "word.said: shape")
        fault(lambda t: t.update({weights.SAID: t[weights.SAID] * torch.inf}), "word.said: not finite")
        save_file(good | {"tee.roi.box.bias": torch.ones(4)}, file)
        with self.assertRaisesRegex(weights.WeightsError, "sha256"):
            MiniVLM.from_dir(self.directory)

    def test_unfolded_is_the_same_function(self):
        """What scripts/bench/pytorch_eager.py times beside the folded model."""
        model = MiniVLM.from_dir(DATA / "tiny")
        picture = image.load(DATA / "images/discs.png")
        other = unfold(model)
        self.assertTrue(any(".bn." in name for name in other.state_dict()))
        torch.testing.assert_close(other.see(picture).inputs, model.see(picture).inputs, atol=1e-3, rtol=1e-3)

    def test_other_vocabulary_is_refused(self):
        shutil.copytree(DATA / "tiny", self.directory, dirs_exist_ok=True)
        with open(self.directory / "vocab.txt", "a") as file:
            file.write("more\n")
        with self.assertRaisesRegex(ValueError, "vocab.txt"):
            MiniVLM.from_dir(self.directory)


class GoldenStages(unittest.TestCase):
    def test_stages(self):
        """Recomputes the image half on the committed model and compares it with the committed tensors."""
        model = MiniVLM.from_dir(DATA / "tiny")
        golden = load_file(GOLDEN / "tiny.safetensors")
        for name in PICTURES:
            p = model.prepare(image.load(DATA / f"images/{name}.png"))
            self.assertTrue(torch.equal(p.tensor, golden[f"{name}.input"]))
            with torch.no_grad():
                pyramid = model.tee.pyramid(p.tensor[None])
                d, = model.tee.detect(pyramid, [p.resized])
            for i, level in enumerate(pyramid):
                torch.testing.assert_close(level[0], golden[f"{name}.pyramid{i + 2}"], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(d.proposals, golden[f"{name}.proposals.boxes"], atol=1e-3, rtol=1e-4)
            torch.testing.assert_close(d.features, golden[f"{name}.roi.features"], atol=1e-4, rtol=1e-4)
            self.assertEqual(d.regions.classes.tolist(), golden[f"{name}.regions.classes"].tolist())


if __name__ == "__main__":
    unittest.main()
