"""Row A17: more connections or descriptors than allowed are answered or closed at once, counted and said."""
import contextlib
import pathlib
import re
import resource
import signal
import time

import wire
from support import PATIENCE, Server, descriptors_limit, picture, run, unittest

HARD = (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2
resource.setrlimit(resource.RLIMIT_NOFILE, HARD)


def address(n):
    """Clients of many addresses: what one address may have is another limit."""
    return f"127.0.1.{n % 200 + 1}"


class Limits(unittest.TestCase):
    """A17. Promise: excess never hangs; it is counted; one address does not take all by default."""

    def ends_at_once(self, w, seconds=2):
        """Answered with 503 and closed, or closed: what does not happen is silence."""
        began = time.monotonic()
        w.socket.settimeout(seconds * PATIENCE)
        try:
            reply = w.ask(wire.head("GET", "/healthz"))
        except TimeoutError:
            self.fail(f"silence for {seconds} s")
        if reply is not None:
            self.assertEqual(reply.status, 503, reply)
            self.assertEqual(reply.headers["content-type"].split(";")[0], "application/json")
            self.assertTrue(reply.closes)
        self.assertLess(time.monotonic() - began, seconds * PATIENCE)

    def counted(self, s, **more):
        names = {}
        for line in wire.ask(s.port, wire.head("GET", "/metrics"), **more).body.decode().splitlines():
            if line.startswith("minivlm_") and ("connections" in line.split(" ")[0] or "rejected" in line.split(" ")[0]):
                name, value = line.rsplit(" ", 1)
                names[name] = float(value)
        return names

    def test_more_than_the_limit(self):
        """A17: the next client hung in the backlog until a time-out of its own."""
        with Server("--server.max_connections=16") as s:
            with contextlib.ExitStack() as stack:
                held = [stack.enter_context(s.wire(source=address(n))) for n in range(16)]
                for w in held:
                    self.assertEqual(w.ask(wire.head("GET", "/healthz")).status, 200)
                for n in range(20):
                    self.ends_at_once(stack.enter_context(s.wire(source=address(n))))
                for w in held:  # those who were there first are served on
                    self.assertEqual(w.ask(wire.head("GET", "/healthz")).status, 200)
            end, served = time.monotonic() + 5 * PATIENCE, None
            while served is None and time.monotonic() < end:
                served = wire.ask(s.port, wire.head("GET", "/healthz"))
            self.assertEqual(served.status, 200)
            counts = self.counted(s)
            self.assertTrue(any(v >= 20 for k, v in counts.items() if k != "minivlm_connections"), counts)

    def test_more_than_one_address_may_have(self):
        """A17: by default one address may not take all connections; another address is served."""
        with Server("--server.max_connections=512") as s, contextlib.ExitStack() as stack:
            for _ in range(560):
                w = stack.enter_context(s.wire(patience=5))
                w.push(b"GET /he")
            reply = wire.ask(s.port, wire.message("POST", "/caption", picture()), source="127.0.0.2", patience=5 * PATIENCE)
            self.assertIsNotNone(reply, "closed: one address had taken all")
            self.assertEqual(reply.status, 200)
            self.ends_at_once(stack.enter_context(s.wire()))

    def test_more_than_one_address_may_have_of_few(self):
        """A17: so it is where there are few: some stay for others, although nobody of the first address gives way."""
        with Server("--server.max_connections=64") as s, contextlib.ExitStack() as stack:
            for _ in range(150):
                with contextlib.suppress(OSError):
                    w = stack.enter_context(s.wire(patience=5))
                    w.push(wire.head("POST", "/caption", "Content-Length: 100000") + b"x")
            reply = wire.ask(s.port, wire.head("GET", "/healthz"), source="127.0.0.2", patience=5 * PATIENCE)
            self.assertIsNotNone(reply, "closed: one address had taken all")
            self.assertEqual(reply.status, 200)

    def is_open(self, w):
        """Asked, it answers."""
        with contextlib.suppress(OSError):
            reply = w.ask(wire.head("GET", "/healthz"))
            return reply is not None and reply.status == 200
        return False

    def beside_the_heaviest(self, occupy):
        """All 16 connections are taken, 13 by one address, none idle for a second -> status for a newcomer, connections closed for
        him. The two and one of others are left alone."""
        with Server("--server.max_connections=16") as s, contextlib.ExitStack() as stack:
            heavy = [stack.enter_context(s.wire(source="127.0.0.2")) for _ in range(13)]
            others = [stack.enter_context(s.wire(source=source)) for source in ("127.0.0.3", "127.0.0.3", "127.0.0.4")]
            for w in others + heavy:
                self.assertTrue(self.is_open(w))
            for w in heavy:
                occupy(w)
            time.sleep(0.1)
            reply = stack.enter_context(s.wire(source="127.0.0.5")).ask(wire.head("GET", "/healthz"))
            self.assertTrue(all(self.is_open(w) for w in others))
            metrics = others[0].ask(wire.head("GET", "/metrics")).body
            return reply.status, int(re.search(rb"^minivlm_connections_evicted_total (\d+)", metrics, re.M)[1])

    def test_idle_ones_of_the_heaviest_address(self):
        """A17: who has the most gives way to a newcomer, also with connections that were used a moment ago."""
        self.assertEqual(self.beside_the_heaviest(lambda w: None), (200, 1))

    def test_unbegun_ones_of_the_heaviest_address(self):
        """A17: and with those on which no request has come whole."""
        self.assertEqual(self.beside_the_heaviest(lambda w: w.push(b"GET /healthz HT")), (200, 1))

    def test_begun_ones_of_the_heaviest_address(self):
        """A17: a request that was begun is not given up for a newcomer."""
        upload = wire.head("POST", "/caption", "Content-Length: 100000") + b"x"
        self.assertEqual(self.beside_the_heaviest(lambda w: w.push(upload)), (503, 0))

    def test_a_limit_for_each_address(self):
        """A17: server.max_connections_per_address closes the excess at once, and counts it."""
        with Server("--server.max_connections_per_address=4") as s, contextlib.ExitStack() as stack:
            held = [stack.enter_context(s.wire(source="127.0.0.2")) for _ in range(4)]
            for w in held:
                self.assertEqual(w.ask(wire.head("GET", "/healthz")).status, 200)
            for _ in range(10):
                self.ends_at_once(stack.enter_context(s.wire(source="127.0.0.2")))
            counts = self.counted(s, source="127.0.0.3")
            self.assertTrue(any(v >= 10 for k, v in counts.items() if k != "minivlm_connections"), counts)

    def test_the_soft_limit_of_descriptors_is_raised(self):
        """A17: with 64 descriptors allowed softly and 4096 hard, 300 connections are served."""
        with Server(preexec_fn=descriptors_limit(64, 4096)) as s, contextlib.ExitStack() as stack:
            wires = [stack.enter_context(s.wire(patience=10 * PATIENCE, source=address(n))) for n in range(300)]
            for w in wires:
                self.assertEqual(w.ask(wire.head("GET", "/healthz")).status, 200)

    def test_no_descriptors_left(self):
        """A17: at the hard limit the excess ends at once, a line in the log says why, and it is served again later."""
        with Server(preexec_fn=descriptors_limit(64, 64)) as s:
            with contextlib.ExitStack() as stack:
                wires = [stack.enter_context(s.wire(patience=3 * PATIENCE, source=address(n))) for n in range(120)]
                answered = 0
                for w in wires:
                    try:
                        reply = w.ask(wire.head("GET", "/healthz"))
                    except TimeoutError:
                        self.fail(f"silence after {answered} connections")
                    answered += reply is not None and reply.status == 200
                self.assertGreater(answered, 8)
                self.assertLess(answered, 64)
            text = " ".join(str(line) for line in s.lines if not (isinstance(line, dict) and line["event"] == "request"))
            self.assertRegex(text, "descriptor|connections|open files")
            end = time.monotonic() + 5 * PATIENCE
            while (reply := wire.ask(s.port, wire.head("GET", "/healthz"))) is None and time.monotonic() < end:
                time.sleep(0.05)
            self.assertEqual(reply.status, 200)
            self.assertEqual(wire.ask(s.port, wire.message("POST", "/caption", picture())).status, 200)

    def test_refused_bodies_that_do_not_end(self):
        """A17's sister: clients who were refused and send on for seconds use up no descriptors that others need."""
        with Server("--log.level=info", keeps_requests=False, preexec_fn=descriptors_limit(160, 160)) as s, \
                contextlib.ExitStack() as stack:
            greedy, stop, asked, served = [], time.monotonic() + 6, 0, 0
            while time.monotonic() < stop:
                for _ in range(8):
                    with contextlib.suppress(OSError):
                        w = stack.enter_context(s.wire(source="127.0.0.2"))
                        greedy.append(w.push(wire.head("POST", "/nope", f"Content-Length: {1 << 40}")))
                        w.socket.setblocking(False)
                for w in greedy[-400:]:
                    with contextlib.suppress(OSError):
                        w.socket.send(bytes(1 << 16))
                with contextlib.suppress(OSError):
                    asked += 1
                    reply = wire.ask(s.port, wire.head("GET", "/healthz"), source="127.0.0.3", patience=5 * PATIENCE)
                    served += reply is not None and reply.status == 200
            self.assertGreaterEqual(served, 0.9 * asked, (served, asked))

    def test_the_loop_does_not_spin_without_descriptors(self):
        """A17: a connection that cannot be accepted is no reason to burn a core."""
        with Server(preexec_fn=descriptors_limit(64, 64)) as s, contextlib.ExitStack() as stack:
            for n in range(120):
                stack.enter_context(s.wire(source=address(n)))
            time.sleep(1)
            ticks = lambda: sum(int(n) for n in pathlib.Path(f"/proc/{s.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])
            before = ticks()
            time.sleep(2)
            self.assertLess(ticks() - before, 50 * PATIENCE)  # hundredths of a second


class Turns(unittest.TestCase):
    """A13's sister. Promise: one turn of the loop begins a bounded number of requests, however many have come, so that who
    comes next (a health probe) waits for those of one turn, not for all. Counted, not timed."""

    MAX = 64  # HTTP_TURN_MAX in server/http/http_private.h, and those that are served in their events

    def crowd(self, s, n, data):
        """All bytes are there before the server looks: it is stopped meanwhile."""
        stack = contextlib.ExitStack()
        clients = [stack.enter_context(s.wire(source=address(i))) for i in range(n)]
        for w in clients:
            w.ask(wire.head("GET", "/healthz"))
        s.process.send_signal(signal.SIGSTOP)
        for w in clients:
            w.send(data)
        probe = stack.enter_context(s.wire()).send(wire.head("GET", "/healthz"))
        s.process.send_signal(signal.SIGCONT)
        self.assertEqual(probe.reply().status, 200)
        return stack, clients

    def test_pipelines(self):
        with Server("--log.level=info", keeps_requests=False) as s:
            stack, clients = self.crowd(s, 100, wire.head("GET", "/healthz") * 200)
            with stack:
                # The probe came last and has been served: only the first of each pipeline may have come before it.
                served = s.metric('minivlm_requests_total{route="healthz",code="200"}')
                for w in clients:
                    self.assertEqual({w.reply().status for _ in range(200)}, {200})
            self.assertLess(served, 100 + 100 * 200 / 4)
            self.assertIn(s.metric("minivlm_turn_requests_max"), range(1, self.MAX + 1))

    def test_pipelined_refusals(self):
        """Without a body, and with one that is thrown away."""
        with Server("--log.level=info", keeps_requests=False) as s:
            for message in (wire.head("GET", "/nowhere"), wire.message("POST", "/nowhere", b"12345")):
                stack, clients = self.crowd(s, 50, message * 100)
                with stack:
                    for w in clients:
                        self.assertEqual({w.reply().status for _ in range(100)}, {404})
                self.assertIn(s.metric("minivlm_turn_requests_max"), range(1, self.MAX + 1))

    def test_nonsense(self):
        with Server("--log.level=info", keeps_requests=False) as s:
            stack, clients = self.crowd(s, 100, b"GET / HTTP/1.1\r\nHost : a\r\n\r\n")
            with stack:
                for w in clients:
                    reply = w.reply()
                    self.assertEqual((reply.status, reply.closes), (400, True))
            self.assertIn(s.metric("minivlm_turn_requests_max"), range(1, self.MAX + 1))
            s.wait_until_idle()

    def test_refusals_wait_their_turn(self):
        """Heads that come whole and heads whose last byte comes later, and clients who leave while theirs waits."""
        with Server("--log.level=info", keeps_requests=False) as s:
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(s.wire(source=address(i))) for i in range(60)]
                s.process.send_signal(signal.SIGSTOP)
                for i, w in enumerate(clients):
                    w.send(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"[:-(i % 2) or None])
                s.process.send_signal(signal.SIGCONT)
                for w in clients[40:]:
                    w.reset()
                for w in clients[1:40:2]:
                    w.push(b"\n")
                for w in clients[:40]:
                    self.assertEqual(w.reply().status, 400)
            self.assertEqual(s.get("/healthz").status, 200)


class Crowds(unittest.TestCase):
    """A17's sisters. Promise: who comes beside a crowd of one kind is served while the crowd waits in line. What the server
    has done is counted in the answer to the probe, which was sent last."""

    def beside(self, leave, n=1500):
        with Server("--log.level=info", "--server.max_connections=2000", keeps_requests=False,
                    preexec_fn=descriptors_limit(*HARD)) as s, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(s.wire(source=address(i))).send(b"GET /he") for i in range(n)]
            probe = stack.enter_context(s.wire())
            count = lambda: float(re.search(rb"^minivlm_connections (\d+)", probe.ask(wire.head("GET", "/metrics")).body, re.M)[1])
            end = time.monotonic() + 20 * PATIENCE
            while count() < n:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)
            probe.send(wire.head("GET", "/metrics", "Content-Length: 1"))  # with a body: stands in line, too
            time.sleep(0.1)
            s.process.send_signal(signal.SIGSTOP)
            for w in clients:
                leave(w)
            probe.send(b"x")
            s.process.send_signal(signal.SIGCONT)
            left = float(re.search(rb"^minivlm_connections (\d+)", probe.reply().body, re.M)[1])
            while count() > n // 8:  # those who closed their side only linger for a second
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)
            self.assertGreater(left, n / 2)
            self.assertLess(s.metric("minivlm_turn_cpu_seconds_max"), 0.01 * PATIENCE)
            s.wait_until_idle()

    def test_all_hang_up(self):
        self.beside(lambda w: w.close())

    def test_all_reset(self):
        self.beside(lambda w: w.reset())

    def test_all_end_their_side(self):
        self.beside(lambda w: w.half_close())

    def test_all_upload(self):
        """One address may not take all the memory that connections have."""
        with Server("--log.level=info", keeps_requests=False, preexec_fn=descriptors_limit(*HARD)) as s, \
                contextlib.ExitStack() as stack:
            limit = s.metric('minivlm_memory_limit_bytes{account="connections"}')
            for _ in range(min(int(limit / 40000) + 100, 2500)):
                stack.enter_context(s.wire(source="127.0.0.2")).push(wire.head("POST", "/caption", "Content-Length: 1000000") + b"x")
            for _ in range(10):
                self.assertEqual(wire.ask(s.port, wire.head("GET", "/healthz"), source="127.0.0.3").status, 200)


run(__name__)
