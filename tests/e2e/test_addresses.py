"""Who a client is: by its socket, by what trusted proxies say, by the PROXY protocol; and where the service listens."""
import contextlib
import os
import pathlib
import signal
import socket
import stat
import subprocess
import tempfile
import time

from support import BUILD, ROOT, TINY, Models, Server, launch, picture, run, unittest

V2 = b"\r\n\r\n\0\r\nQUIT\n"
GET = b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def v2(address, command=0x21):
    body = socket.inet_aton(address) + socket.inet_aton("10.0.0.1") + b"\x10\x00\x00\x50"
    return V2 + bytes((command, 0x11)) + len(body).to_bytes(2, "big") + body


def peers_of(server, route, n):
    """Who asked for a route, as the log has it, when it has n lines."""
    end = time.monotonic() + 20
    while len(seen := [line["peer"] for line in server.log("request") if line["route"] == route]) < n:
        assert time.monotonic() < end, seen
        time.sleep(0.01)
    return seen


def has_ipv6():
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as s:
        s.bind(("::1", 0))
        return True
    return False


class Forwarded(unittest.TestCase):
    def ask(self, server, *lines):
        head = "".join(line + "\r\n" for line in lines).encode()
        self.asked = getattr(self, "asked", {})
        n = self.asked[server] = self.asked.get(server, 0) + 1
        answer = server.raw(GET.replace(b"Connection", head + b"Connection"))
        self.assertIn(b" 200 OK", answer)
        return peers_of(server, "version", n)[-1]

    def test_believed_from_trusted_proxies_alone(self):
        with Server("--server.trusted_proxies=127.0.0.0/8,10.0.0.0/8") as s:
            rows = (
                (["X-Forwarded-For: 192.0.2.1"], "192.0.2.1"),
                (["X-Forwarded-For: 6.6.6.6, 192.0.2.1"], "192.0.2.1"),
                (["X-Forwarded-For: 6.6.6.6", "x-forwarded-for: 192.0.2.1"], "192.0.2.1"),
                (["X-Forwarded-For: 192.0.2.1, 10.9.9.9"], "192.0.2.1"),
                (['Forwarded: for="[2001:db8::1]:80";proto=https'], "2001:db8::1"),
                (["X-Forwarded-For: 192.0.2.1", "Forwarded: for=6.6.6.6"], "127.0.0.1"),
                (["X-Forwarded-For: unknown"], "127.0.0.1"),
                ([], "127.0.0.1"),
            )
            for lines, client in rows:
                self.assertEqual(self.ask(s, *lines), client, lines)
        with Server("--server.trusted_proxies=10.0.0.0/8") as s:
            self.assertEqual(self.ask(s, "X-Forwarded-For: 192.0.2.1"), "127.0.0.1")
        with Server() as s:
            self.assertEqual(self.ask(s, "Forwarded: for=192.0.2.1"), "127.0.0.1")

    def test_clients_behind_one_proxy_have_shares_of_their_own(self):
        """A crowd by one forwarded address does not use up another one's share."""
        with Server("--server.trusted_proxies=127.0.0.1", "--limits.requests=4", "--limits.images=16") as s:
            with contextlib.ExitStack() as stack:
                held = []
                for _ in range(40):  # one greedy client: uploads that stall
                    c = stack.enter_context(socket.create_connection(("127.0.0.1", s.port)))
                    c.sendall(b"POST /caption HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Length: 2000000\r\n\r\nx")
                    held.append(c)
                answers = [s.post("/caption", picture(), {"X-Forwarded-For": "192.0.2.2"}).status for _ in range(3)]
            self.assertEqual(answers, [200, 200, 200])

    def test_reloaded(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "config.json"
            file.write_text('{"server": {"trusted_proxies": ""}}')
            with Server(f"--config={file}") as s:
                self.assertEqual(self.ask(s, "X-Forwarded-For: 192.0.2.1"), "127.0.0.1")
                file.write_text('{"server": {"trusted_proxies": "127.0.0.1"}}')
                s.process.send_signal(signal.SIGHUP)
                s.wait_for_log("configuration reloaded")
                self.assertEqual(self.ask(s, "X-Forwarded-For: 192.0.2.1"), "192.0.2.1")
                file.write_text('{"server": {"trusted_proxies": "127.0.0.1/8"}}')
                s.process.send_signal(signal.SIGHUP)
                self.assertIn("bits set after its prefix", s.wait_for_log("configuration not reloaded")[0]["reason"])
                self.assertEqual(self.ask(s, "X-Forwarded-For: 192.0.2.1"), "192.0.2.1")


class Proxy(unittest.TestCase):
    FLAGS = ("--server.proxy_protocol=true", "--server.trusted_proxies=127.0.0.1")

    def start(self, *more):
        server = Server(*self.FLAGS, "--server.admin_port=0", *more, ready=False)
        server.wait_for_log("ready", seconds=30)
        return server

    def test_headers(self):
        with self.start() as s:
            good = (
                (b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\r\n", "192.0.2.1"),
                (b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n", "2001:db8::1"),
                (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
                (v2("192.0.2.2"), "192.0.2.2"),
                (v2("192.0.2.2", command=0x20), "127.0.0.1"),
            )
            for n, (header, client) in enumerate(good):
                self.assertIn(b" 200 OK", s.raw(header + GET), header)
                self.assertEqual(peers_of(s, "version", n + 1)[-1], client)
            for header in (b"", b"PROXY TCP4 192.0.2.1 10.0.0.1 4711\r\n", b"PROXY TCP4 1.2.3 10.0.0.1 1 2\r\n", v2("192.0.2.2", 0x22)):
                answer = s.raw(header + GET)
                self.assertIn(b" 400 ", answer)
                self.assertIn(b"PROXY", answer)
                self.assertEqual(answer.count(b"HTTP/1.1 "), 1)
            failed = s.metrics("minivlm_proxy_headers_failed_total")
            self.assertEqual(failed, {"minivlm_proxy_headers_failed_total": 4})

    def test_in_pieces_before_a_picture_on_a_kept_connection(self):
        with self.start() as s, socket.create_connection(("127.0.0.1", s.port)) as c:
            c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in v2("192.0.2.3"):
                c.sendall(bytes((byte,)))
                time.sleep(0.002)
            body = picture()
            for _ in range(2):
                c.sendall(b"POST /caption HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                answer = c.recv(65536)
                self.assertTrue(answer.startswith(b"HTTP/1.1 200"), answer[:200])
            self.assertEqual(peers_of(s, "caption", 2), ["192.0.2.3"] * 2)

    def test_silence_is_timed(self):
        with self.start() as s, socket.create_connection(("127.0.0.1", s.port), timeout=20) as c:
            c.sendall(b"PROXY TCP4 192.0.2")
            began = time.monotonic()
            self.assertEqual(c.recv(100), b"")
            self.assertGreater(time.monotonic() - began, 4)

    def test_not_from_others(self):
        with Server("--server.proxy_protocol=true", "--server.trusted_proxies=10.0.0.0/8") as s:
            self.assertEqual(s.get("/version").status, 200)
            self.assertIn(b" 400 ", s.raw(b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\r\n" + GET))
            self.assertTrue(all(line["peer"] == "127.0.0.1" for line in s.log("request")))

    def test_connections_of_an_address(self):
        with self.start("--server.max_connections_per_address=4") as s, contextlib.ExitStack() as stack:
            def connect(client):
                c = stack.enter_context(socket.create_connection(("127.0.0.1", s.port), timeout=10))
                c.sendall(b"PROXY TCP4 %s 10.0.0.1 1 2\r\n" % client + GET.replace(b"Connection: close\r\n", b""))
                return c.recv(65536)[9:12]
            self.assertEqual([connect(b"192.0.2.1") for _ in range(6)], [b"200"] * 4 + [b"503"] * 2)
            self.assertEqual([connect(b"192.0.2.%d" % n) for n in range(2, 8)], [b"200"] * 6)  # not all one address

    def test_health_check_speaks_it(self):
        with Server(*self.FLAGS, ready=False) as s:
            s.wait_for_log("ready", seconds=30)
            done = subprocess.run([BUILD / "minivlm-server", "--healthcheck", f"--server.port={s.port}", *self.FLAGS],
                                  capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)


class Listeners(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / "s.sock"

    def ask(self, path=None, head=GET):
        with socket.socket(socket.AF_UNIX) as c:
            c.settimeout(10)
            c.connect(str(path or self.path))
            c.sendall(head)
            out = b""
            while more := c.recv(65536):
                out += more
            return out

    @unittest.skipUnless(has_ipv6(), "no IPv6 here")
    def test_dual_stack(self):
        with Server("--server.host=::") as s:
            for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                with socket.socket(family) as c:
                    c.connect((address, s.port))
                    c.sendall(GET)
                    self.assertIn(b" 200 OK", c.recv(4096))
            self.assertEqual(peers_of(s, "version", 2), ["127.0.0.1", "::1"])

    @unittest.skipUnless(has_ipv6(), "no IPv6 here")
    def test_several(self):
        with Server("--server.host=127.0.0.1 ::1") as s:
            for address in ("127.0.0.1", "::1"):
                socket.create_connection((address, s.port), timeout=5).close()

    def test_unix_socket(self):
        with Server(f"--server.socket={self.path}", "--server.socket_mode=0600", "--server.trusted_proxies=unix") as s:
            self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
            self.assertIn(b" 200 OK", self.ask())
            self.assertIn(b" 200 OK", self.ask(head=GET.replace(b"Connection", b"X-Forwarded-For: 192.0.2.1\r\nConnection")))
            self.assertEqual(peers_of(s, "version", 2), ["unix", "192.0.2.1"])
            self.assertEqual(s.get("/version").status, 200)  # and TCP beside it
        self.assertFalse(self.path.exists())

    def test_a_stale_socket_is_replaced_and_nothing_else(self):
        flags = ("--server.port=-1", f"--server.socket={self.path}", f"--model.dir={TINY}", "--log.format=json")
        first = launch(*flags, stderr=subprocess.DEVNULL)
        try:
            self.wait()
            second = subprocess.run([BUILD / "minivlm-server", *flags], cwd=ROOT, capture_output=True, text=True, timeout=30)
            self.assertEqual(second.returncode, 1)
            self.assertIn("another process listens on", second.stderr)
            self.assertIn(b" 200 OK", self.ask())  # and is not harmed
            health = subprocess.run([BUILD / "minivlm-server", "--healthcheck", *flags], cwd=ROOT, capture_output=True, text=True)
            self.assertEqual(health.returncode, 0, health.stderr)
        finally:
            first.kill()
            first.wait()
        self.assertTrue(self.path.exists())
        third = launch(*flags, stderr=subprocess.DEVNULL)
        try:
            self.wait()
        finally:
            third.terminate()
            self.assertEqual(third.wait(30), 0)
        self.assertFalse(self.path.exists())
        self.path.write_text("precious")
        fourth = subprocess.run([BUILD / "minivlm-server", *flags], cwd=ROOT, capture_output=True, text=True, timeout=30)
        self.assertEqual(fourth.returncode, 1)
        self.assertIn("not a socket", fourth.stderr)
        self.assertEqual(self.path.read_text(), "precious")

    def wait(self):
        end = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                if b" 200 OK" in self.ask(head=GET.replace(b"/version", b"/readyz")):
                    return
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)

    def test_prefix(self):
        with Server("--server.prefix=/vision") as s:
            self.assertEqual(s.post("/vision/caption", picture()).status, 200)
            self.assertEqual(s.post("/caption", picture()).status, 404)
            self.assertIn("/vision/", s.get("/version").json["error"]["message"])
            self.assertEqual(s.get("/vision").headers["Location"], "/vision/")
            self.assertEqual((s.get("/healthz").status, s.get("/vision/healthz").status), (200, 200))
            self.assertEqual(s.get("/vision/openapi.json").json["servers"], [{"url": "/vision"}])

    def test_faults(self):
        rows = (
            ("--server.trusted_proxies=10.0.0.1/8", 1, "bits set after its prefix"),
            ("--server.trusted_proxies=proxy.local", 1, "expected networks like"),
            ("--server.prefix=vision", 2, "server.prefix"),
            ("--server.prefix=/vision/", 2, "server.prefix"),
            ("--server.prefix=/a/../b", 2, "server.prefix"),
            ("--server.socket_mode=0999", 2, "server.socket_mode"),
            ("--server.port=-1", 2, "-1 together with server.socket"),
            ("--server.proxy_protocol=true", 2, "server.trusted_proxies to be set too"),
            ("--server.socket=/nonexistent/s.sock", 1, "cannot listen on /nonexistent/s.sock"),
            ("--server.host=999.1.1.1", 1, "server.host 999.1.1.1"),
        )
        for flag, code, words in rows:
            done = subprocess.run([BUILD / "minivlm-server", f"--model.dir={TINY}", "--server.port=0", flag], cwd=ROOT,
                                  capture_output=True, text=True, timeout=30)
            self.assertEqual((done.returncode, words in done.stderr), (code, True), done.stderr)


class Check(unittest.TestCase):
    """--check-config opens what it names."""

    def test_all_faults_at_once(self):
        with tempfile.TemporaryDirectory() as folder:
            keys = pathlib.Path(folder) / "keys"
            keys.write_text("nonsense\n")
            flags = ("--model.dir=/nonexistent", f"--auth.keys_file={keys}", "--server.host=999.1.1.1",
                     "--server.trusted_proxies=10.0.0.1/8", "--server.tls_certificate=/nonexistent/c.pem",
                     "--server.tls_key=/nonexistent/k.pem", "--collections.path=/nonexistent/c.db",
                     "--server.socket=/nonexistent/s")
            done = subprocess.run([BUILD / "minivlm-server", "--check-config", *flags], cwd=ROOT, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            for flag in flags:
                key = flag[2:flag.index("=")]
                self.assertTrue(key in done.stderr or key == "server.tls_key" or key == "auth.keys_file", (key, done.stderr))
            self.assertIn(f"{keys}:1: expected NAME", done.stderr)
            for flag in (f"--server.socket={folder}", f"--server.socket={keys}", f"--collections.path={folder}",
                         f"--collections.path={keys}", f"--server.sandbox_read=/:{keys}", "--server.sandbox_read=/nonexistent"):
                done = subprocess.run([BUILD / "minivlm-server", "--check-config", f"--model.dir={TINY}", flag], cwd=ROOT,
                                      capture_output=True, text=True)
                self.assertEqual((done.returncode, done.stderr.split(":")[0]), (1, flag[2:flag.index("=")]), done.stderr)
            good = subprocess.run([BUILD / "minivlm-server", "--check-config", f"--model.dir={TINY}"], cwd=ROOT,
                                  capture_output=True, text=True)
            self.assertEqual((good.returncode, good.stdout), (0, "the configuration is valid\n"))

    def test_weights_by_their_name(self):
        """They may have another name than everybody's: that of config.json."""
        with tempfile.TemporaryDirectory() as folder:
            model = Models(folder).copy("model")
            (model / "model.safetensors").rename(model / "other.bin")
            text = (model / "config.json").read_text()
            for config, words in ((text, "/model.safetensors: No such file"), (text.replace("model.safetensors", "other.bin"), ""),
                                  (text[:-9], "config.json: "), ("{}", "weights.file is missing")):
                (model / "config.json").write_text(config)
                done = subprocess.run([BUILD / "minivlm-server", "--check-config", f"--model.dir={model}"], cwd=ROOT,
                                      capture_output=True, text=True)
                self.assertEqual((done.returncode, words in done.stderr), (1 if words else 0, True), done.stderr)


run(__name__)
