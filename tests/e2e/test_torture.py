"""The system fails, one call at a time: memory, threads, descriptors, disk, short and interrupted calls, the clock. Every
request is served or refused in words, the process stays, and when the fault is over all is as before.

tests/support/faults.c is preloaded and holds the list of what can fail; a test changes it through a shared file."""
import base64
import contextlib
import http.client
import mmap
import os
import signal
import struct
import tempfile
import time

from support import BUILD, Models, Server, form, picture, run, unittest

FAULTS = BUILD / "tests" / "libfaults.so"
ALLOCATION, THREAD, DESCRIPTOR, FULL, SHORT, INTERRUPT, CLOCK, COUNT, LIBRARY, RANDOM, SYNC, ERRNO = range(12)
PICTURE = picture()
JSON = {"image": base64.b64encode(PICTURE).decode()}


class Faulty(Server):
    """A server in which things can be made to fail: s[FULL] = 1"""

    def __init__(self, folder, *flags, begin=None, **more):
        path = os.path.join(folder, "faults")
        with open(path, "wb") as file:
            file.write(bytes(48))
        with open(path, "r+b") as file:
            self.numbers = mmap.mmap(file.fileno(), 48)
        for what, value in (begin or {}).items():
            self[what] = value
        super().__init__("--server.admin_port=0", *flags, env={"LD_PRELOAD": str(FAULTS), "FAULTS_FILE": path}, **more)

    def __getitem__(self, what):
        return struct.unpack_from("<i", self.numbers, 4 * what)[0]

    def __setitem__(self, what, value):
        struct.pack_into("<i", self.numbers, 4 * what, value)


@unittest.skipUnless(FAULTS.exists(), "sanitizers bring allocators of their own")
class Torture(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def start(self, *flags, **more):
        """A server that may fail to start: self.faulty is what became of it."""
        self.faulty = Faulty.__new__(Faulty)
        self.faulty.__init__(self.folder.name, *flags, **more)
        return self.faulty

    @staticmethod
    def is_ready(server):
        """Whether it came to serve; False when it has ended."""
        with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
            while server.alive and server.port and server.get("/readyz").status != 200:
                time.sleep(0.02)
            return server.alive and server.port is not None
        return False

    def told(self, answer):
        """Served, or refused in words."""
        self.assertIn(answer.status, (200, 201, 204, 202, 404, 409, 422, 429, 500, 503), answer.body)
        if answer.status >= 400:
            self.assertTrue(answer.json["error"]["message"])
        return answer

    @staticmethod
    def again(request):
        """The answer when a reload that goes on without its request is over."""
        end = time.monotonic() + 60
        while (answer := request()).status == 409 and time.monotonic() < end:
            time.sleep(0.1)
        return answer

    def test_every_allocation(self):
        """Of each kind of request, the first, second, ... allocation of ours fails once, until one has no more."""
        models = Models(self.folder.name)
        with Faulty(self.folder.name, f"--collections.path={self.folder.name}/c.db", "--cache.bytes=0",
                    model=models.path) as s:
            s.request("PUT", "/collections/a/images/b", PICTURE)
            body, headers = form([("image", PICTURE), ("image", picture(1)), ("texts", "a cat"), ("texts", "a dog")])
            requests = {
                "caption": lambda: s.post("/caption?num_beams=2", PICTURE),
                "json": lambda: s.post("/vqa", {**JSON, "questions": ["what", "where"]}),
                "form": lambda: s.post("/retrieve", body, headers),
                "large": lambda: s.post("/caption", {"images": [JSON["image"]] * 3}),
                "put": lambda: s.request("PUT", "/collections/a/images/b", PICTURE),
                "search": lambda: s.post("/retrieve", {"collection": "a", "text": "a cat"}),
                "list": lambda: s.get("/collections/a"),
                "metrics": lambda: s.get("/metrics", admin=True),
                "reload": lambda: s.reload(),
            }
            usual = {name: request().status for name, request in requests.items()}
            for name, request in requests.items():
                with self.subTest(request=name):
                    failed = 0
                    for n in range(1, 400):
                        before = s[COUNT]
                        s[ALLOCATION] = n
                        with contextlib.suppress(http.client.HTTPException, ConnectionError):
                            self.told(request())  # a connection without memory may only close
                        s[ALLOCATION] = 0
                        self.assertTrue(s.alive, f"ended by allocation {n} of {name}: {s.lines[-3:]}")
                        if s[COUNT] == before:
                            break
                        failed += 1
                    self.assertEqual(self.again(request).status, usual[name])
                    if name != "metrics":
                        self.assertGreater(failed, 0)
            s.wait_until_idle()

    def test_threads_that_do_not_start(self):
        """At the start and at a reload: exit code 1 with a reason, or a service; the old model serves on."""
        started = 0
        for n in range(1, 30):
            try:
                s = self.start(f"--collections.path={self.folder.name}/c.db", begin={THREAD: n}, ready=False)
            except AssertionError:  # it has ended before it listened
                s = self.faulty
            if not self.is_ready(s):
                self.assertEqual(s.process.wait(60), 1, s.lines)  # not killed, not hung
                s.reader.join(5)
                s.process.stderr.close()
                self.assertTrue(s.log("cannot start") or s.log("model not loaded"), s.lines)
                continue
            with s:
                self.assertEqual(s.post("/caption", PICTURE).status, 200)
                started += 1
                if s[COUNT] == 0:
                    break
        self.assertGreater(started, 0)
        self.assertLess(n, 29, "more threads than thought")
        with Faulty(self.folder.name) as s:
            for n in range(1, 8):
                s[THREAD] = n
                answer = self.told(s.reload())
                self.assertIn(answer.status, (200, 409, 422, 500, 503))
                self.assertEqual(s.post("/caption", PICTURE).status, 200)
            s[THREAD] = 0
            self.assertEqual(self.again(s.reload).status, 200)

    def test_descriptors(self):
        """None for a reload and for SIGHUP: what there is serves on."""
        with Faulty(self.folder.name, f"--collections.path={self.folder.name}/c.db") as s:
            for n in range(1, 6):
                s[DESCRIPTOR] = n
                self.told(s.reload())
                self.assertEqual(s.post("/caption", PICTURE).status, 200)
            s[DESCRIPTOR] = 1
            s.process.send_signal(signal.SIGHUP)
            s.wait_for_log("configuration reloaded")
            s[DESCRIPTOR] = 0
            self.assertEqual(self.again(s.reload).status, 200)

    def test_full_disk(self):
        with Faulty(self.folder.name, f"--collections.path={self.folder.name}/c.db") as s:
            def put(key):
                return s.request("PUT", "/collections/a/images/" + key, PICTURE)

            self.assertEqual(put("a").status, 201)
            s[FULL] = 1
            answer = put("b")
            self.assertEqual((answer.status, answer.code), (503, "collection_unavailable"), answer.body)
            self.assertEqual(s.post("/retrieve", {"collection": "a", "text": "a cat"}).status, 200)
            s[FULL] = 0
            self.assertEqual(put("b").status, 201)
            self.assertEqual(s.get("/collections/a").json["size"], 2)

    def test_short_and_interrupted_calls(self):
        """One to some hundred bytes at a time, every third call interrupted: the same answers."""
        body, headers = form([("image", PICTURE), ("question", "what is this")])
        with Faulty(self.folder.name, f"--collections.path={self.folder.name}/c.db") as s:
            def ask():
                return [s.post("/caption", PICTURE).json["caption"], s.post("/vqa", body, headers).json["answer"],
                        s.request("PUT", "/collections/a/images/a", PICTURE).status < 300,
                        s.post("/retrieve", {"collection": "a", "text": "a cat"}).status]

            quiet = ask()
            for what in ((SHORT,), (INTERRUPT,), (SHORT, INTERRUPT)):
                for w in what:
                    s[w] = 1
                self.assertEqual(ask(), quiet, what)
                self.assertEqual(s.reload().status, 200)
                for w in what:
                    s[w] = 0
            self.assertGreater(s[COUNT], 100)

    def test_clock_of_the_day(self):
        """Deadlines and time-outs do not follow it."""
        with Faulty(self.folder.name) as s:
            for step in (86400, -86400, 10**9, 0):
                s[CLOCK] = step
                began = time.monotonic()
                self.assertEqual(s.post("/caption", PICTURE, {"X-Request-Timeout-Ms": "20000"}).status, 200)
                self.assertLess(time.monotonic() - began, 20)
                self.assertEqual(s.get("/healthz").status, 200)


run(__name__)
