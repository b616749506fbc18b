#!/usr/bin/env python3
"""Puts the server under load and prints a table. Python's standard library only.

    load.py PICTURE...                   all figures below, each on a fresh server with the feature cache off
    load.py --only captions PICTURE...   one of: lone, tail, saturation, batching, health, idle, overload
    load.py --seconds 20 --clients 32    how long and how wide

The engine's own throughput comes from `minivlm bench` in the same run, so that both see the same machine."""
import argparse
import asyncio
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "e2e"))

from support import Server  # noqa: E402


def serve(args, *flags):
    return Server("--cache.bytes=0", *flags, model=args.model, build=args.build, log=args.log, env={"OPENBLAS_NUM_THREADS": "1"})


async def ask(port, head, body, connection=None):
    """-> (status, seconds, connection to use again)"""
    reader, writer = connection or await asyncio.open_connection("127.0.0.1", port)
    began = time.perf_counter()
    writer.write(head + b"Host: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: (\d+)", answer)[1])
    await reader.readexactly(length)
    status, took = int(answer[9:12]), time.perf_counter() - began
    if b"connection: close" in answer.lower():
        writer.close()
        return status, took, None
    return status, took, (reader, writer)


async def hammer(port, path, bodies, clients, seconds, method="POST"):
    """Closed loop: each client asks again as soon as it is answered. -> statuses, latencies of 200s, seconds"""
    statuses, latencies, stop = {}, [], time.perf_counter() + seconds

    async def client(n):
        connection, i = None, n
        while time.perf_counter() < stop:
            status, took, connection = await ask(port, f"{method} {path} HTTP/1.1\r\n".encode(), bodies[i % len(bodies)], connection)
            statuses[status] = statuses.get(status, 0) + 1
            if status == 200:
                latencies.append(took)
            elif status in (429, 503):
                await asyncio.sleep(0.2)  # a polite client would wait for Retry-After
            i += clients
        if connection:
            connection[1].close()
    began = time.perf_counter()
    await asyncio.gather(*(client(n) for n in range(clients)))
    return statuses, latencies, time.perf_counter() - began


async def trickle(port, path, bodies, rate, seconds):
    """Open loop: so many requests a second, at times as random as those of people who don't know of each other. -> latencies, from
    when a request was due"""
    idle, latencies, tasks, dice, began = [], [], [], random.Random(1), time.perf_counter()

    async def request(i, due):
        connection = idle.pop() if idle else None
        status, _, connection = await ask(port, f"POST {path} HTTP/1.1\r\n".encode(), bodies[i % len(bodies)], connection)
        latencies.append(time.perf_counter() - due if status == 200 else float("inf"))
        if connection:
            idle.append(connection)
    due = began
    while (due := due + dice.expovariate(rate)) < began + seconds:
        await asyncio.sleep(max(0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(request(len(tasks), due)))
    await asyncio.gather(*tasks)
    return latencies


async def watch_health(port, seconds):
    connection, latencies, stop = None, [], time.perf_counter() + seconds
    while time.perf_counter() < stop:
        _, took, connection = await ask(port, b"GET /healthz HTTP/1.1\r\n", b"", connection)
        latencies.append(took)
        await asyncio.sleep(0.01)
    return latencies


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p / 100))]


def row(what, figure, note=""):
    print(f"{what:44} {figure:>14}  {note}", flush=True)


def engine_figures(args):
    """The engine without HTTP, as `minivlm bench` measures it."""
    return subprocess.run([args.build / "minivlm", "bench", "--model", args.model, *args.pictures], cwd=ROOT,
                         capture_output=True, text=True, check=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}).stdout


def lone(args, bodies):
    with serve(args) as s:
        for path in ("/caption", "/caption?num_beams=1", "/vqa?question=what+is+this%3F", "/retrieve?text=a+dog"):
            _, latencies, _ = asyncio.run(hammer(s.port, path, bodies, 1, args.seconds / 2))
            row(f"one client, {path[:30]}", f"{statistics.median(latencies) * 1e3:.1f} ms", f"p99 {percentile(latencies, 99) * 1e3:.1f} ms")


def tail(args, bodies):
    """Capacity, then 70 % of it in an open loop, again and again: each row is the median of the rounds. Capacity is measured behind
    a round too: where the machine became slower meanwhile, the load was higher than it was meant to be."""
    bodies = [bodies[i % len(bodies)] + i.to_bytes(4, "big") for i in range(1000)]  # equal pictures in flight are computed once
    with serve(args) as s:
        for path in ("/caption?num_beams=1", "/caption", "/vqa?question=what+is+this%3F", "/retrieve?text=a+dog"):
            def capacity():
                _, full, took = asyncio.run(hammer(s.port, path, bodies, args.clients, args.seconds / 3))
                return len(full) / took
            rounds, before = [], capacity()
            for _ in range(args.rounds):
                latencies = asyncio.run(trickle(s.port, path, bodies, args.load * before, args.seconds))
                p50, p99, after = statistics.median(latencies) * 1e3, percentile(latencies, 99) * 1e3, capacity()
                rounds.append((p99 / p50, p50, p99, before, 2 * args.load * before / (before + after)))
                before = after
            ratio, p50, p99, rate, load = sorted(rounds)[len(rounds) // 2]
            every = ", ".join(f"x{r[0]:.2f} at {r[4]:.0%}" for r in sorted(rounds))
            row(f"{path[:22]}, {load:.0%} of {rate:.0f} /s", f"x{ratio:.2f}", f"p50 {p50:.1f} ms, p99 {p99:.1f} ms; all rounds {every}")


def saturation(args, bodies):
    with serve(args) as s:
        for clients in (1, 4, args.clients):
            _, latencies, took = asyncio.run(hammer(s.port, "/caption?num_beams=1", bodies, clients, args.seconds))
            row(f"captions, greedy, {clients} clients", f"{len(latencies) / took:.1f} /s",
                f"p50 {statistics.median(latencies) * 1e3:.0f} ms, p99 {percentile(latencies, 99) * 1e3:.0f} ms")


def batching(args, bodies):
    rates = {}
    for mode in ("off", "static", "continuous"):
        with serve(args, f"--engine.batching={mode}") as s:
            _, latencies, took = asyncio.run(hammer(s.port, "/caption", bodies, args.clients, args.seconds))
            rates[mode] = len(latencies) / took
            row(f"captions, {args.clients} clients, batching {mode}", f"{rates[mode]:.1f} /s",
                f"p50 {statistics.median(latencies) * 1e3:.0f} ms, x{rates[mode] / rates['off']:.2f}")


def health(args, bodies):
    async def both(port):
        return await asyncio.gather(hammer(port, "/caption", bodies, args.clients, args.seconds), watch_health(port, args.seconds))
    with serve(args) as s:
        _, latencies = asyncio.run(both(s.port))
        row("/healthz while all cores work", f"{percentile(latencies, 99) * 1e3:.2f} ms",
            f"p99 of {len(latencies)}; p50 {statistics.median(latencies) * 1e3:.2f} ms")


def idle(args, _):
    async def open_all(s):
        before = s.resident
        connections = []
        for _ in range(1000):
            connections.append((await ask(s.port, b"GET /healthz HTTP/1.1\r\n", b""))[2])
        return s.resident - before
    with serve(args) as s:
        row("1,000 idle keep-alive connections", f"{asyncio.run(open_all(s)):.1f} MB")


def overload(args, bodies):
    with serve(args, "--limits.requests=32") as s:
        _, full, took = asyncio.run(hammer(s.port, "/caption", bodies, 32, args.seconds))
        statuses, latencies, took5 = asyncio.run(hammer(s.port, "/caption", bodies, 160, args.seconds))
        row("captions, 32 clients, 32 allowed", f"{len(full) / took:.1f} /s")
        row("captions, 160 clients, 32 allowed", f"{len(latencies) / took5:.1f} /s", f"statuses {statuses}")


ALL = {"lone": lone, "tail": tail, "saturation": saturation, "batching": batching, "health": health, "idle": idle, "overload": overload}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("pictures", nargs="+", type=pathlib.Path)
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    p.add_argument("--model", default="models/minivlm-base")
    p.add_argument("--only", choices=ALL)
    p.add_argument("--seconds", type=float, default=10)
    p.add_argument("--rounds", type=int, default=3, help="of tail")
    p.add_argument("--load", type=float, default=0.7, help="of tail: part of the capacity")
    p.add_argument("--clients", type=int, default=32)
    p.add_argument("--log", default="/tmp/minivlm-load.log")
    args = p.parse_args()
    args.pictures = [f.resolve() for f in args.pictures]
    bodies = [f.read_bytes() for f in args.pictures]
    if not args.only or args.only == "saturation":
        print(engine_figures(args))
    for name, measure in ALL.items():
        if not args.only or args.only == name:
            measure(args, bodies)


if __name__ == "__main__":
    main()
