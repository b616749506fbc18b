"""Every phase of a connection has a clock and an end, every resource of a connection a limit; TLS; leaving in time whatever
clients do."""
import contextlib
import json
import os
import pathlib
import resource
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

from support import BASE, PATIENCE, Server, picture, run, unittest

PICTURE = picture(0)
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
CAPTION = b"POST /caption HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(PICTURE) + PICTURE
SLOW = ("--engine.isa=ref", "--engine.threads=1", "--cache.bytes=0")


def connect(server, address="127.0.0.1", receive_buffer=None, port=None):
    s = socket.socket()
    s.settimeout(20)
    s.bind((address, 0))
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.connect(("127.0.0.1", port or server.port))
    return s


def read_all(s, seconds=20):
    """What comes until the server ends the connection, and when that was."""
    out, began = b"", time.monotonic()
    s.settimeout(seconds)
    with contextlib.suppress(ConnectionError):
        while more := s.recv(65536):
            out += more
    return out, time.monotonic() - began


def status_of(out):
    return int(out.split(b" ", 2)[1]) if out else None


def code_of(out):
    return json.loads(out.partition(b"\r\n\r\n")[2])["error"]["code"]


class Clocks(unittest.TestCase):
    """All at once, each on a connection of its own."""

    def at_once(self, cases):
        wrong = []

        def guarded(case):
            try:
                case()
            except BaseException as e:  # pylint: disable=broad-except
                wrong.append((case.__name__, repr(e)))
        threads = [threading.Thread(target=guarded, args=(case,)) for case in cases]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(wrong, [])

    def test_every_phase_ends(self):
        with Server("--server.idle_timeout_ms=1200", "--server.upload_timeout_ms=2000", "--server.send_timeout_ms=1500") as s:

            def ends(first, least, most, status=None, drip=None):
                with connect(s) as c:
                    began = time.monotonic()
                    c.sendall(first)
                    out, stop = [], threading.Event()
                    if drip:
                        def go():
                            with contextlib.suppress(OSError):
                                while not stop.wait(0.1):
                                    c.sendall(drip)
                        threading.Thread(target=go).start()
                    out, _ = read_all(c)
                    stop.set()
                    took = time.monotonic() - began
                self.assertEqual(status_of(out), status, out)
                self.assertTrue(least <= took <= most, took)
                if status == 408:
                    self.assertIn(b"Connection: close", out)

            def fresh():
                ends(b"", 1.1, 2.2)

            def kept_alive():
                ends(GET, 1.1, 2.2, 200)

            def half_a_head():
                ends(b"GET /healthz HTTP/1.1\r\nHo", 1.1, 2.4, 408)

            def slow_head():
                ends(b"GET /healthz HTTP/1.1\r\nX: ", 1.1, 3.5, 408, drip=b"a")

            def stalled_body():
                ends(CAPTION[:-10], 1.9, 3.2, 408)

            def slow_body():
                ends(CAPTION[:-1000], 1.9, 4.2, 408, drip=b"a")

            def endless_chunks():
                ends(b"POST /caption HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n", 1.9, 4.2, 408, drip=b"a")

            def refused_with_small_body():
                ends(b"POST /nope HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nab", 0.9, 2.2, 404)

            def refused_with_large_body():
                ends(b"POST /nope HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nab", 0, 0.9, 404)

            def refused_with_slow_body():
                ends(b"POST /nope HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", 0.9, 2.2, 404, drip=b"a")

            def refused_with_chunks():
                ends(b"POST /nope HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n", 0, 0.9, 404)

            def nobody_reads():
                with connect(s, receive_buffer=4096) as c:
                    c.setblocking(False)
                    began = time.monotonic()
                    with self.assertRaises(ConnectionError):  # the server resets: it has given up
                        while time.monotonic() - began < 15:
                            with contextlib.suppress(BlockingIOError):
                                c.send(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
                            time.sleep(0.02)
                    self.assertLess(time.monotonic() - began, 8)
            self.at_once([fresh, kept_alive, half_a_head, slow_head, stalled_body, slow_body, endless_chunks,
                          refused_with_small_body, refused_with_large_body, refused_with_slow_body, refused_with_chunks,
                          nobody_reads])
            self.assertEqual(s.get("/healthz").status, 200)
            self.assertEqual(s.metric("minivlm_inflight_requests"), 0)

    def test_a_process_that_was_stopped_blames_nobody(self):
        """What had come while the process stood still (stopped, throttled, the machine taken away) is read first."""
        with Server("--server.idle_timeout_ms=1000", "--server.upload_timeout_ms=1000", "--server.send_timeout_ms=1000") as s:
            fresh, head, body = connect(s), connect(s), connect(s)
            head.sendall(GET[:10])
            body.sendall(CAPTION[:-100])
            time.sleep(0.1)
            s.process.send_signal(signal.SIGSTOP)
            fresh.sendall(GET)
            head.sendall(GET[10:])
            body.sendall(CAPTION[-100:])
            time.sleep(2.5)
            s.process.send_signal(signal.SIGCONT)
            for name, client in (("fresh", fresh), ("in the head", head), ("in the body", body)):
                with client:
                    self.assertEqual(client.recv(12), b"HTTP/1.1 200", name)

    def test_minimum_rates(self):
        with Server("--server.min_upload_rate=10000", "--server.min_send_rate=20000") as s:

            def slow_upload():
                with connect(s) as c:
                    began = time.monotonic()
                    c.sendall(b"POST /caption HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
                    with contextlib.suppress(ConnectionError):
                        while time.monotonic() - began < 20:
                            c.sendall(b"x" * 200)
                            time.sleep(0.1)
                            c.setblocking(False)
                            with contextlib.suppress(BlockingIOError):
                                if out := c.recv(65536):
                                    break
                            c.settimeout(20)
                    self.assertTrue(4.9 < time.monotonic() - began < 19)
                    self.assertEqual((status_of(out), code_of(out)), (408, "upload_timeout"))
                    self.assertIn(b"server.min_upload_rate", out)

            def fast_enough():
                with connect(s) as c:
                    c.sendall(b"POST /images/check HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n")
                    for _ in range(50):
                        c.sendall(b"x" * 2000)
                        time.sleep(0.13)
                    self.assertIn(status_of(read_all(c)[0]), (415, 422))

            def slow_reader():
                with connect(s, receive_buffer=4096) as c:
                    began, sent = time.monotonic(), 0
                    c.setblocking(False)
                    with self.assertRaises(ConnectionError):
                        while time.monotonic() - began < 30:
                            with contextlib.suppress(BlockingIOError):
                                sent += c.send(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
                            with contextlib.suppress(BlockingIOError):
                                if not c.recv(500):
                                    raise ConnectionError
                            time.sleep(0.1)
                    self.assertLess(time.monotonic() - began, 20)
            self.at_once([slow_upload, fast_enough, slow_reader])


class Places(unittest.TestCase):
    def test_over_the_limit(self):
        with Server("--server.max_connections=8") as s, contextlib.ExitStack() as stack:
            busy = [stack.enter_context(connect(s)) for _ in range(8)]
            for c in busy:
                c.sendall(CAPTION[:-10])
                time.sleep(0.05)
            for _ in range(3):  # the ninth is told at once
                with connect(s) as c:
                    c.sendall(GET)
                    out, took = read_all(c)
                self.assertEqual((status_of(out), code_of(out)), (503, "too_many_connections"))
                self.assertEqual(out.count(b"HTTP/1.1 "), 1)
                self.assertIn(b"Retry-After: 1", out)
                self.assertLess(took, 0.5)
            end = time.monotonic() + 20
            while [line["code"] for line in s.log("request")].count("too_many_connections") < 3:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)
            time.sleep(2)  # by now the uploads count as stalled: the most stalled one goes first
            self.assertEqual(s.get("/healthz").status, 200)
            out, _ = read_all(busy[0])
            self.assertEqual((status_of(out), code_of(out)), (408, "upload_timeout"))
            busy[7].sendall(CAPTION[-10:])
            out = busy[7].recv(65536)
            self.assertEqual(status_of(out), 200, out)

    def test_idle_ones_make_room(self):
        with Server("--server.max_connections=8") as s, contextlib.ExitStack() as stack:
            idle = [stack.enter_context(connect(s)) for _ in range(8)]
            for c in idle[1:]:
                c.sendall(GET)
                self.assertEqual(status_of(c.recv(65536)), 200)
            time.sleep(1.1)
            for n in range(3):
                newcomer = stack.enter_context(connect(s))
                newcomer.sendall(GET)
                self.assertEqual(status_of(newcomer.recv(65536)), 200)
                self.assertEqual(idle[n].recv(10), b"")
            idle[3].sendall(GET)
            self.assertEqual(status_of(idle[3].recv(65536)), 200)

    def test_places_of_one_address(self):
        with Server("--server.max_connections_per_address=4") as s, contextlib.ExitStack() as stack:
            mine = [stack.enter_context(connect(s, "127.0.0.2")) for _ in range(4)]
            with connect(s, "127.0.0.2") as c:
                out, _ = read_all(c)
                self.assertEqual(code_of(out), "too_many_connections")
            self.assertEqual(s.get("/healthz").status, 200)
            mine.pop().close()
            time.sleep(0.1)
            c = stack.enter_context(connect(s, "127.0.0.2"))
            c.sendall(GET)
            self.assertEqual(status_of(c.recv(65536)), 200)

    def test_default_share(self):
        with Server("--server.max_connections=512") as s, contextlib.ExitStack() as stack:
            mine = [stack.enter_context(connect(s, "127.0.0.2")) for _ in range(512)]
            for c in mine:
                with contextlib.suppress(ConnectionError):
                    c.sendall(b"GET / HT")  # not idle
            time.sleep(0.5)
            self.assertEqual(s.get("/healthz").status, 200)
            refused = 0
            for c in mine:
                c.setblocking(False)
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    refused += b" 503 " in c.recv(100)
            self.assertGreater(refused, 0)

    def test_descriptors(self):
        limits = lambda soft, hard: lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        with Server(preexec_fn=limits(256, 4096)) as s, contextlib.ExitStack() as stack:
            many = [stack.enter_context(connect(s)) for _ in range(300)]
            for c in many:
                c.sendall(GET)
            for c in many:
                self.assertEqual(status_of(c.recv(65536)), 200)
        with Server(preexec_fn=limits(96, 96)) as s, contextlib.ExitStack() as stack:
            self.assertTrue(s.log("fewer connections than configured: descriptors are short"))
            for _ in range(200):
                stack.enter_context(connect(s)).sendall(b"GET /")
            ticks = lambda: sum(map(int, open(f"/proc/{s.process.pid}/stat").read().rsplit(")", 1)[1].split()[11:13]))
            time.sleep(0.5)
            before = ticks()
            time.sleep(1)
            self.assertLess(ticks() - before, 30)  # does not spin
            stack.close()
            s.wait_for("/healthz", 200)


class Gone(unittest.TestCase):
    def ask_and(self, server, metric, leave, wrap=lambda c: c):
        """Four requests, all of which have arrived or been refused before their clients leave."""
        clients, end = [wrap(connect(server)) for _ in range(4)], time.monotonic() + 60 * PATIENCE
        for n, c in enumerate(clients):
            c.sendall(CAPTION.replace(b"/caption", b"/caption?num_beams=10"))
            while metric("minivlm_inflight_requests") + metric('minivlm_requests_total{route="caption",code="429"}') <= n:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.02)
        for c in clients:
            leave(c)

    def wait_until_idle(self, server, metric):
        end = time.monotonic() + 30 * PATIENCE
        while metric("minivlm_inflight_requests") > 0:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)

    def test_half_closed_is_served_and_closed_is_not(self):
        with Server(*SLOW, model=BASE) as s:
            for _ in range(3):
                out = s.raw(CAPTION.replace(b"/caption", b"/caption?num_beams=4").replace(b"Host", b"Connection: close\r\nHost", 1),
                            half_close=True, timeout=30)
                self.assertEqual((status_of(out), out.count(b"HTTP/1.1 ")), (200, 1))
                self.assertIn("caption", json.loads(out.partition(b"\r\n\r\n")[2]))
            self.assertEqual(s.metric("minivlm_client_gone_total"), 0)
            self.ask_and(s, s.metric, lambda c: c.close())
            self.wait_until_idle(s, s.metric)
            count = lambda code: s.metric(f'minivlm_requests_total{{route="caption",code="{code}"}}')
            self.assertEqual(count(200), 3)
            self.assertGreaterEqual(count(499), 1)
            self.assertEqual(count(499) + count(429), 4)  # a gate may be full when all come at once


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.make_certificate("one")
        cls.flags = [f"--server.tls_certificate={cls.folder.name}/c.pem", f"--server.tls_key={cls.folder.name}/k.pem"]

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def make_certificate(cls, name):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                        f"{cls.folder.name}/k.pem", "-out", f"{cls.folder.name}/c.pem", "-subj", f"/CN={name}", "-days", "1"],
                       check=True, capture_output=True)

    def context(self):
        c = ssl.create_default_context()
        c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
        return c

    def wrap(self, c):
        return self.context().wrap_socket(c)

    def ask(self, server, data, then=b"", wait=0):
        with self.wrap(connect(server)) as c:
            c.sendall(data)
            time.sleep(wait)
            with contextlib.suppress(OSError):
                c.sendall(then)
            return read_all(c)[0]

    def start(self, *flags, **more):
        s = Server(*self.flags, "--server.admin_port=0", *flags, ready=False, **more)
        end = time.monotonic() + 30
        while s.get("/readyz", admin=True).status != 200 and time.monotonic() < end:
            time.sleep(0.05)
        return s

    def test_answers_in_the_middle_of_a_body(self):
        with self.start("--limits.body_bytes=200000", "--server.upload_timeout_ms=1000") as s:
            head = b"POST /caption HTTP/1.1\r\nHost: x\r\n"
            for data, status in ((head + b"Content-Length: 3000000\r\n\r\nabc", 413), (head + b"Content-Length: 3000\r\n\r\nabc", 408),
                                 (head.replace(b"caption", b"nope") + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 404),
                                 (head + b"Transfer-Encoding: chunked\r\n\r\n" + (b"4000\r\n" + b"x" * 0x4000 + b"\r\n") * 20, 413),
                                 (head + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400)):
                out = self.ask(s, data)
                self.assertEqual((status_of(out), out.count(b"HTTP/1.1 ")), (status, 1), out)
                self.assertIn("request_id", json.loads(out.partition(b"\r\n\r\n")[2])["error"])

    def test_nothing_but_tls_leaves(self):
        with self.start() as s:
            raw = connect(s)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = self.context().wrap_bio(incoming, outgoing)
            wire = b""

            def pump():
                raw.sendall(outgoing.read())
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    pump()
                    incoming.write(raw.recv(65536))
            tls.write(b"POST /caption HTTP/1.1\r\nHost: x\r\nX-Request-Id: secret-id\r\nContent-Length: 300000000\r\n\r\nabc")
            pump()
            wire, _ = read_all(raw)
            raw.close()
            at = 0  # records of application data (23), handshake (22, tickets) or alerts (21), one behind the other
            while at < len(wire):
                self.assertIn(wire[at], (21, 22, 23))
                at += 5 + int.from_bytes(wire[at + 3:at + 5], "big")
            self.assertEqual(at, len(wire))
            self.assertNotIn(b"secret-id", wire)
            for data in (GET, b"\0" * 100):  # not TLS: no word in clear
                with connect(s) as c:
                    c.sendall(data)
                    out, took = read_all(c)
                    self.assertTrue(out == b"" or out[0] == 21, out)
                    self.assertLess(took, 3)
            self.assertIn(b"200 OK", self.ask(s, GET.replace(b"Host", b"Connection: close\r\nHost")))

    def test_old_versions_are_refused(self):
        with self.start() as s:
            for version, is_good in ((ssl.TLSVersion.TLSv1, False), (ssl.TLSVersion.TLSv1_1, False),
                                     (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)):
                c = self.context()
                c.minimum_version = ssl.TLSVersion.TLSv1
                c.maximum_version = version
                c.set_ciphers("ALL:@SECLEVEL=0")
                with connect(s) as raw:
                    if is_good:
                        self.assertEqual(c.wrap_socket(raw).version(), version.name.replace("_", "."))
                    else:
                        with self.assertRaises((ssl.SSLError, ConnectionError)) as caught:
                            c.wrap_socket(raw)
                        self.assertIn("VERSION", str(caught.exception).upper())

    def test_protocols_are_agreed_on(self):
        """RFC 7301: who speaks nothing but other protocols is told so in the handshake, not answered in HTTP/1.1."""
        with self.start() as s:
            for offered, agreed in ((["h2", "http/1.1"], "http/1.1"), (["http/1.0"], "http/1.0"), (None, None)):
                c = self.context()
                if offered:
                    c.set_alpn_protocols(offered)
                with connect(s) as raw, c.wrap_socket(raw) as wrapped:
                    self.assertEqual(wrapped.selected_alpn_protocol(), agreed)
                    wrapped.sendall(GET)
                    self.assertEqual(status_of(wrapped.recv(65536)), 200)
            c = self.context()
            c.set_alpn_protocols(["h2"])
            with connect(s) as raw, self.assertRaisesRegex(ssl.SSLError, "(?i)no.application.protocol"):
                c.wrap_socket(raw)

    def test_renegotiation_is_refused_at_once(self):
        with self.start("--server.idle_timeout_ms=60000") as s:
            done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{s.port}", "-tls1_2"], input=b"R\n", timeout=20,
                                  capture_output=True, check=False)
            self.assertIn(b"no renegotiation", (done.stdout + done.stderr).lower())

    def test_hang_ups_cancel(self):
        with self.start(*SLOW, model=BASE) as s:
            metric = lambda line: next((float(found.split()[-1]) for found in
                                        s.get("/metrics", admin=True).body.decode().splitlines() if found.startswith(line + " ")), 0)
            Gone.ask_and(self, s, metric, lambda c: c.close(), self.wrap)
            Gone.wait_until_idle(self, s, metric)
            self.assertGreaterEqual(metric('minivlm_requests_total{route="caption",code="499"}'), 1)
            self.assertEqual(metric('minivlm_requests_total{route="caption",code="200"}'), 0)

    def name(self, c):
        der = c.getpeercert(binary_form=True)
        return next(name for name in ("one", "two", "three") if name.encode() in der)

    def test_certificates_are_read_again(self):
        self.make_certificate("one")
        with self.start() as s:
            old = self.wrap(connect(s))
            self.assertEqual(self.name(old), "one")
            self.make_certificate("two")
            s.process.send_signal(signal.SIGHUP)
            s.wait_for_log("configuration reloaded")
            with self.wrap(connect(s)) as c:
                self.assertEqual(self.name(c), "two")
            old.sendall(GET)  # goes on with what it began with
            self.assertEqual(status_of(old.recv(65536)), 200)
            old.close()
            (pathlib.Path(self.folder.name) / "k.pem").write_text("nonsense")
            s.process.send_signal(signal.SIGHUP)
            s.wait_for_log("configuration not reloaded")
            with self.wrap(connect(s)) as c:
                self.assertEqual(self.name(c), "two")
        self.make_certificate("one")

    def test_a_handshake_that_stalls_ends(self):
        with self.start() as s:
            with connect(s) as silent, connect(s) as half:
                half.sendall(bytes.fromhex("16030100c8010000c40303"))
                for c in (silent, half):
                    self.assertEqual(read_all(c)[0], b"")
            self.assertIn(b"200 OK", self.ask(s, GET.replace(b"Host", b"Connection: close\r\nHost")))

    def test_large_bodies_and_answers(self):
        with self.start() as s:
            body = os.urandom(3000000)
            out = self.ask(s, b"POST /images/check HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            self.assertEqual(status_of(out), 415)
            plain = s.get("/openapi.json", admin=True)
            out = self.ask(s, b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 30 +
                           b"GET /openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", wait=1)
            self.assertEqual(out.count(b"HTTP/1.1 200 OK\r\n"), 31)
            self.assertEqual(out.count(b'"openapi": '), 31 * plain.body.count(b'"openapi": ') if plain.status == 200 else 31)


class Leaving(unittest.TestCase):
    def test_keep_alive_ends_without_a_failure(self):
        with Server("--drain.delay_ms=1000") as s:
            wrong, closed, began = [], [], time.monotonic()

            def client():
                c = s.connect()
                while time.monotonic() - began < 5:
                    try:
                        c.request("GET", "/healthz")
                        answer = c.getresponse()
                        answer.read()
                    except Exception as e:  # pylint: disable=broad-except
                        wrong.append(repr(e))
                        break
                    if answer.status != 200:
                        wrong.append(answer.status)
                    if answer.getheader("Connection") == "close":
                        closed.append(time.monotonic())
                        break
                    time.sleep(0.004)
                c.close()
            threads = [threading.Thread(target=client) for _ in range(8)]
            for t in threads:
                t.start()
            time.sleep(0.3)
            idle = connect(s)
            s.process.send_signal(signal.SIGTERM)
            self.assertEqual(read_all(idle)[0], b"")
            for t in threads:
                t.join()
            idle.close()
            self.assertEqual(wrong, [])
            self.assertEqual(len(closed), 8)
            self.assertEqual(s.process.wait(5), 0)

    def test_leaves_in_time_whatever_clients_do(self):
        def slow_reader(s):
            c = connect(s, receive_buffer=2048)
            c.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
            return c

        def sends(data):
            def case(s):
                c = connect(s)
                c.sendall(data)
                return c
            return case
        head = b" HTTP/1.1\r\nHost: x\r\n"
        cases = [connect, sends(b"POST /cap"), sends(CAPTION[:-10]), sends(b"POST /nope" + head + b"Content-Length: 1000\r\n\r\nab"),
                 sends(b"POST /nope" + head + b"Content-Length: 1048576\r\n\r\nab"),
                 sends(b"POST /caption?bad=1" + head + b"Content-Length: 1000000\r\n\r\nab"),
                 sends(b"GET /healthz" + head + b"Content-Length: 1000\r\n\r\nab"),
                 sends(b"POST /nope" + head + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"), slow_reader]
        with Server("--drain.timeout_ms=1000") as s, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(case(s)) for case in cases for _ in range(3)]
            time.sleep(0.3)
            stop = threading.Event()

            def trickle():
                while not stop.wait(0.2):
                    for c in clients:
                        with contextlib.suppress(OSError):
                            c.setblocking(False)
                            c.send(b"a")
            thread = threading.Thread(target=trickle)
            thread.start()
            began = time.monotonic()
            s.process.send_signal(signal.SIGTERM)
            self.assertEqual(s.process.wait(10), 0)
            took = time.monotonic() - began
            stop.set()
            thread.join()
            self.assertLess(took, 2.0)


run(__name__)
