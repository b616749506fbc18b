"""Rows A9 and F3: every phase of a connection has an end, and SIGTERM is kept to whatever clients do."""
import contextlib
import hashlib
import signal
import sqlite3
import tempfile
import threading
import time

import wire
from support import BASE, PATIENCE, Server, picture, run, unittest

STOP = "--drain.timeout_ms=300"
PROMISE = 1.3  # drain.delay (0) + drain.timeout + 1 s
PART = b"ab"


def part(method, target, *headers, length=1000):
    """A head that declares a body, and two bytes of it."""
    return wire.head(method, target, f"Content-Length: {length}", *headers) + PART


# What a client may leave half done. Bytes that are sent before SIGTERM; nothing is sent or read afterwards.
HOSTILE = {
    "connected": b"",
    "half a request line": b"POST /cap",
    "half a head": b"POST /caption HTTP/1.1\r\nHost: x\r\nX-A: ",
    "empty lines": b"\r\n\r\n",
    "a body of which two bytes come": part("POST", "/caption"),
    "a body of which nothing comes": part("POST", "/caption")[:-2],
    "a large body": part("POST", "/caption", length=20000000),
    "a body too large": part("POST", "/caption", length=2000000000),
    "a PUT that stalls": part("PUT", "/collections/c/images/k"),
    "a body for a route that is not there": part("POST", "/nope"),
    "a long body for a route that is not there": part("POST", "/nope", length=1 << 20),
    "a very long body for a route that is not there": part("POST", "/nope", length=1 << 30),
    "a body for a wrong method": part("PATCH", "/caption"),
    "a body with DELETE": part("DELETE", "/collections/c"),
    "a body with GET": part("GET", "/healthz"),
    "a body with HEAD": part("HEAD", "/images/" + "a" * 64),
    "a bad parameter": part("POST", "/caption?bad=1"),
    "a bad type": part("POST", "/caption", "Content-Type: multipart/form-data"),
    "chunks without an end": wire.head("POST", "/caption", "Transfer-Encoding: chunked") + b"ffff\r\nab",
    "a chunk's size without an end": wire.head("POST", "/caption", "Transfer-Encoding: chunked") + b"ff",
    "chunks for a route that is not there": wire.head("POST", "/nope", "Transfer-Encoding: chunked") + b"ffff\r\nab",
    "trailers without an end": wire.head("POST", "/caption", "Transfer-Encoding: chunked") + b"2\r\nab\r\n0\r\nX: y\r\n",
    "Expect and silence": wire.head("POST", "/caption", "Content-Length: 100", "Expect: 100-continue"),
    "Expect for a route that is not there": wire.head("POST", "/nope", "Content-Length: 100", "Expect: 100-continue"),
    "half a form": part("POST", "/caption", "Content-Type: multipart/form-data; boundary=b") + b"--b\r\nContent-Disp",
    "half a JSON": part("POST", "/caption", "Content-Type: application/json")[:-2] + b'{"images": ["',
    "a pipeline that ends half": wire.head("GET", "/healthz") * 20 + part("POST", "/caption"),
    "a long answer": wire.head("GET", "/openapi.json") * 40,
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


class Leaving(unittest.TestCase):
    """A9. Promise: the process leaves within drain.delay + drain.timeout + 1 s of SIGTERM, with code 0."""

    def test_each_hostile_client_alone(self):
        for name, data in HOSTILE.items():
            with self.subTest(name), Server(STOP) as s, s.wire(receive=4096) as w:
                w.push(data)
                time.sleep(0.1)
                s.leaves_within(PROMISE)

    def test_all_hostile_clients_at_once(self):
        """The same together, each of them three times: by FIN half-closed, trickling, and silent."""
        with tempfile.TemporaryDirectory() as folder, Server(STOP, f"--collections.path={folder}/c.db") as s:
            with contextlib.ExitStack() as stack:
                stop, drips = threading.Event(), []
                for data in HOSTILE.values():
                    for kind in ("silent", "half-closed", "trickling"):
                        w = stack.enter_context(s.wire(receive=4096)).push(data)
                        if kind == "half-closed":
                            with contextlib.suppress(OSError):
                                w.half_close()
                        elif kind == "trickling":
                            drips.append(w)

                def drip():
                    while not stop.wait(0.1):
                        for w in drips:
                            w.push(b"a")
                thread = threading.Thread(target=drip)
                thread.start()
                try:
                    time.sleep(0.3)
                    s.leaves_within(PROMISE)
                finally:
                    stop.set()
                    thread.join()

    def test_clients_without_a_key(self):
        """A9: a refused client (401) must not hold the service, with or without the rest of its body."""
        with tempfile.NamedTemporaryFile("w") as keys:
            keys.write("bob " + hashlib.sha256(b"secret").hexdigest() + "\n")
            keys.flush()
            for data in (part("POST", "/caption"), part("POST", "/caption", length=1 << 20), part("GET", "/metrics"),
                         wire.head("POST", "/vqa", "Transfer-Encoding: chunked") + b"fff\r\nab"):
                with self.subTest(data=data[:40]), Server(STOP, "--auth.keys_file=" + keys.name) as s, s.wire() as w:
                    self.assertEqual(w.ask(data).status, 401)
                    s.leaves_within(PROMISE)

    def test_hostile_clients_over_tls(self):
        """A9 on a TLS socket: an unfinished handshake, an unfinished request, an unread answer."""
        with tempfile.TemporaryDirectory() as folder:
            paths = wire.certificate(folder)
            with Server(STOP, *map("=".join, zip(("--server.tls_certificate", "--server.tls_key"), paths)),
                        "--server.admin_port=0", ready=False) as s, contextlib.ExitStack() as stack:
                s.wait_for_log("ready")
                trust = wire.ssl.create_default_context(cafile=paths[0])
                for data in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"):
                    stack.enter_context(s.wire()).push(data)
                for data in HOSTILE.values():
                    stack.enter_context(s.wire(tls=trust)).push(data)
                time.sleep(0.2)
                s.leaves_within(PROMISE)

    def test_the_delay_counts_once(self):
        """A9: with a delay the promise is delay + timeout + 1 s, and clients that come meanwhile change nothing."""
        with Server(STOP, "--drain.delay_ms=1000") as s, contextlib.ExitStack() as stack:
            wires = [stack.enter_context(s.wire()).push(data) for data in list(HOSTILE.values())[:12]]
            threading.Timer(0.5, lambda: wires.append(stack.enter_context(s.wire()).push(part("POST", "/nope")))).start()
            s.leaves_within(2.3)

    def test_writes_at_a_locked_collection(self):
        """A9: twelve PUTs wait for another program's lock; SIGTERM does not wait for them."""
        with tempfile.TemporaryDirectory() as folder, Server(STOP, f"--collections.path={folder}/c.db") as s:
            put = lambda n: wire.message("PUT", f"/collections/c/images/{n}", picture())
            self.assertEqual(wire.ask(s.port, put(0)).status, 201)
            with contextlib.closing(sqlite3.connect(f"{folder}/c.db", isolation_level=None)) as other, \
                    contextlib.ExitStack() as stack:
                with contextlib.suppress(sqlite3.OperationalError):  # the service may hold the file for itself
                    other.execute("BEGIN IMMEDIATE")
                wires = [stack.enter_context(s.wire()).push(put(n)) for n in range(1, 13)]
                time.sleep(0.2)
                s.leaves_within(PROMISE)
                replies = [w.reply() for w in wires]
                self.assertNotIn(None, replies)
                self.assertLessEqual({r.status for r in replies}, {201, 503, 504})

    def test_what_has_not_arrived_is_told(self):
        """A9: who is in the middle of a request when the time is over reads why it was not served."""
        parts = {"body": part("POST", "/caption"), "chunks": HOSTILE["chunks without an end"], "head": HOSTILE["half a head"],
                 "Expect": HOSTILE["Expect and silence"], "body of a GET": HOSTILE["a body with GET"]}
        with Server(STOP, "--server.admin_port=0") as s, contextlib.ExitStack() as stack:
            wires = {(name, port): stack.enter_context(wire.Wire(port)).push(data)
                     for port in (s.port, s.admin_port) for name, data in parts.items() if port == s.port or name == "head"}
            time.sleep(0.1)
            s.leaves_within(PROMISE)
            for (name, _), w in wires.items():
                with self.subTest(name):
                    reply = w.reply()
                    self.assertIsNotNone(reply)
                    self.assertEqual((reply.status, reply.code, reply.closes), (503, "draining", True))

    def test_a_stream_that_nobody_reads(self):
        """A9: event streams and pipelined answers that stay unread are cut off."""
        with Server(STOP, "--cache.bytes=0") as s, contextlib.ExitStack() as stack:
            for n in range(8):
                data = wire.message("POST", "/caption?stream=true", picture(n)) * 20
                stack.enter_context(s.wire(receive=2048)).push(data)
            time.sleep(0.3)
            s.leaves_within(PROMISE)

    def test_sigterm_during_a_reload(self):
        """A9: a model that is being loaded does not hold the service."""
        for flags in ((), ("--engine.isa=ref",)):  # the self-test of the shipped model takes two seconds in plain C
            with self.subTest(flags), Server(STOP, "--server.admin_port=0", *flags, model=BASE) as s:
                self.assertIn(s.reload("").status, (200, 202))
                time.sleep(0.3)
                s.leaves_within(PROMISE)
            with self.subTest(flags, first=True), Server(STOP, *flags, model=BASE, ready=False) as s:
                time.sleep(0.3)
                s.leaves_within(PROMISE)


class Clocks(unittest.TestCase):
    """A9. Promise: without SIGTERM too, every phase has a time-out of its own."""

    FLAGS = ("--server.idle_timeout_ms=1000", "--server.upload_timeout_ms=1000", "--server.send_timeout_ms=1000")

    def test_silence_in_every_phase(self):
        with Server(*self.FLAGS) as s, contextlib.ExitStack() as stack:
            wires = {name: stack.enter_context(s.wire()).push(data) for name, data in HOSTILE.items()}
            time.sleep(4 * PATIENCE)
            for name, w in wires.items():
                with self.subTest(name):
                    self.assertTrue(w.closed_within(1), "open after 4 s, with time-outs of 1 s")
            s.wait_until_idle()

    def test_a_trickle_in_every_phase(self):
        """One byte every 0.2 s is no reason to start any clock again."""
        with Server(*self.FLAGS) as s, contextlib.ExitStack() as stack:
            wires = {name: stack.enter_context(s.wire()).push(data) for name, data in HOSTILE.items() if data}
            del wires["empty lines"], wires["half a request line"]  # more letters make a bad request of these, answered at once
            open_, end = dict(wires), time.monotonic() + 6 * PATIENCE
            while open_ and time.monotonic() < end:
                time.sleep(0.2)
                for name, w in list(open_.items()):
                    try:
                        w.send(b"a")
                    except OSError:
                        del open_[name]
            self.assertEqual(sorted(open_), [])
            s.wait_until_idle()

    def test_unread_answers(self):
        """A reader that takes nothing is cut off after server.send_timeout_ms."""
        with Server(*self.FLAGS) as s:
            with s.wire(receive=2048) as w:
                w.socket.settimeout(5)
                with contextlib.suppress(TimeoutError, OSError):
                    for _ in range(2000):
                        w.send(wire.head("GET", "/openapi.json") * 10)
                before = s.metrics("minivlm_connections ")
                end = time.monotonic() + 8 * PATIENCE
                while s.metrics("minivlm_connections ")["minivlm_connections"] > 1 and time.monotonic() < end:
                    time.sleep(0.1)
                self.assertEqual(s.metrics("minivlm_connections "), {"minivlm_connections": 1}, before)


class KeepAlive(unittest.TestCase):
    """F3. Promise: from SIGTERM on every answer closes its connection, so that no client meets a dead one."""

    def test_no_client_fails_in_the_delay(self):
        for round_ in range(3):
            with self.subTest(round_), Server("--drain.delay_ms=1500", "--drain.timeout_ms=1000") as s:
                leaving, failed, kept, served = threading.Event(), [], [], []

                def client():
                    w = None
                    while True:
                        after = leaving.is_set()
                        try:
                            w = w or s.wire()
                        except ConnectionRefusedError:
                            return  # the listener is gone: the balancer would have left long ago
                        try:
                            reply = w.ask(wire.message("POST", "/images/check", picture()))
                        except (OSError, wire.Malformed) as e:
                            return failed.append(repr(e))
                        if reply is None:
                            return failed.append("closed without an answer")
                        served.append((after, reply.status))
                        if after and not reply.closes:
                            kept.append(reply)
                        if reply.closes:
                            w.close()
                            if after:
                                return
                            w = None
                        time.sleep(0.004)
                threads = [threading.Thread(target=client) for _ in range(4)]
                for t in threads:
                    t.start()
                time.sleep(0.3)
                s.process.send_signal(signal.SIGTERM)
                s.wait_for_log("stopping")
                leaving.set()
                for t in threads:
                    t.join()
                self.assertEqual((failed, kept[:1]), ([], []))
                self.assertEqual({status for after, status in served if after}, {200})
                self.assertEqual(s.process.wait(10 * PATIENCE), 0)

    def test_every_kind_of_answer_closes(self):
        """F3: errors, health, HEAD and 404 too; a connection that is idle when SIGTERM comes is served once more."""
        with Server("--drain.delay_ms=2000", "--drain.timeout_ms=500", "--server.admin_port=0") as s, contextlib.ExitStack() as stack:
            rows = {"health": wire.head("GET", "/healthz"), "not ready": wire.head("GET", "/readyz"),
                    "not found": wire.head("GET", "/nope"), "method": wire.head("PATCH", "/caption"),
                    "picture": wire.message("POST", "/caption", picture()), "bad": wire.message("POST", "/caption", b"x"),
                    "stream": wire.message("POST", "/caption?stream=true", picture()), "contract": wire.head("GET", "/openapi.json"),
                    "cached": wire.head("GET", "/", "If-None-Match: *"), "malformed": wire.head("GET", "/", "A : b"),
                    "admin": wire.head("GET", "/metrics")}
            wires = {name: stack.enter_context(wire.Wire(s.admin_port if name == "admin" else s.port)) for name in rows}
            for w in wires.values():
                self.assertFalse(w.ask(wire.head("GET", "/healthz")).closes)
            s.process.send_signal(signal.SIGTERM)
            s.wait_for("/readyz", 503)
            for name, data in rows.items():
                with self.subTest(name):
                    reply = wires[name].ask(data)
                    self.assertIsNotNone(reply)
                    self.assertTrue(reply.closes, reply)
                    self.assertTrue(wires[name].closed_within(5))


run(__name__)
