"""Collections: fill, search, list, remove, restart, SIGKILL in the middle of writing, a file that others lock, move or
delete, clients that leave, and a model that is replaced."""
import base64
import contextlib
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import tempfile
import threading
import time

import wire
from support import BUILD, PATIENCE, ROOT, TINY, Server, picture, run, unittest


class Collections(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.flag = "--collections.path=" + os.path.join(self.folder.name, "c.db")

    def tearDown(self):
        self.folder.cleanup()

    def put(self, s, key, n, name="holiday"):
        return s.request("PUT", f"/collections/{name}/images/{key}", picture(n))

    def test_the_whole_life(self):
        with Server(self.flag) as s:
            self.assertEqual(s.get("/collections/holiday").code, "not_found")
            for n in range(4):
                answer = self.put(s, f"album/{n}.jpg", n)
                self.assertEqual((answer.status, answer.json["replaced"]), (201, False), answer.body)
            self.assertEqual(self.put(s, "album/3.jpg", 3).status, 200)
            page = s.get("/collections/holiday?limit=3").json
            self.assertEqual([i["key"] for i in page["images"]], [f"album/{n}.jpg" for n in range(3)])
            self.assertEqual((page["size"], page["next"]), (4, "album/2.jpg"))
            for spelling in ("3.0", "%203", "%2B3", "3e0"):  # as other routes read numbers
                self.assertEqual(s.get(f"/collections/holiday?limit={spelling}").json["next"], "album/2.jpg", spelling)
            self.assertIsNone(s.get("/collections/holiday?limit=").json["next"])
            self.assertEqual(s.get("/collections/holiday?limit=3.5").status, 400)
            self.assertEqual([i["key"] for i in s.get("/collections/holiday?after=album/2.jpg").json["images"]], ["album/3.jpg"])
            found = s.post("/retrieve", {"collection": "holiday", "text": "a dog"}).json
            self.assertEqual((found["scanned"], found["reranked"], len(found["results"])), (4, 4, 4))
            scores = {r["key"]: r["score"] for r in found["results"]}
            self.assertEqual(list(scores.values()), sorted(scores.values(), reverse=True))
            for n in range(4):
                alone = s.post("/retrieve?text=a+dog", picture(n)).json["scores"][0][0]
                self.assertEqual(scores[f"album/{n}.jpg"], alone)
            top = s.post("/retrieve", {"collection": "holiday", "text": "a dog", "top_k": 1}).json["results"]
            self.assertEqual(top, found["results"][:1])
        with Server(self.flag) as s:
            again = s.post("/retrieve", {"collection": "holiday", "text": "a dog"}).json
            self.assertEqual(again["results"], found["results"])
            self.assertEqual(s.request("DELETE", "/collections/holiday/images/album/0.jpg").status, 200)
            self.assertEqual(s.request("DELETE", "/collections/holiday/images/album/0.jpg").status, 404)
            self.assertEqual(s.get("/collections").json["collections"], [{"name": "holiday", "images": 3, "stale": 0}])
            self.assertEqual(s.request("DELETE", "/collections/holiday").status, 200)
            self.assertEqual(s.get("/collections").json["collections"], [])

    def test_faults(self):
        with Server(self.flag, "--collections.max_images=1") as s:
            self.assertEqual(self.put(s, "k", 0, name="bad%20name").code, "bad_request")
            self.assertEqual(s.request("PUT", "/collections/a/images/k", b"no picture").code, "unsupported_image")
            self.assertEqual(self.put(s, "a", 0).status, 201)
            self.assertEqual(self.put(s, "b", 0).code, "too_many_inputs")
            b64 = base64.b64encode(picture()).decode()
            self.assertEqual(s.post("/retrieve", {"collection": "holiday", "image": b64, "text": "x"}).code, "bad_request")
            self.assertEqual(s.post("/retrieve", {"collection": "none", "text": "x"}).code, "not_found")
            hostile = s.post("/retrieve", {"collection": "holiday", "text": '"dog" OR NEAR(* AND \' --'})
            self.assertEqual(hostile.status, 200)
        with Server() as s:
            self.assertEqual(s.get("/collections").code, "not_found")

    def test_puts_that_are_refused_at_their_headers(self):
        """A name or key that is not allowed, and a service without collections: before a byte of the body is read."""
        def refusal(s, path):
            with s.wire(patience=10 * PATIENCE) as w:
                return w.ask(wire.head("PUT", path, "Content-Length: 1000000"))
        bad = {"/collections/a%20b/images/k": "name", "/collections/" + "n" * 65 + "/images/k": "name",
               "/collections/" + "n" * 900 + "/images/k": "name", "/collections/a/images/" + "k" * 257: "key",
               "/collections/a/images/" + "k" * 2000: "key", "/collections/a/images/%01": "key",
               "/collections/a/images/%ff": "key", "/collections/a/images/x/%2e%2E": "key", "/collections/a/images/..%2F..%2Fa": "key"}
        with Server(self.flag) as s:
            for path, what in bad.items():
                with self.subTest(path[:60]):
                    reply = refusal(s, path)
                    self.assertEqual((reply.status, reply.code), (400, "bad_request"), reply)
                    self.assertIn(what, reply.json["error"]["message"])
            self.assertEqual(self.put(s, "k" * 256, 0, "n" * 64).status, 201)
            self.assertEqual(s.get("/collections").json["collections"], [{"name": "n" * 64, "images": 1, "stale": 0}])
        with Server() as s:
            self.assertEqual(refusal(s, "/collections/a/images/k").status, 404)

    def test_sigkill_loses_nothing_acknowledged(self):
        chance, acknowledged = random.Random(5), set()
        for round_ in range(8):
            with Server(self.flag) as s:
                def fill(worker):
                    for n in range(1000):
                        key = f"{round_}-{worker}-{n}"
                        try:
                            if self.put(s, key, n).status == 201:
                                acknowledged.add(key)
                        except OSError:
                            return
                threads = [threading.Thread(target=fill, args=(w,)) for w in range(4)]
                for t in threads:
                    t.start()
                threads[0].join(0.05 + 0.2 * chance.random())
                s.process.send_signal(signal.SIGKILL)
                for t in threads:
                    t.join()
                s.process.wait()
        self.assertGreater(len(acknowledged), 20)
        with Server(self.flag) as s:
            kept, after = set(), ""
            while after is not None:
                page = s.get(f"/collections/holiday?limit=1000&after={after}").json
                kept |= {i["key"] for i in page["images"]}
                after = page["next"]
            self.assertEqual(acknowledged - kept, set())

    # ---- a file that others lock, move or delete ----

    @property
    def path(self):
        return os.path.join(self.folder.name, "c.db")

    @contextlib.contextmanager
    def locked(self):
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()

    def test_a_lock_of_another_process(self):
        """Writes give up at their deadlines in words; reads go on beside them; then all is as before."""
        with Server(self.flag) as s:
            self.assertEqual(self.put(s, "k", 0).status, 201)
            answers, began = [], time.monotonic()
            with self.locked():
                def put(n):
                    answer = s.request("PUT", f"/collections/holiday/images/k{n}", picture(n),
                                       {"X-Request-Timeout-Ms": "1500"})
                    answers.append((answer.status, answer.code, time.monotonic() - began))
                threads = [threading.Thread(target=put, args=(n,)) for n in range(12)]
                for t in threads:
                    t.start()
                time.sleep(0.3)
                for path in ("/collections", "/collections/holiday"):
                    asked = time.monotonic()
                    self.assertEqual(s.get(path).status, 200)
                    self.assertLess(time.monotonic() - asked, 1)
                self.assertEqual(s.post("/retrieve", {"collection": "holiday", "text": "a dog"}).status, 200)
                for t in threads:
                    t.join()
            for status, code, seconds in answers:
                self.assertIn((status, code), {(503, "collection_busy"), (504, "deadline_exceeded"),
                                               (429, "deadline_unreachable")})
                self.assertLess(seconds, 4)
            self.assertEqual(self.put(s, "after", 1).status, 201)
            self.assertIn(s.get("/collections/holiday").json["size"], range(2, 15))

    def test_a_lock_does_not_hold_sigterm(self):
        with Server(self.flag) as s:
            self.assertEqual(self.put(s, "k", 0).status, 201)
            with self.locked():
                def put(n):
                    with contextlib.suppress(OSError):
                        self.put(s, f"k{n}", n)
                threads = [threading.Thread(target=put, args=(n,)) for n in range(12)]
                for t in threads:
                    t.start()
                time.sleep(0.5)
                s.process.send_signal(signal.SIGTERM)
                s.process.wait(timeout=12)
                for t in threads:
                    t.join()

    def test_a_second_process(self):
        link = os.path.join(self.folder.name, "link.db")
        os.symlink(self.path, link)
        with Server(self.flag) as s:
            for path in (self.path, link):
                command = [BUILD / "minivlm-server", f"--model.dir={TINY}", "--server.port=0", f"--collections.path={path}"]
                done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=30, cwd=ROOT, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn("another process is using this file", done.stderr)
            self.assertEqual(self.put(s, "k", 0).status, 201)
            s.process.send_signal(signal.SIGKILL)
            s.process.wait()
        with Server(self.flag) as s:
            self.assertEqual(s.get("/collections/holiday").json["size"], 1)

    def test_a_file_that_is_moved(self):
        """Never 201 into nothing; when the file is back, or another is put there, work goes on without a restart."""
        with Server(self.flag) as s:
            self.assertEqual(self.put(s, "k", 0).status, 201)
            os.rename(self.path, self.path + ".away")
            answer = self.put(s, "lost", 1)
            self.assertEqual((answer.status, answer.code), (503, "collection_unavailable"))
            self.assertEqual(s.get("/collections/holiday").status, 503)
            os.rename(self.path + ".away", self.path)
            self.assertEqual(self.put(s, "found", 1).status, 201)
            self.assertEqual(s.get("/collections/holiday").json["size"], 2)
            os.unlink(self.path)
            self.assertEqual(self.put(s, "lost", 1).status, 503)
            self.assertEqual(s.get("/healthz").status, 200)

    def test_a_file_that_is_cut(self):
        with Server(self.flag) as s:
            for n in range(8):
                self.assertEqual(self.put(s, f"k{n}", n).status, 201)
            with contextlib.closing(sqlite3.connect(self.path)) as other:
                other.execute("PRAGMA wal_checkpoint")
            os.truncate(self.path, 0)
            self.assertEqual(self.put(s, "lost", 1).status, 503)

    def test_features_that_somebody_else_has_written(self):
        """With a right checksum, but of more regions than there can be: left out of the answer, and never computed with."""
        with Server(self.flag) as s:
            for n in range(2):
                self.assertEqual(self.put(s, f"{n}.jpg", n).status, 201)
        with contextlib.closing(sqlite3.connect(self.path)) as file, file:
            select = "SELECT f.id, i.image_id, i.width, i.height, f.block FROM features f JOIN image i ON i.id = f.id WHERE i.key = ?"
            row, image, width, height, block = file.execute(select, ("0.jpg",)).fetchone()
            block = struct.pack("<i", 1 << 30) + block[4:]
            digest = hashlib.sha256(image + struct.pack("<ii", width, height) + block + b"0.jpg").digest()
            file.execute("UPDATE features SET sha256 = ?, block = ? WHERE id = ?", (digest, block, row))
        with Server(self.flag) as s:
            found = s.post("/retrieve", {"collection": "holiday", "text": "a dog"})
            self.assertEqual([r["key"] for r in found.json["results"]], ["1.jpg"], found.body)
            self.assertEqual(s.get("/healthz").status, 200)

    def test_a_log_that_is_deleted(self):
        with Server(self.flag) as s:
            self.assertEqual(self.put(s, "before", 0).status, 201)
            os.unlink(self.path + "-wal")
            self.assertEqual(self.put(s, "after", 1).status, 201)
            s.process.send_signal(signal.SIGKILL)
            s.process.wait()
        with Server(self.flag) as s:
            self.assertEqual([i["key"] for i in s.get("/collections/holiday").json["images"]], ["after", "before"])

    # ---- clients and models that go ----

    def test_clients_that_leave(self):
        """Searches whose words stand in the query string, of clients that do not wait: the server must own the words."""
        with Server(self.flag) as s:
            for n in range(20):
                self.assertEqual(self.put(s, f"k{n}", n).status, 201)
            words = "+".join(f"word{n}" for n in range(500))[:3900]
            message = (f"POST /retrieve?collection=holiday&text={words} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
                       .encode())
            for _ in range(5):
                sockets = [socket.create_connection(("127.0.0.1", s.port)) for _ in range(100)]
                for c in sockets:
                    c.sendall(message)
                for c in sockets:
                    c.close()
            end = time.monotonic() + 20
            while (answer := s.post("/retrieve", {"collection": "holiday", "text": "a dog"})).status == 429:
                self.assertLess(time.monotonic(), end)  # until the gate has seen that they left
                time.sleep(0.1)
            self.assertEqual(answer.status, 200)

    def other_weights(self, folder):
        """The same model with another SHA-256: its metadata differ."""
        shutil.copytree(TINY, folder)
        folder = pathlib.Path(folder)
        weights = (folder / "model.safetensors").read_bytes()
        n = int.from_bytes(weights[:8], "little")
        header = json.loads(weights[8:8 + n])
        header.setdefault("__metadata__", {})["edition"] = "second"
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 64)
        weights = len(text).to_bytes(8, "little") + text + weights[8 + n:]
        (folder / "model.safetensors").write_bytes(weights)
        config = json.loads((folder / "config.json").read_text())
        config["weights"]["sha256"] = hashlib.sha256(weights).hexdigest()
        config["version"] = "second"
        (folder / "config.json").write_text(json.dumps(config))

    def test_a_model_that_is_replaced(self):
        """Each image is stored under the model that read it, whenever the model changes: none is wrong for ever."""
        second, current = os.path.join(self.folder.name, "second"), os.path.join(self.folder.name, "current")
        self.other_weights(second)
        os.symlink(TINY, current)
        with Server(self.flag, "--server.admin_port=0", "--cache.bytes=0", model=current) as s:
            self.assertEqual(self.put(s, "before", 0).status, 201)
            statuses = []
            threads = [threading.Thread(target=lambda n=n: statuses.append(self.put(s, f"k{n:02}", n).status))
                       for n in range(40)]
            for t in threads[:20]:
                t.start()
            os.symlink(second, current + ".new")
            os.rename(current + ".new", current)
            self.assertIn(s.request("POST", "/admin/reload", b"", admin=True).status, (200, 202))
            for t in threads[20:]:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(set(statuses), {201})
            end = time.monotonic() + 20
            while "second" not in json.dumps(s.get("/version").json["model"]):
                self.assertLess(time.monotonic(), end)
                time.sleep(0.05)
            page = s.get("/collections/holiday?limit=100").json
            fresh = {i["key"] for i in page["images"] if not i["stale"]}
            self.assertEqual((page["size"], page["stale"]), (41, 41 - len(fresh)))
            self.assertIn("before", {i["key"] for i in page["images"] if i["stale"]})
            found = s.post("/retrieve", {"collection": "holiday", "text": "a dog"}).json
            self.assertEqual({r["key"] for r in found["results"]}, fresh)
            self.assertEqual(found["stale"], page["stale"])
            self.assertEqual(self.put(s, "before", 0).status, 200)
            self.assertIn("before", {r["key"] for r in s.post("/retrieve", {"collection": "holiday", "text": "a dog"})
                                     .json["results"]})


run(__name__)
