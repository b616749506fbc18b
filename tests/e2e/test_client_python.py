"""clients/python against the live server, with Debian's httpx: the calls, retries, batches, and the examples of its README."""
import asyncio
import http.server
import importlib.util
import io
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile

if importlib.util.find_spec("httpx") is None and sys.executable != "/usr/bin/python3":
    os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])  # Debian's, which has python3-httpx

import httpx
from support import BASE, IMAGES, ROOT, Server, picture, run, unittest

CLIENT = ROOT / "clients" / "python"
sys.path.insert(0, str(CLIENT))
from minivlm_client import (  # noqa: E402
    AsyncClient,
    Client,
    MiniVLMError,
    _batch,
    _request,
)

PATHS = [p for p in IMAGES if p.suffix == ".jpg"][:3] or IMAGES[:3]


class Moody(http.server.BaseHTTPRequestHandler):
    """Refuses as often as it is told, then answers."""
    refusals: list[int] = []
    seen, retry_after = 0, "0"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        cls = type(self)
        cls.seen += 1
        status = cls.refusals.pop(0) if cls.refusals else 200
        code = {429: "overloaded", 503: "draining", 504: "deadline_exceeded", 400: "bad_request"}.get(status)
        body = json.dumps({"caption": "x"} if status == 200 else
                          {"error": {"message": "no", "code": code, "param": None, "request_id": "7", "retryable": status != 400}})
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status in (429, 503):
            self.send_header("Retry-After", self.retry_after)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


class Live(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.server = Server(f"--collections.path={cls.folder.name}/c.db")
        cls.url = f"http://127.0.0.1:{cls.server.port}"

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None, None, None)
        cls.folder.cleanup()

    def test_calls(self):
        with Client(self.url) as c:
            caption = c.caption(picture(), num_beams=3, num_captions=2, regions=True)
            self.assertEqual((len(caption["captions"]), "regions" in caption), (2, True))
            again = c.caption({"id": caption["image"]["id"]})
            self.assertEqual(again["caption"], self.server.post("/caption", picture()).json["caption"])
            self.assertEqual(len(c.ask(PATHS[0], "what is it & where?", top_k=3)["answers"]), 3)
            self.assertEqual(len(c.match([PATHS[0], picture(1)], ["a", "b"])["scores"]), 2)
            self.assertEqual(len(c.rerank("a dog", [str(PATHS[0]), picture(1)], top_n=1)["results"]), 1)
            c.store("album", "a b/\u00fc?.jpg", PATHS[0])
            self.assertEqual(c.search("album", "a dog", top_k=1)["results"][0]["key"], "a b/\u00fc?.jpg")
            c.remove("album", "a b/\u00fc?.jpg")
            c.remove("album")
            self.assertEqual(c.version()["name"], "minivlm-server")

    def test_refusals(self):
        with Client(self.url) as c:
            with self.assertRaisesRegex(MiniVLMError, "num_beams") as caught:
                c.caption(picture(), num_beams=99)
            e = caught.exception
            self.assertEqual((e.status, e.code, e.param, e.retryable), (400, "bad_request", "num_beams", False))
            with self.assertRaisesRegex(ValueError, "fetches no addresses"):
                c.caption("https://a.example/x.jpg")
            with self.assertRaises(FileNotFoundError):
                c.caption("no/such/file.jpg")
            with self.assertRaisesRegex(TypeError, "a picture is bytes, .* not int"):
                c.caption(7)
            for call in (lambda: c.match(picture(), ["a"]), lambda: c.match(str(PATHS[0]), ["a"]), lambda: c.match([picture()], "a cat"),
                         lambda: c.rerank("a dog", PATHS[0]), lambda: next(c.batch(str(PATHS[0])))):
                with self.assertRaisesRegex(TypeError, "is a list, not one"):
                    call()
        with Client(self.url.removeprefix("http://")) as c:
            self.assertEqual(c.version()["name"], "minivlm-server")
        with self.assertRaisesRegex(MiniVLMError, "^http://127.0.0.1:1: .*is the server running") as caught, \
                Client("127.0.0.1:1", retries=0) as c:
            c.version()
        self.assertEqual((caught.exception.status, caught.exception.code), (0, "unreachable"))

    def test_batches(self):
        images = [picture(), b"no picture", "no/such/file.jpg", *PATHS]
        with Client(self.url) as c:
            done = list(c.batch(images, concurrency=2))
            self.assertEqual([o.image for o in done], images)
            self.assertEqual([o.ok for o in done], [True, False, False, *[True] * len(PATHS)])
            with self.assertRaises(ZeroDivisionError):
                list(c.batch(images, lambda image: 1 // 0))

        async def all_of_them():
            async with AsyncClient(self.url) as c:
                under_way = most = 0

                async def call(image):
                    nonlocal under_way, most
                    under_way += 1
                    most = max(most, under_way)
                    try:
                        return await c.caption(image)
                    finally:
                        under_way -= 1
                done = [o async for o in c.batch(images * 3, call, concurrency=2)]
                answer = await c.ask(picture(), "what")
                return done, most, answer
        again, most, answer = asyncio.run(all_of_them())
        self.assertEqual([o.result for o in again], [o.result for o in done] * 3)
        self.assertEqual((most, answer["question"]), (2, "what"))

    def test_a_batch_is_read_as_it_is_needed(self):
        taken = 0

        def endless():
            nonlocal taken
            while True:
                taken += 1
                yield picture()
        with Client(self.url) as c:
            batch = c.batch(endless(), concurrency=2)
            self.assertTrue(next(batch).ok)
            batch.close()
        self.assertLessEqual(taken, 5)

    def test_progress(self):
        out = io.StringIO()
        bar = _batch.Progress(2, True, out)
        bar.step()
        bar.step()
        bar.end()
        self.assertIn("[##########..........] 1/2", out.getvalue())
        self.assertTrue(out.getvalue().endswith("\n"))


class Retries(unittest.TestCase):
    def attempts(self, *refusals, retries=3):
        Moody.refusals, Moody.seen = list(refusals), 0
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Moody)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        failures = []

        async def later():
            async with AsyncClient(url, retries=retries) as c:
                await c.caption(b"x")
        try:
            for call in (lambda: Client(url, retries=retries).caption(b"x"), lambda: asyncio.run(later())):
                Moody.refusals, Moody.seen = list(refusals), 0
                began = time.monotonic()
                try:
                    call()
                    failures.append((None, Moody.seen))
                except MiniVLMError as e:
                    failures.append((e.status, Moody.seen))
                self.assertLess(time.monotonic() - began, 10)
        finally:
            server.shutdown()
            server.server_close()
        self.assertEqual(failures[0], failures[1])
        return failures[0]

    def test_what_passes_is_tried_again(self):
        self.assertEqual(self.attempts(429, 503), (None, 3))
        self.assertEqual(self.attempts(503, 503, 503), (None, 4))
        self.assertEqual(self.attempts(429, 429, retries=1), (429, 2))

    def test_what_does_not_is_not(self):
        self.assertEqual(self.attempts(400), (400, 1))
        self.assertEqual(self.attempts(504), (504, 1))

    def test_how_long(self):
        date = "Sun, 06 Nov 1994 08:49:37 GMT"
        for headers, seconds in (({"Retry-After": "7"}, 7), ({"Retry-After": " 1.5 "}, 1.5), ({"Retry-After": date}, 0), ({}, None),
                                 ({"Retry-After": "Sun, 06 Nov 1994 08:49:49 GMT", "Date": date}, 12), ({"Retry-After": date, "Date": "x"}, 0),
                                 ({"Retry-After": "soon"}, None), ({"Retry-After": "-3"}, None), ({"Retry-After": "nan"}, None)):
            self.assertEqual(_request.retry_after_s(httpx.Headers(headers)), seconds, headers)
            waits = [_request.wait_s(httpx.Response(503, headers=headers), 1) for _ in range(9)]
            least = 1 if seconds is None else seconds
            self.assertTrue(all(least <= w <= 1.25 * least for w in waits), waits)
        self.assertLess(_request.wait_s(httpx.Response(503, headers={"Retry-After": "86400"}), 0), 40)
        Moody.retry_after = date
        self.addCleanup(setattr, Moody, "retry_after", "0")
        self.assertEqual(self.attempts(503), (None, 2))

    def test_so_many_at_once(self):
        lock, under_way, most = threading.Lock(), 0, 0

        def call(image):
            nonlocal under_way, most
            with lock:
                under_way += 1
                most = max(most, under_way)
            time.sleep(0.05)
            with lock:
                under_way -= 1
            return image
        with Client("http://a.example") as c:
            images = [b"a", b"b", b"c", b"d", b"e", b"f"]
            self.assertEqual([o.result for o in c.batch(images, call, concurrency=2)], images)
        self.assertEqual(most, 2)

    def test_what_is_sent(self):
        seen = []

        def answer(request):
            seen.append((request.method, str(request.url), request.headers.get("Authorization"), request.headers.get("X-Of-Mine"), request.content))
            return httpx.Response(200, json={})

        async def later(**more):
            async with AsyncClient("http://a.example/vision/", transport=httpx.MockTransport(answer), **more) as c:
                await c.caption(b"x", regions=True, num_beams=2)
        for more, key in (({}, None), ({"key": "secret", "headers": {"X-Of-Mine": "1"}}, "Bearer secret")):
            Client("http://a.example/vision/", transport=httpx.MockTransport(answer), **more).caption(b"x", regions=True, num_beams=2)
            asyncio.run(later(**more))
            wanted = ("POST", "http://a.example/vision/caption?num_beams=2&regions=true", key, "1" if key else None, b"x")
            self.assertEqual(seen, [wanted] * 2)
            seen.clear()
        self.assertEqual(_request.key_path("a b", "x/\u00fc?#.jpg"), "/collections/a%20b/images/x/%C3%BC%3F%23.jpg")
        self.assertEqual(_request.key_path("a/b", "...~"), "/collections/a%2Fb/images/...~")
        for name, path in (("a", ".."), ("a", "."), ("a", "../../a"), ("a", "x/./y"), ("a", "x/.."), ("..", "x"), ("..", None)):
            self.assertRaisesRegex(ValueError, "part of a key", _request.key_path, name, path)

    def test_what_never_comes(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with self.assertRaises(MiniVLMError) as caught, Client(url, timeout=0.2) as c:
                c.version()
            self.assertEqual((caught.exception.code, caught.exception.status, caught.exception.retryable), ("timeout", 0, False))

    def test_the_answer_of_somebody_else(self):
        for status in (200, 502):
            result, error = _request.outcome(httpx.Response(status, text="<h1>sign in</h1>"))
            self.assertEqual((result, error.code, error.status, error.retryable), (None, "not_ours", status, status == 502))
        for status in (400, 429):  # a gateway that has OpenAI's shape of errors
            _, error = _request.outcome(httpx.Response(status, json={"error": {"message": "no", "code": "c"}}))
            self.assertEqual((error.message, error.retryable), ("no", status == 429))


class Package(unittest.TestCase):
    def test_what_is_in_it(self):
        """Built by Debian's setuptools, without the network: code, types and licence, in the wheel and in the source."""
        self.assertEqual((CLIENT / "LICENSE").read_text(), (ROOT / "LICENSE").read_text())
        with tempfile.TemporaryDirectory() as folder:
            place = shutil.copytree(CLIENT, pathlib.Path(folder) / "client", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
            code = "from setuptools import build_meta as b; print(b.build_wheel('out')); print(b.build_sdist('out'))"
            (place / "out").mkdir()
            done = subprocess.run(["/usr/bin/python3", "-c", code], cwd=place, capture_output=True, text=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
            (wheel,), (source,) = (place / "out").glob("*.whl"), (place / "out").glob("*.tar.gz")
            names = zipfile.ZipFile(wheel).namelist()
            with tarfile.open(source) as t:
                sources = t.getnames()
            metadata = zipfile.ZipFile(wheel).read(next(n for n in names if n.endswith("/METADATA"))).decode()
        modules = {f"minivlm_client/{p.name}" for p in (CLIENT / "minivlm_client").iterdir() if p.is_file()}
        self.assertIn("minivlm_client/py.typed", modules)
        self.assertEqual({n for n in names if "dist-info" not in n}, modules)
        self.assertTrue(any(n.endswith("/LICENSE") for n in names), names)
        for name in ("LICENSE", "README.md", "pyproject.toml", *modules):
            self.assertIn(f"minivlm-client-0.1.0/{name}", sources)
        self.assertIn("Requires-Dist: httpx", metadata)


class Readme(unittest.TestCase):
    def test_examples(self):
        examples = re.findall(r"```py\n(.*?)```", (CLIENT / "README.md").read_text(), re.S)
        self.assertGreaterEqual(len(examples), 3)
        with Server(model=BASE) as s:
            for text in examples:
                text = text.replace("localhost:8080", f"127.0.0.1:{s.port}")
                done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=120,
                                      env={"PYTHONPATH": str(CLIENT), "PATH": "/usr/bin:/bin"})
                self.assertEqual((done.returncode, bool(done.stdout)), (0, True), done.stderr)


run(__name__)
