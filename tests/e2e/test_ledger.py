"""Row U3, sharp: what the ledger says of a request is at least what the request took, kind by kind.

A preloaded allocator (tests/support/memcap.c) counts the heap; one request at a time goes to a fresh server. An estimate
that is too small (a decoder's, the parser's, an answer's, a connection's) shows here, where a limit of the whole has
slack enough to hide it."""
import base64
import contextlib
import os
import re
import struct
import tempfile
import time

import wire
from support import PATIENCE, TINY, form, picture, run, unittest
from test_memory_edge import MIB, PHOTO, Capped

FLAGS = ("--cache.bytes=8MiB", "--limits.pixels=30000000", "--server.admin_port=0", "--limits.timeout_ms=120000",
         "--engine.threads=1", "--engine.decode_threads=1")
SLACK = 0.05  # MiB: what a request takes whatever it asks for, and malloc's rounding
MODEL = "tiny-1"


def b64(data):
    return base64.b64encode(data).decode()


def posted(target, parts):
    body, headers = form(parts)
    return wire.message("POST", target, body, *(f"{k}: {v}" for k, v in headers.items()))


def pictures(n):
    return [("image", picture(k) + bytes([k])) for k in range(n)]


def texts(name, n, length):
    return [(name, f"t{k} " + "a" * length) for k in range(n)]


def chat(*parts, **more):
    return wire.message("POST", "/v1/chat/completions", {"model": MODEL, "messages": [{"role": "user", "content": list(parts)}], **more})


def kinds():
    """name -> request"""
    flat, noise = wire.png(3000, 2000, 1), wire.png(1600, 1200, 2, noise=1200)
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + b64(noise)}}
    bytes_tensor = lambda name, data: {"name": name, "shape": [len(data)], "datatype": "BYTES", "data": data}
    infer = lambda *inputs: wire.message("POST", "/v2/models/vqa/infer", {"inputs": list(inputs)})
    return {
        "a large picture": wire.message("POST", "/caption?num_beams=10&num_captions=10&regions=true", flat),
        "noise": wire.message("POST", "/images/check", noise),
        "a body with a tail": wire.message("POST", "/caption", PHOTO + bytes(12 * MIB)),
        "chunks": wire.chunks("POST", "/caption", PHOTO + bytes(3 * MIB), size=60000),
        "a stream": wire.message("POST", "/caption?stream=true", noise),
        "16 pictures": posted("/caption?num_beams=10&num_captions=10&explain=true", pictures(16)),
        "100 questions": posted("/vqa?top_k=20", pictures(1) + texts("question", 100, 2)),
        "100 explained questions": posted("/vqa?top_k=1&explain=true", pictures(1) + texts("question", 100, 2)),
        "long questions of 10 pictures": posted("/vqa", pictures(10) + texts("question", 100, 3000)),
        "occlusion": posted("/vqa?explain=occlusion", pictures(1) + texts("question", 20, 100)),
        "100 long sentences": posted("/retrieve", pictures(1) + texts("text", 100, 3900)),
        "1,000 pairs": posted("/retrieve?explain=true", pictures(16) + texts("text", 60, 3000)),
        "base64": wire.message("POST", "/vqa", {"image": b64(noise), "questions": ["what"] * 100}),
        "documents": wire.message("POST", "/rerank", {"query": {"image": b64(PHOTO)}, "documents": ["a dog " * 600] * 120,
                                                      "return_documents": True}),
        "documents with fields": wire.message("POST", "/rerank", {"query": {"image": b64(PHOTO)}, "return_documents": True,
                                                                  "documents": [{"text": "a", "x": [1e9] * 60}] * 20}),
        "chat": chat({"type": "text", "text": "what is " * 400}, image),
        "infer": infer(bytes_tensor("image", [b64(noise)]), bytes_tensor("question", ["a dog " * 300] * 100)),
        "pipeline": wire.message("POST", "/pipeline/visual-question-answering", {"inputs": {"image": b64(noise), "question": "what"}}),
        "many small values": wire.message("POST", "/caption", b'{"images":[' + b"{}," * MIB + b"1]}", "Content-Type: application/json"),
        "many texts": wire.message("POST", "/retrieve", b'{"texts":[' + b'"a",' * MIB + b'"b"]}', "Content-Type: application/json"),
        "a put": wire.message("PUT", "/collections/c/images/k", noise),
        "a search": wire.message("POST", "/retrieve", {"collection": "c", "text": "a dog " * 600, "top_k": 1000}),
        "a list": wire.message("GET", "/collections/c?limit=1000"),
        "the contract": wire.head("GET", "/openapi.json"),
    }


class Truth(unittest.TestCase):
    """U3. Promise: no request takes more memory than the ledger has counted for it."""

    @contextlib.contextmanager
    def server(self):
        with tempfile.TemporaryDirectory() as folder, \
                Capped(folder, 4000, *FLAGS, f"--collections.path={folder}/c.db", model=TINY) as s:
            with s.wire() as w:  # small ones: what they need has been counted once and for all
                for n in range(6):
                    self.assertEqual(w.ask(wire.message("PUT", f"/collections/c/images/{n}", wire.png(8, 8, n))).status, 201)
            yield s

    def counted(self, s):
        """MiB that the ledger has seen at the most; the engine's and the connections' figures come twice a second when it is idle."""
        time.sleep(1.2 * PATIENCE)
        peaks = s.metrics("minivlm_memory_peak_bytes")
        return sum(peaks.values()) / MIB, {re.search('"(.*)"', name)[1]: round(n / MIB, 2) for name, n in peaks.items() if n}

    def test_every_kind_of_request(self):
        for name, message in kinds().items():
            with self.subTest(name), self.server() as s:
                idle = s.held
                s.gauge[8:16] = s.gauge[0:8]
                reply = wire.ask(s.port, message, patience=120)
                self.assertIn(reply.status, (400, 413) if name.startswith("many") else (200, 201), reply)
                taken = (struct.unpack("=Q", s.gauge[8:16])[0] - idle) / MIB
                counted, accounts = self.counted(s)
                if os.environ.get("MINIVLM_TEST_PRINT"):
                    print(f"{name}: {taken:.2f} taken, {counted:.2f} counted {accounts}")
                untouched = 1 if name == "chunks" else 0  # of a body that grew; pages that nobody has written to
                self.assertLess(taken, counted + untouched + SLACK, accounts)

    def test_connections(self):
        """Connections that are idle, with half a head, with a body that does not come whole: each has its price."""
        head = wire.head("POST", "/caption", "Content-Length: 100000")
        rows = {"idle": b"", "half a head": b"GET / HTTP/1.1\r\nX-A: " + b"a" * 15000, "a body begun": head + b"ab",
                "half a body": head + b"a" * 50000}
        for name, data in rows.items():
            with self.subTest(name), self.server() as s, contextlib.ExitStack() as stack:
                idle, before = s.resident, s.metrics("minivlm_memory_held_bytes")
                for n in range(300):
                    stack.enter_context(s.wire(source=f"127.0.3.{n % 100 + 1}")).push(data)
                after, last, end = s.metrics("minivlm_memory_held_bytes"), None, time.monotonic() + 60 * PATIENCE
                while after != last and time.monotonic() < end:  # all has arrived and been counted
                    time.sleep(0.6)
                    after, last = s.metrics("minivlm_memory_held_bytes"), after
                counted = sum(after.values()) - sum(before.values())
                self.assertLess(s.resident - idle, counted / MIB + 1.5, after)


run(__name__)
