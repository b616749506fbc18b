"""Every phase of a connection has a clock and an end, every resource of a connection a limit; leaving in time whatever
clients do."""
import contextlib
import json
import resource
import signal
import threading
import time

from connections import CAPTION, GET, SLOW, ask_and, code_of, connect, read_all, status_of, wait_until_idle
from support import BASE, Server, run, unittest


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

    def ends(self, server, first, at_least, at_most, status=None, drip=None):
        """What the server does with a connection that sends this, and perhaps some bytes again and again."""
        with connect(server) as c:
            began = time.monotonic()
            c.sendall(first)
            stop = threading.Event()

            def go():
                with contextlib.suppress(OSError):
                    while not stop.wait(0.1):
                        c.sendall(drip)
            if drip:
                threading.Thread(target=go).start()
            out, _ = read_all(c)
            stop.set()
            took = time.monotonic() - began
        self.assertEqual(status_of(out), status, out)
        self.assertTrue(at_least <= took <= at_most, took)
        if status == 408:
            self.assertIn(b"Connection: close", out)

    def test_every_phase_ends(self):
        with Server("--server.idle_timeout_ms=1200", "--server.upload_timeout_ms=2000", "--server.send_timeout_ms=1500") as s:

            def ends(*arguments, **more):
                self.ends(s, *arguments, **more)

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
        with Server("--server.max_connections=8", "--server.max_connections_per_address=100") as s, contextlib.ExitStack() as stack:
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
        with Server("--server.max_connections=8", "--server.max_connections_per_address=100") as s, contextlib.ExitStack() as stack:
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
    def test_half_closed_is_served_and_closed_is_not(self):
        with Server(*SLOW, model=BASE) as s:
            for _ in range(3):
                out = s.raw(CAPTION.replace(b"/caption", b"/caption?num_beams=4").replace(b"Host", b"Connection: close\r\nHost", 1),
                            half_close=True, timeout=30)
                self.assertEqual((status_of(out), out.count(b"HTTP/1.1 ")), (200, 1))
                self.assertIn("caption", json.loads(out.partition(b"\r\n\r\n")[2]))
            self.assertEqual(s.metric("minivlm_client_gone_total"), 0)
            ask_and(s, s.metric, lambda c: c.close())
            wait_until_idle(s.metric)
            count = lambda code: s.metric(f'minivlm_requests_total{{route="caption",code="{code}"}}')
            self.assertEqual(count(200), 3)
            self.assertGreaterEqual(count(499), 1)
            self.assertEqual(count(499) + count(429), 4)  # a gate may be full when all come at once


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
