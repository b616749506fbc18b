"""Every row of the status table of docs/api.md, bad clients of every kind, and what overload does."""
import base64
import concurrent.futures
import contextlib
import hashlib
import socket
import struct
import time
import zlib

from support import BASE, ROOT, Server, form, picture, run, unittest

GOOD = picture(0)


def png_header(width, height):
    """A PNG that promises a size and holds nothing."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IEND", b"")


class Faults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--limits.images=2", "--limits.texts=4", "--limits.text_bytes=64", "--limits.body_bytes=200000",
                            "--server.upload_timeout_ms=600", "--limits.pairs=6", "--server.cors_origins=https://a.example")

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None, None, None)

    def refused(self, answer, status, code, param=None):
        self.assertEqual((answer.status, answer.code), (status, code), answer.body)
        error = answer.json["error"]
        self.assertEqual(set(error), {"message", "type", "param", "code", "request_id", "retryable", "retry_after_ms", "stage"})
        self.assertEqual(error["request_id"], answer.headers["X-Request-Id"])
        if param:
            self.assertEqual(error["param"], param)
        self.assertNotIn(str(ROOT), answer.body.decode())
        self.assertEqual(self.server.get("/healthz").status, 200)

    def test_bad_requests(self):
        s, b64 = self.server, base64.b64encode(GOOD).decode()
        rows = [
            (s.post("/caption", b""), "image"),
            (s.post("/caption", b"{", {"Content-Type": "application/json"}), None),
            (s.post("/caption", b"[]", {"Content-Type": "application/json"}), None),
            (s.post("/caption", b"[" * 100000, {"Content-Type": "application/json"}), None),
            (s.post("/caption", b'{"image":"","image":""}', {"Content-Type": "application/json"}), None),
            (s.post("/caption", b'{"image":"\xff"}', {"Content-Type": "application/json"}), None),
            (s.post("/caption", {"image": "@@@@"}), "/image"),
            (s.post("/caption", {"image": b64[:len(b64) // 4 * 4 - 3]}), "/image"),
            (s.post("/caption", {"image": "data:image/png," + b64}), "/image"),
            (s.post("/caption", {"image": "https://example.org/dog.jpg"}), "/image"),
            (s.post("/caption", {"image": {"id": "12"}}), "/image"),
            (s.post("/caption", {"image": 5}), "/image"),
            (s.post("/caption", {"image": b64, "num_beam": 2}), "num_beam"),
            (s.post("/caption", {"image": b64, "num_beams": 2.5}), "num_beams"),
            (s.post("/caption", {"image": b64, "num_beams": "two"}), "num_beams"),
            (s.post("/caption", {"image": b64, "num_beams": 99999999999}), "num_beams"),
            (s.post("/caption?num_beams=2&num_captions=3", GOOD), "num_captions"),
            (s.post("/caption?num_beams=two", GOOD), "num_beams"),
            (s.post("/caption?num_beams=1%00", GOOD), "num_beams"),
            (s.post("/caption?regions=yes", GOOD), "regions"),
            (s.post("/caption?typo=1", GOOD), "typo"),
            (s.post("/caption?stream=true&num_beams=2", GOOD), "stream"),
            (s.post("/caption?question=why", GOOD), "question"),
            (s.post("/caption", GOOD, {"X-Request-Timeout-Ms": "soon"}), "X-Request-Timeout-Ms"),
            (s.post("/caption", *form([])), "image"),
            (s.post("/caption", b"xx", {"Content-Type": "multipart/form-data"}), "Content-Type"),
            (s.post("/caption", form([("image", GOOD)])[0][:-10], form([])[1]), None),
            (s.post("/caption", form([("image", GOOD)])[0], {"Content-Type": "multipart/form-data; boundary=" + "b" * 1000}), "Content-Type"),
            (s.post("/vqa", GOOD), "question"),
            (s.post("/vqa?question=", GOOD), "question"),
            (s.post("/vqa?question=%FF", GOOD), "question"),
            (s.post("/vqa?question=a&top_k=21", GOOD), "top_k"),
            (s.post("/retrieve", GOOD), "texts"),
            (s.post("/retrieve", {"query": "a", "documents": ["b"]}), "query"),
            (s.post("/retrieve", {"query": {"image": b64}, "documents": ["b", {"image": b64}]}), "/documents/1"),
            (s.post("/retrieve", {"query": {"image": b64}, "documents": ["b"], "explain": True}), "explain"),
            (s.post("/retrieve", {"collection": "a", "text": "b", "regions": True}), "regions"),
            (s.post("/caption?max_tokens=64", GOOD), "max_tokens"),
            (s.post("/caption?num_captions=2", GOOD, {"Accept": "text/event-stream"}), "stream"),
            (s.post("/caption?explain=occlusion", GOOD, {"Accept": "text/event-stream"}), "stream"),
            (s.get("/readyz?max_laod=1"), "max_laod"),
            (s.get("/version?x"), "x"),
            (s.get("/collections/a?limt=1"), "limt"),
        ]
        for n, (answer, param) in enumerate(rows):
            with self.subTest(row=n):
                self.refused(answer, 400, "bad_request", param)

    def test_routes_and_methods(self):
        self.refused(self.server.get("/nothing"), 404, "not_found")
        answer = self.server.get("/caption")
        self.refused(answer, 405, "method_not_allowed")
        self.assertEqual(answer.headers["Allow"], "POST")
        for method in ("OPTIONS", "TRACE", "BREW"):
            self.refused(self.server.request(method, "/healthz"), 405, "method_not_allowed")
        self.refused(self.server.request("POST", "/admin/reload"), 404, "not_found")

    def test_occlusion_is_bounded_by_pairs(self):
        many = "/retrieve?explain=occlusion&text=a&text=b"
        self.refused(self.server.post(many, GOOD), 413, "too_many_inputs")
        self.assertEqual(self.server.post(many.replace("occlusion", "attention"), GOOD).status, 200)

    def test_too_much(self):
        s, b64 = self.server, base64.b64encode(GOOD).decode()
        self.refused(s.post("/caption", {"images": [b64] * 3}), 413, "too_many_inputs")
        self.refused(s.post("/vqa?" + "&".join(["question=a"] * 5), GOOD), 413, "too_many_inputs")
        self.refused(s.post("/retrieve", {"images": [b64] * 2, "texts": ["a"] * 4}), 413, "too_many_inputs")
        self.refused(s.post("/vqa?question=" + "a" * 65, GOOD), 413, "text_too_long")
        self.refused(s.post("/caption", png_header(65500, 65500)), 413, "image_too_large")

    def test_body_too_large(self):
        self.refused(self.server.post("/caption", b"x" * 200001), 413, "body_too_large")
        for declared in ("300000000", "99999999999999999999"):
            head = f"POST /caption HTTP/1.1\r\nHost: x\r\nContent-Length: {declared}\r\n".encode()
            began = time.monotonic()
            self.assertIn(b" 413 ", self.server.raw(head + b"Expect: 100-continue\r\n\r\n").split(b"\r\n")[0])
            self.assertIn(b"413", self.server.raw(head + b"\r\n" + b"x" * 3000).split(b"\r\n")[0])
            self.assertLess(time.monotonic() - began, 4)
        chunks = b"20000\r\n" + b"x" * 0x20000 + b"\r\n"
        out = self.server.raw(b"POST /caption HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks * 3)
        self.assertIn(b"body_too_large", out)

    def test_bad_images(self):
        self.refused(self.server.post("/caption", b"BM" + b"\0" * 100), 415, "unsupported_image")
        self.refused(self.server.post("/caption", GOOD[:len(GOOD) // 2]), 422, "corrupt_image")

    def test_upload_timeout(self):
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=10) as s:
            s.sendall(b"POST /caption HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
            out = b""
            while more := s.recv(65536):
                out += more
            self.assertTrue(out.startswith(b"HTTP/1.1 408"), out)
            self.assertIn(b"upload_timeout", out)
            self.assertIn(b"Connection: close", out)

    def test_framing(self):
        """Smuggling and garbage get an error or a closed connection, never an answer to a second request."""
        post = b"POST /caption HTTP/1.1\r\nHost: x\r\n"
        for head in (post + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcGET /healthz HTTP/1.1\r\n\r\n",
                     post + b"Content-Length: -1\r\n\r\n", post + b"Content-Length: +3\r\n\r\nabc",
                     post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", b"\0\1\2\3\r\n\r\n",
                     b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70000 + b"\r\n\r\n",
                     b"GET\r\n\r\n", b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n"):
            out = self.server.raw(head, half_close=True)
            self.assertNotIn(b"HTTP/1.1 200", out, head[:80])
        self.assertEqual(self.server.get("/healthz").status, 200)

    def test_pipelining_and_old_clients(self):
        get = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
        out = self.server.raw((get + b"\r\n") * 3 + get + b"Connection: close\r\n\r\n")
        self.assertEqual(out.count(b"HTTP/1.1 200"), 4)
        self.assertIn(b"200", self.server.raw(b"GET /healthz HTTP/1.0\r\n\r\n").split(b"\r\n")[0])

    def test_special_tokens_are_text(self):
        plain = self.server.post("/vqa?question=is+this+a+dog", GOOD).json["answers"]
        typed = self.server.post("/vqa?question=%5BMASK%5D+is+this+%5BSEP%5D+a+dog", GOOD)
        self.assertEqual(typed.status, 200)
        self.assertNotEqual(typed.json["answers"], plain)

    def test_cors(self):
        allowed = self.server.request("OPTIONS", "/caption", headers={"Origin": "https://a.example"})
        self.assertEqual((allowed.status, allowed.headers["Access-Control-Allow-Origin"]), (204, "https://a.example"))
        self.assertEqual(self.server.request("OPTIONS", "/caption", headers={"Origin": "https://b.example"}).status, 405)

    def send_garbage(self, n):
        with contextlib.suppress(ConnectionError):
            self.server.raw(hashlib.sha256(bytes([n])).digest() * (n % 7) + b"\r\n\r\n", half_close=True)

    def test_garbage_clients_leave_no_trace(self):
        before = len(self.server.get("/metrics").body)
        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            list(pool.map(self.send_garbage, range(200)))
        self.assertEqual(self.server.metric("minivlm_inflight_requests"), 0)
        self.assertEqual(self.server.metric("minivlm_body_bytes"), 0)
        self.assertGreater(before, 0)


class Keys(unittest.TestCase):
    def test_keys_and_name_spaces(self):
        import tempfile
        with tempfile.NamedTemporaryFile("w", suffix=".keys") as f:
            for name in ("ann", "bob"):
                f.write(f"{name} {hashlib.sha256(('key-' + name).encode()).hexdigest()}\n")
            f.flush()
            with Server(f"--auth.keys_file={f.name}") as s:
                ann, bob = ({"Authorization": "Bearer key-" + n} for n in ("ann", "bob"))
                self.assertEqual(s.post("/caption", GOOD).code, "unauthorized")
                self.assertEqual(s.post("/caption", GOOD, {"Authorization": "Bearer key-eve"}).status, 401)
                self.assertEqual(s.get("/metrics").status, 401)
                self.assertEqual(s.get("/healthz").status, 200)
                image_id = s.post("/caption", GOOD, ann).json["image"]["id"]
                self.assertNotEqual(image_id, hashlib.sha256(GOOD).hexdigest())
                self.assertEqual(s.post("/caption", {"image": {"id": image_id}}, ann).status, 200)
                self.assertEqual(s.post("/caption", {"image": {"id": image_id}}, bob).code, "image_not_cached")


class Load(unittest.TestCase):
    """With the real model on plain C kernels, where an answer takes long enough to be late."""

    def test_overload_deadlines_and_vanishing_clients(self):
        with Server("--engine.isa=ref", "--engine.threads=1", "--limits.requests=4", "--cache.bytes=0", model=BASE) as s:
            began = time.monotonic()
            late = s.post("/caption?timeout_ms=30", GOOD)
            self.assertLess(time.monotonic() - began, 0.2)
            self.assertEqual((late.status, late.code), (504, "deadline_exceeded"))
            for _ in range(3):
                gone = socket.create_connection(("127.0.0.1", s.port))
                gone.sendall(b"POST /caption HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(GOOD) + GOOD)
                self.wait_until_busy(s)
                gone.close()
                self.wait_until_idle(s)
            with concurrent.futures.ThreadPoolExecutor(20) as pool:
                answers = list(pool.map(lambda _: s.post("/caption?num_beams=1", GOOD), range(20)))
            statuses = {a.status for a in answers}
            self.assertEqual(statuses, {200, 429})
            refused = [a for a in answers if a.status == 429]
            for a in refused:
                self.assertIn(a.code, ("overloaded", "deadline_unreachable"))
                self.assertGreaterEqual(int(a.headers["Retry-After"]), 1)
                self.assertTrue(a.json["error"]["retryable"])
            self.assertEqual(len({a.body for a in answers if a.status == 200}), 1)
            self.assertEqual(s.post("/caption?timeout_ms=1", GOOD).status in (429, 504), True)
            s.wait_for("/readyz", 200)
            self.wait_until_idle(s)
            self.assertGreaterEqual(s.metric('minivlm_requests_total{route="caption",code="499"}'), 3)

    def wait_until_busy(self, server):
        end = time.monotonic() + 30
        while server.metric("minivlm_inflight_requests") == 0:
            self.assertLess(time.monotonic(), end, "the request did not begin")

    def wait_until_idle(self, server):
        end = time.monotonic() + 30
        while server.metric("minivlm_inflight_requests") > 0:
            self.assertLess(time.monotonic(), end, "abandoned work never came home")
            time.sleep(0.05)


run(__name__)
