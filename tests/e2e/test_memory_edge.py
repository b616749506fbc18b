"""Row U3 (and A4, A8, A12) at the edge: the service with exactly the memory of its plan, the worst legal load and hostile
bodies beside it. It survives, with refusals.

A preloaded allocator (tests/support/memcap.c) ends the process at the limit as a memory control group would; the peak of
resident pages is held against the same limit. Both work without rights that only root or a cluster has."""
import base64
import contextlib
import mmap
import os
import random
import struct
import tempfile
import threading
import time

import wire
from support import BUILD, PATIENCE, ROOT, Server, form, picture, run, unittest

MIB = 1 << 20
MEMCAP = BUILD / "tests" / "libmemcap.so"
PHOTO = (ROOT / "docs" / "photos" / "cat.jpg").read_bytes()


class Capped(Server):
    """A server whose heap may grow to what the limit leaves beside its pages."""

    def __init__(self, folder, limit_mib, *flags, **more):
        self.limit = limit_mib
        path = os.path.join(folder, f"memcap.{limit_mib}")
        with open(path, "wb") as f:
            f.write(bytes(24))
        with open(path, "r+b") as f:
            self.gauge = mmap.mmap(f.fileno(), 24)
        super().__init__(f"--limits.memory_bytes={limit_mib}MiB", "--log.level=info", *flags,
                         env={"LD_PRELOAD": str(MEMCAP), "MEMCAP_REPORT": path, "OPENBLAS_NUM_THREADS": "1"}, **more)
        pages = max(0, self.resident * MIB - self.held)
        self.gauge[16:24] = struct.pack("=Q", int(limit_mib * MIB - pages))

    @property
    def held(self):
        return struct.unpack("=Q", self.gauge[:8])[0]


class Edge(unittest.TestCase):
    """U3. Promise: what the plan says fits, fits: no load that the limits allow takes more than limits.memory_bytes."""

    FLAGS = ("--limits.requests=32", "--cache.bytes=8MiB", "--limits.pixels=8000000", "--limits.progressive_pixels=4000000",
             "--limits.body_bytes=8MiB", "--server.max_connections=600", "--server.admin_port=0", "--server.send_timeout_ms=3000",
             "--server.upload_timeout_ms=3000", "--engine.threads=2", "--engine.decode_threads=2")

    def least(self, folder):
        """The smallest limit that the service itself thinks it can keep, in MiB."""
        low, high = 8, 1024
        while high - low > 4:
            middle = (low + high) // 2
            if self.starts(folder, middle):
                high = middle
            else:
                low = middle
        return high

    def starts(self, folder, limit):
        try:
            with Server(f"--limits.memory_bytes={limit}MiB", *self.FLAGS, f"--collections.path={folder}/probe.db"):
                return True
        except (AssertionError, OSError):
            return False

    def legal(self, rng):
        """Requests that the documented limits allow, each kind at its largest."""
        large = wire.png(3200, 2400, rng.randrange(99), noise=300)
        body, headers = form([("image", picture(n) + rng.randbytes(200000)) for n in range(16)])
        headers = tuple(f"{k}: {v}" for k, v in headers.items())
        b64 = base64.b64encode(PHOTO + rng.randbytes(5 * MIB)).decode()
        texts = [("text", "a picture of a thing " * 190) for _ in range(60)]
        pairs, pair_headers = form([("image", picture(n)) for n in range(16)] + texts)
        pair_headers = tuple(f"{k}: {v}" for k, v in pair_headers.items())
        return [wire.message("POST", "/caption?num_beams=10&num_captions=10&explain=true", large),
                wire.message("POST", "/caption?num_beams=10&regions=true", body, *headers),
                wire.message("POST", "/caption", large + bytes(8 * MIB - len(large) - 1)),
                wire.message("POST", "/vqa?explain=occlusion&question=what", large),
                wire.message("POST", "/vqa", {"image": b64, "questions": ["what is this"] * 100, "explain": True}),
                wire.message("POST", "/retrieve", pairs, *pair_headers),
                wire.message("POST", "/retrieve", {"query": "a cat", "return_documents": True, "documents": [{"image": b64}]}),
                wire.message("POST", "/retrieve", {"collection": "c", "text": "a dog " * 600, "top_k": 1000}),
                wire.message("PUT", f"/collections/c/images/k{rng.randrange(1000)}", large),
                wire.message("POST", "/caption?stream=true", large), wire.message("POST", "/images/check", large),
                wire.message("GET", "/collections/c?limit=1000")]

    def hostile(self, rng):
        bomb = b'{"images":[' + b"{}," * (2 * MIB) + b"1]}"
        echo = b'{"query":{"image":"' + base64.b64encode(PHOTO) + b'"},"return_documents":true,"documents":[{"text":"a","x":['
        echo += b"1e9," * MIB + b"1]}]}"
        parts = b"".join(b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\na\r\n' for _ in range(80000)) + b"--b--\r\n"
        return [wire.message("POST", "/caption", bomb, "Content-Type: application/json"),
                wire.chunks("POST", "/retrieve", bomb, "Content-Type: application/json", size=1 << 16),
                wire.message("POST", "/retrieve", echo, "Content-Type: application/json"),
                wire.message("POST", "/retrieve", parts, "Content-Type: multipart/form-data; boundary=b"),
                wire.message("POST", "/caption", rng.randbytes(8 * MIB)), wire.message("POST", "/vqa?question=a", b"{" * (8 * MIB - 1),
                                                                                       "Content-Type: application/json"),
                wire.message("POST", "/caption", b"x")[:-1] * 1]

    def storm(self, s, seconds):
        """-> {status: how many}"""
        stop, statuses, faults, lock = time.monotonic() + seconds, {}, [], threading.Lock()

        def client(n):
            rng = random.Random(n)
            while time.monotonic() < stop and s.alive:
                message = rng.choice(self.legal(rng) if n % 3 else self.hostile(rng))
                try:
                    with s.wire(patience=60 * PATIENCE, receive=4096 if n % 4 == 0 else None) as w:
                        w.push(message)
                        if n % 4 == 0:  # does not read
                            time.sleep(2)
                            continue
                        reply = w.reply()
                        with lock:
                            statuses[reply and reply.status] = statuses.get(reply and reply.status, 0) + 1
                except wire.Malformed as e:
                    faults.append(str(e))
                except OSError:
                    continue

        def operator():
            while time.monotonic() < stop and s.alive:
                with contextlib.suppress(OSError):
                    s.reload()
                time.sleep(1)
        idle = []
        try:
            for n in range(400):
                idle.append(s.wire(source=f"127.0.2.{n % 100 + 1}").push(b"GET / HTTP/1.1\r\nX-A: " + b"a" * 7000))
            wire.together([lambda n=n: client(n) for n in range(24)] + [operator])
        finally:
            for w in idle:
                w.close()
        self.assertEqual(faults, [])
        return statuses

    def survives(self, limit, folder):
        with Capped(folder, limit, *self.FLAGS, f"--collections.path={folder}/{limit}.db") as s:
            s.forget_peak()
            statuses = self.storm(s, 12)
            self.assertTrue(s.alive, f"ended with {s.process.poll()} at {limit} MiB: {s.lines[-3:]}")
            self.assertLessEqual(s.peak, limit, f"pages at the most; {statuses}")
            s.wait_until_idle(60)
            self.assertEqual(wire.ask(s.port, wire.message("POST", "/caption", PHOTO)).status, 200)
            self.assertNotIn(500, statuses, statuses)
            self.assertIn(200, statuses, statuses)
            return statuses

    def test_the_least_limit_that_starts(self):
        """U3: the service says that it can run with so much, so it can."""
        with tempfile.TemporaryDirectory() as folder:
            limit = self.least(folder)
            self.assertLess(limit, 400)
            statuses = self.survives(limit, folder)
            self.assertTrue({429, 503, 413} & set(statuses), f"no refusals at {limit} MiB: {statuses}")

    def test_a_comfortable_limit(self):
        """U3: the same at twice the least."""
        with tempfile.TemporaryDirectory() as folder:
            self.survives(2 * self.least(folder), folder)


run(__name__)
