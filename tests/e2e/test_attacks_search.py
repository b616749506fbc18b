"""Rows A2 and A18: collections under clients that leave, locks of others, files that vanish, and crowds."""
import contextlib
import os
import pathlib
import sqlite3
import subprocess
import tempfile
import threading
import time

import wire
from support import BUILD, PATIENCE, TINY, WRAPPER, Server, picture, run, unittest

WORDS = "+".join(f"word{n}" for n in range(500))[:3900]


class Collections(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name) / "c.db"
        self.flag = f"--collections.path={self.path}"
        self.patient = f"--limits.timeout_ms={round(30000 * max(1, PATIENCE))}"  # where the server runs slowly

    def tearDown(self):
        self.folder.cleanup()

    def fill(self, s, n, name="c"):
        n = max(3, int(n / max(1, PATIENCE / 2)))
        with s.wire() as w:
            for i in range(n):
                self.assertIn(w.ask(wire.message("PUT", f"/collections/{name}/images/k{i:04}", picture(i))).status, (200, 201))

    def search(self, text="a dog", name="c"):
        return wire.message("POST", "/retrieve", {"collection": name, "text": text})


class Leaving(Collections):
    """A2. Promise: a piece of work owns every byte that it reads; whoever leaves, leaves nothing dangling."""

    def storm(self, s, make, clients, leave):
        opened = []
        try:
            for n in range(clients):
                w = s.wire(patience=20 * PATIENCE)
                opened.append(w)
                w.push(make(n))
        finally:
            for w in opened:
                with contextlib.suppress(OSError, wire.Malformed):
                    leave(w)
                    if leave is wire.Wire.half_close:  # who has half closed still reads
                        w.reply()
                w.close()

    def survives(self, make, clients=300, rounds=3, *flags):
        clients, rounds = (10, 2) if WRAPPER else (int(clients / max(1, PATIENCE / 2)), rounds)  # valgrind sees the first one
        with Server(self.flag, self.patient, "--server.max_header_bytes=16384", "--log.level=info", *flags) as s:
            self.fill(s, 12 if WRAPPER else 100)
            right = wire.ask(s.port, self.search()).body
            for n in range(rounds):
                self.storm(s, make, clients, (wire.Wire.close, wire.Wire.reset)[n % 2])
                self.storm(s, make, min(20, clients), wire.Wire.half_close)
                time.sleep(0.2)
                self.assertTrue(s.alive, f"exit code {s.process.poll()}")
            s.wait_until_idle()
            self.assertEqual(wire.ask(s.port, self.search()).body, right)

    def test_searches_by_query_string(self):
        """A2: the text lay in the connection's memory, and the archive read it after the client had left."""
        self.survives(lambda n: wire.message("POST", f"/retrieve?collection=c&text={WORDS}", b""))

    def test_searches_by_form_and_json(self):
        """A2 in the other ways to send a text."""
        form = (b'--b\r\nContent-Disposition: form-data; name="collection"\r\n\r\nc\r\n--b\r\nContent-Disposition: form-data; '
                b'name="text"\r\n\r\n' + WORDS.replace("+", " ").encode() + b"\r\n--b--\r\n")
        messages = [wire.message("POST", "/retrieve", form, "Content-Type: multipart/form-data; boundary=b"),
                    self.search(WORDS.replace("+", " ")), wire.chunks("POST", f"/retrieve?collection=c&text={WORDS}", b"")]
        self.survives(lambda n: messages[n % 3])

    def test_names_and_keys_of_paths(self):
        """A2: names, keys and pages come from the request line too."""
        key = "k" * 250
        messages = [wire.message("PUT", f"/collections/d/images/{key}", picture()), wire.message("GET", "/collections/c?limit=900"),
                    wire.message("DELETE", f"/collections/d/images/{key}"), wire.message("GET", f"/collections/c?after={key}"),
                    wire.message("DELETE", "/collections/other"), wire.message("GET", "/collections")]
        self.survives(lambda n: messages[n % len(messages)])

    def test_questions_by_query_string(self):
        """A2 without a collection: texts of a query string beside pictures that are being decoded."""
        body = wire.png(900, 700)
        messages = [wire.message("POST", f"/vqa?question={WORDS}", body), wire.message("POST", f"/retrieve?text={WORDS}&text=a", body),
                    wire.message("POST", f"/vqa?question={WORDS}&explain=occlusion", body),
                    wire.message("POST", "/caption?stream=true", body)]
        self.survives(lambda n: messages[n % 4], 60, 3, "--cache.bytes=0")

    def test_answers_while_others_leave(self):
        """A2: those who stay get what they would get alone."""
        n_texts, n_rounds, n_leaving = (4, 1, 4) if WRAPPER else (20, 5, 20)
        with Server(self.flag, self.patient) as s:
            self.fill(s, 12 if WRAPPER else 60)
            texts = [f"word{n} a dog" for n in range(n_texts)]
            right = {t: wire.ask(s.port, self.search(t)).body for t in texts}
            stop = threading.Event()

            def leave():
                while not stop.is_set():
                    leaver = lambda n: wire.message("POST", f"/retrieve?collection=c&text={WORDS}{n}", b"")
                    self.storm(s, leaver, n_leaving, wire.Wire.reset)
                    if WRAPPER:  # whatever leaves has cost its price by then: valgrind runs one thread at a time
                        stop.wait(1)
            thread = threading.Thread(target=leave)
            thread.start()
            try:
                for _ in range(n_rounds):
                    for t in texts:
                        reply = wire.ask(s.port, self.search(t))
                        if reply.status != 429:
                            self.assertEqual(reply.body, right[t])
            finally:
                stop.set()
                thread.join()


class Locked(Collections):
    """A18. Promise: deadlines hold at the disk too; what cannot be written now is a 503 that says so, at once."""

    @contextlib.contextmanager
    def lock(self):
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None, timeout=5)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    def test_writes_beside_a_lock(self):
        """A18: twelve PUTs at a locked file, then a GET that waited for a minute and failed with 500."""
        with Server(self.flag) as s:
            self.fill(s, 20)
            with self.lock():
                began = time.monotonic()
                puts = [lambda n=n: wire.ask(s.port, wire.message("PUT", f"/collections/c/images/n{n}", picture())) for n in range(12)]
                thread = threading.Thread(target=lambda: replies.extend(wire.together(puts)))
                replies = []
                thread.start()
                time.sleep(0.3)
                asked = time.monotonic()
                for message in (wire.head("GET", "/collections/c"), wire.head("GET", "/collections"), self.search()):
                    self.assertEqual(wire.ask(s.port, message).status, 200)
                self.assertLess(time.monotonic() - asked, 2 * PATIENCE, "reads wait for a lock of writers")
                thread.join()
                self.assertLess(time.monotonic() - began, 15 * PATIENCE)
                self.assertEqual({r.status for r in replies}, {503})
                for r in replies:
                    self.assertTrue(r.json["error"]["retryable"], r)
                    self.assertIn("retry-after", r.headers)
                    self.assertNotIn("/", r.json["error"]["message"], "files of the service are none of a client's business")
            end = time.monotonic() + 15 * PATIENCE
            while (status := puts[0]().status) == 503 and time.monotonic() < end:
                time.sleep(0.2)
            self.assertEqual(status, 201, "the lock is gone")

    def test_a_deadline_beside_a_lock(self):
        """A18: a request's own deadline counts at the disk."""
        with Server(self.flag) as s:
            self.fill(s, 2)
            with self.lock():
                for method, target in (("PUT", "/collections/c/images/n"), ("DELETE", "/collections/c/images/k0000")):
                    began = time.monotonic()
                    reply = wire.ask(s.port, wire.message(method, target, picture() if method == "PUT" else b"",
                                                          "X-Request-Timeout-Ms: 500"))
                    self.assertIn(reply.status, (503, 504), reply)
                    self.assertLess(time.monotonic() - began, 2 * PATIENCE)

    def test_a_file_that_is_deleted(self):
        """A18: a PUT into a file that nobody will find again was answered 201."""
        with Server(self.flag) as s:
            self.fill(s, 3)
            for name in os.listdir(self.folder.name):
                os.unlink(os.path.join(self.folder.name, name))
            reply = wire.ask(s.port, wire.message("PUT", "/collections/c/images/after", picture()))
            if reply.status in (200, 201):  # then it must be there for whoever starts next
                s.stop()
                with Server(self.flag) as again:
                    self.assertIn("after", [i["key"] for i in again.get("/collections/c").json["images"]])
            else:
                self.assertEqual(reply.status, 503)
                self.assertEqual(s.get("/healthz").status, 200)

    def test_a_file_that_is_replaced(self):
        """A18's sister: a backup is put in its place while the service runs: never an answer of 201 into nothing."""
        with Server(self.flag) as s:
            self.fill(s, 3)
            fresh = pathlib.Path(self.folder.name) / "fresh"
            with contextlib.closing(sqlite3.connect(self.path)) as live, contextlib.closing(sqlite3.connect(fresh)) as copy:
                live.backup(copy)
            os.replace(fresh, self.path)
            reply = wire.ask(s.port, wire.message("PUT", "/collections/c/images/after", picture()))
            self.assertIn(reply.status, (201, 503))
            s.stop()
            with Server(self.flag) as again:
                keys = [i["key"] for i in again.get("/collections/c").json["images"]]
                self.assertEqual("after" in keys, reply.status == 201)

    def test_two_processes(self):
        """A18: two services on one file: the second is refused in words and leaves the file alone."""
        with Server(self.flag) as s:
            self.fill(s, 3)
            done = subprocess.run([BUILD / "minivlm-server", f"--model.dir={TINY}", "--server.port=0", self.flag],
                                  capture_output=True, text=True, timeout=30 * PATIENCE)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertRegex(done.stderr, "another process|in use|belongs")
            self.fill(s, 3)
        with Server(self.flag) as s:
            self.assertEqual(s.get("/collections/c").json["size"], 3)

    def test_a_full_or_damaged_disk(self):
        """A18's sister: the file shrinks or is overwritten by others: errors, never a crash, health goes on."""
        with Server(self.flag) as s:
            self.fill(s, 30)
            with open(self.path, "r+b") as f:
                f.seek(4096)
                f.write(os.urandom(64 * 1024))
            for message in (self.search(), wire.head("GET", "/collections/c"), wire.message("PUT", "/collections/c/images/x", picture())):
                self.assertIn(wire.ask(s.port, message).status, (200, 201, 500, 503))
            os.truncate(self.path, 5000)
            for message in (self.search(), wire.head("GET", "/collections/c"), wire.message("PUT", "/collections/c/images/x", picture())):
                self.assertIn(wire.ask(s.port, message).status, (200, 201, 404, 500, 503))
            self.assertEqual(s.get("/healthz").status, 200)


class Crowds(Collections):
    """A18. Promise: one client's searches do not hold up another client."""

    def test_forty_searches_of_one_client(self):
        """A18: while forty searches of one client ran, others waited four seconds for a list or a search."""
        with Server(self.flag, "--log.level=info", "--limits.requests=1024") as s:
            self.fill(s, 600)
            heavy = self.search(WORDS.replace("+", " "))

            def took(message):
                began = time.monotonic()
                self.assertEqual(wire.ask(s.port, message, source="127.0.0.2").status, 200)
                return time.monotonic() - began
            alone = max(took(self.search()) for _ in range(5))
            with contextlib.ExitStack() as stack:
                stop = threading.Event()

                def crowd():
                    while not stop.is_set():
                        with contextlib.suppress(OSError, wire.Malformed):
                            wire.ask(s.port, heavy)
                threads = [threading.Thread(target=crowd) for _ in range(40)]
                for t in threads:
                    t.start()
                stack.callback(lambda: [t.join() for t in threads])
                stack.callback(stop.set)
                time.sleep(1)
                times = sorted(took(m) for m in [wire.head("GET", "/collections/c?limit=5"), self.search()] * 8)
            self.assertLess(times[len(times) // 2], 12 * alone + 0.5 * PATIENCE, f"alone {alone:.3f} s, in the crowd {times}")


run(__name__)
