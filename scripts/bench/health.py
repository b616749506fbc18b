#!/usr/bin/env python3
"""How long /healthz takes beside crowds of every kind. Python's standard library only.

    health.py                      all rows, each on a server of its own; a table in Markdown
    health.py --only pipelining    the rows whose name has this in it

The crowds run in processes of their own at a lower priority and with long turns, and the probe with short ones, so that the
probe measures the server and not them or itself; they come from another address than the probe. Exit code 1 when a p99 is over
5 ms. "Waited": of the slowest hundredth of the probes, the mean time for which the server's loop and the probe itself were ready
and had no processor, according to the kernel (schedstat). "Turn": the most CPU time that the loop has taken between two looks
for events."""
import argparse
import asyncio
import base64
import contextlib
import ctypes
import json
import multiprocessing
import os
import pathlib
import platform
import re
import socket
import struct
import sys
import threading
import time
import urllib.request

from load import ROOT, hammer, percentile, serve

PROBE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
LIMIT_MS = 5
SCHED_SETATTR, SCHED_GETATTR = {"x86_64": (314, 315), "aarch64": (274, 275)}.get(platform.machine(), (-1, -1))


def set_turns(ns):
    """How long this thread's turns on the processor are (Linux 6.12): who has short ones need not wait for who has long ones."""
    libc, attributes = ctypes.CDLL(None), bytearray(48)  # struct sched_attr: sched_runtime at 24
    struct.pack_into("I", attributes, 0, len(attributes))
    buffer = (ctypes.c_char * len(attributes)).from_buffer(attributes)
    if libc.syscall(SCHED_GETATTR, 0, buffer, len(attributes), 0) == 0:
        struct.pack_into("Q", attributes, 24, ns)
        libc.syscall(SCHED_SETATTR, 0, buffer, 0)


def give_way():
    os.nice(10)
    set_turns(8000000)


def waited(pid):
    """Seconds that the main thread of a process was ready and had no processor."""
    return int(pathlib.Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) * 1e-9


def connect(port, address="127.0.0.1", receive=None):
    s = socket.socket()
    if receive:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    s.bind((address, 0))
    s.connect(("127.0.0.1", port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def head(method, path, length):
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n".encode()


# ---- crowds: each goes on until its process is ended ----

def forever(n, once):
    """n threads that do it again and again, whatever becomes of it."""
    def client():
        while True:
            with contextlib.suppress(OSError):
                once()
    for _ in range(n):
        threading.Thread(target=client, daemon=True).start()
    threading.Event().wait()


def drain(s):
    while s.recv(1 << 16):
        pass


def nobody(_):
    threading.Event().wait()


def captions(port):
    picture = (ROOT / "tests/data/images/small.png").read_bytes()
    bodies = [picture + struct.pack("<I", n) for n in range(1000)]
    asyncio.run(hammer(port, "/caption", bodies, 32, 3600))


def overload(port, args):
    command = [str(args.build / "tests/bench_open_loop"), str(port), "800", "3600", "1", "2000", "1"]
    os.dup2(os.open(ROOT / "tests/data/images/small.png", os.O_RDONLY), 0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.execv(command[0], command)


def pipelining(port):
    def once():
        with connect(port) as s:
            s.sendall(PROBE * 199 + PROBE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            drain(s)
    forever(100, once)


def nonsense(port):
    def once():
        with connect(port) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n")
            drain(s)
    forever(64, once)


def comers(port):
    forever(32, lambda: connect(port).close())


def bodies_in_json(port):
    body = json.dumps({"image": base64.b64encode(os.urandom(11 << 20)).decode()}).encode()

    def once():
        with connect(port) as s:
            s.sendall(head("POST", "/caption", len(body)) + b"Content-Type: application/json\r\nConnection: close\r\n\r\n" + body)
            drain(s)
    forever(4, once)


def uploads(port):
    held = []
    for _ in range(300):
        held.append(connect(port))
        held[-1].sendall(head("POST", "/caption", 5000) + b"\r\nabc")
    while True:
        for s in held:
            with contextlib.suppress(OSError):
                s.send(b"x")
        time.sleep(0.5)


def readers(port):
    held = [connect(port, receive=2048) for _ in range(300)]
    for s in held:
        s.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        s.setblocking(False)
    while True:
        for s in held:
            with contextlib.suppress(OSError):
                s.recv(4000)
        time.sleep(0.2)


def refused(port):
    """Bodies that are not wanted, and do not end."""
    def once():
        with connect(port) as s:
            s.sendall(head("POST", "/nope", 1 << 40) + b"\r\n")
            while True:
                s.sendall(bytes(1 << 16))
    forever(16, once)


CROWDS = [("nobody", nobody), ("32 clients that want captions", captions), ("ten times what can be done", overload),
          ("100 connections pipelining 200 requests each", pipelining), ("64 connections of nonsense", nonsense),
          ("connections that come and leave", comers), ("4 pictures of 15 MB as JSON", bodies_in_json),
          ("300 uploads of two bytes a second", uploads), ("300 slow readers", readers), ("16 endless refused bodies", refused)]


# ---- the probe ----

def probe(port, pid, seconds):
    """Two connections by turns, a kept one and a fresh one each time -> seconds each took, and the loop and the probe waited"""
    took, kept, end = [], None, time.perf_counter() + seconds
    set_turns(100000)
    while time.perf_counter() < end:
        for is_kept in (True, False):
            before = waited(pid), waited(os.getpid())
            began = time.perf_counter()
            s = kept if is_kept and kept else connect(port, "127.0.0.2")
            s.settimeout(10)
            s.sendall(PROBE)
            answer = s.recv(4096)
            took.append((time.perf_counter() - began, waited(pid) - before[0], waited(os.getpid()) - before[1]))
            if not answer.startswith(b"HTTP/1.1 200"):
                sys.exit(f"/healthz answered {answer[:100]!r}")
            if is_kept and b"onnection: close" not in answer:
                kept = s
            else:
                s.close()
                kept = None if is_kept else kept
            time.sleep(0.004)
    return took


def beside(args, server, crowd, seconds):
    def work():
        give_way()
        crowd(server.port, args) if crowd is overload else crowd(server.port)
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    time.sleep(1)
    took = sorted(probe(server.port, server.process.pid, seconds))
    process.kill()
    process.join()
    metrics = urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics").read().decode()
    return took, float(re.search(r"^minivlm_turn_cpu_seconds_max (\S+)", metrics, re.M)[1])


def table(args):
    missed = 0
    print("| /healthz beside | probes | p50 | p99 | longest | loop waited | probe waited | turn |\n|---|---|---|---|---|---|---|---|")
    for name, crowd in CROWDS:
        if args.only and args.only not in name:
            continue
        with serve(args, "--drain.timeout_ms=100") as server:
            probes, turn = beside(args, server, crowd, args.health_seconds)
        took, slowest = [p[0] for p in probes], probes[-max(len(probes) // 100, 1):]
        p99 = percentile(took, 99) * 1e3
        loop, own = (sum(p[i] for p in slowest) / len(slowest) * 1e3 for i in (1, 2))
        missed += p99 > LIMIT_MS
        print(f"| {name} | {len(took)} | {percentile(took, 50) * 1e3:.2f} ms | {p99:.2f} ms | {max(took) * 1e3:.1f} ms | {loop:.2f} ms | "
              f"{own:.2f} ms | {turn * 1e3:.2f} ms |{' missed' if p99 > LIMIT_MS else ''}", flush=True)
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models/minivlm-base")
    parser.add_argument("--log", default="/tmp/minivlm-health.log")
    parser.add_argument("--health-seconds", type=float, default=10)
    parser.add_argument("--only")
    return 1 if table(parser.parse_args()) else 0


if __name__ == "__main__":
    sys.exit(main())
