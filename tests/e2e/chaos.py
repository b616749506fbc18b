#!/usr/bin/env python3
"""Clients that vanish, stall, lie and send garbage, beside honest ones that compare every answer with a quiet run, while
the model is reloaded, the configuration read again and the service stopped and started.

    chaos.py --seconds 3600 --seed 7       the server of MINIVLM_BUILD_DIR (build/release) with tests/data/tiny

Prints what happened; exit code 1 when an honest client was not served right, an answer was no HTTP, the process died, a
sanitizer reported, or places, bytes, descriptors or memory did not come home. A run is repeated by its seed as far as
threads allow."""
import argparse
import collections
import contextlib
import json
import os
import pathlib
import random
import signal
import sys
import tempfile
import threading
import time

import wire
from support import BUILD, LITE, PATIENCE, TINY, Models, Server, form

PICTURES = [wire.png(200 + 40 * n, 300 - 15 * n, n, noise=20) for n in range(8)]
SANITIZED = BUILD.name in ("asan", "tsan")
MIN_TIMEOUT = 20  # seconds: of a request
REFUSALS = {429: ("overloaded", "deadline_unreachable"), 503: ("draining", "not_ready", "overloaded", "unavailable", "busy"),
            504: ("deadline_exceeded",)}


def posted(target, parts, *more):
    body, headers = form(parts)
    return wire.message("POST", target, body, *(f"{k}: {v}" for k, v in headers.items()), *more)


HONEST = {
    **{f"caption {n}": wire.message("POST", "/caption?num_beams=4", p) for n, p in enumerate(PICTURES)},
    **{f"fresh caption {n}": wire.chunks("POST", "/caption", p, "Cache-Control: no-store", size=700) for n, p in enumerate(PICTURES[:4])},
    **{f"stream {n}": wire.message("POST", "/caption?stream=true", p) for n, p in enumerate(PICTURES[:4])},
    "sixteen": posted("/caption?num_beams=2", [("image", p) for p in PICTURES * 2], "Cache-Control: no-store"),
    "occlusion": wire.message("POST", "/vqa?question=what+is+this&explain=occlusion", PICTURES[1]),
    "questions": posted("/vqa", [("image", PICTURES[2]), ("question", "what"), ("question", "who is this")]),
    "retrieve": posted("/retrieve", [("image", PICTURES[3]), ("image", PICTURES[4]), ("text", "a dog"), ("text", "a cat")]),
    "check": wire.message("POST", "/images/check", PICTURES[5]),
    "search": wire.message("POST", "/retrieve", {"collection": "c", "text": "a dog and a cat"}),
    "search by query": wire.message("POST", "/retrieve?collection=c&text=" + "+".join(f"w{n}" for n in range(60)), b""),
    "bad picture": wire.message("POST", "/caption", PICTURES[6][:len(PICTURES[6]) // 2]),
    "bad parameter": wire.message("POST", "/caption?nun_beams=2", PICTURES[6]),
    "bad JSON": wire.message("POST", "/vqa", b'{"image": [', "Content-Type: application/json"),
    "not there": wire.head("GET", "/nothing"),
}


def compared(reply):
    """Errors carry an id of their own."""
    if reply is not None and reply.code:
        return reply.status, reply.code
    return wire.said(reply) if reply is not None else None


class Storm:
    def __init__(self, seconds, seed=1, clients=12, restarts=True, reloads=1.0, flags=(), say=lambda text: None):
        self.seconds, self.seed, self.clients, self.restarts, self.reloads, self.say = seconds, seed, clients, restarts, reloads, say
        self.folder = tempfile.TemporaryDirectory()
        self.models = Models(self.folder.name)
        self.config = pathlib.Path(self.folder.name) / "config.json"
        self.flags = (f"--config={self.config}", f"--collections.path={self.folder.name}/c.db", "--server.admin_port=0",
                      "--limits.requests=64", f"--server.idle_timeout_ms={round(2000 * PATIENCE)}",
                      f"--server.upload_timeout_ms={round(3000 * PATIENCE)}", f"--server.send_timeout_ms={round(2000 * PATIENCE)}",
                      "--drain.timeout_ms=1000", "--log.level=info", *flags)
        self.configure(random.Random(seed))
        self.counts, self.faults, self.lock = collections.Counter(), [], threading.Lock()
        self.stop, self.calm = threading.Event(), threading.Event()
        self.kept, self.server, self.leaving, self.right, self.worst_health = set(), None, True, {}, 0.0
        self.max_descriptors = 0
        self.late_reload = False  # the last one was answered before it had ended

    def configure(self, rng):
        fresh = self.config.with_suffix(".new")
        fresh.write_text(json.dumps({"limits": {"timeout_ms": 1000 * MIN_TIMEOUT + rng.randrange(10000)},
                                     "drain": {"delay_ms": rng.choice((0, 0, 200))},
                                     "server": {"cors_origins": rng.choice(("*", "https://a.example"))}}))
        fresh.replace(self.config)

    def start(self):
        self.server = Server(*self.flags, model=self.models.path, keeps_requests=False)
        self.leaving = self.late_reload = False

    def fault(self, text):
        with self.lock:
            self.faults.append(text)
        self.say(f"FAULT {text}")

    def learn(self):
        """What both models answer when nobody disturbs them."""
        with self.server.wire() as w:
            for n, p in enumerate(PICTURES):
                w.ask(wire.message("PUT", f"/collections/c/images/k{n}", p))
        for model in (LITE, TINY):
            self.models.turn_to(model)
            while self.reload() != 200 and not self.faults:
                time.sleep(0.1)
            for name, message in HONEST.items():
                self.right.setdefault(name, set()).add(compared(wire.ask(self.server.port, message)))

    def reload(self):
        """Nobody else reloads and nobody is leaving, so it succeeds. Where all runs slowly its deadline may pass first; then
        it goes on, and the next one is refused for as long."""
        began = time.monotonic()
        answer = self.server.reload()
        took = time.monotonic() - began
        if answer.status == 200:
            self.counts["reload"] += 1
            self.late_reload = False
        elif answer.status == 504 and took >= MIN_TIMEOUT and PATIENCE > 1:
            self.counts["reload after its deadline"] += 1
            self.late_reload = True
        elif not (answer.status == 409 and answer.code == "conflict" and self.late_reload):
            self.fault(f"reload after {took:.1f} s: {answer.status} {answer.body}")
        return answer.status

    # ---- honest clients: each answer is looked at ----

    def judge(self, s, name, reply):
        if reply is None:
            if not (self.leaving or s is not self.server):
                self.fault(f"{name}: closed without an answer")
            return
        said = compared(reply)
        if said in self.right.get(name, ()):
            self.counts["right"] += 1
        elif reply.status in REFUSALS and reply.code in REFUSALS[reply.status]:
            self.counts[f"refused {reply.status}"] += 1
        elif b"event: error" in reply.body and self.leaving:
            self.counts["stream cut by SIGTERM"] += 1
        else:
            self.fault(f"{name}: {reply.status} {reply.body[:400]!r}")

    def honest(self, rng, s):
        name = rng.choice(list(HONEST))
        with s.wire(patience=60 * PATIENCE) as w:
            self.judge(s, name, w.ask(HONEST[name]))

    def in_pieces(self, rng, s):
        name, data = rng.choice(list(HONEST.items()))
        cuts = sorted(rng.randrange(len(data)) for _ in range(rng.randrange(1, 8)))
        with s.wire(patience=60 * PATIENCE) as w:
            for begin, end in zip([0, *cuts], [*cuts, len(data)]):
                w.push(data[begin:end])
                time.sleep(rng.random() * 0.02)
            self.judge(s, name, w.reply())

    def half_closed(self, rng, s):
        name = rng.choice(list(HONEST))
        with s.wire(patience=60 * PATIENCE) as w:
            w.push(HONEST[name])
            with contextlib.suppress(OSError):
                w.half_close()
            self.judge(s, name, w.reply())

    def slow_reader(self, rng, s):
        name = rng.choice(list(HONEST))
        with s.wire(patience=60 * PATIENCE, receive=2048) as w:
            w.push(HONEST[name])
            for _ in range(rng.randrange(1, 10)):
                time.sleep(0.03)
                with contextlib.suppress(ConnectionError):
                    w.unread += w.socket.recv(rng.randrange(1, 30))
            self.judge(s, name, w.reply())

    def pipeline(self, rng, s):
        names = [rng.choice(list(HONEST)) for _ in range(rng.randrange(2, 7))]
        with s.wire(patience=60 * PATIENCE) as w:
            sender = threading.Thread(target=w.push, args=(b"".join(HONEST[n] for n in names),))
            sender.start()
            try:
                for name in names:
                    reply = w.reply()
                    if reply is None and name != names[0]:
                        break  # an answer before may have closed the connection
                    self.judge(s, name, reply)
                    if reply is None or reply.closes:
                        break
            finally:
                with contextlib.suppress(OSError):
                    w.socket.shutdown(wire.socket.SHUT_RDWR)
                sender.join()

    def put(self, rng, s):
        key = f"{rng.randrange(1 << 60):x}"
        with s.wire(patience=60 * PATIENCE) as w:
            reply = w.ask(wire.message("PUT", f"/collections/kept/images/{key}", rng.choice(PICTURES)))
        if reply is not None and reply.status == 201:
            self.kept.add(key)
            self.counts["put"] += 1
        elif reply is not None and reply.status not in REFUSALS:
            self.fault(f"put: {reply.status} {reply.body[:200]!r}")

    # ---- dishonest ones: what comes back must be HTTP, if anything comes ----

    def vanish(self, rng, s):
        data = rng.choice(list(HONEST.values()))
        with s.wire() as w:
            w.push(data[:rng.choice((len(data), len(data), rng.randrange(len(data))))])
            time.sleep(rng.random() * rng.choice((0.001, 0.02, 0.2)))
            (w.reset if rng.random() < 0.5 else w.close)()

    def stall(self, rng, s):
        data = rng.choice(list(HONEST.values()))
        with s.wire(receive=2048) as w:
            w.push(data[:rng.randrange(len(data))] if rng.random() < 0.7 else data * 3)
            self.stop.wait(rng.random() * 3)

    def garbage(self, rng, s):
        with s.wire(patience=8 * PATIENCE) as w:
            w.push(rng.randbytes(rng.randrange(1, 5000)) + rng.choice((b"", b"\r\n\r\n")))
            self.whatever(w, s)

    def mutate(self, rng, s):
        data = bytearray(rng.choice(list(HONEST.values()))[:20000])
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(min(len(data), 400))
            data[at:at + rng.choice((0, 1, 1, 3))] = rng.choice((rng.randbytes(1), b"\r\n", b"\0", b" ", b":", b"", b"9", b"\n"))
        with s.wire(patience=8 * PATIENCE) as w:
            w.push(bytes(data))
            self.whatever(w, s)

    def huge_head(self, rng, s):
        lines = rng.choice(([f"X-A: {'a' * rng.randrange(100000)}"], [f"X-{n}: b" for n in range(rng.randrange(3000))],
                            [f"Cookie: {'c' * rng.randrange(7000, 17000)}"]))
        with s.wire(patience=8 * PATIENCE) as w:
            w.push(wire.message("POST", "/caption", PICTURES[0], *lines))
            self.whatever(w, s)

    def lie(self, rng, s):
        declared = rng.choice((10, 1000, 1 << 20, 20 << 20, 1 << 40))
        head = wire.head(rng.choice(("POST", "PUT", "GET", "DELETE", "PATCH")), rng.choice(("/caption", "/nope", "/collections/x/images/y")),
                         rng.choice((f"Content-Length: {declared}", "Transfer-Encoding: chunked")),
                         *rng.choice(((), ("Expect: 100-continue",))))
        with s.wire(patience=8 * PATIENCE) as w:
            w.push(head + rng.choice((b"", b"x" * rng.randrange(2000), b"5\r\nabcde\r\n", b"ffffffffffffffffff\r\n", b"-1\r\n")))
            if rng.random() < 0.5:
                self.whatever(w, s)
            else:
                self.stop.wait(rng.random() * 2)

    def whatever(self, w, s):
        """Answers or none; whoever is left without one is hung up on within the time-outs."""
        try:
            while (reply := w.reply()) is not None:
                self.counts["answers to the dishonest"] += 1
                if reply.status >= 400 and not (reply.code or b'{"error":"' in reply.body):  # Hugging Face's form has no code
                    self.fault(f"an error without a code: {reply}")
                if reply.closes:
                    break
        except TimeoutError:
            if not self.leaving and s is self.server:
                self.fault("a connection was neither answered nor closed")

    ACTS = ((honest, 30), (in_pieces, 8), (half_closed, 5), (slow_reader, 4), (pipeline, 5), (put, 4), (vanish, 20), (stall, 4),
            (garbage, 6), (mutate, 10), (huge_head, 3), (lie, 6))

    def client(self, n):
        rng = random.Random(self.seed * 1000 + n)
        acts, weights = zip(*self.ACTS)
        while not self.stop.is_set():
            s, act = self.server, rng.choices(acts, weights)[0]
            if self.leaving:
                time.sleep(0.02)
                continue
            try:
                act(self, rng, s)
                self.counts[act.__name__] += 1
            except wire.Malformed as e:
                if not self.leaving and s is self.server:
                    self.fault(f"{act.__name__}: {e}")
            except OSError as e:
                if not self.leaving and s is self.server and s.alive and act in (Storm.honest, Storm.put, Storm.in_pieces):
                    self.fault(f"{act.__name__}: {e!r}")

    # ---- whoever runs the service ----

    def operate(self):
        rng, begin = random.Random(self.seed), time.monotonic()
        end, minutes = begin + self.seconds, 0
        while time.monotonic() < end and len(self.faults) < 20:
            time.sleep(rng.random() * 1.5)
            if time.monotonic() - begin > 60 * (minutes + 1):
                minutes += 1
                self.say(f"{minutes:5} min  {self.server.resident:7.1f} MB  {self.server.descriptors} descriptors  "
                         f"{len(self.faults)} faults  {self.counts['right']} right  {self.counts['reload']} reloads")
            if not self.server.alive:
                return self.fault(f"the process ended with {self.server.process.poll()}: {self.server.lines[-30:]}")
            began = time.monotonic()
            try:
                if self.server.get("/healthz", timeout=20 * PATIENCE).status != 200:
                    self.fault("/healthz is not 200")
                if self.server.descriptors > self.max_descriptors:
                    self.fault(f"{self.server.descriptors} descriptors, at most {self.max_descriptors} can be in use")
                self.worst_health = max(self.worst_health, time.monotonic() - began)
                kind = rng.random()
                if kind < 0.5 * self.reloads:
                    self.models.turn_to(rng.choice((TINY, LITE)))
                    self.reload()
                elif kind < 0.7:
                    self.configure(rng)
                    self.server.process.send_signal(signal.SIGHUP)
                    self.counts["SIGHUP"] += 1
                elif kind < 0.8 and self.restarts and end - time.monotonic() > 5:
                    self.restart()
            except OSError as e:
                self.fault(f"the operator was not served: {e!r}")

    def restart(self):
        self.leaving = True
        took = self.server.leaves_within(4 if SANITIZED else 2.5)
        self.counts["SIGTERM"] += 1
        self.end_of_process()
        self.start()
        return took

    def end_of_process(self):
        self.server.reader.join(10)
        if self.server.reports or self.server.process.returncode != 0:
            self.fault(f"exit code {self.server.process.returncode}: {self.server.reports[:40]}")
        self.server.process.stderr.close()

    def aftermath(self, descriptors, memory):
        s = self.server
        s.wait_until_idle(40)
        end = time.monotonic() + 15 * PATIENCE
        while (s.descriptors > descriptors + 4 or s.metrics("minivlm_connections ")["minivlm_connections"] > 1) and time.monotonic() < end:
            time.sleep(0.1)
        if s.descriptors > descriptors + 4:
            self.fault(f"descriptors {descriptors} -> {s.descriptors}")
        grown = s.resident - memory
        if grown > (400 if SANITIZED else 60):
            self.fault(f"memory grew by {grown:.0f} MiB")
        for name in HONEST:
            if compared(wire.ask(s.port, HONEST[name])) not in self.right[name]:
                self.fault(f"{name} is wrong after the storm")
        found, after = set(), ""
        while after is not None and self.kept:
            page = s.get(f"/collections/kept?limit=1000&after={after}").json
            found, after = found | {i["key"] for i in page["images"]}, page["next"]
        if self.kept - found:
            self.fault(f"{len(self.kept - found)} acknowledged pictures are lost")
        return grown

    def run(self):
        """-> faults; what happened is in counts"""
        with self.folder:
            self.start()
            self.learn()
            descriptors, memory = self.server.descriptors, self.server.resident
            # the socket of each client, one that it has left behind, and the pair of its request; a few kept pairs
            self.max_descriptors = descriptors + 4 * (self.clients + 2) + 16
            threads = [threading.Thread(target=self.client, args=(n,), daemon=True) for n in range(self.clients)]
            for t in threads:
                t.start()
            try:
                self.operate()
            finally:
                self.stop.set()
                for t in threads:
                    t.join(90 * PATIENCE)
            if self.server.alive:
                try:
                    grown = self.aftermath(descriptors, memory)
                    self.leaving = True
                    self.server.leaves_within(4 if SANITIZED else 2.5)
                    self.say(f"memory {grown:+.0f} MiB, worst /healthz {1000 * self.worst_health:.0f} ms")
                except (AssertionError, OSError) as e:
                    self.fault(repr(e))
                    self.server.process.kill()
                    self.server.process.wait()
            self.end_of_process()
            return self.faults


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(2), "little"))
    p.add_argument("--clients", type=int, default=12)
    p.add_argument("--no-restarts", action="store_true")
    args = p.parse_args()
    print(f"seed {args.seed}, server {BUILD}", flush=True)
    storm = Storm(args.seconds, args.seed, args.clients, not args.no_restarts, say=lambda text: print(text, flush=True))
    faults = storm.run()
    print(dict(sorted(storm.counts.items(), key=str)), f"{len(faults)} faults", flush=True)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
