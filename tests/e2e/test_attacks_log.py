"""Rows A0 and A11: no length of a logged value, and no reader of the log, takes the service down."""
import hashlib
import os
import socket
import tempfile
import time

import wire
from support import PATIENCE, TINY, Server, launch, picture, run, unittest

LENGTHS = range(3500, 4120)  # the log line has 4 KiB; where a value meets its end depends on the other values


class Lengths(unittest.TestCase):
    """A0. Promise: no request crashes the service, and each line of the log is one JSON object."""

    FLAGS = ("--log.requests_per_second=0",)
    BURST = 50  # lines of one client's errors, well below LOG_REQUEST_BURST: a line that is not written proves nothing

    def send_all(self, s, messages, status, method="GET"):
        """Each once, on few connections; all of them get into the log."""
        w, n, before = None, 0, self.n_logged(s)
        for message in messages:
            if n % self.BURST == 0 and w:
                w.close()
                w = None
            self.n_clients = getattr(self, "n_clients", 0) + (w is None)
            w = w or s.wire(source=f"127.{1 + self.n_clients // 250}.0.{1 + self.n_clients % 250}")
            n += 1
            reply = w.send(message).reply(method)
            self.assertIsNotNone(reply, f"no answer to {message[:80]}... of {len(message)} bytes; alive: {s.alive}")
            self.assertIn(reply.status, status)
            if reply.closes:
                w.close()
                w = None
        if w:
            w.close()
        end = time.monotonic() + 30 * PATIENCE
        while self.n_logged(s) - before < n:
            self.assertLess(time.monotonic(), end, f"{self.n_logged(s) - before} of {n} requests are in the log")
            s.wait_for("/healthz", 200)  # the next line tells of those that were lost
            time.sleep(0.1)
        self.assertEqual([line for line in s.lines if not isinstance(line, dict)], [])

    def n_logged(self, s):
        """Of errors; a long value leaves no room for the status behind it."""
        lines = [line for line in list(s.lines) if isinstance(line, dict)]
        return sum(line.get("event") == "request" and line.get("status", 400) >= 400 for line in lines) + sum(
            line.get("dropped", 0) for line in lines)

    def sweep(self, s, method, prefix, *headers, status):
        self.send_all(s, (wire.message(method, prefix + "a" * length, b"", *headers) for length in LENGTHS), status, method)

    def test_every_length_of_the_path(self):
        """A0: the sweep of the report, for the methods and routes that log a path in different ways."""
        with Server(*self.FLAGS) as s:
            for method, prefix in (("HEAD", "/images/"), ("GET", "/"), ("DELETE", "/collections/"), ("POST", "/caption?x=")):
                with self.subTest(method=method, prefix=prefix):
                    self.sweep(s, method, prefix, status=(400, 404))

    def test_every_length_beside_other_values(self):
        """A0: the same where other logged values take their part of the line."""
        trace = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        with Server(*self.FLAGS) as s:
            for headers in ((trace,), ("X-Request-Id: " + "r" * 128,), (trace, "X-Request-Id: " + "\"" * 127)):
                with self.subTest(headers=headers):
                    self.sweep(s, "HEAD", "/images/", *headers, status=(400, 404))

    def test_every_length_with_escapes(self):
        """A0: values that grow when they are escaped meet the end in the middle of an escape."""
        with Server(*self.FLAGS) as s:
            for unit in ("%22", "%5C", "%01", "\""):
                with self.subTest(unit=unit):
                    lengths = range(1100, 1400) if unit != "\"" else range(1900, 2100)
                    self.send_all(s, (wire.message("GET", "/" + unit * length) for length in lengths), (400, 404))

    def test_every_length_without_a_key(self):
        """A0: a client without a key reaches the log too."""
        with tempfile.NamedTemporaryFile("w") as keys:
            keys.write("bob " + hashlib.sha256(b"secret").hexdigest() + "\n")
            keys.flush()
            with Server("--auth.keys_file=" + keys.name, *self.FLAGS) as s:
                self.sweep(s, "HEAD", "/images/", status=(401,))
                self.sweep(s, "DELETE", "/collections/", "Authorization: Bearer secreT", status=(401,))


class Stalled(unittest.TestCase):
    """A11. Promise: the log never holds up the service: what its reader does not take is dropped and counted."""

    def shout(self, s, requests, letters=3000):
        """Requests with long lines in the log, on one connection; each must be answered. From an address of their own: who
        asked whether the service is ready may have used up his lines of errors."""
        w = s.wire(patience=5 * PATIENCE, source="127.0.0.9")
        try:
            for n in range(requests):
                reply = w.ask(wire.message("GET", "/nope" + "a" * letters))
                self.assertIsNotNone(reply, f"no answer after {n} requests")
                self.assertEqual(reply.status, 404)
                if reply.closes:
                    w.close()
                    w = s.wire(patience=5 * PATIENCE, source="127.0.0.9")
        finally:
            w.close()

    def dropped(self, s):
        return sum(s.metrics(r"minivlm_log_\w*dropped\w*").values())

    def test_a_reader_that_stalls(self):
        """A11: 17 long lines fill a pipe; 400 must not stop the service, and work goes on."""
        with Server("--drain.timeout_ms=1000") as s:
            right = s.post("/caption", picture()).json["caption"]
            s.reading.clear()
            self.shout(s, 400)
            with wire.Pulse(s.port) as pulse:
                answers = [s.post("/caption", picture(), timeout=20 * PATIENCE) for _ in range(20)]
            self.assertEqual({(a.status, a.json["caption"]) for a in answers}, {(200, right)})
            self.assertEqual(pulse.wrong, [])
            self.assertGreater(self.dropped(s), 0)

    def test_sigterm_while_the_reader_stalls(self):
        """A11: leaving does not wait for the reader of the log either."""
        with Server("--drain.timeout_ms=1000") as s:
            s.reading.clear()
            self.shout(s, 100)
            s.leaves_within(2)

    def test_a_reader_that_comes_back_gets_whole_lines(self):
        """A11: what was dropped was dropped by the line, and the log says that something is missing."""
        with Server() as s:
            s.reading.clear()
            self.shout(s, 400)
            s.reading.set()
            for n in range(50):
                s.get(f"/again/{n}")
                time.sleep(0.01)
            end = time.monotonic() + 10 * PATIENCE
            said = lambda: [line for line in s.lines if isinstance(line, dict) and "drop" in str(line)]
            while not said() and time.monotonic() < end:
                s.get("/again/last")
                time.sleep(0.05)
            self.assertTrue(said(), "no line says how many were dropped")
            self.assertEqual([line for line in s.lines if not isinstance(line, dict)], [])

    def test_a_full_disk_and_a_closed_stream(self):
        """A11: standard error on a full device, closed, or a pipe without a reader: the service serves."""
        for name in ("full device", "closed", "no reader"):
            with self.subTest(name), Mute(name) as s:
                for _ in range(100):
                    self.assertEqual(wire.ask(s.port, wire.message("GET", "/nope" + "a" * 3000)).status, 404)
                self.assertEqual(wire.ask(s.port, wire.message("POST", "/caption", picture())).status, 200)

    def test_the_volume_is_bounded(self):
        """A11: one connection wrote 45 MB of log a second; lines of requests have a rate."""
        with tempfile.TemporaryFile() as log, Mute("file", log) as s:
            unit = wire.message("GET", "/nope" + "a" * 6000)
            began, w = time.monotonic(), s.wire()
            while time.monotonic() - began < 3:
                w.push(unit * 40)
                for _ in range(40):
                    if (reply := w.reply()) is None or reply.closes:
                        w.close()
                        w = s.wire()
                        break
            took = time.monotonic() - began
            w.close()
            self.assertLess(os.fstat(log.fileno()).st_size / took, 8e6)


class Mute:
    """A server whose standard error nobody reads in Python; it listens on a port that was free a moment ago."""

    def __init__(self, how, log=None):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        more, ends = {}, []
        if how == "closed":
            more = {"preexec_fn": lambda: os.close(2)}
        elif how == "full device":
            ends = [os.open("/dev/full", os.O_WRONLY)]
        elif how == "no reader":
            ends = list(os.pipe())[::-1]
        else:
            ends = [os.dup(log.fileno())]
        if ends:
            more = {"stderr": ends[0]}
        self.process = launch(f"--model.dir={TINY}", f"--server.port={self.port}", "--log.level=debug", "--log.format=json",
                              "--drain.timeout_ms=1000", **more)
        for end in ends:
            os.close(end)

    def wire(self, **more):
        return wire.Wire(self.port, **more)

    def __enter__(self):
        end = time.monotonic() + 20 * PATIENCE
        while True:
            try:
                if wire.ask(self.port, wire.head("GET", "/readyz")).status == 200:
                    return self
            except OSError:
                pass
            assert self.process.poll() is None and time.monotonic() < end, "the server did not start"
            time.sleep(0.05)

    def __exit__(self, kind, *_):
        self.process.terminate()
        code = self.process.wait(10 * PATIENCE)
        if kind is None:
            assert code == 0, f"exit code {code}"


run(__name__)
