#!/usr/bin/env python3
"""The memory plan is the truth: at a small limit and with default keys the service starts, serves, refuses what does not
fit, and its peak stays below the limit, whatever legal load and hostile bodies come. Where memory control groups can be
made (root, Linux), it runs inside one of exactly that size, so that a wrong plan means that it is killed."""
import collections
import contextlib
import os
import pathlib
import socket
import struct
import threading
import time
import unittest
import zlib

from support import BASE, Server

MB = 1 << 20
GROUPS = pathlib.Path("/sys/fs/cgroup/memory")


def png(width, height, depth=8, color=2):
    """Of zeros: small as a file."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    row = bytes(1 + width * {2: 3, 6: 4}[color] * depth // 8)
    deflate = zlib.compressobj(6)
    pixels = b"".join(deflate.compress(row) for _ in range(height)) + deflate.flush()
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)) +
            chunk(b"IDAT", pixels) + chunk(b"IEND", b""))


class Group:
    """A memory control group (v1), or nothing where none can be made."""

    def __init__(self, limit):
        self.path = GROUPS / f"minivlm-test-{os.getpid()}-{limit}"
        try:
            self.path.mkdir()
            (self.path / "memory.limit_in_bytes").write_text(str(limit))
        except OSError:
            self.path = None

    def enter(self):
        if self.path:
            (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for _ in range(50 if self.path else 0):
            with contextlib.suppress(OSError):
                self.path.rmdir()
                return
            time.sleep(0.1)


class Crowd:
    """Many requests at once, each on a connection of its own. -> statuses; 0: the connection broke"""

    def __init__(self, server):
        self.server, self.statuses, self.threads = server, [], []

    def send(self, head, body, reads=True, pieces=65536):
        def run():
            status = 0
            with contextlib.suppress(OSError, ValueError, IndexError):
                with socket.create_connection(("127.0.0.1", self.server.port), timeout=60) as s:
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        s.sendall(f"{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode())
                        for at in range(0, len(body), pieces):
                            s.sendall(body[at:at + pieces])
                    if not reads:
                        time.sleep(3)
                    answer = b""
                    while data := s.recv(65536):
                        answer += data
                    status = int(answer.split(b" ", 2)[1])
            self.statuses.append(status)
        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def join(self):
        for t in self.threads:
            t.join(120)
        self.threads = []
        return self.statuses


class Memory(unittest.TestCase):
    def status_of(self, server, key):
        for line in pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) // 1024
        return 0

    def loads(self, crowd):
        """-> name, what is sent"""
        large_body = png(64, 64) + os.urandom(19 * MB)
        def bodies():
            for _ in range(12):
                crowd.send("POST /caption?num_beams=1 HTTP/1.1", large_body)
        def many_megapixels():
            for kind in (png(6000, 4000), png(7071, 7071, 16, 6), png(4000, 3000)):
                for i in range(4):
                    crowd.send("POST /caption?num_beams=1 HTTP/1.1", kind + struct.pack("<I", i))
        def json_bombs():
            for unit in (b"{}", b"[]", b"1", b'""'):
                n = (18 * MB) // (len(unit) + 1)
                body = b'{"images":[' + (unit + b",") * n + unit + b"]}"
                crowd.send("POST /caption HTTP/1.1\r\nContent-Type: application/json", body)
        def slow_readers():
            query = "&".join(f"question=what+is+thing+{i}" for i in range(60))
            for i in range(16):
                crowd.send(f"POST /vqa?top_k=20&{query} HTTP/1.1", png(64, 64) + bytes([i]), reads=False)
        return [bodies, many_megapixels, json_bombs, slow_readers]

    def check_limit(self, limit_mb, *flags):
        with Group(limit_mb * MB) as group, Server(f"--limits.memory_bytes={limit_mb}MiB", "--log.level=info", *flags,
                                                   model=BASE, preexec_fn=group.enter) as s:
            crowd = Crowd(s)
            for load in self.loads(crowd):
                load()
                statuses = crowd.join()
                peak = self.status_of(s, "VmHWM")
                self.assertIsNone(s.process.poll(), f"killed by {load.__name__} at {limit_mb} MiB")
                self.assertLess(peak, limit_mb, load.__name__)
                self.assertLessEqual(set(statuses), {0, 200, 400, 408, 413, 422, 429, 503, 504}, load.__name__)
            self.assertIn(200, crowd.statuses)
            if os.environ.get("MINIVLM_TEST_PRINT"):
                print(f"limit {limit_mb} MiB, peak {peak}, group {group.path}: {collections.Counter(crowd.statuses)}")
            self.assertEqual(s.post("/caption?num_beams=1", png(64, 64)).status, 200)
            self.assertEqual(s.get("/healthz").status, 200)
            end = time.monotonic() + 10
            while self.status_of(s, "VmRSS") > 0.8 * limit_mb:  # what was needed once is given back
                self.assertLess(time.monotonic(), end)
                time.sleep(0.1)

    def test_420_mib(self):
        self.check_limit(420)

    def test_512_mib(self):
        self.check_limit(512)

    def test_a_picture_that_never_fits(self):
        with Server("--limits.decode_memory_bytes=64MiB", "--log.level=info") as s:
            answer = s.post("/caption", png(6000, 5000))
            self.assertEqual((answer.status, answer.code), (413, "image_too_large"))
            self.assertIn("limits.decode_memory_bytes", answer.json["error"]["message"])
            self.assertEqual(s.post("/caption", png(5000, 4000)).status, 200)

    def test_too_little(self):
        s = Server("--limits.memory_bytes=128MiB", model=BASE, ready=False)
        self.assertEqual(s.process.wait(30), 1)
        s.reader.join(5)
        s.process.stderr.close()
        reason = next(line["reason"] for line in s.lines if isinstance(line, dict) and "reason" in line)
        for part in ("the service needs at least", "128 are allowed", "engine.threads", "limits.memory_bytes"):
            self.assertIn(part, reason)


if __name__ == "__main__":
    unittest.main()
