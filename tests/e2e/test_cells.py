"""Models with context cells, one of which says words where they stand and shows no region to its fusion: every answer is the
reference's, regions are listed all the same, and both explanations give each of them a weight."""
import concurrent.futures
import json
import os
import pathlib
import subprocess
import tempfile
import urllib.parse

from support import BUILD, ROOT, Server, run, unittest

PICTURES = {name: (ROOT / f"tests/data/images/{name}.png").read_bytes() for name in ("waves", "discs", "stripes", "small")}


class Cells(unittest.TestCase):
    model = ""
    server: Server

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.pages = json.loads((ROOT / f"tests/golden/{cls.model}.json").read_text(encoding="utf-8"))["images"]
        cls.server = Server(f"--collections.path={cls.folder.name}/c.db", "--engine.precision=fp32", model=ROOT / "tests/data" / cls.model)

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None, None, None)
        cls.folder.cleanup()

    def ask(self, path: str, name: str):
        answer = self.server.post(path, PICTURES[name])
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json

    def test_answers_are_the_references(self):
        for name, page in self.pages.items():
            for beams, expected in ((1, page["caption"]["greedy"]), (3, page["caption"]["beams"][0])):
                got = self.ask(f"/caption?num_beams={beams}&regions=true", name)
                self.assertEqual(got["caption"].replace(" ", ""), expected["text"].replace(" ", ""))
                self.assertAlmostEqual(got["score"], expected["score"], places=4)
                self.assertEqual([r["label"] for r in got["regions"]], page["labels"])
            for question in page["vqa"]:
                got = self.ask("/vqa?question=" + urllib.parse.quote(question["question"]), name)
                self.assertEqual([a["answer"] for a in got["answers"]], question["answers"])
            for sentence in page["retrieve"]:
                got = self.ask("/retrieve?text=" + urllib.parse.quote(sentence["text"]), name)
                self.assertAlmostEqual(got["scores"][0][0], sentence["score"], places=4)

    def test_explanations(self):
        for name, page in self.pages.items():
            for path in ("/caption?", "/vqa?question=what%3F&"):
                got = self.ask(path + "explain=true", name)
                weights = got["explain"]["region_weights"]
                self.assertEqual(len(weights), len(page["labels"]))
                self.assertAlmostEqual(sum(weights), 1.0, places=3)
                self.assertTrue(all(w > 0 for w in weights), weights)
                left_out = self.ask(path + "explain=occlusion", name)["explain"]["region_weights"]
                self.assertEqual(len(left_out), len(page["labels"]))
                self.assertTrue(all(left_out), left_out)  # a region takes its cells along

    def test_stream_and_batch(self):
        alone = {name: self.ask("/caption?num_captions=2", name) for name in PICTURES}
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            names = list(PICTURES) * 16
            answers = list(pool.map(lambda name: self.ask("/caption?num_captions=2", name), names))
        self.assertEqual(answers, [alone[name] for name in names])
        stream = self.server.post("/caption?stream=true", PICTURES["waves"]).body.decode()
        last = stream.split("event: done\ndata: ", 1)[1].split("\n\n")[0]
        self.assertEqual(json.loads(last), self.ask("/caption?num_beams=1", "waves"))

    def test_collections_keep_cells(self):
        for name, picture in PICTURES.items():
            self.assertEqual(self.server.request("PUT", f"/collections/c/images/{name}", picture).status, 201)
        found = self.server.post("/retrieve", {"collection": "c", "text": "a dog"}).json
        self.assertEqual((found["scanned"], found["reranked"]), (len(PICTURES), len(PICTURES)))
        for result in found["results"]:
            self.assertEqual(result["score"], self.ask("/retrieve?text=a+dog", result["key"])["scores"][0][0])


class CellsOnly(Cells):
    model = "tiny-cells"


class CellsAndRegions(Cells):
    model = "tiny-both"


class Refused(unittest.TestCase):
    """A model directory whose options do not fit: one line that names file and key or tensor."""

    def refused(self, model: str, saying: str, **sections):
        with tempfile.TemporaryDirectory() as folder:
            for file in (ROOT / "tests/data" / model).iterdir():
                os.symlink(file, os.path.join(folder, file.name))
            config = json.loads((ROOT / "tests/data" / model / "config.json").read_text())
            for section, values in sections.items():
                config[section] = {**config.get(section, {}), **values} if values is not None else None
            path = pathlib.Path(folder) / "config.json"
            path.unlink()
            path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
            got = subprocess.run([BUILD / "minivlm", "inspect", "--model", folder], capture_output=True, text=True, timeout=60)
            self.assertEqual((got.returncode, got.stdout), (1, ""))
            self.assertIn(saying, got.stderr)
            self.assertEqual(got.stderr.count("\n"), 1, got.stderr)

    def test_config(self):
        self.refused("tiny", "config.json: key 'caption.decoder' must be 'mask' or 'causal'", caption={"decoder": "beam"})
        self.refused("tiny-cells", "key 'context.own_blocks' is more than backbone.stages has blocks", context={"own_blocks": 12})
        self.refused("tiny-cells", "key 'context.regions' is above roi.max_regions", context={"regions": 12})
        self.refused("tiny-cells", "key 'context.pool' must be a whole number from 1 to 64", context={"pool": 0})
        self.refused("tiny", "key 'context.own_blocks' is missing", context={"channels": 8})

    def test_weights(self):
        self.refused("tiny-cells", "tensor cells.head.weight: shape [21, 22, 1, 1], expected [22, 22, 1, 1]",
                     context={"channels": 22})
        self.refused("tiny-cells", "tensor fusion.regions.project.weight: missing", context={"regions": 1})
        self.refused("tiny-both", "tensor fusion.regions.", context={"regions": 0})
        self.refused("tiny-both", "tensor cells.blocks.0.expand.weight: missing", context={"own_blocks": 1})
        self.refused("tiny-both", "unknown", context=None)
        self.refused("tiny", "tensor cells.head.weight: missing",
                     context={"channels": 8, "own_blocks": 0, "pool": 1, "regions": 11})


del Cells  # has no model
run(__name__)
