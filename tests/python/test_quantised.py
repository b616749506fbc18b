"""The fusion in 8 bits: rows as bytes, and which layers a directory asks for."""
import pathlib
import unittest

import torch
from minivlm import quantised, weights
from minivlm.model import MiniVLM
from safetensors.torch import load_file
from train import rounding

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"


class Rows(unittest.TestCase):
    def test_within_a_step(self):
        torch.manual_seed(1)
        for x in (torch.randn(5, 33), torch.rand(4, 7) + 3.0, -torch.rand(4, 1), torch.randn(3, 8) * 1e20):
            step = (x.amax(-1, keepdim=True).clamp(min=0) - x.amin(-1, keepdim=True).clamp(max=0)) / 255
            self.assertTrue(bool(((quantised.rows(x) - x).abs() <= 1.01 * step).all()))

    def test_zeros_stay(self):
        x = torch.tensor([[0.0, 1.0, -3.0], [0.0, 0.0, 0.0], [1e-38, 0.0, 0.0]])
        self.assertEqual(quantised.rows(x)[:, 0].tolist(), [0.0, 0.0, 0.0])

    def test_rows_are_apart(self):
        x = torch.randn(6, 20) * torch.tensor([[1.0], [10.0], [0.1], [5.0], [1e-3], [1e3]])
        self.assertTrue(torch.equal(quantised.rows(x)[2:3], quantised.rows(x[2:3])))


class Layers(unittest.TestCase):
    def hooked(self, name, **kwargs):
        model = MiniVLM.from_dir(DATA / name)
        quantised.apply(model, DATA / name, **kwargs)
        return {n for n, layer in quantised.linears(model).items() if layer._forward_pre_hooks}, quantised.linears(model)

    def test_as_the_file_has_them(self):
        for name, all_of_them in (("tiny", False), ("tiny-lite", True), ("tiny-cells", True)):
            found, layers = self.hooked(name)
            self.assertEqual(found, set(layers) if all_of_them else set(), name)

    def test_everything(self):
        found, layers = self.hooked("tiny-both", everything=True)
        self.assertEqual(found, set(layers))
        self.assertNotIn("fusion.cells.project", layers)

    def test_image_half(self):
        model = MiniVLM.from_dir(DATA / "tiny-cells")
        before = model.tee.backbone.blocks[0].depthwise.weight.clone()
        quantised.apply(model, DATA / "tiny-cells")
        blocks = quantised.blocks(model, load_file(DATA / "tiny-cells/model.safetensors"))
        self.assertIn("tee.backbone.blocks.0", blocks)  # without a widening
        self.assertNotIn("tee.backbone.blocks.2", blocks)  # 54 wide
        self.assertTrue(all(b.project._forward_pre_hooks and b.depthwise._forward_pre_hooks for b in blocks.values()))
        for layer in (model.cells.head, model.fusion.cells.project):
            self.assertEqual(len(layer._forward_pre_hooks), 1)
        after = model.tee.backbone.blocks[0].depthwise.weight
        most = before.abs().amax((1, 2, 3))
        self.assertTrue(bool(((after - before).abs().amax((1, 2, 3)) <= 0.51 * most / 2047).all()))

    def test_relu6_bytes(self):
        x = torch.tensor([-1.0, 0.0, 0.011, 0.012, 3.0, 6.0, 7.0])
        self.assertEqual((quantised._relu6_bytes(x) / quantised.RELU6_SCALE).round().tolist(), [0, 0, 0, 1, 128, 255, 255])


class Rounding(unittest.TestCase):
    def test_alike_inputs_make_up_for_each_other(self):
        torch.manual_seed(3)
        x = (torch.randn(400, 5) @ torch.randn(5, 32) + 0.05 * torch.randn(400, 32)).double()
        w = torch.randn(9, 32).double()
        w[4] = 0.0

        def lost(q, scale):
            return float(((weights.dequantise(q, scale).double() - w) @ x.T).square().mean())
        q, scale = rounding.round_weights(w, x)
        self.assertEqual((q.dtype, q.shape, int(q[4].abs().sum())), (torch.int8, w.shape, 0))
        self.assertLess(lost(q, scale), 0.3 * lost(*weights.quantise(w)))

    def test_an_input_that_never_comes(self):
        x = torch.zeros(10, 4).double()
        q, scale = rounding.round_weights(torch.ones(2, 4).double(), x)
        self.assertTrue(torch.allclose(weights.dequantise(q, scale), torch.ones(2, 4), atol=0.2))

    def test_settled(self):
        directory = DATA / "tiny-cells"
        model, in_bytes = MiniVLM.from_dir(directory), MiniVLM.from_dir(directory)
        quantised.apply(in_bytes, directory)
        before = {n: t.clone() for n, t in model.state_dict().items()}
        found = rounding.settle(model, in_bytes, torch.randn(2, 3, 64, 64), rounding.in_bytes_of(directory))
        self.assertIn("cells.head.weight", found)
        self.assertNotIn("tee.backbone.blocks.1.depthwise.weight", found)
        changed = {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}
        self.assertLessEqual(changed, {n.replace(".weight", ".bias") for n in found})
        self.assertIn("cells.head.bias", changed)
        tensors = weights.pack(model.state_dict(), "int8", found)
        self.assertTrue(torch.equal(tensors["cells.head.weight"], found["cells.head.weight"][0]))
        self.assertFalse(any(part._forward_hooks for part in model.modules()))


if __name__ == "__main__":
    unittest.main()
