"""Rows A1, A3, A5 and A12's reload: a model is replaced under load, and files change under it. See test_reload_matrix."""
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import tempfile
import threading
import time

import wire
from support import BASE, LITE, PATIENCE, TINY, Models, Server, form, picture, run, unittest

ADMIN = "--server.admin_port=0"
PICTURES = [wire.png(600, 400, n) for n in range(16)]


def sixteen(target="/caption?num_beams=1"):
    body, headers = form([("image", p) for p in PICTURES])
    return wire.message("POST", target, body, *(f"{k}: {v}" for k, v in headers.items()))


class Replaced(unittest.TestCase):
    """A1. Promise: a service lives as long as anything refers to it; a reload loses no request."""

    def test_work_that_waits_for_a_slot(self):
        """A1: more pictures than slots, so that work waits inside while its model is replaced: the first reload killed."""
        for places in (1, 4, 64):
            with self.subTest(places=places), Server(f"--limits.requests={places}", ADMIN, "--cache.bytes=0",
                                                     "--engine.threads=1", "--engine.decode_threads=1") as s:
                right = wire.ask(s.port, sixteen()).body
                for _ in range(4):
                    with contextlib.ExitStack() as stack:
                        wires = [stack.enter_context(s.wire()).send(sixteen()) for _ in range(4)]
                        time.sleep(0.02)
                        self.assertEqual(s.reload().status, 200)
                        replies = [w.reply() for w in wires]
                        self.assertNotIn(None, replies)
                        self.assertEqual({r.body for r in replies if r.status != 429}, {right})

    def test_known_pictures_and_many_clients(self):
        """A1: questions about cached pictures come faster than decoding allows; sixty clients, five reloads."""
        with Server(ADMIN, "--engine.threads=1") as s:
            ids = [s.post("/caption", p).json["image"]["id"] for p in PICTURES]
            ask = wire.message("POST", "/vqa", {"images": [{"id": i} for i in ids], "question": "what is this"})
            stop, statuses, again = threading.Event(), {}, wire.message("POST", "/vqa?question=what+is+this", PICTURES[0])
            right = wire.ask(s.port, again).json["answers"]

            def client():
                w = None
                while not stop.is_set():
                    try:
                        w = w or s.wire()
                        reply = w.ask(ask)
                    except (OSError, wire.Malformed):
                        reply = None
                    if reply is None:
                        statuses["lost"] = 1
                        return
                    # a new model has no features of these pictures: the client learns that in words
                    kinds = {i.get("error", {}).get("code", "answered") for i in reply.json.get("results", [])} or {reply.code}
                    for kind in kinds:
                        statuses[(reply.status, kind)] = statuses.get((reply.status, kind), 0) + 1
                    if reply.closes:
                        w.close()
                        w = None
                if w:
                    w.close()
            threads = [threading.Thread(target=client) for _ in range(60)]
            for t in threads:
                t.start()
            for _ in range(5):
                time.sleep(0.2)
                self.assertEqual(s.reload().status, 200)
            stop.set()
            for t in threads:
                t.join()
            self.assertLessEqual(set(statuses), {(200, "answered"), (200, "image_not_cached"), (404, "image_not_cached"),
                                                 (429, "overloaded"), (429, "deadline_unreachable")})
            self.assertEqual(wire.ask(s.port, again).json["answers"], right)

    def test_fifty_reloads_under_mixed_load(self):
        """A1: fifty reloads between two models while captions, streams, questions, searches and puts go on."""
        with tempfile.TemporaryDirectory() as folder:
            models = Models(folder)
            with Server(ADMIN, f"--collections.path={folder}/c.db", model=models.path) as s:
                for n in range(8):
                    s.request("PUT", f"/collections/c/images/k{n}", PICTURES[n])
                kinds = [lambda n: wire.message("POST", "/caption?num_beams=3", PICTURES[n % 16]),
                         lambda n: wire.message("POST", "/caption?stream=true", PICTURES[n % 16]), lambda n: sixteen(),
                         lambda n: wire.message("POST", "/vqa?question=what&explain=occlusion", PICTURES[n % 16]),
                         lambda n: wire.message("POST", "/retrieve", {"collection": "c", "text": "a dog"}),
                         lambda n: wire.message("PUT", f"/collections/c/images/k{n % 8}", PICTURES[n % 16]),
                         lambda n: wire.message("POST", "/images/check", PICTURES[n % 16])]
                stop, wrong, n_right = threading.Event(), [], [0]

                def client(seed):
                    rng = random.Random(seed)
                    while not stop.is_set():
                        n = rng.randrange(1000)
                        try:
                            reply = wire.ask(s.port, kinds[n % len(kinds)](n))
                        except (OSError, wire.Malformed) as e:
                            return wrong.append(repr(e))
                        if reply is None or reply.status not in (200, 201, 429) or b"event: error" in reply.body:
                            return wrong.append((n % len(kinds), reply))
                        n_right[0] += 1
                threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
                for t in threads:
                    t.start()
                outcomes = []
                for n in range(50):
                    models.turn_to(LITE if n % 2 == 0 else TINY)
                    outcomes.append(s.reload().status)
                    if wrong:
                        break
                stop.set()
                for t in threads:
                    t.join()
                self.assertEqual((wrong, outcomes), ([], [200] * 50))
                self.assertGreater(n_right[0], 100)
                s.wait_until_idle()


class Outcomes(unittest.TestCase):
    """A1, A20. Promise: the outcome of a reload is an answer, a state and a counter, not a log line only."""

    def test_failures_cost_nothing(self):
        """Thirty failed reloads leave neither memory nor descriptors behind, and the old model serves."""
        with tempfile.TemporaryDirectory() as folder:
            models = Models(folder)
            bad = models.copy("bad")
            weights = bytearray((bad / "model.safetensors").read_bytes())
            weights[-1] ^= 1
            (bad / "model.safetensors").write_bytes(weights)
            with Server(ADMIN, model=models.path) as s:
                right = s.post("/caption", picture()).body
                models.turn_to(bad)
                fail = lambda: self.assertEqual((s.reload().status, s.post("/caption", picture()).body), (422, right))
                for _ in range(5):
                    fail()
                memory, descriptors = s.resident, s.descriptors
                for _ in range(30):
                    fail()
                self.assertLess(s.resident - memory, 8 * PATIENCE)
                self.assertLessEqual(s.descriptors, descriptors + 1)
                self.assertEqual(s.metrics("minivlm_reloads_total")['minivlm_reloads_total{outcome="failed"}'], 35)
                self.assertEqual(s.reload("?wait=True").status, 422)  # as Python writes it

    def test_one_at_a_time(self):
        """A second reload while one is going on is a conflict in words; all who wait hear the outcome."""
        with Server(ADMIN, "--engine.isa=ref", model=BASE) as s:
            answers = wire.together([s.reload for _ in range(6)])
            self.assertLessEqual({a.status for a in answers}, {200, 409})
            self.assertIn(200, {a.status for a in answers})
            for a in answers:
                if a.status == 409:
                    self.assertEqual(a.code, "conflict")
            self.assertEqual(s.reload().status, 200)

    def test_who_waits_may_leave(self):
        """The client of ?wait=true hangs up, by FIN and by RST: the reload goes on, the next one works."""
        with Server(ADMIN, model=BASE) as s:
            for leave in (wire.Wire.close, wire.Wire.reset):
                w = wire.Wire(s.admin_port).send(wire.message("POST", "/admin/reload?wait=true"))
                time.sleep(0.05)
                leave(w)
                end = time.monotonic() + 30 * PATIENCE
                while (answer := s.reload()).status == 409 and time.monotonic() < end:
                    time.sleep(0.05)
                self.assertEqual(answer.status, 200, answer.body)

    def test_memory_for_two_models(self):
        """A12: where the limit has no room for two models, the reload is refused, in words, and the old one serves."""
        with Server("--server.admin_port=0", "--limits.memory_bytes=100GiB", model=BASE) as s:
            engine = s.log("ready")[0]["memory_mb"]
        small = ("--cache.bytes=1MiB", "--limits.body_memory_bytes=21MiB", "--limits.requests=16", "--limits.pixels=1000000",
                 "--limits.progressive_pixels=1000000")
        for room in range(1, 40):  # the smallest limit that starts
            with contextlib.suppress(AssertionError, OSError):
                with Server(ADMIN, *small, f"--limits.memory_bytes={int(engine + 16 * room)}MiB", model=BASE) as s:
                    right = s.post("/caption", picture()).body
                    peak = s.peak
                    answer = s.reload()
                    self.assertEqual(s.post("/caption", picture()).body, right)
                    break
        self.assertGreaterEqual(answer.status, 409, f"accepted at {s.process.args[-1]}, peak before {peak}")
        self.assertRegex(answer.json["error"]["message"], "memory|MiB|MB")

    def test_signals_during_a_reload(self):
        """SIGHUP beside a reload, then SIGTERM beside another: who waits gets an answer, the process leaves with 0."""
        with Server(ADMIN, "--drain.timeout_ms=1000", model=BASE) as s:
            with wire.Wire(s.admin_port) as w:
                w.send(wire.message("POST", "/admin/reload?wait=true"))
                s.process.send_signal(signal.SIGHUP)
                self.assertEqual(w.reply().status, 200)
                w.send(wire.message("POST", "/admin/reload?wait=true"))
                time.sleep(0.05)
                s.leaves_within(2)
                reply = w.reply()
                self.assertTrue(reply is not None and reply.status in (200, 503), reply)


class Files(unittest.TestCase):
    """A5. Promise: whatever happens to the files of a model, the service that has read them serves on."""

    def serves_through(self, s, path, harm, mend, right):
        for n in range(4):
            s.reload("")
            time.sleep(0.01 + 0.06 * n)
            harm(path)
            time.sleep(0.3)
            self.assertTrue(s.alive, f"try {n}: exit code {s.process.poll()}")
            self.assertEqual(s.post("/caption", picture()).body, right)
            mend(path)
            end = time.monotonic() + 30 * PATIENCE
            while (answer := s.reload()).status == 409 and time.monotonic() < end:
                time.sleep(0.05)
            self.assertEqual(answer.status, 200, answer.body)

    def test_weights_change_in_place_while_they_are_read(self):
        """A5: truncated, overwritten with other bytes, emptied and grown while a reload reads them."""
        weights = (BASE / "model.safetensors").read_bytes()
        harms = {"truncated": lambda p: os.truncate(p, 1000), "emptied": lambda p: p.write_bytes(b""),
                 "overwritten": lambda p: p.write_bytes(bytes(len(weights))),
                 "removed": lambda p: p.unlink(), "grown": lambda p: os.truncate(p, 1 << 32)}
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(shutil.copytree(BASE, folder + "/m"))
            with Server(ADMIN, model=copy) as s:
                right = s.post("/caption", picture()).body
                for name, harm in harms.items():
                    with self.subTest(name):
                        self.serves_through(s, copy / "model.safetensors", harm, lambda p: p.write_bytes(weights), right)

    def test_weights_vanish_under_a_model_that_serves(self):
        """A5: after the load the file does not matter any more: every kind of work is answered as before."""
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(shutil.copytree(TINY, folder + "/m"))
            with Server(ADMIN, "--cache.bytes=0", model=copy) as s:
                asks = [wire.message("POST", t, picture()) for t in ("/caption", "/vqa?question=what", "/retrieve?text=dog")]
                right = [wire.ask(s.port, a).body for a in asks]
                for path in copy.iterdir():
                    os.truncate(path, 0)
                self.assertEqual([wire.ask(s.port, a).body for a in asks], right)
                for path in copy.iterdir():
                    path.unlink()
                self.assertEqual([wire.ask(s.port, a).body for a in asks], right)

    def test_files_that_are_none(self):
        """A5: a pipe, a directory, a device and an endless link instead of a file: refused soon, the service goes on."""
        kinds = {"fifo": os.mkfifo, "directory": os.mkdir, "endless": lambda p: os.symlink(p, p),
                 "device": lambda p: os.symlink("/dev/zero", p), "missing": lambda p: None}
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(shutil.copytree(TINY, folder + "/m"))
            with Server(ADMIN, "--drain.timeout_ms=500", model=copy) as s:
                for name in ("model.safetensors", "config.json", "vocab.txt", "labels.json"):
                    for kind, make in kinds.items():
                        with self.subTest(name, kind=kind):
                            (copy / name).unlink()
                            make(copy / name)
                            try:
                                answer = s.reload()
                            finally:
                                shutil.rmtree(copy)
                                shutil.copytree(TINY, copy)
                            self.assertEqual((answer.status, answer.code), (422, "reload_failed"), answer.body)
                            self.assertEqual(s.reload().status, 200)
                s.leaves_within(1.5)

    def test_numbers_that_are_none(self):
        """A3, A5: weights of the right size and checksum whose answers are no numbers are refused at the reload."""
        import hashlib
        import struct
        with tempfile.TemporaryDirectory() as folder:
            models = Models(folder)
            bad = models.copy("bad")
            weights = bytearray((bad / "model.safetensors").read_bytes())
            length = int.from_bytes(weights[:8], "little")
            at = json.loads(weights[8:8 + length])["fusion.embeddings.norm.weight"]["data_offsets"]
            begin, end = (8 + length + n for n in at)
            weights[begin:end] = struct.pack("<f", 3e38) * ((end - begin) // 4)
            (bad / "model.safetensors").write_bytes(weights)
            config = json.loads((bad / "config.json").read_text())
            config["weights"]["sha256"] = hashlib.sha256(weights).hexdigest()
            (bad / "config.json").write_text(json.dumps(config))
            with Server(ADMIN, model=models.path) as s:
                right = s.post("/caption", picture()).body
                models.turn_to(bad)
                self.assertEqual((s.reload().status, s.post("/caption", picture()).body), (422, right))


run(__name__)
