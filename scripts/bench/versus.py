#!/usr/bin/env python3
"""Ordinary load on two builds by turns: what has a change cost? Python's standard library only.

    versus.py OTHER_BUILD                this checkout's build/release against another build directory
    versus.py OTHER_BUILD --model DIR    weights that both can read (default: those of the other one's checkout)
    versus.py BUILD --model DIR --before DIR    two networks: --before are the weights of the other build, often the same build

Both servers run all the time and are asked by turns, so that both see the same machine; each round begins with the other one.
A figure is the median of the rounds, in brackets minimum and maximum. `cpu`: the server's processor time a request."""
import argparse
import asyncio
import copy
import os
import pathlib
import statistics
import struct
import sys

from load import ROOT, hammer, percentile, serve

TICK = os.sysconf("SC_CLK_TCK")


def picture(path):
    return [path.read_bytes() + struct.pack("<I", n) for n in range(997)]


def rows(args):
    """name, method, path, bodies, clients"""
    photo, small = picture(args.picture), picture(ROOT / "tests/data/images/small.png")
    return [("/healthz, 1 connection", "GET", "/healthz", [b""], 1), ("/healthz, 64 connections", "GET", "/healthz", [b""], 64),
            ("/images/check, 16 connections", "POST", "/images/check", small, 16),
            ("one question, 1 client", "POST", "/vqa?question=what+is+this", photo, 1),
            ("one sentence, 1 client", "POST", "/retrieve?text=a+dog", photo, 1),
            ("greedy caption, 1 client", "POST", "/caption?num_beams=1", photo, 1),
            ("greedy captions, 32 clients", "POST", "/caption?num_beams=1", photo, 32),
            ("captions of 3 beams, 32 clients", "POST", "/caption?num_beams=3", photo, 32)]


def processor_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def measure(server, method, path, bodies, clients, seconds):
    """-> requests a second, milliseconds p50 and p99, processor milliseconds a request"""
    before = processor_seconds(server.process.pid)
    statuses, latencies, took = asyncio.run(hammer(server.port, path, bodies, clients, seconds, method))
    if set(statuses) != {200}:
        print(f"statuses: {statuses}", file=sys.stderr)
    n = max(1, sum(statuses.values()))
    return (len(latencies) / took, statistics.median(latencies or [0]) * 1e3, percentile(latencies or [0], 99) * 1e3,
            (processor_seconds(server.process.pid) - before) / n * 1e3)


def spread(values, digits):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("other", type=pathlib.Path)
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    p.add_argument("--model", type=pathlib.Path)
    p.add_argument("--before", type=pathlib.Path)
    p.add_argument("--picture", type=pathlib.Path, default=ROOT / "docs/photos/cat.jpg")
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--only", default="")
    args = p.parse_args()
    args.model, args.log = (args.model or args.other / "../../models/minivlm-base").resolve(), "/tmp/minivlm-versus-now.log"
    old = copy.copy(args)
    old.build, old.log = args.other.resolve(), "/tmp/minivlm-versus-before.log"
    old.model = (args.before or args.model).resolve()
    print("| | requests/s before | now | | p50 ms before | now | p99 ms before | now | cpu ms before | now |\n" + "|---" * 10 + "|")
    with serve(old) as before, serve(args) as now:
        for name, *load in rows(args):
            if args.only not in name:
                continue
            seen = {before: [], now: []}
            for n in range(args.rounds):
                for server in (before, now) if n % 2 else (now, before):
                    seen[server].append(measure(server, *load, args.seconds))
            rates, p50s, p99s, cpus = ([[row[i] for row in seen[s]] for s in (before, now)] for i in range(4))
            ratio = statistics.median(rates[1]) / max(1e-9, statistics.median(rates[0]))
            cells = [spread(rates[0], 1), spread(rates[1], 1), f"x{ratio:.2f}",
                     *(spread(v, 2) for pair in (p50s, p99s, cpus) for v in pair)]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
