"""The image half of the reference against the paper's figures and against slow, plain formulas."""
import tempfile
import unittest

import numpy as np
import torch
from golden import lively, pictures, tiny
from minivlm import Labels, MiniVLM, boxes as bx, config as cfg, image, roi, rpn, tee
from minivlm.backbone import Backbone
from minivlm.conv import Conv, fold, same_padding
from minivlm.text import Tokenizer
from PIL import Image
from support import DATA, PICTURES, TINY


def parameters(module) -> int:
    return sum(p.numel() for p in module.parameters())


def count_macs(module, *inputs) -> int:
    """Multiply-adds of all convolutions below `module` in one pass."""
    total = 0

    def count(conv, _, output):
        nonlocal total
        total += output.numel() * conv.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in module.modules() if isinstance(m, Conv)]
    with torch.no_grad():
        result = module(*inputs)
    for hook in hooks:
        hook.remove()
    return total, result


class Paper(unittest.TestCase):
    """The published sizes. The paper's 7.5 M and 4.4 G are of this network; see docs/model-format.md for its parts."""

    @classmethod
    def setUpClass(cls):
        torch.manual_seed(0)
        cls.tee = tee.Tee(cfg.paper()).eval()

    def test_parameters(self):
        counts = {name: parameters(part) for name, part in self.tee.named_children()}
        # Batch-norm counts as two numbers a channel. The code behind the paper predicts boxes for background and
        # foreground (8 numbers, 4 of them unused); we keep the 4 that are used: 4 * 1025 less than its 3,742,275.
        self.assertEqual(counts, {"backbone": 3_595_388, "bifpn": 159_417, "rpn": 975, "roi": 3_742_275 - 4 * 1025})
        self.assertEqual(sum(counts.values()) + 4 * 1025, 7_498_055)
        self.assertEqual(parameters(self.tee.bifpn.cells[0]), 38_931)

    def test_multiply_adds_and_shapes(self):
        x = torch.zeros(1, 3, 512, 704)
        backbone, taps = count_macs(self.tee.backbone, x)
        bifpn, pyramid = count_macs(self.tee.bifpn, taps)
        heads, _ = count_macs(self.tee.rpn, pyramid)
        boxes = 300 * sum(layer.weight.numel() for layer in
                          (self.tee.roi.fc6, self.tee.roi.fc7, self.tee.roi.cls, self.tee.roi.box))
        self.assertAlmostEqual(backbone / 1e9, 2.614, delta=0.005)
        self.assertAlmostEqual(bifpn / 1e9, 0.615, delta=0.005)
        self.assertAlmostEqual((backbone + bifpn + heads + boxes) / 1e9, 4.38, delta=0.01)
        self.assertEqual([tuple(p.shape[1:]) for p in pyramid],
                         [(64, 128, 176), (64, 64, 88), (64, 32, 44), (64, 16, 22), (64, 8, 11)])

    def test_anchors(self):
        table = {4: (32, [(-22, -10, 25, 13), (-14, -14, 17, 17), (-10, -22, 13, 25)]),
                 8: (64, [(-40, -20, 47, 27), (-28, -28, 35, 35), (-20, -44, 27, 51)]),
                 16: (128, [(-84, -40, 99, 55), (-56, -56, 71, 71), (-36, -80, 51, 95)]),
                 32: (256, [(-164, -72, 195, 103), (-112, -112, 143, 143), (-76, -168, 107, 199)]),
                 64: (512, [(-332, -152, 395, 215), (-224, -224, 287, 287), (-148, -328, 211, 391)])}
        for stride, (size, expected) in table.items():
            self.assertEqual(rpn.window_anchors(stride, size).tolist(), [list(map(float, box)) for box in expected])
        cells = rpn.level_anchors(8, 64, 3, 5)
        self.assertEqual(cells[(2 * 5 + 4) * 3 + 1].tolist(), [-28 + 32, -28 + 16, 35 + 32, 35 + 16])
        pyramid = [torch.zeros(1, 1, *size) for size in ((96, 128), (48, 64), (24, 32), (12, 16), (6, 8))]
        self.assertEqual(sum(map(len, self.tee.rpn.anchors(pyramid))), 49_104)


class Boxes(unittest.TestCase):
    def test_decode(self):
        boxes = torch.tensor([[3.0, 4.0, 30.0, 20.0], [0.0, 0.0, 0.0, 0.0]])
        self.assertTrue(torch.equal(bx.decode(torch.zeros(2, 4), boxes), boxes))
        targets = torch.tensor([[1.0, 2.0, 50.0, 11.0], [4.0, 4.0, 9.0, 9.0]])
        deltas = bx.encode(targets, boxes, roi.BOX_WEIGHTS)
        torch.testing.assert_close(bx.decode(deltas, boxes, roi.BOX_WEIGHTS), targets)

    def test_nms_is_greedy(self):
        torch.manual_seed(1)
        for n, spread, threshold in ((1, 10, 0.5), (40, 20, 0.3), (300, 60, 0.7), (300, 5, 0.5)):
            corner = torch.rand(n, 2) * spread
            boxes = torch.cat((corner, corner + torch.rand(n, 2) * 30), 1)
            overlap, keep = bx.iou(boxes, boxes), []
            for i in range(n):
                if all(overlap[i, j] <= threshold for j in keep):
                    keep.append(i)
            self.assertEqual(bx.nms(boxes, threshold).nonzero().flatten().tolist(), keep)

    def test_pixels_are_inclusive(self):
        boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0], [5.0, 0.0, 14.0, 9.0]])
        self.assertAlmostEqual(float(bx.iou(boxes, boxes)[0, 1]), 50 / 150, places=6)
        self.assertEqual(tee.geometry(torch.tensor([[0.0, 0.0, 20.0, 10.0]]), (10, 20)).tolist(), [[0, 0, 1, 1, 1, 1]])

    def test_ties_go_to_the_lower_index(self):
        self.assertEqual(bx.best_first(torch.tensor([1.0, 2.0, 1.0, 2.0])).tolist(), [1, 3, 0, 2])
        score, label = roi.best_class(torch.tensor([[0.9, 0.04, 0.03, 0.04]]))
        self.assertEqual((round(float(score), 4), int(label)), (0.04, 1))


def bilinear(m, y, x):  # m [C, h, w]
    h, w = m.shape[1:]
    if y < -1 or y > h or x < -1 or x > w:
        return torch.zeros(m.shape[0])
    y, x = min(max(y, 0.0), h - 1.0), min(max(x, 0.0), w - 1.0)
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, h - 1), min(x0 + 1, w - 1)
    ly, lx = y - y0, x - x0
    return ((1 - ly) * (1 - lx) * m[:, y0, x0] + (1 - ly) * lx * m[:, y0, x1]
            + ly * (1 - lx) * m[:, y1, x0] + ly * lx * m[:, y1, x1])


class RoiAlign(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(2)
        self.maps = [torch.randn(2, 3, 256 // s, 320 // s, requires_grad=True) for s in (4, 8, 16, 32)]
        boxes = torch.tensor([[0.0, 0.0, 319.0, 255.0], [5.0, 9.0, 11.0, 90.0], [310.0, 250.0, 319.0, 255.0],
                              [100.0, 0.0, 230.0, 130.0], [-30.0, -9.0, 9.0, 40.0], [290.0, 200.0, 400.0, 300.0]])
        self.boxes = [boxes[:4], boxes[4:]]

    def plain(self, image_index, box, pool, sampling):
        level = int(roi.level_of(box[None])[0])
        m, scale = self.maps[level - 2][image_index], 0.5 ** level
        x0, y0 = float(box[0]) * scale, float(box[1]) * scale
        w, h = (max(float(box[k + 2]) * scale - v, 1.0) / pool for k, v in ((0, x0), (1, y0)))
        rows = []
        for py in range(pool):
            for px in range(pool):
                reads = [bilinear(m, y0 + py * h + (iy + 0.5) * h / sampling, x0 + px * w + (ix + 0.5) * w / sampling)
                         for iy in range(sampling) for ix in range(sampling)]
                rows.append(torch.stack(reads).mean(0))
        return torch.stack(rows, 1).flatten()  # [C, pool * pool]

    def test_against_the_plain_formula(self):
        for pool, sampling in ((4, 2), (3, 1)):
            found = roi.roi_align(self.maps, self.boxes, pool, sampling)
            expected = [self.plain(i, box, pool, sampling) for i, boxes in enumerate(self.boxes) for box in boxes]
            torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=1e-5)

    def test_levels(self):
        sides = torch.tensor([4.0, 111.0, 112.0, 223.0, 224.0, 447.0, 448.0, 3000.0])
        boxes = torch.stack((torch.zeros(8), torch.zeros(8), sides - 1, sides - 1), 1)
        self.assertEqual(roi.level_of(boxes).tolist(), [2, 2, 3, 3, 4, 4, 5, 5])

    def test_gradients_reach_the_maps(self):
        weights = torch.randn(6, 3 * 16)
        expected = None
        for pooled in (roi.roi_align(self.maps, self.boxes, 4, 2),
                       torch.stack([self.plain(i, b, 4, 2) for i, bs in enumerate(self.boxes) for b in bs])):
            grads = torch.autograd.grad((pooled * weights).sum(), self.maps, materialize_grads=True)
            for g, e in zip(grads, expected or grads):
                torch.testing.assert_close(g, e, atol=1e-5, rtol=1e-5)
            expected = grads


class Convolutions(unittest.TestCase):
    def test_fold_changes_nothing(self):
        for name in TINY:
            pics = {n: pictures.draw(w, h, f) for n, (w, h, f) in pictures.TINY.items()}
            model = MiniVLM(tiny.config(name), Tokenizer(tiny.vocabulary()), Labels(tiny.OBJECTS)).eval()
            lively.enliven(model, list(pics.values()), 5)
            x = model.prepare(pics["waves"]).tensor[None]
            def maps():
                taps, entry = model.look(x)
                return [*model.tee.bifpn(taps), *([model.cells(entry)] if model.cells else [])]

            with torch.no_grad():
                before = maps()
                names = [n for n, _ in model.named_parameters()]
                fold(model)
                after = maps()
            self.assertTrue(any(".bn." in n for n in names))
            self.assertFalse(any(".bn." in n for n in model.state_dict()))
            for a, b in zip(before, after):
                torch.testing.assert_close(a, b, atol=2e-4, rtol=2e-4)

    def test_cells(self):
        """Rows, geometry and edges of a picture that is not a multiple of anything; the own blocks are the backbone's shape."""
        model = MiniVLM.from_dir(DATA / "tiny-both")
        p = model.prepare(image.load(DATA / "images/waves.png"))
        scene, (height, width) = model.see(image.load(DATA / "images/waves.png")), p.resized
        self.assertGreater(p.tensor.shape[2], width)  # padded
        rows, columns = -(-height // 64), -(-width // 64)
        self.assertEqual(scene.cells.shape, (rows * columns, 17 + 6))
        self.assertEqual(len(scene.inputs), min(3, len(scene.boxes)))
        with torch.no_grad():
            whole = model.cells.act(model.cells.head(model.tee.backbone(p.tensor[None])[-1]))[0]
        for r in range(rows):
            for c in range(columns):
                cell = scene.cells[r * columns + c]
                torch.testing.assert_close(cell[:17], whole[:, 2 * r:2 * r + 2, 2 * c:2 * c + 2].mean((1, 2)), atol=1e-5, rtol=1e-4)
                right, below = min(64 * c + 64, width) - 1, min(64 * r + 64, height) - 1
                wanted = (64 * c / width, 64 * r / height, right / width, below / height, (right - 64 * c) / width, (below - 64 * r) / height)
                torch.testing.assert_close(cell[17:], torch.tensor(wanted), atol=1e-6, rtol=1e-5)
        own = MiniVLM.from_dir(DATA / "tiny-cells")
        self.assertEqual([b.project.weight.shape for b in own.cells.blocks], [b.project.weight.shape for b in own.tee.backbone.blocks[-3:]])

    def test_same_padding(self):
        self.assertEqual([same_padding(n, k, s) for n, k, s in ((32, 3, 2), (32, 5, 2), (33, 3, 2), (32, 5, 1))],
                         [(0, 1), (1, 2), (1, 1), (2, 2)])

    def test_backbone_trains(self):
        model = Backbone(tiny.config("tiny").backbone, drop_connect=0.5).train()
        taps = model(torch.randn(4, 3, 64, 96))
        sum(t.square().mean() for t in taps).backward()
        self.assertTrue(all(p.grad is not None for p in model.parameters()))
        self.assertEqual([tuple(t.shape[1:]) for t in taps], [(9, 16, 24), (10, 8, 12), (15, 4, 6), (22, 2, 3)])


def pass_weights(length: int, target: int):
    """Pillow's bilinear filter for one axis: for each output the first input and integer weights (times 2^22)."""
    scale = length / target
    support = max(scale, 1.0)
    for i in range(target):
        centre = (i + 0.5) * scale
        low, high = max(0, int(centre - support + 0.5)), min(length, int(centre + support + 0.5))
        w = [max(0.0, 1.0 - abs((k - centre + 0.5) / support)) for k in range(low, high)]
        yield low, [int(v / sum(w) * (1 << 22) + 0.5) for v in w]


def resize_axis(pixels, target: int):  # [n, ...] -> [target, ...], along the first axis
    out = np.empty((target, *pixels.shape[1:]), np.uint8)
    for i, (low, w) in enumerate(pass_weights(len(pixels), target)):
        total = np.tensordot(np.array(w, np.int64), pixels[low:low + len(w)].astype(np.int64), 1)
        out[i] = np.clip((total + (1 << 21)) >> 22, 0, 255)
    return out


class Pictures(unittest.TestCase):
    def test_resize_arithmetic(self):
        """The integer arithmetic that the C engine uses gives Pillow's pixels."""
        for name in PICTURES:
            picture = image.load(DATA / f"images/{name}.png")
            for height, width in ((64, 85), (17, 130), (200, 33), (picture.height, 20), (1, 1)):
                pixels = np.asarray(picture)
                if width != picture.width:
                    pixels = resize_axis(pixels.swapaxes(0, 1), width).swapaxes(0, 1)
                if height != picture.height:
                    pixels = resize_axis(pixels, height)
                np.testing.assert_array_equal(pixels, np.asarray(image.resize(picture, height, width)))

    def test_sizes(self):
        c = cfg.paper().image
        for (h, w), expected in {(480, 640): (512, 682), (640, 480): (682, 512), (100, 100): (512, 512),
                                 (100, 1000): (133, 1330), (1, 5000): (1, 5000)}.items():
            self.assertEqual(image.target_size(c, h, w), expected)

    def test_padding(self):
        p = image.prepare(tiny.config("tiny").image, image.load(DATA / "images/waves.png"))
        self.assertEqual((tuple(p.tensor.shape), p.resized, p.upright), ((3, 64, 96), (64, 85), (90, 120)))
        self.assertEqual(float(p.tensor[:, :, 85:].abs().max()), 0.0)

    def test_modes(self):
        rgba = Image.new("RGBA", (2, 1), (10, 20, 30, 0))
        rgba.putpixel((1, 0), (100, 0, 255, 128))
        for picture, expected in ((rgba, [[255, 255, 255], [177, 127, 255]]),
                                  (Image.fromarray(np.array([[256, 65535]], np.uint16)), [[1] * 3, [255] * 3])):
            with self.subTest(mode=picture.mode):
                file = self.enterContext(tempfile.NamedTemporaryFile(suffix=".png"))
                picture.save(file.name)
                self.assertEqual(np.asarray(image.load(file.name))[0].tolist(), expected)


if __name__ == "__main__":
    unittest.main()
