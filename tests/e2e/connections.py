"""Plain connections to the server, for the tests of how it treats them."""
import contextlib
import json
import socket
import time

from support import PATIENCE, picture

PICTURE = picture(0)
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
CAPTION = b"POST /caption HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(PICTURE) + PICTURE
SLOW = ("--engine.isa=ref", "--engine.threads=1", "--cache.bytes=0", "--limits.timeout_ms=600000")  # no forecast refuses it


def connect(server, address="127.0.0.1", receive_buffer=None, port=None):
    s = socket.socket()
    s.settimeout(20)
    s.bind((address, 0))
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.connect(("127.0.0.1", port or server.port))
    return s


def read_all(s, seconds=20):
    """What comes until the server ends the connection, and when that was."""
    out, began = b"", time.monotonic()
    s.settimeout(seconds)
    with contextlib.suppress(ConnectionError):
        while more := s.recv(65536):
            out += more
    return out, time.monotonic() - began


def status_of(out):
    return int(out.split(b" ", 2)[1]) if out else None


def code_of(out):
    return json.loads(out.partition(b"\r\n\r\n")[2])["error"]["code"]


def ask_and(server, metric, leave, wrap=lambda c: c):
    """Four requests, all of which have arrived or been refused before their clients do what `leave` says."""
    clients, end = [wrap(connect(server)) for _ in range(4)], time.monotonic() + 60 * PATIENCE
    for n, c in enumerate(clients):
        c.sendall(CAPTION.replace(b"/caption", b"/caption?num_beams=10"))
        while metric("minivlm_inflight_requests") + metric('minivlm_requests_total{route="caption",code="429"}') <= n:
            assert time.monotonic() < end, "requests have not arrived"
            time.sleep(0.02)
    for c in clients:
        leave(c)


def wait_until_idle(metric):
    end = time.monotonic() + 30 * PATIENCE
    while metric("minivlm_inflight_requests") > 0:
        assert time.monotonic() < end, "requests are still in flight"
        time.sleep(0.02)
