"""TLS: nothing else leaves its port, certificates are read again, and connections end as they do without it."""
import contextlib
import json
import os
import pathlib
import signal
import ssl
import subprocess
import tempfile
import time

import wire
from connections import GET, SLOW, ask_and, connect, read_all, status_of, wait_until_idle
from support import BASE, Server, run, unittest


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
            ask_and(s, metric, lambda c: c.close(), self.wrap)
            wait_until_idle(metric)
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

    def test_only_a_start_turns_tls_on_or_changes_its_files(self):
        """A10: new values in the configuration wait for a restart, as the log says; clients of the port notice nothing."""
        self.make_certificate("one")
        files = dict(zip(("tls_certificate", "tls_key"), wire.certificate(self.folder.name, "other")))
        config = pathlib.Path(self.folder.name) / "server.json"
        for flags, is_tls in (([], False), (self.flags, True)):
            with self.subTest(is_tls=is_tls):
                first = dict(flag[len("--server."):].split("=") for flag in flags)
                config.write_text(json.dumps({"server": first}))
                with Server("--config", config, "--server.admin_port=0", ready=False) as s:
                    config.write_text(json.dumps({"server": files}))
                    s.process.send_signal(signal.SIGHUP)
                    line = s.wait_for_log("configuration reloaded")[0]
                    self.assertEqual(line["needs_restart"], "server.tls_certificate server.tls_key")
                    if is_tls:
                        with self.wrap(connect(s)) as c:
                            self.assertEqual(self.name(c), "one")
                    else:
                        self.assertEqual(s.get("/healthz").status, 200)

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


run(__name__)
