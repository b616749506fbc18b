"""Every kind of work x every kind of reload x every phase of the work: nothing is lost, and each answer is one of the
old or of the new model, byte for byte what that model says when nobody reloads."""
import json
import pathlib
import re
import shutil
import tempfile

import wire
from support import LITE, PATIENCE, TINY, Models, Server, form, run, unittest

PICTURES = [wire.png(700, 500, n) for n in range(16)]  # some milliseconds of decoding each
TEXTS = [("text", f"a picture of thing {n}") for n in range(4)]
FLAGS = ("--engine.isa=ref", "--engine.threads=1", "--engine.decode_threads=1", "--cache.bytes=0", "--server.admin_port=0",
         "--log.level=info", "--limits.requests=4096", "--limits.timeout_ms=600000")


def posted(target, parts):
    body, headers = form(parts)
    return wire.message("POST", target, body, *(f"{k}: {v}" for k, v in headers.items()))


# kind of work -> the n-th request of that kind
KINDS = {
    "caption": lambda n: wire.message("POST", "/caption?num_beams=10", PICTURES[n % 16]),
    "stream": lambda n: wire.message("POST", "/caption?stream=true", PICTURES[n % 16]),
    "sixteen": lambda n: posted("/caption?num_beams=2", [("image", p) for p in PICTURES[n % 4:] + PICTURES[:n % 4]]),
    "occlusion": lambda n: wire.message("POST", "/vqa?question=what+is+this&explain=occlusion", PICTURES[n % 16]),
    "retrieve": lambda n: posted("/retrieve", [("image", PICTURES[n % 16]), ("image", PICTURES[(n + 1) % 16]), *TEXTS]),
    "search": lambda n: wire.message("POST", "/retrieve", {"collection": "c", "text": f"thing {n % 4}"}),
    "put": lambda n: wire.message("PUT", f"/collections/p/images/k{n}", PICTURES[n % 16]),
    "check": lambda n: wire.message("POST", "/images/check", PICTURES[n % 16]),
}
STORED = 8  # pictures of the collection that is searched


def edited(models, name, change, of=TINY):
    copy = models.copy(name, of)
    config = json.loads((copy / "config.json").read_text())
    change(config)
    (copy / "config.json").write_text(json.dumps(config))
    return copy


def other_sizes(models):
    return edited(models, "sizes", lambda c: (c["roi"].update(max_regions=9), c.update(version="9")))


def other_preprocessing(models):
    """The same file of weights, and pictures that are prepared differently: its features are others."""
    return edited(models, "bent", lambda c: (c["image"].update(mean=[0.3, 0.3, 0.3], std=[0.4, 0.4, 0.4]), c.update(version="8")))


def broken(models):
    copy = models.copy("broken")
    (copy / "vocab.txt").unlink()
    return copy


def overwritten(models):
    """cp -r over the directory that is being served: each file is truncated and written in place."""
    for path in LITE.iterdir():
        shutil.copyfile(path, models.current / path.name)
    return models.current


def truncated(models):
    with open(models.current / "model.safetensors", "r+b") as f:
        f.truncate(1000)
    return models.current


# kind of reload -> what happens to the directory, and whether a new model serves afterwards
RELOADS = {"same": (lambda models: models.current, True), "weights": (lambda models: LITE, True), "sizes": (other_sizes, True),
           "preprocessing": (other_preprocessing, True), "broken": (broken, False), "overwritten": (overwritten, True),
           "truncated": (truncated, False)}


class Matrix(unittest.TestCase):
    def start(self, folder, model):
        models = Models(folder, model)
        models.current = model
        return models, Server(*FLAGS, f"--collections.path={folder}/c.db", model=models.path)

    def fill(self, s):
        for n in range(STORED):
            put = wire.message("PUT", f"/collections/c/images/s{n}", PICTURES[n])
            self.assertIn(wire.ask(s.port, put).status, (200, 201))

    def quiet(self, model, stored_by=None):
        """{kind: [answers]} of a model that is left in peace; searches see what another model has stored."""
        out = {}
        with tempfile.TemporaryDirectory() as folder:
            if stored_by:
                with self.start(folder, stored_by)[1] as s:
                    self.fill(s)
                (pathlib.Path(folder) / "current").unlink()
            with self.start(folder, model)[1] as s:
                if not stored_by:
                    self.fill(s)
                for kind, make in KINDS.items():
                    out[kind] = [wire.said(wire.ask(s.port, make(n))) for n in range(16)]
        return out

    def quiet_after(self, change, first):
        with tempfile.TemporaryDirectory() as folder:
            models = Models(folder)
            models.current = models.copy("served", first)
            return self.quiet(change(models), stored_by=first)

    def cell(self, s, kind, turn, right):
        """Work in every phase, then the reload in the middle of it, then the rest. -> outcome of the reload"""
        make, opened = KINDS[kind], []
        try:
            for n in range(16):  # 0-3: half uploaded; 4-11: accepted, waiting and under way; 12-15: unread
                w = s.wire(patience=60 * PATIENCE, receive=4096 if n >= 12 else None)
                data = make(n)
                opened.append((n, w, data[len(data) // 2:] if n < 4 else b""))
                w.send(data[:len(data) // 2] if n < 4 else data)
            outcome = turn()
            for n, w, rest in opened:
                w.push(rest)
            for n, w, _ in opened:
                reply = w.reply()
                self.assertIn(wire.said(reply), [answers[kind][n] for answers in right], f"{kind} {n}: {reply}")
        finally:
            for _, w, _ in opened:
                w.close()
        return outcome

    def stored_rows_are_true(self, s):
        """What a list calls current has the scores of the current model."""
        for name in ("c", "p"):
            page = s.get(f"/collections/{name}?limit=1000")
            if page.status == 404:
                continue
            fresh = {i["key"] for i in page.json["images"] if not i["stale"]}
            found = s.post("/retrieve", {"collection": name, "text": "a dog"}).json
            self.assertEqual((found["scanned"], found["stale"]), (page.json["size"], page.json["stale"]))
            self.assertEqual({r["key"] for r in found["results"]}, fresh)
            for row in found["results"]:
                alone = s.post("/retrieve?text=a+dog", PICTURES[int(row["key"][1:]) % 16]).json["scores"][0][0]
                self.assertEqual(row["score"], alone, f"{name}/{row['key']} was stored by another model")

    def row(self, name):
        change, works = RELOADS[name]
        with tempfile.TemporaryDirectory() as template:
            first = Models(template).copy("first")
            old = self.quiet(first)
            new = self.quiet_after(change, first) if works else None
            for kind in KINDS:
                with self.subTest(work=kind, reload=name), tempfile.TemporaryDirectory() as folder:
                    models, s = self.start(folder, pathlib.Path(shutil.copytree(first, f"{folder}/served")))
                    with s:
                        self.fill(s)

                        def turn():
                            models.turn_to(change(models))
                            return s.reload()
                        outcome = self.cell(s, kind, turn, [old, new] if works else [old])
                        self.after(s, kind, outcome, works, old, new)

    def after(self, s, kind, outcome, works, old, new):
        if works:
            self.assertEqual((outcome.status, outcome.json["status"]), (200, "current"), outcome.body)
        else:
            self.assertEqual((outcome.status, outcome.code), (422, "reload_failed"), outcome.body)
            self.assertRegex(outcome.json["error"]["message"], "vocab|safetensors|sha|truncated|weights")
        for other in KINDS:
            if other != "put":
                for n in (0, 5):
                    fresh = wire.said(wire.ask(s.port, KINDS[other](n)))
                    self.assertEqual(fresh, (new if works else old)[other][n], f"{other} after the reload")
        self.stored_rows_are_true(s)
        s.wait_until_idle()
        self.assertEqual(s.metrics("minivlm_reloads_total"),
                         {'minivlm_reloads_total{outcome="ok"}': float(works), 'minivlm_reloads_total{outcome="failed"}': float(not works)})
        states = re.findall(r'"state":\s*"(\w+)"', s.get("/admin/model", admin=True).body.decode())
        self.assertEqual((states.count("current"), states.count("retiring")), (1, 0), states)

    def test_same_weights(self):
        """A1: the ordinary reload."""
        self.row("same")

    def test_other_weights(self):
        """A3: features of the same size under another model."""
        self.row("weights")

    def test_other_sizes(self):
        """A3: features of another size."""
        self.row("sizes")

    def test_other_preprocessing(self):
        """A3: the same file of weights does not make the same features when pictures are prepared differently."""
        self.row("preprocessing")

    def test_a_broken_directory(self):
        """A1, A5: the old model goes on, and the caller learns why."""
        self.row("broken")

    def test_overwritten_in_place(self):
        """A5: the files of the model that is being served are written over."""
        self.row("overwritten")

    def test_truncated_in_place(self):
        """A5: the weights that are being served are cut off."""
        self.row("truncated")


run(__name__)
