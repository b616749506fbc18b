"""Rows A4, A12, A13 and U3: no body and no reader takes more memory than is planned, or the loop's time."""
import base64
import contextlib
import json
import os
import subprocess
import threading
import time

import wire
from support import BASE, BUILD, PATIENCE, ROOT, Server, form, picture, run, unittest

MIB = 1 << 20
PHOTO = (ROOT / "docs" / "photos" / "cat.jpg").read_bytes()
JSON = ("Content-Type: application/json",)


def repeated(unit, size, before=b'{"images":[', after=b"]}"):
    n = (size - len(before) - len(after)) // (len(unit) + 1)
    return before + b",".join([unit] * n) + after


def bombs(size):
    """Bodies of JSON whose values are many times larger in memory than on the wire."""
    yield "objects", repeated(b"{}", size)
    yield "arrays", repeated(b"[]", size)
    yield "numbers", repeated(b"1", size)
    yield "numbers with points", repeated(b"1.5e3", size)
    yield "strings", repeated(b'""', size)
    yield "texts", repeated(b'"a"', size, b'{"texts":[')
    yield "ids", repeated(b'{"id":""}', size)
    yield "nothing", repeated(b"null", size)
    yield "keys", b"{" + b",".join(b'"k%d":0' % n for n in range(size // 12)) + b"}"
    yield "keys of one value", repeated(b'{"a":{}}', size, b'{"question":[')
    yield "nested", b'{"images":' + b"[" * (size // 2) + b"]" * (size // 2) + b"}"
    yield "nested in turn", b'{"images":' + b'[{"a":' * (size // 12) + b"1" + b"}]" * (size // 12) + b"}"
    yield "a bare array", repeated(b"{}", size, b"[", b"]")
    yield "documents", repeated(b'{"text":""}', size, b'{"query":"a","documents":[')
    yield "a long string", b'{"question":"' + b"a" * size + b'"}'
    yield "escapes", b'{"question":"' + b"\\u0041" * (size // 6) + b'"}'
    yield "a long number", b'{"top_k":' + b"1" * size + b"}"
    yield "spaces", b'{"image":' + b" " * size + b"1}"


class Bodies(unittest.TestCase):
    """A4. Promise: nodes, depth and bytes of a body are bounded before and while it is read; the loop goes on."""

    SIZE = 12 * MIB

    def test_json_bombs(self):
        """A4: 12 MB of small values took more than a gigabyte; now less than three times the body beside it."""
        with Server("--cache.bytes=0") as s:
            before = s.resident
            for name, body in bombs(self.SIZE):
                for target in ("/caption", "/vqa", "/retrieve") if name in ("objects", "keys") else ("/retrieve",):
                    with self.subTest(name, target=target):
                        s.forget_peak()
                        reply = wire.ask(s.port, wire.message("POST", target, body, *JSON))
                        self.assertIn(reply.status, (400, 413), reply)
                        self.assertLess(s.peak - before, 4 * self.SIZE / MIB * max(1, PATIENCE))
            s.wait_until_idle()

    def test_json_bombs_in_chunks_and_at_once(self):
        """A4: the same without a Content-Length, eight at a time: the budget of all bodies holds."""
        with Server(f"--limits.body_memory_bytes={40 * MIB}", "--cache.bytes=0") as s:
            body = repeated(b"{}", 6 * MIB)
            message = wire.chunks("POST", "/retrieve", body, *JSON, size=50000)
            s.forget_peak()
            before = s.resident
            replies = wire.together([lambda: wire.ask(s.port, message)] * 8)
            self.assertLessEqual({r.status for r in replies if r}, {400, 413, 429, 503})
            self.assertLess(s.peak - before, 160 * max(1, PATIENCE))
            s.wait_until_idle()

    def test_other_bombs(self):
        """A4's sisters: a form of very many parts, a query string of very many parameters, long part heads."""
        parts = b"".join(b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\na\r\n' for _ in range(150000)) + b"--b--\r\n"
        empty = b"--b\r\n\r\n\r\n" * 800000 + b"--b--\r\n"
        heads = b"--b\r\n" + b"X-A: bbbbbbbbbbbbbbbbbbbbbbbbb\r\n" * 300000 + b"\r\n\r\n--b--\r\n"
        quoted = b'--b\r\nContent-Disposition: form-data; name="' + b"a" * 8000000 + b'"\r\n\r\n\r\n--b--\r\n'
        kind = "Content-Type: multipart/form-data; boundary=b"
        rows = {"parts": (parts, kind), "empty parts": (empty, kind), "part heads": (heads, kind), "a name": (quoted, kind)}
        with Server("--cache.bytes=0") as s:
            for name, (body, header) in rows.items():
                with self.subTest(name):
                    s.forget_peak()
                    before = s.resident
                    reply = wire.ask(s.port, wire.message("POST", "/retrieve", body, header))
                    self.assertIn(reply.status, (400, 413), reply)
                    self.assertLess(s.peak - before, 4 * len(body) / MIB + 16)

    def test_health_while_bombs_are_read(self):
        """A4: the loop was held for three seconds."""
        for name, body in list(bombs(self.SIZE))[:6:5] + [("keys", dict(bombs(self.SIZE))["keys"])]:
            with self.subTest(name), Server("--cache.bytes=0") as s:
                message = wire.message("POST", "/retrieve", body, *JSON)

                def measure():
                    with wire.Pulse(s.port) as pulse:
                        wire.ask(s.port, message)
                    self.assertEqual(pulse.wrong, [])
                    return pulse.worst
                self.assertLess(wire.best_of(6, 0.1, measure), 0.1 * PATIENCE)


class Loop(unittest.TestCase):
    """A13. Promise: /healthz answers whatever bodies come (p99 <= 5 ms on a machine of its own)."""

    def test_health_while_large_pictures_are_read(self):
        """A13: a picture of 15 MB in base64, in a form and as it is held the loop for 200 ms and more."""
        large = picture() + os.urandom(14 * MIB)
        body, headers = form([("image", large), ("text", "a dog")])
        rows = {"JSON": wire.message("POST", "/retrieve", {"image": base64.b64encode(large).decode(), "text": "a dog"}),
                "data URI": wire.message("POST", "/caption", {"image": "data:image/png;base64," + base64.b64encode(large).decode()}),
                "sixteen in JSON": wire.message("POST", "/caption", {"images": [base64.b64encode(large[:900000]).decode()] * 16}),
                "form": wire.message("POST", "/retrieve", body, *(f"{k}: {v}" for k, v in headers.items())),
                "chunks": wire.chunks("POST", "/caption", large, size=1 << 16), "raw": wire.message("POST", "/caption", large)}
        with Server("--cache.bytes=0") as s:
            for name, message in rows.items():
                with self.subTest(name):
                    def measure():
                        with wire.Pulse(s.port) as pulse:
                            self.assertEqual(wire.ask(s.port, message).status, 200)
                        self.assertEqual(pulse.wrong, [])
                        return pulse.worst
                    self.assertLess(wire.best_of(8, 0.1, measure), 0.1 * PATIENCE)


class Answers(unittest.TestCase):
    """A12. Promise: an answer counts until it is read, and slow readers are cut by rate."""

    def rerank(self, kind):
        """A request whose answer repeats its documents: large in, larger out."""
        if kind == "pictures":
            documents = [{"image": base64.b64encode(PHOTO + os.urandom(2 * MIB)).decode()} for _ in range(3)]
            return wire.message("POST", "/retrieve", {"query": "a cat", "documents": documents, "return_documents": True})
        body = json.dumps({"query": {"image": base64.b64encode(PHOTO).decode()}, "return_documents": True,
                           "documents": [{"text": "a", "extra": "HERE"}]}).replace('"HERE"', "[" + "1e9," * (2 * MIB) + "1]")
        return wire.message("POST", "/retrieve", body.encode(), *JSON)

    def test_answers_that_nobody_reads(self):
        """A12: sixteen connections that asked for large answers and read nothing held 1.1 GB."""
        for kind in ("numbers", "pictures"):
            with self.subTest(kind), Server("--limits.body_memory_bytes=160MiB", "--cache.bytes=0",
                                            "--server.send_timeout_ms=2000", "--server.idle_timeout_ms=2000") as s:
                self.unread(s, self.rerank(kind))

    def test_streams_of_many_clients(self):
        """A12: a stream counts with what it can hold; with little memory a crowd was refused at the fifth."""
        with Server("--limits.memory_bytes=190MiB", "--cache.bytes=0") as s, contextlib.ExitStack() as stack:
            message = wire.message("POST", "/caption?stream=true", PHOTO)
            wires = [stack.enter_context(s.wire(source=f"127.0.0.{2 + n}")) for n in range(16)]
            for w in wires:
                w.push(message)
            for w in wires:
                reply = w.reply()
                self.assertEqual(reply.status, 200, reply)
                self.assertIn(b"event: done", reply.body)
            self.assertEqual(s.metric('minivlm_memory_refused_total{account="streams"}'), 0)

    def unread(self, s, message):
        s.forget_peak()
        before = s.resident
        with contextlib.ExitStack() as stack:
            wires = [stack.enter_context(s.wire(receive=4096)) for _ in range(16)]
            senders = [threading.Thread(target=w.push, args=(message,)) for w in wires]
            for t in senders:
                t.start()
            for t in senders:
                t.join(30)
            with wire.Pulse(s.port) as pulse:
                time.sleep(1)
            self.assertEqual(pulse.wrong, [])
            self.assertEqual(wire.ask(s.port, wire.message("POST", "/caption", PHOTO)).status, 200)
            end = time.monotonic() + 15 * PATIENCE
            while s.metrics("minivlm_connections ")["minivlm_connections"] > 1 and time.monotonic() < end:
                time.sleep(0.1)
            self.assertEqual(s.metrics("minivlm_connections ")["minivlm_connections"], 1, "unread answers were kept")
        self.assertLess(s.peak - before, 400 * max(1, PATIENCE))

    def test_a_reader_of_a_byte_a_second(self):
        """A12: slow is cut too, not only silent: a large answer at 100 bytes a second ends."""
        with Server("--server.send_timeout_ms=1500", "--cache.bytes=0") as s, s.wire(receive=2048) as w:
            w.socket.setsockopt(wire.socket.SOL_SOCKET, wire.socket.SO_RCVBUF, 2048)
            w.push(wire.head("GET", "/openapi.json") * 60)
            end, read = time.monotonic() + 20 * PATIENCE, 0
            while time.monotonic() < end:
                try:
                    more = w.socket.recv(20)
                except OSError:
                    break
                if not more:
                    break
                read += len(more)
                if read % 1000 == 0 and s.metrics("minivlm_connections ")["minivlm_connections"] == 1:
                    break  # cut; what is left lies in the kernel
                time.sleep(0.02)
            self.assertEqual(s.metrics("minivlm_connections ")["minivlm_connections"], 1, f"still served after {read} bytes")

    def test_slow_readers_make_room(self):
        """A12's sister: five hundred readers, each above the minimum rate, held the whole budget for answers for ever."""
        contract, small = wire.head("GET", "/openapi.json"), wire.head("GET", "/nope")
        with Server("--log.level=info", keeps_requests=False) as s, contextlib.ExitStack() as stack:
            readers = [stack.enter_context(s.wire(receive=2048)) for _ in range(800)]
            for n, w in enumerate(readers):
                w.push(contract * 2 + (small * 400 if n > 500 else contract * 28))
                w.socket.setblocking(False)
            began, got = time.monotonic(), []
            while len(got) < 6:
                for w in readers:
                    with contextlib.suppress(OSError):
                        w.socket.recv(3000)
                if time.monotonic() > began + 3:  # at first none of them is slow
                    got.append(wire.ask(s.port, contract, source="127.0.0.2").status)
            self.assertEqual(got, [200] * 6)


class Plan(unittest.TestCase):
    """U3. Promise: the plan counts bodies, decoding and answers; within its limit the process stays, whatever comes."""

    def test_a_limit_that_cannot_hold_is_refused(self):
        """U3: a start that promises more than the limit has fails, with the keys to change."""
        for limit in ("30MiB", "60MiB", "90MiB"):
            with self.subTest(limit):
                done = subprocess.run([BUILD / "minivlm-server", f"--model.dir={BASE}", "--server.port=0", "--log.format=json",
                                       f"--limits.memory_bytes={limit}", "--limits.body_memory_bytes=256MiB"],
                                      capture_output=True, text=True, timeout=60 * PATIENCE)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertRegex(done.stderr, r"limits\.memory_bytes|limits\.body_memory_bytes|cache\.bytes")

    def test_large_pictures_within_the_limit(self):
        """U3: twelve pictures of legal size at once, at a limit of 420 MiB: answers or refusals, and the peak below it."""
        limit = 420
        message = lambda n: wire.message("POST", "/caption?num_beams=1", flat + bytes([n]))
        flat = wire.png(4800, 4000)
        flat += bytes(20 * MIB - 1 - len(flat))
        with Server(f"--limits.memory_bytes={limit}MiB", model=BASE) as s:
            jobs = [lambda n=n: wire.ask(s.port, message(n), patience=120) for n in range(12)]
            replies = wire.together(jobs)
            self.assertNotIn(None, replies)
            self.assertLessEqual({r.status for r in replies}, {200, 413, 429, 503, 504})
            self.assertIn(200, {r.status for r in replies})
            self.assertLess(s.peak, limit)
            s.wait_until_idle()
            self.assertEqual(wire.ask(s.port, wire.message("POST", "/caption", PHOTO)).status, 200)

    def test_memory_comes_back(self):
        """U3: what large pictures and bodies took is given back, not kept for ever by decoders and pools."""
        with Server("--cache.bytes=0") as s:
            before = s.resident
            for n in range(3):
                wire.ask(s.port, wire.message("POST", "/caption", wire.png(7000, 7000, n)), patience=120)
            wire.ask(s.port, wire.message("POST", "/caption", os.urandom(19 * MIB)))
            end = time.monotonic() + 20
            while s.resident - before > 40 and time.monotonic() < end:
                time.sleep(0.2)
                s.get("/healthz")
            self.assertLess(s.resident - before, 40 * max(1, PATIENCE))

    def test_crowds_of_connections(self):
        """U3's sister: connections that each hold half a head, or a head and half a body, took 20 to 60 KiB each that nobody
        counted. Now they end at their part of the plan, and who comes later finds a place."""
        head = wire.head("POST", "/caption", "Content-Length: 100000")
        for name, data in (("heads", b"GET / HTTP/1.1\r\nX-A: " + b"a" * 15000), ("bodies", head + b"ab"),
                           ("larger bodies", head + b"a" * 20000)):
            with self.subTest(name), Server("--limits.memory_bytes=200MiB", "--server.max_connections=3000", "--cache.bytes=0",
                                            "--server.admin_port=0", "--log.level=info") as s, contextlib.ExitStack() as stack:
                limits = s.metrics('minivlm_memory_limit_bytes{account="(bodies|connections)"}')
                before = s.resident
                for n in range(2500):
                    with contextlib.suppress(OSError):
                        stack.enter_context(s.wire(source=f"127.0.{n // 100 + 4}.{n % 100 + 1}")).push(data)
                held = s.metrics("minivlm_memory_peak_bytes")['minivlm_memory_peak_bytes{account="connections"}']
                self.assertLess(held, limits['minivlm_memory_limit_bytes{account="connections"}'] + MIB)
                self.assertLess(s.peak - before, sum(limits.values()) / MIB + 8 * max(1, PATIENCE))
                end = time.monotonic() + 10 * PATIENCE
                polite = lambda: getattr(wire.ask(s.port, wire.message("POST", "/caption", PHOTO)), "status", None)
                while polite() != 200:
                    self.assertLess(time.monotonic(), end, "nobody makes room for a polite client")
                    time.sleep(0.2)

    def test_the_ledger_is_exported(self):
        """U3, A12: held, peak and limit of each account are metrics, and they come back to nothing."""
        with Server("--cache.bytes=0") as s:
            wire.ask(s.port, wire.message("POST", "/caption", PHOTO))
            s.wait_until_idle()
            names = s.metrics(r"minivlm_memory\w*")
            self.assertTrue(any("bodies" in n for n in names), names)


run(__name__)
