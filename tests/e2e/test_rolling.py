"""Two replicas behind HAProxy (deploy/haproxy.cfg) and behind nginx (deploy/nginx.conf), under steady load with small
pictures and with pictures of 1.5 MB: a rolling restart, SIGKILL of one and SIGSTOP of one lose no request. May be retried:
what got no byte of an answer. A server that dies in the middle of sending an answer cannot be hidden; answers here are one
packet, so that there is no middle."""
import collections
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading
import time

from support import PATIENCE, ROOT, Server, picture, run, unittest

CLIENTS = 6
LARGE = 1500000  # bytes of a picture as phones save it
DRAIN = ("--drain.delay_ms=1500", "--drain.timeout_ms=10000")  # the check's interval is 500 ms


def free_ports(n):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(n)]
        return [s.getsockname()[1] for s in sockets]


def large(picture):
    """The same picture with room for a maker's notes: segments that decoders pass over."""
    assert picture[:2] == b"\xff\xd8"
    segment = b"\xff\xef\xff\xff" + bytes(65533)
    return picture[:2] + segment * (LARGE // len(segment) + 1) + picture[2:]


PICTURES = (picture(0), picture(1), large((ROOT / "docs" / "photos" / "cat.jpg").read_bytes()))


class Load:
    """Each client asks again as soon as it is answered, half of them on a new connection every time."""

    def __init__(self, port):
        self.port, self.seen, self.is_over = port, collections.Counter(), threading.Event()
        self.threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(CLIENTS)]

    def _ask(self, n):
        connection = None
        while not self.is_over.is_set():
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                connection.request("POST", "/caption", PICTURES[n % 3])
                answer = connection.getresponse()
                self.seen[n % 3, answer.status, answer.read()] += 1
            except (OSError, http.client.HTTPException) as e:
                self.seen[n % 3, 0, repr(e)] += 1
                connection = None
            if n % 2 and connection:
                connection.close()
                connection = None
        if connection:
            connection.close()

    def total(self):
        return sum(self.seen.values())

    def wait_for(self, more):
        goal, end = self.total() + more, time.monotonic() + 30
        while self.total() < goal:
            assert time.monotonic() < end, f"no progress: {self.seen}"
            time.sleep(0.01)

    def __enter__(self):
        for t in self.threads:
            t.start()
        self.wait_for(50)
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for t in self.threads:
            t.join()


class Balanced:
    """What each balancer must hold; `sample` is its configuration in deploy/."""

    def setUp(self):
        self.front, self.one, self.two = free_ports(3)
        self.replicas = {port: self.start(port) for port in (self.one, self.two)}
        text = (ROOT / "deploy" / self.sample).read_text()
        for written, port in (("127.0.0.1:8000", self.front), ("127.0.0.1:8081", self.one), ("127.0.0.1:8082", self.two)):
            self.assertGreaterEqual(text.count(written), 1)
            text = text.replace(written, f"127.0.0.1:{port}")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name) / self.sample
        path.write_text(text)
        self.log = open(folder.name + "/log", "w+")
        self.addCleanup(self.log.close)
        self.balancer = subprocess.Popen(self.command(path), stdout=self.log, stderr=self.log)
        self.addCleanup(self.stop_all)
        self.wait_until_up()

    def start(self, port):
        return Server(f"--server.port={port}", "--log.level=info", "--server.trusted_proxies=127.0.0.1", *DRAIN)

    def wait_until_up(self):
        end = time.monotonic() + 20
        while True:
            self.assertIsNone(self.balancer.poll(), "the balancer ended: " + pathlib.Path(self.log.name).read_text())
            with contextlib.suppress(OSError), contextlib.closing(
                    http.client.HTTPConnection("127.0.0.1", self.front, timeout=5)) as c:
                c.request("GET", "/readyz")
                if c.getresponse().status == 200:
                    return
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)

    def stop_all(self):
        self.balancer.terminate()
        self.balancer.wait()
        for replica in self.replicas.values():
            replica.stop(signal.SIGKILL)
            replica.process.stderr.close()

    def check(self, load):
        lost = {key: n for key, n in load.seen.items() if key[1] != 200}
        self.assertEqual(lost, {})
        self.assertEqual(len(load.seen), 3, "the answers of a picture are not all the same")

    def test_rolling_restart(self):
        with Load(self.front) as load:
            for port, replica in list(self.replicas.items()):
                self.assertEqual(replica.stop(), 0)
                replica.process.stderr.close()
                load.wait_for(50)
                self.replicas[port] = self.start(port)
                self.wait_until_used(self.replicas[port])
        self.check(load)

    def wait_until_used(self, replica):
        """nginx passes over one that has failed for ten seconds, HAProxy until its next check."""
        end = time.monotonic() + 60 * PATIENCE
        while replica.metric('minivlm_requests_total{route="caption",code="200"}') < 20:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)

    def test_sigkill(self):
        with Load(self.front) as load:
            victim = self.replicas[self.one]
            self.assertNotEqual(victim.stop(signal.SIGKILL), 0)
            load.wait_for(200)
        self.check(load)

    def test_sigstop(self):
        """A replica that stands still for longer than the checks: what it has is answered when it goes on."""
        with Load(self.front) as load:
            victim = self.replicas[self.one].process
            victim.send_signal(signal.SIGSTOP)
            try:
                time.sleep(6)
            finally:
                victim.send_signal(signal.SIGCONT)
            load.wait_for(50)
        self.check(load)

    def ask(self, method, path, body=None, headers=None):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.front, timeout=30)) as c:
            c.request(method, path, body, headers or {})
            answer = c.getresponse()
            return answer.status, answer.headers, answer.read()

    def test_figures_are_not_public(self):
        for path in ("/metrics", "/admin/model", "/debug/requests"):
            self.assertEqual(self.ask("GET", path)[0], 404, path)

    def test_the_client_behind_it(self):
        self.ask("POST", "/caption", PICTURES[0], {"X-Forwarded-For": "6.6.6.6", "Forwarded": "for=6.6.6.6"})
        end = time.monotonic() + 20 * PATIENCE
        while not (seen := [x["peer"] for s in self.replicas.values() for x in s.log("request") if x["route"] == "caption"]):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)
        self.assertEqual(seen, ["127.0.0.1"])

    def known(self, id):
        """How many of ten questions by id find the picture."""
        body = json.dumps({"image": {"id": id}})
        headers = {"Content-Type": "application/json", "X-Image-Id": id}
        answers = [self.ask("POST", "/caption", body, headers) for _ in range(10)]
        for status, _, text in answers:
            self.assertIn(status, (200, 404))
            self.assertTrue(status == 200 or b"route by X-Image-Id" in text, text)
        return sum(status == 200 for status, _, _ in answers)


class HAProxy(Balanced, unittest.TestCase):
    sample = "haproxy.cfg"

    def command(self, path):
        return ["/usr/sbin/haproxy", "-db", "-f", str(path)]

    def test_ids_come_back_to_who_made_them(self):
        for n in range(4):
            status, headers, _ = self.ask("POST", "/caption", picture(n))
            self.assertEqual((status, self.known(headers["X-Image-Id"])), (200, 10))


class Nginx(Balanced, unittest.TestCase):
    sample = "nginx.conf"

    def command(self, path):
        user = " user root;" if os.geteuid() == 0 else ""  # the folder is this user's
        return ["/usr/sbin/nginx", "-p", str(path.parent), "-c", str(path), "-g", "daemon off;" + user]

    def test_ids_come_back_to_one_replica(self):
        for n in range(4):
            _, headers, _ = self.ask("POST", "/caption", picture(n))
            id = headers["X-Image-Id"]
            if self.known(id) == 0:
                self.ask("POST", "/caption", picture(n), {"X-Image-Id": id})
            self.assertEqual(self.known(id), 10)


run(__name__)
