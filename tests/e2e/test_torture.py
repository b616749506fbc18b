"""The system fails, one call at a time: memory, threads, descriptors, disk, short and interrupted calls, the clock, chance.
Every request is served or refused in words, the process stays, and when the fault is over all is as before.

tests/support/faults.c is preloaded and holds the list of what can fail; a test changes it through a shared file."""
import base64
import contextlib
import errno
import http.client
import mmap
import os
import signal
import ssl
import struct
import subprocess
import tempfile
import time

from support import BUILD, ROOT, Models, Server, form, picture, run, unittest

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
        end = time.monotonic() + 60
        while server.alive and server.port and time.monotonic() < end:
            with contextlib.suppress(OSError, http.client.HTTPException):  # the fault may be this connection's
                if server.get("/readyz").status == 200:
                    return True
            time.sleep(0.02)
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

    def kinds(self, s):
        """{name: a request of that kind}"""
        self.assertIn(s.request("PUT", "/collections/a/images/b", PICTURE).status, (200, 201))
        body, headers = form([("image", PICTURE), ("image", picture(1)), ("texts", "a cat"), ("texts", "a dog")])
        gif = (ROOT / "tests" / "data" / "images" / "codec" / "animated.gif").read_bytes()
        chat = [{"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + JSON["image"]}}, {"type": "text", "text": "what"}]
        return {
            "caption": lambda: s.post("/caption?num_beams=2", PICTURE),
            "json": lambda: s.post("/vqa", {**JSON, "questions": ["what", "where"]}),
            "form": lambda: s.post("/retrieve", body, headers),
            "large": lambda: s.post("/caption", {"images": [JSON["image"]] * 3}),
            "gif": lambda: s.post("/caption", gif),
            "openai": lambda: s.post("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": chat}]}),
            "put": lambda: s.request("PUT", "/collections/a/images/b", PICTURE),
            "search": lambda: s.post("/retrieve", {"collection": "a", "text": "a cat"}),
            "list": lambda: s.get("/collections/a"),
            "delete": lambda: s.request("DELETE", "/collections/a/images/nothing"),
            "status": lambda: s.get("/status"),
            "metrics": lambda: s.get("/metrics", admin=True),
            "reload": lambda: s.reload(),
        }

    def fail_each(self, s, what, request, step=1):
        """Until the request needs no more of these. How many failed."""
        for n in range(1, 20000, step):
            before = s[COUNT]
            s[what] = n
            with contextlib.suppress(http.client.HTTPException, ConnectionError):
                self.told(request())  # a connection without memory may only close
            s[what] = 0
            self.assertTrue(s.alive, f"ended by number {n}: {s.lines[-3:]}")
            if s[COUNT] == before:
                return n // step
        self.fail("it never came to an end")

    def fail_everywhere(self, what, steps):
        models = Models(self.folder.name)
        with Faulty(self.folder.name, f"--collections.path={self.folder.name}/c.db", "--cache.bytes=0",
                    model=models.path) as s:
            kinds = self.kinds(s)
            usual = {name: request().status for name, request in kinds.items()}
            for name, request in kinds.items():
                with self.subTest(request=name):
                    failed = self.fail_each(s, what, request, steps.get(name, 1))
                    self.assertEqual(self.again(request).status, usual[name])
                    self.assertGreater(failed, 0)
            s.wait_until_idle()

    def test_every_allocation(self):
        """Of each kind of request, the first, second, ... allocation of ours fails once, until one has no more."""
        self.fail_everywhere(ALLOCATION, {})

    def test_allocations_of_libraries(self):
        """Likewise those of the C library, Jansson, SQLite, libmicrohttpd and the decoders in C. A reload has thousands."""
        self.fail_everywhere(LIBRARY, {"reload": 331})

    def starts(self, **begin):
        """With a fault from the beginning: True for a service, False when it has ended, with a reason."""
        try:
            s = self.start(f"--collections.path={self.folder.name}/c.db", begin={THREAD if k == "thread" else ALLOCATION: v
                                                                               for k, v in begin.items()}, ready=False)
        except AssertionError:  # it has ended before it listened
            s = self.faulty
        if not self.is_ready(s):
            self.assertEqual(s.process.wait(60), 1, s.lines)  # not killed, not hung
            s.reader.join(5)
            s.process.stderr.close()
            self.assertTrue(s.log("cannot start") or s.log("model not loaded"), s.lines)
            return False
        with s:
            self.assertEqual(s.post("/caption", PICTURE).status, 200)
        return True

    def test_a_start_without_memory(self):
        outcomes = {n: self.starts(allocation=n) for n in [*range(1, 24), *range(30, 400, 41)]}
        self.assertIn(False, outcomes.values())

    def test_threads_that_do_not_start(self):
        """At the start and at a reload: exit code 1 with a reason, or a service; the old model serves on."""
        started = 0
        for n in range(1, 30):
            started += self.starts(thread=n)
            if self.faulty[COUNT] == 0:
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

    def test_threads_of_decoders(self):
        """libde265 starts one for each picture, and waits for ever for one that did not start."""
        heic = (ROOT / "tests" / "data" / "images" / "codec" / "turned-3.heic").read_bytes()
        with Faulty(self.folder.name, "--cache.bytes=0") as s:
            for _ in range(2):
                s[THREAD] = 1
                self.assertIn("no thread", self.told(s.post("/caption", heic)).json["error"]["message"])
                self.assertEqual(s[THREAD], 0)
                self.assertEqual(s.post("/caption", heic).status, 200)

    def test_descriptors_of_connections(self):
        """None for accepting, or for what stands behind an accepted connection: closed at once or answered, never silent."""
        with Faulty(self.folder.name) as s:
            for why in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EPERM):
                s[ERRNO] = why
                for n in (1, 2, 3, 1):
                    s[DESCRIPTOR] = n
                    began = time.monotonic()
                    with contextlib.suppress(http.client.HTTPException, ConnectionError):
                        self.told(s.post("/caption", PICTURE))
                    self.assertLess(time.monotonic() - began, 20)
                    s[DESCRIPTOR] = 0
                    self.assertEqual(s.post("/caption", PICTURE).status, 200)
            s.wait_until_idle()

    def test_descriptors(self):
        """None for a reload and for SIGHUP: what there is serves on."""
        with Faulty(self.folder.name, f"--collections.path={self.folder.name}/c.db") as s:
            for n in range(1, 42):
                s[DESCRIPTOR] = n
                with contextlib.suppress(http.client.HTTPException, ConnectionError):
                    self.told(s.reload())
                s[DESCRIPTOR] = 0
                self.assertEqual(s.post("/caption", PICTURE).status, 200)
            self.again(s.reload)
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

    def test_a_disk_that_keeps_nothing(self):
        """fsync fails: never 201 for what may be lost, and what was there is not."""
        with Faulty(self.folder.name, f"--collections.path={self.folder.name}/c.db") as s:
            def put(key):
                return s.request("PUT", "/collections/a/images/" + key, PICTURE)

            self.assertEqual(put("a").status, 201)
            s[SYNC] = 1
            before = s[COUNT]
            self.assertEqual((self.told(put("b")).status, s[COUNT] > before), (503, True))
            self.assertEqual(s.post("/retrieve", {"collection": "a", "text": "a cat"}).status, 200)
            s[SYNC] = 0
            self.assertIn(put("b").status, (200, 201))
            self.assertEqual(s.get("/collections/a").json["size"], 2)

    def test_no_random_numbers(self):
        """Requests have ids of their own all the same; a key is not made of what is left."""
        with Faulty(self.folder.name) as s:
            s[RANDOM] = 1
            ids = [s.get("/version").headers["X-Request-Id"] for _ in range(50)]
            self.assertEqual(len(set(ids)), len(ids))
            self.assertGreater(s[COUNT], 0)
            done = subprocess.run([BUILD / "minivlm-server", "--make-key", "me"], capture_output=True, text=True, timeout=30,
                                  env={"LD_PRELOAD": str(FAULTS), "FAULTS_FILE": os.path.join(self.folder.name, "faults")})
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("random numbers", done.stderr)

    def certificate(self):
        """Flags for TLS with a certificate of its own."""
        names = [os.path.join(self.folder.name, name) for name in ("c.pem", "k.pem")]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                        names[1], "-out", names[0], "-days", "2", "-subj", "/CN=localhost"], check=True, capture_output=True)
        return [f"--server.tls_certificate={names[0]}", f"--server.tls_key={names[1]}"]

    def test_tls(self):
        """Handshakes and records with each fault: the same answer, or the connection ends."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with Faulty(self.folder.name, *self.certificate(), ready=False) as s:
            def ask():
                c = http.client.HTTPSConnection("127.0.0.1", s.port, timeout=60, context=context)
                with contextlib.closing(c):
                    c.request("POST", "/caption", PICTURE)
                    return c.getresponse().status

            s.wait_for_log("ready", seconds=30)
            for what, value in ((SHORT, 1), (INTERRUPT, 1), (CLOCK, 86400 * 400), (CLOCK, -86400 * 400), (RANDOM, 1)):
                s[what] = value
                if what == RANDOM:  # TLS cannot be without
                    with contextlib.suppress(OSError, http.client.HTTPException):
                        ask()
                else:
                    self.assertEqual(ask(), 200, (what, value))
                s[what] = 0
                self.assertEqual(ask(), 200)
            for n in range(1, 60):  # not those of libraries: GMP, which GnuTLS computes with, ends the process
                s[ALLOCATION] = n
                with contextlib.suppress(OSError, http.client.HTTPException):
                    self.assertIn(ask(), (200, 413, 429, 500, 503))
                s[ALLOCATION] = 0
                self.assertTrue(s.alive, (n, s.lines[-3:]))
            self.assertEqual(ask(), 200)
            for what in (ALLOCATION, DESCRIPTOR):  # certificates are read again
                for n in range(1, 12):
                    s[what] = n
                    s.process.send_signal(signal.SIGHUP)
                    time.sleep(0.05)
                    s[what] = 0
                    self.assertEqual(ask(), 200, (what, n))

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
            for step in (86400, -86400, 10**9, -1790000000, 3, 0):
                s[CLOCK] = step
                began = time.monotonic()
                self.assertEqual(s.post("/caption", PICTURE, {"X-Request-Timeout-Ms": "20000"}).status, 200)
                self.assertLess(time.monotonic() - began, 20)
                self.assertEqual(s.get("/healthz").status, 200)


run(__name__)
