"""The page at /: how its files are sent, what may run in it, that it can be switched off; and GET /status. What it does in
a browser: tests/browser."""
import gzip
import hashlib
import json
import re
import signal
import tempfile

from support import BASE, ROOT, Server, picture, run, unittest

VIEWER = ROOT / "build/viewer"  # what scripts/fetch_viewer.sh could fetch
FILES = sorted(p for p in (ROOT / "web").iterdir() if p.suffix != ".cmake")
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
         ".svg": "image/svg+xml", ".webp": "image/webp"}


def path_of(file):
    return {"index.html": "/"}.get(file.name, f"/page/{file.name}")


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.__exit__, None, None, None)

    def get(self, path, method="GET", **headers):
        return self.server.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def test_every_file_is_sent_as_it_is_and_compressed(self):
        self.assertGreater(len(FILES), 15)
        for file in FILES:
            with self.subTest(file=file.name):
                plain, packed = self.get(path_of(file)), self.get(path_of(file), Accept_Encoding="br, gzip;q=0.5")
                self.assertEqual((plain.status, plain.body), (200, file.read_bytes()))
                self.assertEqual(plain.headers["Content-Type"], TYPES[file.suffix])
                self.assertIsNone(plain.headers["Content-Encoding"])
                if file.suffix == ".webp":
                    self.assertIsNone(packed.headers["Content-Encoding"])
                    self.assertEqual(packed.headers["ETag"], plain.headers["ETag"])
                else:
                    self.assertEqual(packed.headers["Content-Encoding"], "gzip")
                    self.assertEqual(gzip.decompress(packed.body), plain.body)
                    self.assertNotEqual(packed.headers["ETag"], plain.headers["ETag"])
                    self.assertIn("Accept-Encoding", plain.headers["Vary"])

    def test_the_reference(self):
        """Swagger UI where the build has it, else a page that says how to add it."""
        bundle = self.get("/page/swagger-ui-bundle.js")
        page = self.get("/docs")
        self.assertEqual(page.body, (ROOT / "web" / ("docs.html" if bundle.status == 200 else "docs-plain.html")).read_bytes())
        self.assertIn(b'"openapi.json"', page.body)
        if bundle.status == 200:
            for name, kind in (("swagger-ui-bundle.js", TYPES[".js"]), ("swagger-ui.css", TYPES[".css"]),
                               ("swagger-ui-bundle.js.LICENSE.txt", "text/plain; charset=utf-8")):
                plain, packed = self.get(f"/page/{name}"), self.get(f"/page/{name}", Accept_Encoding="gzip")
                self.assertEqual((plain.body, plain.headers["Content-Type"]), ((VIEWER / name).read_bytes(), kind))
                self.assertEqual(gzip.decompress(packed.body), plain.body)
            self.assertIn(b"Apache License", self.get("/page/swagger-ui-bundle.js.LICENSE.txt").body)

    def test_what_encodings_are_taken(self):
        for header, coding in [("gzip", "gzip"), ("GZIP", "gzip"), ("x-gzip", "gzip"), ("*", "gzip"), ("gzip;q=0", None),
                               ("gzip ; q=0.0, *", None), ("*;q=0", None), ("deflate, br", None), ("", None),
                               ("gzipped", None), ("identity, gzip;q=0.001", "gzip")]:
            with self.subTest(header=header):
                self.assertEqual(self.get("/", Accept_Encoding=header).headers["Content-Encoding"], coding)

    def test_weight(self):
        sizes = [len(self.get(path_of(f), Accept_Encoding="gzip").body) for f in FILES]
        self.assertLess(sum(sizes), 150_000)

    def test_nothing_foreign_may_run(self):
        for file in FILES:
            headers = self.get(path_of(file)).headers
            policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
            self.assertEqual(policy["default-src"], "'none'")
            self.assertEqual((policy["script-src"], policy["style-src"], policy["connect-src"]), ("'self'",) * 3)
            self.assertEqual((policy["frame-ancestors"], policy["base-uri"]), ("'none'", "'none'"))
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
            self.assertEqual(headers["Referrer-Policy"], "no-referrer")
            self.assertEqual((headers["Cross-Origin-Opener-Policy"], headers["Cross-Origin-Resource-Policy"]), ("same-origin",) * 2)
        text = "".join((ROOT / "web" / name).read_text() for name in ("index.html", "docs.html", "docs-plain.html"))
        self.assertFalse(re.findall(r"<script(?![^>]*src=)|\son\w+=|\sstyle=|<style", text))
        addresses = re.findall(r'(?:href|src)="([^"]*)"', text)
        self.assertFalse([a for a in addresses if re.match(r"/|\w+:", a)], "absolute: a path prefix would break it")

    def test_a_browser_that_has_it_is_not_sent_it_again(self):
        for coding in ("", "gzip"):
            etag = self.get("/", Accept_Encoding=coding).headers["ETag"]
            self.assertRegex(etag, r'^"[0-9a-f]{32}(-gzip)?"$')
            for header in (etag, f'"x", {etag}', f"W/{etag}", "*"):
                for method in ("GET", "HEAD"):
                    answer = self.get("/", method, If_None_Match=header, Accept_Encoding=coding)
                    self.assertEqual((answer.status, answer.body), (304, b""), header)
                    self.assertEqual(answer.headers["ETag"], etag)
                    self.assertIsNone(answer.headers["Content-Length"])
                    self.assertIsNone(answer.headers["Content-Type"])
            for header in ('"x"', etag[:-2] + '"', etag.strip('"')):
                self.assertEqual(self.get("/", If_None_Match=header, Accept_Encoding=coding).status, 200, header)
        with self.server.wire() as w:  # the connection goes on behind it
            for _ in range(3):
                w.send(b"GET / HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n")
                self.assertEqual(w.reply().status, 304)

    def test_head(self):
        whole, head = self.get("/"), self.get("/", "HEAD")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.headers["Content-Length"], str(len(whole.body)))
        self.assertEqual(head.headers["ETag"], whole.headers["ETag"])

    def test_programs_are_told_what_this_is(self):
        answer = self.get("/", Accept="application/json")
        self.assertEqual((answer.status, answer.json["name"]), (200, "minivlm-server"))
        self.assertIn("Accept", answer.headers["Vary"].split(", "))
        for accept in ("*/*", "text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8", ""):
            self.assertIn(b"<!doctype html>", self.get("/", Accept=accept).body)

    def test_icon(self):
        """Browsers ask for it beside what is no page: openapi.json, an answer."""
        self.assertEqual(self.get("/favicon.ico").body, self.get("/page/icon.svg").body)

    def test_what_is_not_there(self):
        for path in ("/page/", "/page/none.js", "/page/../index.html", "/page/embed.cmake", "/page/a/b", "/index.html"):
            self.assertEqual(self.get(path).status, 404, path)
        answer = self.server.post("/page/app.js", b"")
        self.assertEqual((answer.status, answer.headers["Allow"]), (405, "GET, HEAD"))

    def test_switched_off(self):
        with Server("--server.page=false") as s:
            for method, path in (("GET", "/"), ("GET", "/docs"), ("HEAD", "/"), ("POST", "/page/app.js"), ("GET", "/page/app.js")):
                answer, other = s.request(method, path), s.request(method, "/none")
                self.assertEqual(answer.status, 404, path)
                self.assertEqual(self.without_id(answer.body), self.without_id(other.body))
            self.assertEqual(s.get("/status").status, 200)
            self.assertIsNone(s.wait_for_log("try it")[0]["open"])

    @staticmethod
    def without_id(body):
        return re.sub(rb'"request_id":"[^"]*"', b"", body)

    def test_keys(self):
        with tempfile.NamedTemporaryFile("w", suffix=".keys") as f:
            f.write(f"ann {hashlib.sha256(b'secret').hexdigest()}\n")
            f.flush()
            with Server(f"--auth.keys_file={f.name}", "--server.admin_port=0") as s:
                for file in FILES:
                    self.assertEqual(s.get(path_of(file)).status, 200)  # it asks for the key
                self.assertEqual(s.get("/status").code, "unauthorized")
                self.assertEqual(s.get("/status", headers={"Authorization": "Bearer secret"}).status, 200)
                self.assertEqual(s.get("/", admin=True).status, 404)
                self.assertIn("Bearer KEY", s.wait_for_log("try it")[0]["run"])


class Status(unittest.TestCase):
    def test_the_last_minute(self):
        with Server() as s:
            fresh = s.get("/status").json
            self.assertEqual((fresh["state"], fresh["collections"]), ("ready", False))
            self.assertEqual(fresh["last_minute"], {"answered": 0, "failed": 0, "p50_ms": None, "p99_ms": None})
            for _ in range(5):
                self.assertEqual(s.post("/caption", picture()).status, 200)
            s.post("/caption", b"no picture")
            minute = s.get("/status").json["last_minute"]
            self.assertEqual((minute["answered"], minute["failed"]), (5, 1))
            self.assertTrue(0 < minute["p50_ms"] <= minute["p99_ms"], minute)
            self.assertTrue(0 <= s.get("/status").json["load"] <= 1)

    def test_while_the_model_is_loaded(self):
        with Server("--engine.isa=ref", model=BASE, ready=False) as s:
            self.assertIn(b"<!doctype html>", s.get("/").body)
            status = s.get("/status").json
            self.assertEqual((status["state"], status["model"], status["load"]), ("loading", None, None))
            s.stop(signal.SIGKILL)  # the reference takes long to load

    def test_what_the_log_invites_to_works(self):
        with Server() as s:
            line = s.wait_for_log("try it")[0]
            self.assertEqual(line["open"], f"http://localhost:{s.port}/")
            self.assertEqual(line["run"], f"curl --data-binary @docs/photos/cat.jpg http://localhost:{s.port}/caption")
            self.assertEqual(json.loads(s.get("/", headers={"Accept": "application/json"}).body)["status"], "status")


run(__name__)
