"""Bytes on the wire, for clients that no HTTP library would be: they stall, vanish, half-close, pipeline, do not read.

What comes back is read strictly: one head, one body of exactly the length that the head says. Standard library only."""
import contextlib
import json
import math
import pathlib
import random
import re
import socket
import ssl
import struct
import subprocess
import threading
import time
import zlib


class Malformed(AssertionError):
    """The server's bytes are no HTTP."""


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The slug of an error, None for anything else."""
        try:
            return self.json["error"]["code"]
        except (ValueError, KeyError, TypeError):
            return None

    @property
    def closes(self):
        return self.headers.get("connection", "").lower() == "close"

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


def head(method, target, *headers):
    return "".join(f"{line}\r\n" for line in (f"{method} {target} HTTP/1.1", "Host: localhost", *headers, "")).encode("latin1")


def message(method, target, body=b"", *headers):
    if isinstance(body, (dict, list)):
        body, headers = json.dumps(body).encode(), ("Content-Type: application/json", *headers)
    return head(method, target, f"Content-Length: {len(body)}", *headers) + body


def chunks(method, target, body, *headers, size=5000):
    out = head(method, target, "Transfer-Encoding: chunked", *headers)
    for at in range(0, len(body), size):
        piece = body[at:at + size]
        out += b"%x\r\n" % len(piece) + piece + b"\r\n"
    return out + b"0\r\n\r\n"


def parse_head(data):
    lines = data.split(b"\r\n")
    first = re.fullmatch(rb"HTTP/1\.1 (\d{3}) [ -~]*", lines[0])
    if not first:
        raise Malformed(f"status line {lines[0][:200]!r}")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise Malformed(f"header line {line[:200]!r}")
        key = name.decode().lower()
        if key in headers and key in ("content-length", "transfer-encoding", "connection", "content-type"):
            raise Malformed(f"two {key}")
        headers[key] = value.strip().decode("latin1")
    return int(first[1]), headers


class Wire:
    """One connection. Every wait is bounded by `patience` seconds."""

    def __init__(self, port, patience=60, source=None, tls=None, receive=None):
        self.socket = socket.socket()
        self.socket.settimeout(patience)
        if receive:  # a reader with little room, so that the server cannot hide an answer in the kernel
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        if source:
            self.socket.bind((source, 0))
        try:
            self.socket.connect(("127.0.0.1", port))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls:
                self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        except OSError:
            self.socket.close()
            raise
        self.unread = b""

    def send(self, data):
        self.socket.sendall(data)
        return self

    def push(self, data):
        """Sends as far as the server lets it: it may answer and close before all is sent."""
        with contextlib.suppress(OSError):
            self.socket.sendall(data)
        return self

    def _more(self):
        more = self.socket.recv(1 << 16)
        self.unread += more
        return bool(more)

    def _take(self, length):
        while len(self.unread) < length:
            if not self._more():
                raise Malformed(f"closed {length - len(self.unread)} bytes before the end of an answer")
        out, self.unread = self.unread[:length], self.unread[length:]
        return out

    def _line(self, end=b"\r\n"):
        while end not in self.unread:
            if len(self.unread) > 1 << 20:
                raise Malformed("no end of line in a megabyte")
            if not self._more():
                raise Malformed(f"closed inside a line: {self.unread[:100]!r}")
        out, _, self.unread = self.unread.partition(end)
        return out

    def reply(self, to="GET"):
        """The next final answer; None when the server closes the connection without one."""
        while True:
            if not self.unread:
                try:
                    if not self._more():
                        return None
                except (ConnectionError, ssl.SSLError):
                    return None
            status, headers = parse_head(self._line(b"\r\n\r\n"))
            if status >= 200:
                break
        if to == "HEAD" or status in (204, 304):
            return Reply(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while length := int(self._line(), 16):
                body += self._take(length)
                if self._take(2) != b"\r\n":
                    raise Malformed("no end of a chunk")
            self._line()
        elif "content-length" in headers:
            body = self._take(int(headers["content-length"]))
        else:
            body = self.rest()
        return Reply(status, headers, body)

    def ask(self, data, to="GET"):
        return self.push(data).reply(to)

    def rest(self):
        """All until the server closes."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while self._more():
                pass
        out, self.unread = self.unread, b""
        return out

    def closed_within(self, seconds):
        """Whether the server ends the connection, whatever it still says."""
        end = time.monotonic() + seconds
        try:
            while (left := end - time.monotonic()) > 0:
                self.socket.settimeout(left)
                if not self.socket.recv(1 << 16):
                    return True
        except TimeoutError:
            return False
        except OSError:
            return True
        return False

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def reset(self):
        """Leaves by RST instead of FIN."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def ask(port, data, to="GET", **more):
    with Wire(port, **more) as w:
        return w.ask(data, to)


def said(reply):
    """What is to be compared of an answer: all but forecasts, which are measurements."""
    if reply is None:
        return None
    text = reply.body.decode()
    if reply.headers["content-type"].startswith("text/event-stream"):
        events = text.strip().split("\n\n")
        if not events[-1].startswith("event: done\n"):
            return reply.status, text
        text = events[-1].split("data: ", 1)[1]
    answer = json.loads(text)
    answer.pop("forecast_ms", None)
    return (200 if reply.status == 201 else reply.status), json.dumps({k: v for k, v in answer.items() if k != "replaced"})


def together(jobs, width=None):
    """Runs functions in threads -> their results in order; an exception is raised here."""
    out, failed, todo, lock = [None] * len(jobs), [], list(enumerate(jobs)), threading.Lock()

    def work():
        while True:
            with lock:
                if not todo or failed:
                    return
                n, job = todo.pop(0)
            try:
                out[n] = job()
            except Exception as e:
                failed.append(e)
    threads = [threading.Thread(target=work, daemon=True) for _ in range(width or len(jobs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failed:
        raise failed[0]
    return out


class Pulse(threading.Thread):
    """Asks a health route again and again on a connection of its own; `worst` and `late` say how it went."""

    def __init__(self, port, gap=0.005, path="/healthz", **more):
        super().__init__(daemon=True)
        self.port, self.gap, self.path, self.more = port, gap, path, more
        self.took, self.wrong, self.going = [], [], True
        self.start()

    def run(self):
        wire = None
        while self.going:
            began = time.monotonic()
            try:
                wire = wire or Wire(self.port, **self.more)
                reply = wire.ask(head("GET", self.path))
                if reply is None or reply.status != 200:
                    self.wrong.append(reply)
                if reply is None or reply.closes:
                    wire.close()
                    wire = None
            except (OSError, Malformed) as e:
                self.wrong.append(repr(e))
                wire = None
            self.took.append(time.monotonic() - began)
            time.sleep(self.gap)
        if wire:
            wire.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.going = False
        self.join(90)

    @property
    def worst(self):
        return max(self.took)

    @property
    def p99(self):
        return sorted(self.took)[math.ceil(len(self.took) * 0.99) - 1]


def best_of(tries, limit, measure):
    """A machine that others use makes single measurements long, never short: the first one under the limit holds."""
    seen = []
    while len(seen) < tries and (not seen or min(seen) > limit):
        seen.append(measure())
    return min(seen)


def certificate(folder, name="c", days=1):
    """-> paths of a certificate for localhost and its key"""
    paths = [str(pathlib.Path(folder) / f"{name}.{kind}.pem") for kind in ("certificate", "key")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                    paths[1], "-out", paths[0], "-subj", "/CN=localhost", "-days", str(days), "-addext",
                    "subjectAltName=IP:127.0.0.1,DNS:localhost"], check=True, capture_output=True)
    return paths


def png(width, height, seed=0, noise=0):
    """A picture of its own for each seed; `noise` rows of random pixels make it large on the wire."""
    rng = random.Random(seed)
    base = bytes((x * (seed % 7 + 1) + c * 80) & 255 for x in range(width) for c in range(3))
    rows = []
    for y in range(height):
        shift = 3 * ((y * (seed % 5 + 1)) % width)
        rows.append(b"\0" + (rng.randbytes(3 * width) if y < noise else base[shift:] + base[:shift]))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"".join(rows), 1)) + chunk(b"IEND", b""))
