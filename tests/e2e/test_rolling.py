"""Two replicas behind HAProxy with deploy/haproxy.cfg, under steady load: a rolling restart loses no request, and
SIGKILL of one loses none that HAProxy may retry. May be retried: what got no byte of an answer. A server that dies in the
middle of sending an answer cannot be hidden; answers here are one packet, so that there is no middle."""
import collections
import contextlib
import http.client
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading
import time

from support import ROOT, Server, picture, run, unittest

CLIENTS = 6
DRAIN = ("--drain.delay_ms=1500", "--drain.timeout_ms=10000")  # the check's interval is 500 ms


def free_ports(n):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(n)]
        return [s.getsockname()[1] for s in sockets]


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
                connection.request("POST", "/caption", picture(n % 3))
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


class Rolling(unittest.TestCase):
    def setUp(self):
        self.front, self.one, self.two = free_ports(3)
        self.replicas = {port: self.start(port) for port in (self.one, self.two)}
        text = (ROOT / "deploy" / "haproxy.cfg").read_text()
        for written, port in (("127.0.0.1:8000", self.front), ("127.0.0.1:8081", self.one), ("127.0.0.1:8082", self.two)):
            self.assertEqual(text.count(written), 1)
            text = text.replace(written, f"127.0.0.1:{port}")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name) / "haproxy.cfg"
        path.write_text(text)
        self.log = open(folder.name + "/log", "w+")
        self.addCleanup(self.log.close)
        self.haproxy = subprocess.Popen(["/usr/sbin/haproxy", "-db", "-f", str(path)], stdout=self.log, stderr=self.log)
        self.addCleanup(self.stop_all)
        self.wait_until_up()

    def start(self, port):
        return Server(f"--server.port={port}", "--cache.bytes=0", "--log.level=info", *DRAIN)

    def wait_until_up(self):
        end = time.monotonic() + 20
        while True:
            self.assertIsNone(self.haproxy.poll(), "haproxy ended: " + pathlib.Path(self.log.name).read_text())
            with contextlib.suppress(OSError), contextlib.closing(
                    http.client.HTTPConnection("127.0.0.1", self.front, timeout=5)) as c:
                c.request("GET", "/readyz")
                if c.getresponse().status == 200:
                    return
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)

    def stop_all(self):
        self.haproxy.kill()
        self.haproxy.wait()
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
                time.sleep(0.6)  # the check's interval: HAProxy has seen it
                load.wait_for(50)
        self.check(load)
        for replica in self.replicas.values():
            self.assertGreater(replica.metric('minivlm_requests_total{route="caption",code="200"}'), 0)

    def test_sigkill(self):
        with Load(self.front) as load:
            victim = self.replicas[self.one]
            self.assertNotEqual(victim.stop(signal.SIGKILL), 0)
            load.wait_for(200)
        self.check(load)


run(__name__)
