#!/usr/bin/env python3
"""More load than the server can serve: does it keep what it promised, and does everybody get a part? Python's standard
library only.

    overload.py                     open loop: 1.5, 2, 5, 10 times the capacity measured before and after each row, deadlines
                                    of 1, 2, 5 and 30 s, requests of one and of 16 pictures; a table in Markdown
    overload.py --quick             2 and 10 times, 1 and 5 s, eight seconds each
    overload.py --fairness          a polite client beside a greedy one of 500 connections, of each kind
    overload.py --all               short rows of the table, of fairness and of health.py, in about eight minutes
    overload.py --port 8080         a server that runs already (its feature cache off), not one of its own

Open loop: requests are sent when their time has come, whether or not earlier ones were answered; the last column says how late
the sender itself was. `accepted` are all but 429 and 503, silence among them; `in time` is measured here, from the first byte
sent to the last byte read; goodput are pictures answered in time, capacity is what the cores do that the sender and everything
else on this machine leave (with --port: that the sender leaves). `of the cores` is what the server had of them; a row whose
goodput is low though it had all of them lost it in the server, one that had less was not given them or did not ask. With
`--rounds` each row is sent several times, its capacity measured between them, for a machine whose pace wanders: medians, with
the range of goodput. Exit code 1 when a row misses 99 % in time, 95 % goodput or 5 ms for refusals. A row that the sender was
late for isn't judged: with a tiny model ten times its capacity is more than a sender, or one thread that refuses, can do."""
import argparse
import asyncio
import json
import os
import pathlib
import re
import statistics
import struct
import subprocess
import sys
import time
import zlib

import health
from load import ROOT, percentile, serve

CLOSED = object()


class Client(asyncio.Protocol):
    """One connection, one request at a time, as little work as possible."""

    def __init__(self):
        self.buffer, self.need, self.waiter, self.transport = b"", None, None, None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        if self.need is None:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", self.buffer[:end + 2])
            self.need = end + 4 + (int(length[1]) if length else 0)
        if len(self.buffer) >= self.need and self.waiter and not self.waiter.done():
            self.waiter.set_result(self.buffer)

    def connection_lost(self, _):
        if self.waiter and not self.waiter.done():
            self.waiter.set_result(CLOSED)
        self.transport = None

    def ask(self, message):
        self.buffer, self.need = b"", None
        self.waiter = asyncio.get_running_loop().create_future()
        self.transport.write(message)
        return self.waiter


class Pool:
    """Connections that are kept alive and used again."""

    def __init__(self, port, address="127.0.0.1"):
        self.port, self.address, self.idle = port, address, []

    async def ask(self, message):
        """-> (status, seconds, body); status 0: no answer"""
        for _ in range(2):  # an idle connection may have been closed meanwhile
            client, is_fresh = (self.idle.pop(), False) if self.idle else (await self.connect(), True)
            began = time.perf_counter()
            if client.transport is None:
                continue
            answer = await client.ask(message)
            if answer is not CLOSED or is_fresh:
                break
        took = time.perf_counter() - began
        if answer is CLOSED:
            return 0, took, b""
        head, _, body = answer.partition(b"\r\n\r\n")
        if b"onnection: close" in head:
            client.transport.close()
        else:
            self.idle.append(client)
        return int(head[9:12]), took, body

    async def connect(self):
        _, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", self.port,
                                                                       local_addr=(self.address, 0))
        return client

    def close(self):
        for client in self.idle:
            if client.transport:
                client.transport.close()


# ---- requests ----

def message(path, body, kind, timeout_ms):
    return (f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Request-Timeout-Ms: {timeout_ms}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def part(name, body):
    return b'--B\r\nContent-Disposition: form-data; name="%s"; filename="x"\r\n\r\n' % name + body + b"\r\n"


def captions(picture, n, images, timeout_ms):
    """The n-th request: every picture of a run is another one, for equal ones are computed once."""
    pictures = [picture + struct.pack("<I", n * images + i) for i in range(images)]
    if images == 1:
        return message("/caption?num_beams=1", pictures[0], "application/octet-stream", timeout_ms)
    form = b"".join(part(b"image", p) for p in pictures) + b"--B--\r\n"
    return message("/caption?num_beams=1", form, "multipart/form-data; boundary=B", timeout_ms)


def sentences(picture, n, count, timeout_ms):
    query = "&".join(f"text=a+picture+of+thing+{i}" for i in range(count))
    return message(f"/retrieve?{query}", picture + struct.pack("<I", n), "application/octet-stream", timeout_ms)


def large_png(n, side=7071):
    """16 bits, alpha, 50 megapixels, small as a file: more than a second of decoding."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    deflate = zlib.compressobj(6)
    rows = b"".join(deflate.compress(bytes(1 + 8 * side)) for _ in range(side)) + deflate.flush()
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0)) +
            chunk(b"IDAT", rows) + chunk(b"IEND", b"") + struct.pack("<I", n))


# ---- overload ----

TICK = os.sysconf("SC_CLK_TCK")
CORES = len(os.sched_getaffinity(0))


class Cores:
    """Seconds of all cores since it was made: the server's, and all that anybody had, the hypervisor too."""

    def __init__(self, server):
        self.server, self.before, self.began = server, self.read(server), time.monotonic()

    @staticmethod
    def read(server):
        with open("/proc/stat", encoding="ascii") as f:
            user, nice, system, _, _, irq, softirq, steal = (int(field) for field in f.readline().split()[1:9])
        if not hasattr(server, "process"):
            return 0, 0
        fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK, (user + nice + system + irq + softirq + steal) / TICK

    def parts(self):
        """-> of a second: the server's part and that of all together"""
        seconds = time.monotonic() - self.began
        return [(now - before) / seconds for now, before in zip(self.read(self.server), self.before)]


def send(args, server, rate, images, timeout_s, seconds, warm_up=2):
    """rate: requests a second, or "x64": so many at a time. In a program of its own, which takes little of the machine.
    -> what it tells, and of the same seconds the server's and the others' part of the cores"""
    command = [args.build / "tests/bench_open_loop", str(server.port), str(rate), str(seconds), str(warm_up),
               str(int(timeout_s * 1000)), str(images)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sender:
        assert sender.stdin and sender.stdout
        sender.stdin.write(args.picture.read_bytes())
        sender.stdin.close()
        time.sleep(warm_up)
        cores = Cores(server)
        time.sleep(seconds)
        own, busy = cores.parts()
        r = json.loads(sender.stdout.read())
    return r | {"own": own, "others": max(0, busy - own - r["cpu"]) if busy else 0}


class Capacity:
    """Pictures a second when enough waits at any time and nobody is refused, by the same sender as the rows, so that the
    machine's mood between a row and its neighbours counts least. What the sender and other programs take of the cores is no fault
    of the server: `beside` is the capacity where they take `taken` seconds a second."""

    def __init__(self, args, server, images, seconds):
        self.args, self.server, self.images, self.seconds, self.last = args, server, images, seconds, None
        send(args, server, "x8", images, 30, 1, 1)  # prices are learnt, memory is touched
        self.measure()

    def measure(self):
        r = send(self.args, self.server, "x64" if self.images == 1 else "x12", self.images, 30, self.seconds)
        before, self.last = self.last, (r["pictures"] / self.seconds, r["cpu"] + r["others"])
        before = before or self.last
        self.full, self.taken = ((a + b) / 2 for a, b in zip(before, self.last))

    def beside(self, taken):
        return self.full * (CORES - taken) / (CORES - self.taken)


# For each number of pictures: seconds a row, loads, deadlines in seconds. One request of 16 pictures is long beside a row.
FULL = {images: (20, (1.5, 2, 5, 10), (1, 2, 5, 30)) for images in (1, 16)}
QUICK = {images: (8, (2, 10), (1, 5)) for images in (1, 16)}
SHORT = {1: (4, (1.5, 2, 5, 10), (1, 2, 5, 30)), 16: (8, (2, 10), (1, 2, 5, 30))}

HEAD = ("pictures", "deadline", "load", "offered/s", "accepted", "in time", "goodput/s", "of capacity", "of the cores",
        "refused in, p50", "p99", "sender late, p99")


def one_round(args, server, images, capacity, timeout_s, factor, seconds, is_measured):
    """-> what the sender tells, with the parts of the capacity and of the cores"""
    r = send(args, server, f"{factor * capacity.last[0] / images:.3f}", images, timeout_s, seconds)
    if is_measured:
        capacity.measure()
    return r | {"own": 100 * r["own"] / CORES,
                "full": 100 * r["pictures"] / seconds / max(1e-9, capacity.beside(r["cpu"] + r["others"]))}


def row(args, server, images, capacity, timeout_s, factor, seconds, is_measured):
    """Prints it. is_measured: capacity is measured again behind it. -> whether it misses what it should be"""
    rounds = [one_round(args, server, images, capacity, timeout_s, factor, seconds, is_measured or args.rounds > 1)
              for _ in range(args.rounds)]

    def total(key):
        return sum(r[key] for r in rounds)

    def middle(key):
        return statistics.median(r[key] for r in rounds)

    full, n, span, p99 = middle("full"), total("accepted") + total("unanswered"), seconds * args.rounds, middle("refusal_p99")
    in_time, spread = total("in_time") / max(1, n), sorted(round(r["full"]) for r in rounds)
    verdict = "" if in_time >= 0.99 and full >= 95 and p99 <= 5 else " missed"
    if middle("lag_p99") > 50:
        verdict = " the sender does not manage so many"
    print(f"| {images} | {timeout_s} s | {factor}x | {total('offered') / span:.1f} | {n} | {100 * in_time:.2f} % | "
          f"{total('pictures') / span:.1f} | {full:.1f} % ({spread[0]}-{spread[-1]}) | {middle('own'):.0f} % | "
          f"{middle('refusal_p50'):.2f} ms | {p99:.2f} ms | {middle('lag_p99'):.1f} ms |{verdict}", flush=True)
    return verdict == " missed"


def table(args, server):
    rows, missed = SHORT if args.all else QUICK if args.quick else FULL, 0
    print("| " + " | ".join(HEAD) + " |\n" + "|---" * len(HEAD) + "|")
    for images in args.images:
        seconds, factors, timeouts = rows[images]
        seconds = args.seconds or seconds
        factors, timeouts = args.factors or factors, args.timeouts or timeouts
        capacity = Capacity(args, server, images, seconds)
        for timeout_s in timeouts:
            for n, factor in enumerate(factors):
                missed += row(args, server, images, capacity, timeout_s, factor, seconds, not args.all or n % 2 == 1)
        print(f"\ncapacity, {images} picture(s) a request: {capacity.last[0]:.1f} pictures/s at the end, loop and sender on the same "
              f"{CORES} cores\n", flush=True)
    return missed


# ---- fairness ----

async def greedy_client(pool, make, n, stop, statuses):
    i = 0
    while time.perf_counter() < stop:
        i += 1
        status, _, _ = await pool.ask(make(n * 1000 + i % 1000))
        statuses[status] = statuses.get(status, 0) + 1
        if status != 200:
            await asyncio.sleep(0.5)


async def polite_client(port, picture, seconds):
    """-> answered, latencies: one request after the other, a fifth of a second apart, from an address of its own."""
    pool, stop, latencies, statuses, i = Pool(port, "127.0.0.2"), time.perf_counter() + seconds, [], {}, 0
    while time.perf_counter() < stop:
        i += 1
        status, took, _ = await pool.ask(captions(picture, 1 << 28 | i, 1, 30000))
        statuses[status] = statuses.get(status, 0) + 1
        if status == 200:
            latencies.append(took)
        await asyncio.sleep(0.2)
    pool.close()
    return latencies, statuses


async def beside(port, picture, make, connections, seconds):
    pool, statuses, stop = Pool(port), {}, time.perf_counter() + seconds + 2
    crowd = [asyncio.create_task(greedy_client(pool, make, n, stop, statuses)) for n in range(connections)]
    await asyncio.sleep(2)
    latencies, polite = await polite_client(port, picture, seconds)
    for task in crowd:
        task.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    pool.close()
    return latencies, polite, statuses


def fairness(args, server):
    seconds, missed, picture = args.seconds or (8 if args.quick else 5 if args.all else 20), 0, args.picture.read_bytes()
    large, many = large_png(0), args.connections
    kinds = {"one picture": (many, lambda n: captions(picture, n, 1, 30000)),
             "16 pictures": (many, lambda n: captions(picture, n, 16, 30000)),
             "60 sentences": (many, lambda n: sentences(picture, n, 60, 30000)),
             "100 sentences": (40, lambda n: sentences(picture, n, 100, 30000)),
             "50 megapixels": (many, lambda n: message("/caption?num_beams=1", large + struct.pack("<I", n), "image/png", 30000))}
    print("| a polite client beside | answered, alone | beside | kept | p50 alone | beside | polite | greedy |\n" + "|---" * 8 + "|")
    for name, (connections, make) in kinds.items():
        if args.only and args.only not in name:
            continue
        alone, _ = asyncio.run(polite_client(server.port, picture, seconds))
        latencies, polite, greedy = asyncio.run(beside(server.port, picture, make, connections, seconds))
        part_ = len(latencies) / max(1, len(alone))
        missed += part_ < 0.5
        print(f"| {connections} connections, {name} | {len(alone)} | {len(latencies)} | {100 * part_:.0f} % | "
              f"{percentile(alone or [0], 50) * 1e3:.0f} ms | {percentile(latencies or [0], 50) * 1e3:.0f} ms | {polite} | {greedy} |"
              f"{'' if part_ >= 0.5 else ' missed'}", flush=True)
    print(flush=True)
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=pathlib.Path, default=ROOT / "tests/data/images/small.png")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models/minivlm-base")
    parser.add_argument("--log", default="/tmp/minivlm-overload.log")
    parser.add_argument("--seconds", type=float, help="a row; by default as many as the kind of run wants")
    parser.add_argument("--rounds", type=int, default=1, help="of each row, capacity between them; prints medians and the range")
    parser.add_argument("--images", type=int, nargs="*", default=[1, 16])
    parser.add_argument("--factors", type=float, nargs="*", help="loads in capacities; by default those of the kind of run")
    parser.add_argument("--timeouts", type=int, nargs="*", help="deadlines in seconds; the same")
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--only", help="fairness beside this kind alone, for instance sentences")
    parser.add_argument("--port", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--fairness", action="store_true")
    parser.add_argument("flags", nargs="*", help="of the server, after --")
    args = parser.parse_args()
    runs = [table, fairness] if args.all else [fairness] if args.fairness else [table]
    if args.port:
        return 1 if sum(run(args, args) for run in runs) else 0
    with serve(args, *args.flags) as server:
        missed = sum(run(args, server) for run in runs)
    if args.all:
        args.health_seconds = 4
        missed += health.table(args)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
