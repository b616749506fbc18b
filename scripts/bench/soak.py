#!/usr/bin/env python3
"""Mixed good and bad requests for a long time: every answer must be the engine's own, memory and descriptors flat.

    soak.py --minutes 60 PICTURE...
    soak.py --minutes 60 --reload-every 3 PICTURE...     the model is replaced all the while (1,200 times)
    soak.py --minutes 60 --chaos --build build/asan      the clients of tests/e2e/chaos.py, which need no pictures
    E2E_PATIENCE=10 chrt -i 0 soak.py ...                where others use the machine: ten times as long for everything

What is right comes from the program minivlm, asked before the server starts. Prints a line a minute; exit code 1 when an
answer was wrong, a request or a reload was lost, or the server died."""
import argparse
import base64
import collections
import http.client
import json
import os
import pathlib
import random
import socket
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "e2e"))

import support  # noqa: E402

QUESTION = "what is in the picture?"
TIMEOUT = 29.9  # seconds: limits.timeout_ms as it is delivered, and what clocks differ by


def engine_answers(args):
    def ask(*command):
        done = subprocess.run([args.build / "minivlm", command[0], "--json", "--model", args.model, *command[1:], *args.pictures],
                              capture_output=True, text=True, check=True, cwd=ROOT)
        return [json.loads(line) for line in done.stdout.splitlines()]
    return {"caption": [r["caption"] for r in ask("caption")],
            "vqa": [(r.get("answer") or r["answers"][0]["answer"]) for r in ask("vqa", "--question", QUESTION)]}


class Soak:
    def __init__(self, args, expected):
        self.args, self.expected = args, expected
        self.bodies = [p.read_bytes() for p in args.pictures]
        self.counts, self.wrong, self.lock = collections.Counter(), [], threading.Lock()
        self.stop = threading.Event()
        self.server = support.Server("--server.admin_port=0", "--cache.bytes=4MiB", "--limits.requests=16", model=args.model,
                                     build=args.build, log=args.log)

    def post(self, path, body, headers=None, **more):
        answer = self.server.post(path, body, headers, timeout=120, **more)
        return answer.status, answer.body

    def good(self, rng):
        n = rng.randrange(len(self.bodies))
        began = time.monotonic()
        if rng.random() < 0.5:
            key, right = "caption", self.expected["caption"][n]
            status, body = self.post("/caption", self.bodies[n])
        else:
            key, right = "answer", self.expected["vqa"][n]
            body = json.dumps({"image": base64.b64encode(self.bodies[n]).decode(), "question": QUESTION})
            status, body = self.post("/vqa", body, {"Content-Type": "application/json"})
        if status == 200:
            return status, json.loads(body).get(key) == right
        return status, status == 429 and self.is_refusal(status, body, time.monotonic() - began)

    def is_refusal(self, status, answer, took):
        """For want of time or room, in words: by the gate, or because its deadline has truly passed."""
        code = json.loads(answer).get("error", {}).get("code") if status >= 400 else None
        late = status == 504 and code == "deadline_exceeded" and took >= TIMEOUT
        return late or (status == 429 and code in ("overloaded", "deadline_unreachable"))

    def refused(self, expected, path, body, headers=None):
        """With one of these (status, code), or for want of time."""
        began = time.monotonic()
        status, answer = self.post(path, body, headers)
        code = json.loads(answer).get("error", {}).get("code") if status >= 400 else None
        if (status, code) in expected or self.is_refusal(status, answer, time.monotonic() - began):
            return True
        print(f"wrong: {path}: {status} {answer[:300]!r}", flush=True)
        return False

    def bad(self, rng):
        kind = rng.randrange(5)
        picture = self.bodies[rng.randrange(len(self.bodies))]
        if kind == 0:
            cut = rng.randrange(1, len(picture) - 12)  # a PNG without its last 12 bytes is whole
            damaged = ((413, "image_too_large"), (415, "unsupported_image"), (422, "corrupt_image"))
            return self.refused(damaged, "/caption", picture[:cut])
        if kind == 1:
            noise = b"\xff" + rng.randbytes(2000).replace(b"\xff", b"")  # a brace first would make it JSON, a marker within a JPEG
            return self.refused(((415, "unsupported_image"),), "/caption", noise)
        if kind == 2:
            return self.refused(((400, "bad_request"),), "/vqa", b'{"image": ', {"Content-Type": "application/json"})
        if kind == 3:
            return self.refused(((200, None), (504, "deadline_exceeded")), "/caption?timeout_ms=1", picture)
        with socket.create_connection(("127.0.0.1", self.server.port)) as s:
            s.sendall(b"POST /caption HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(picture) + picture)
            time.sleep(rng.random() * 0.05)
        return True

    def client(self, seed):
        rng = random.Random(seed)
        while not self.stop.is_set():
            try:
                if rng.random() < 0.2:
                    ok, key = self.bad(rng), "bad"
                else:
                    key, ok = self.good(rng)
            except (OSError, http.client.HTTPException, ValueError) as e:
                ok, key = not self.server.alive, repr(e)
            with self.lock:
                self.counts[key] += 1
                if not ok:
                    self.wrong.append(key)
            time.sleep(self.args.pause)

    def reload(self):
        while not self.stop.wait(self.args.reload_every):
            status, body = self.post("/admin/reload?wait=true", b"", admin=True)
            with self.lock:
                self.counts["reload"] += 1
                if status != 200:
                    self.wrong.append(body)

    def run(self):
        threads = [threading.Thread(target=self.client, args=(n,), daemon=True) for n in range(self.args.clients)]
        if self.args.reload_every:
            threads.append(threading.Thread(target=self.reload, daemon=True))
        for t in threads:
            t.start()
        end, samples = time.monotonic() + self.args.minutes * 60, []
        while time.monotonic() < end and self.server.alive:
            time.sleep(min(60, max(0.1, end - time.monotonic())))
            memory, descriptors = self.server.resident, self.server.descriptors
            samples.append(memory)
            print(f"{(time.monotonic() - end) / 60 + self.args.minutes:6.1f} min  {memory:7.1f} MB  {descriptors} descriptors  "
                  f"wrong {len(self.wrong)}  {dict(self.counts)}", flush=True)
        died = not self.server.alive
        self.stop.set()
        for t in threads:
            t.join()
        code = self.server.stop(seconds=60)
        for wrong in self.wrong[:10]:
            print("wrong:", wrong)
        grown = min(samples[-5:]) / min(samples[:5]) - 1  # the least of five: in a reload two models are there
        print(f"grown {100 * grown:+.1f} % since the first minutes, exit code {code}, died {died}")
        return 1 if self.wrong or died or code else 0


def chaos(args):
    support.BUILD = args.build.resolve()
    from chaos import Storm
    storm = Storm(args.minutes * 60, args.seed, args.clients, say=lambda text: print(text, flush=True))
    faults = storm.run()
    print(f"seed {args.seed}, {dict(storm.counts)}, {len(faults)} faults")
    return 1 if faults else 0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("pictures", nargs="*", type=pathlib.Path)
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    p.add_argument("--model", default="models/minivlm-base")
    p.add_argument("--minutes", type=float, default=60)
    p.add_argument("--clients", type=int, default=24)
    p.add_argument("--log", default=f"/tmp/minivlm-soak-{os.getpid()}.log")
    p.add_argument("--pause", type=float, default=0.0, help="seconds between a client's requests")
    p.add_argument("--reload-every", type=float, metavar="SECONDS", default=0, help="between two reloads of the model; 0: none")
    p.add_argument("--chaos", action="store_true", help="clients that stall, lie and vanish, and restarts, with tests/data/tiny")
    p.add_argument("--seed", type=int, default=1, help="of --chaos")
    args = p.parse_args()
    if args.chaos:
        sys.exit(chaos(args))
    if not args.pictures:
        p.error("which pictures?")
    args.pictures = [f.resolve() for f in args.pictures]
    sys.exit(Soak(args, engine_answers(args)).run())


if __name__ == "__main__":
    main()
