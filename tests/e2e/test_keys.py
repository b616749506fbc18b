"""Keys as an operator makes them and clients use them: roles, limits, names in log and metrics, the admin port's manners."""
import concurrent.futures
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

from support import BUILD, TINY, Server, picture, run, unittest


def make(name, *flags):
    """--make-key -> (key, line)"""
    done = subprocess.run([BUILD / "minivlm-server", "--make-key", name, *flags], capture_output=True, text=True, check=True)
    key, line = (row.split(None, 1)[1] for row in done.stdout.splitlines())
    return key, line


def bearer(key, **more):
    return {"Authorization": "Bearer " + key, **more}


class Keys(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = pathlib.Path(folder.name) / "keys"
        self.flag = f"--auth.keys_file={self.file}"

    def keys(self, **flags):
        made = {name: make(name, *options) for name, options in flags.items()}
        self.file.write_text("".join(line + "\n" for _, line in made.values()))
        return {name: key for name, (key, _) in made.items()}

    def test_roles(self):
        keys = self.keys(app=(), scrape=("--role", "metrics"), boss=("--role=admin",))
        with Server(self.flag, "--server.admin_port=0", ready=False) as s:
            s.wait_for_log("ready", seconds=30)
            rows = (("POST", "/caption", False, {"app": 200, "scrape": 403, "boss": 200}),
                    ("GET", "/metrics", True, {"app": 403, "scrape": 200, "boss": 200}),
                    ("GET", "/admin/model", True, {"app": 403, "scrape": 403, "boss": 200}),
                    ("GET", "/debug/requests", True, {"app": 403, "scrape": 403, "boss": 200}),
                    ("GET", "/version", True, {"app": 200, "scrape": 200, "boss": 200}))
            for method, path, admin, expected in rows:
                body = picture() if method == "POST" else None
                got = {name: s.request(method, path, body, bearer(key), admin=admin).status for name, key in keys.items()}
                self.assertEqual(got, expected, path)
                self.assertEqual(s.request(method, path, body, admin=admin).status, 401)
                self.assertEqual(s.request(method, path, body, bearer("mvk_wrong"), admin=admin).status, 401)
            self.assertEqual(s.get("/healthz", admin=True).status, 200)
            message = s.get("/metrics", admin=True, headers=bearer(keys["app"])).json["error"]["message"]
            self.assertIn('"app" has the role client; /metrics needs the role metrics', message)

    def test_names_in_log_and_metrics_and_no_keys(self):
        keys = self.keys(app=(), scrape=("--role=metrics",))
        with Server(self.flag) as s:
            s.post("/caption", picture(), bearer(keys["app"]))
            text = s.get("/metrics", headers=bearer(keys["scrape"])).body.decode()
            self.assertIn('\nminivlm_key_requests_total{key="app"} 1\n', text)
            self.assertIn('\nminivlm_key_refused_total{key="app",reason="rate"} 0\n', text)
            self.assertEqual(s.wait_for_requests("caption")[0]["key"], "app")
            everything = "\n".join(map(str, s.lines)) + text
            self.assertFalse(any(key in everything for key in keys.values()))

    def test_rate(self):
        keys = self.keys(slow=("--rate=2/h",), other=())
        with Server(self.flag) as s:
            self.assertEqual(s.post("/caption", picture(), bearer(keys["slow"])).status, 200)
            answer = s.post("/caption", picture(), bearer(keys["slow"]))
            self.assertEqual((answer.status, answer.code), (429, "rate_limited"))
            self.assertGreater(int(answer.headers["Retry-After"]), 1700)
            self.assertIn('"slow"', answer.json["error"]["message"])
            self.assertEqual(s.post("/caption", picture(), bearer(keys["other"])).status, 200)
            self.file.write_text(self.file.read_text().replace("2/h", "100/s"))
            s.process.send_signal(signal.SIGHUP)
            s.wait_for_log("configuration reloaded")
            time.sleep(0.1)
            self.assertEqual(s.post("/caption", picture(), bearer(keys["slow"])).status, 200)

    def test_share(self):
        keys = self.keys(some=("--share=25%",), other=("--role=client,metrics",))
        with Server(self.flag, "--limits.requests=8") as s:
            held = [socket.create_connection(("127.0.0.1", s.port)) for _ in range(2)]
            for c in held:  # 2 of 8 are under way
                c.sendall(b"POST /caption HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 99\r\n\r\nx"
                          % keys["some"].encode())
            end = time.monotonic() + 10
            while b'inflight_requests{key="some"} 2\n' not in s.get("/metrics", headers=bearer(keys["other"])).body:
                self.assertLess(time.monotonic(), end)
            answer = s.post("/caption", picture(), bearer(keys["some"]))
            self.assertEqual((answer.status, answer.code), (429, "rate_limited"))
            self.assertEqual(s.post("/caption", picture(), bearer(keys["other"])).status, 200)
            for c in held:
                c.close()
            while s.post("/caption", picture(), bearer(keys["some"])).status != 200:  # places come home
                self.assertLess(time.monotonic(), end + 10)
                time.sleep(0.02)
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                ask = lambda _: s.post("/caption", picture(), bearer(keys["some"])).status
                self.assertLessEqual(set(pool.map(ask, range(40))), {200, 429})

    def test_making(self):
        for flags, words in ((("two words",), "the name must be"), (("x", "--role=root"), "client, metrics or admin"),
                             (("x", "--rate=fast"), "like 5/s"), (("x", "--share", "2"), "like 25%"),
                             (("--role=admin",), "expected a value after it")):
            done = subprocess.run([BUILD / "minivlm-server", "--make-key", *flags], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn(words, done.stderr)
        done = subprocess.run([BUILD / "minivlm-server", "--role=admin"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("belong to --make-key", done.stderr)

    def test_files_of_old(self):
        """NAME HASH goes on as a client's key; a key in the clear is refused in words."""
        key, line = make("old")
        self.file.write_text("# mine\r\n" + line + "\r\n")
        with Server(self.flag) as s:
            self.assertEqual(s.post("/caption", picture(), bearer(key)).status, 200)
        self.file.write_text("old " + key + "\n")
        done = subprocess.run([BUILD / "minivlm-server", f"--model.dir={TINY}", self.flag], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn(":1: expected NAME and the key's SHA-256", done.stderr)
        self.assertNotIn(key, done.stderr)

    def test_admin_port_and_web_pages(self):
        with Server("--server.admin_port=0", "--server.admin_names=minivlm.monitoring.svc", ready=False) as s:
            s.wait_for_log("ready", seconds=30)
            rows = (({"Origin": "http://127.0.0.1"}, 403), ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Host": "evil.example"}, 403),
                    ({"Host": "evil.example:%d" % s.admin_port}, 403), ({"Host": "localhost:%d" % s.admin_port}, 200),
                    ({"Host": "minivlm.monitoring.svc"}, 200), ({"Host": "10.1.2.3"}, 200), ({}, 200))
            for headers, status in rows:
                self.assertEqual(s.get("/admin/model", admin=True, headers=headers).status, status, headers)
            self.assertEqual(s.get("/healthz", admin=True, headers={"Host": "anything"}).status, 200)
            for target, host, status in (("localhost", "localhost", 200), ("evil.example", "evil.example", 403),
                                         ("evil.example", "localhost", 403), ("localhost", "evil.example", 403)):
                answer = s.get(f"http://{target}/admin/model", admin=True, headers={"Host": host})
                self.assertEqual(answer.status, status, (target, host))


run(__name__)
