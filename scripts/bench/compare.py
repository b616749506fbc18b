#!/usr/bin/env python3
"""The engine beside other runtimes: same weights, same photograph, same machine, one run, the tables of README and SPEED.md.

    scripts/bench/compare.py MODEL_DIR IMAGE                    everything: below ten minutes on two quiet cores
    scripts/bench/compare.py MODEL_DIR IMAGE --quick            once through, to see that it works
    scripts/bench/compare.py paper IMAGE --large                the same with random weights in the sizes of the paper, and the large
                                                                network that the paper compares itself with

Exports the PyTorch reference to ONNX (once for a model) and runs it in ONNX Runtime (fp32, int8), OpenVINO (fp32, bf16, int8
by NNCF), a mix of both and PyTorch (eager, compiled), each in a process of its own that stays; and ours with `minivlm bench`:
"ours" in the formats of the file (int8, as shipped) by the best instruction set, the others by what their names say, of those
that this CPU has. They take turns, `--passes` times, so that all meet the same machine; the table has medians and quartiles
over all rounds. Peers come from the package index (peers/requirements.txt) into `--venv`, which is made where it is missing;
run this with a Python that has PyTorch (scripts/requirements-reference.txt).

Rows: regions of a picture that is resized, one question, one greedy caption of regions that are there, a caption from the
bytes on, and that with 8 and 32 pictures at once. Peers get proposals, NMS and RoIAlign for nothing, and run only the words
that captions can use. `x` is how many times as long the best peer takes as our first column.
Then the mix behind FastAPI with dynamic batching (peers/service.py) beside our server: greedy captions, 1, 8, 32 clients."""
import argparse
import asyncio
import contextlib
import hashlib
import importlib.util
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time

from load import hammer

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STAGES = ("regions", "vqa", "caption greedy", "greedy in all")
NAMES = {"vqa": "question", "caption greedy": "greedy caption", "greedy in all": "bytes to caption"}
PEERS = ("OpenVINO fp32", "OpenVINO bf16", "OpenVINO int8", "ONNX Runtime fp32", "ONNX Runtime int8", "mix", "PyTorch eager", "PyTorch compiled")
OURS = {"ours": [], "ours AMX": ["--isa", "amx"], "ours AVX-512": ["--isa", "avx512"], "ours AVX-VNNI": ["--isa", "avxvnni"],
        "ours AVX2": ["--isa", "avx2"], "ours NEON": ["--isa", "neon"], "ours OpenBLAS": ["--openblas"], "ours plain C": ["--isa", "ref"],
        "ours fp32": ["--precision", "fp32"], "ours fp32 AVX2": ["--precision", "fp32", "--isa", "avx2"],
        "ours fp32 OpenBLAS": ["--precision", "fp32", "--openblas"]}
LARGE_IN = ("OpenVINO bf16", "ONNX Runtime fp32", "ONNX Runtime int8")
SLOW = ("ours plain C", "large")  # seconds a round: one of them in each pass
QUIET = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """-> lower quartile, median, upper quartile"""
    if len(values) < 2:
        return (values[0],) * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def machine() -> str:
    """The processor's name, for the record."""
    info = pathlib.Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")] \
        if info.exists() else []
    return f"{names[0] if names else 'unknown processor'}, {os.cpu_count()} CPUs"


# What runs


def make_venv(folder: pathlib.Path) -> pathlib.Path:
    """-> the Python that has the peers; it also sees the packages of this one, PyTorch among them."""
    python, wanted = folder / "bin/python", HERE / "peers/requirements.txt"
    mark = folder / "requirements.txt"
    if not mark.exists() or mark.read_text() != wanted.read_text():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        torch = importlib.util.find_spec("torch")
        if torch is None:
            raise SystemExit("PyTorch is missing: pip install -r scripts/requirements-reference.txt, and run this with that Python")
        site = next(folder.glob("lib/python*/site-packages"))
        (site / "reference.pth").write_text(str(pathlib.Path(torch.origin or "").parents[1]) + "\n")
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", wanted], check=True)
        mark.write_text(wanted.read_text())
    return python


def export(python: pathlib.Path, model: pathlib.Path, image: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """-> the folder of the graphs of this model and picture"""
    sources = (model / "model.safetensors", model / "config.json", image, HERE / "peers/graphs.py")
    name = hashlib.sha256(b"".join(hashlib.sha256(p.read_bytes()).digest() for p in sources)).hexdigest()[:16]
    graphs = folder / name
    if not (graphs / "about.json").exists():
        in_peers(python, f"from peers import graphs; graphs.export({str(model)!r}, {str(image)!r}, pathlib.Path({str(graphs)!r}))")
    return graphs


class Peer:
    """A runtime in a process that stays; `times` is empty where it cannot run, `fault` says why."""

    def __init__(self, python, name, graphs, args, threads):
        self.batch, self.fault = args.batch, ""
        environment = QUIET | {"OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen([python, HERE / "peers/worker.py", name, graphs, args.image, "--threads", str(threads)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=environment)
        self.answer()

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.fault = (self.process.stderr.read().strip().splitlines() or ["it ended"])[-1]
        return {}

    def times(self, rounds: int) -> dict[str, list[float]]:
        if self.fault:
            return {}
        self.process.stdin.write(json.dumps({"rounds": rounds, "batch": self.batch}) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(60)


class Ours:
    """`minivlm bench` with some options, a process for each pass; several threads share each step of a request."""

    def __init__(self, args, flags, batch, threads):
        split = ["--split", str(threads)] if threads > 1 and has_option(args.build / "minivlm", "--split") else []
        self.command = [args.build / "minivlm", "bench", "--json", "--threads", str(threads), *split, "--model", args.model, *flags,
                        args.image]
        self.batch, self.fault, self.throughput = batch, "", f"captions, {threads} thread{'s' if threads > 1 else ''}"

    def bench(self, *more) -> dict[str, float]:
        done = subprocess.run([*self.command[:-1], *more, self.command[-1]], capture_output=True, text=True, env=QUIET, check=False)
        if done.returncode:
            self.fault = done.stderr.strip().splitlines()[-1]
            return {}
        return {row["name"]: row["median"] for row in map(json.loads, done.stdout.splitlines())}

    def times(self, rounds: int) -> dict[str, list[float]]:
        found = {} if self.fault else self.bench("--rounds", str(rounds), "--at-once", "1")
        times = {stage: [found[stage]] for stage in STAGES if stage in found}
        for n in self.batch if found else []:
            throughput = self.bench("--rounds", "1", "--at-once", str(n)).get(self.throughput)
            times[f"batch {n}"] = [1e3 / throughput] if throughput else []
        return times

    def close(self) -> None:
        pass


def inspect(args, *flags) -> dict:
    return json.loads(subprocess.run([args.build / "minivlm", "inspect", "--json", "--model", args.model, *flags],
                                     capture_output=True, text=True, env=QUIET, check=True).stdout)


def is_there(args, flags) -> bool:
    """Does this CPU have the instruction set that is asked for? The engine would take the best one below it."""
    return "--isa" not in flags or inspect(args, *flags)["isa"] == flags[flags.index("--isa") + 1]


def has_option(program: pathlib.Path, option: str) -> bool:
    return option in subprocess.run([program, "bench", "--help"], capture_output=True, text=True, check=True).stdout


def in_peers(python, code: str) -> None:
    """Runs a line of Python that may import the reference and the peers."""
    paths = f"import pathlib, sys; sys.path[:0] = {[str(HERE), str(HERE.parent)]!r}; "
    subprocess.run([python, "-c", paths + code], check=True, env=QUIET, stderr=subprocess.DEVNULL)


def random_model(python, folder: pathlib.Path) -> pathlib.Path:
    """-> a model directory in the sizes of the paper, made where it is missing"""
    if not (folder / "config.json").exists():
        in_peers(python, f"from peers import paper; paper.export_small(pathlib.Path({str(folder)!r}), 'fast')")
    return folder


def large_graphs(python, args) -> pathlib.Path:
    folder = args.venv.resolve() / "graphs" / f"large-{hashlib.sha256(args.image.read_bytes()).hexdigest()[:16]}"
    if not (folder / "question.npz").exists():
        in_peers(python, f"from peers import paper; paper.export_large(pathlib.Path({str(args.image)!r}), pathlib.Path({str(folder)!r}))")
    return folder


def runners(python, graphs, args, threads) -> dict:
    ours = {name: flags for name, flags in OURS.items() if name in (args.ours if threads == 1 else ["ours"])}
    ours = ours | {f"ours, {folder.name}": ["--model", str(folder.resolve())] for folder in args.also}
    every: dict[str, Ours | Peer] = {}
    for name, flags in ours.items():
        if "--precision" not in flags or has_option(args.build / "minivlm", "--precision"):
            if is_there(args, flags):
                every[name] = Ours(args, flags, args.batch if name == "ours" or "--model" in flags else [], threads)
            else:
                note(f"{name}: not on this CPU")
    for name in args.peers:
        every[name] = Peer(python, name, graphs, args, threads)
        note(f"{name}, {threads} threads: {every[name].fault or 'ready'}")
    for name in [p for p in LARGE_IN if p in args.peers and args.large]:
        every[f"large, {name}"] = Peer(python, name, large_graphs(python, args), args, threads)
        note(f"large, {name}, {threads} threads: {every[f'large, {name}'].fault or 'ready'}")
    return every


def collect(every: dict, passes: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """All in turn -> {column: {stage: [milliseconds]}}"""
    times: dict[str, dict[str, list[float]]] = {}
    for i in range(passes):
        for name, runner in every.items():
            for stage, values in runner.times(1 if name.startswith(SLOW) else rounds).items():
                times.setdefault(name, {}).setdefault(stage, []).extend(values)
        note(f"pass {i + 1} of {passes}")
    for runner in every.values():
        runner.close()
    return times


# The service


class Served:
    def __init__(self, command, port: int):
        self.port = port
        self.process = subprocess.Popen(command, env=QUIET, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)

    def megabytes(self) -> float:
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(float(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port: int, path: str, body: bytes, process) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TypeError):
            if asyncio.run(hammer(port, path, [body], 1, 0.2))[1]:
                return
        time.sleep(0.2)
    raise SystemExit("a service did not start")


def services(python, graphs, args) -> list[str]:
    """Lines of a table; the two are measured by turns, each with the machine for itself."""
    body, rows = args.image.read_bytes(), {}
    bodies = [body + n.to_bytes(4, "big") for n in range(1000)]  # we look only once at equal pictures that come together
    for clients in args.clients:
        for name in ("ours", "FastAPI over the mix"):
            port = free_port()
            command = [args.build / "minivlm-server", f"--model.dir={args.model}", f"--server.port={port}", "--cache.bytes=0",
                       "--log.level=error"] if name == "ours" else [python, HERE / "peers/service.py", graphs, str(port)]
            path = "/caption?num_beams=1" if name == "ours" else "/caption"
            with Served(command, port) as served:
                wait_for(port, path, body, served.process)
                asyncio.run(hammer(port, path, bodies, clients, args.seconds / 4))
                took = sorted(asyncio.run(hammer(port, path, bodies, clients, args.seconds))[1])
                rows[name, clients] = (len(took) / args.seconds, took[len(took) // 2] * 1e3, took[int(len(took) * 0.99)] * 1e3,
                                       served.megabytes())
            note(f"{name}, {clients} clients")
    lines = ["| greedy captions | clients | a second | p50 ms | p99 ms | resident MB |", "|---|---|---|---|---|---|"]
    lines += [f"| {name} | {clients} | {rate:.0f} | {p50:.1f} | {p99:.1f} | {mb:.0f} |"
              for (name, clients), (rate, p50, p99, mb) in rows.items()]
    return lines


# Tables


def cell(values: list[float] | None) -> str:
    if not values:
        return "-"
    low, middle, high = quartiles(values)
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def best_peer(times: dict, stage: str) -> tuple[str, float] | None:
    found = [(name, statistics.median(t[stage])) for name, t in times.items() if not name.startswith(("ours", "large")) and t.get(stage)]
    return min(found, key=lambda pair: pair[1]) if found else None


def table(times: dict, threads: int) -> list[str]:
    """Markdown: a row for each column of `times`, so that many fit; the last rows compare."""
    stages = [*STAGES, *sorted({s for t in times.values() for s in t if s.startswith("batch")}, key=lambda s: int(s.split()[1]))]
    named = [NAMES.get(s, s.replace("batch", "pictures at once:")) for s in stages]
    what = "milliseconds" if threads == 1 else f"milliseconds, {threads} threads"
    lines = [f"| {what} | " + " | ".join(named) + " |", "|---" * (len(stages) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(cell(t.get(s)) for s in stages) + " |" for name, t in times.items()]
    ratios = []
    for stage in stages:
        best, mine = best_peer(times, stage), times.get("ours", {}).get(stage)
        ratios.append(f"{best[1] / statistics.median(mine):.2f} x {best[0]}" if best and mine else "-")
    return [*lines, "| best peer over ours | " + " | ".join(ratios) + " |", *large_row(times, stages)]


def large_row(times: dict, stages: list[str]) -> list[str]:
    """How much of the large network's time ours takes, in the runtime that is best at it."""
    large = {name: sum(statistics.median(t[s]) for s in ("regions", "vqa")) for name, t in times.items() if name.startswith("large") and t}
    if not large or not times.get("ours"):
        return []
    best, ours = min(large, key=lambda name: large[name]), sum(statistics.median(times["ours"][s]) for s in ("regions", "vqa"))
    text = f"regions and question of ours take {100 * ours / large[best]:.1f} % of {best}"
    return [f"| {text} |" + " |" * len(stages)]


def note(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, help="a model directory, or the word paper")
    parser.add_argument("image", type=pathlib.Path)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--venv", type=pathlib.Path, default=ROOT / "build/peers")
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=4, help="of each program in each pass")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--batch", type=int, nargs="*", default=[8, 32])
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 8, 32], help="of the services; none: no services")
    parser.add_argument("--seconds", type=float, default=6.0, help="a service is measured for each number of clients")
    parser.add_argument("--peers", nargs="*", choices=PEERS, help="all, or with --large those that also run the large network")
    parser.add_argument("--ours", nargs="*", default=list(OURS), choices=OURS, help="our paths on one thread")
    parser.add_argument("--also", type=pathlib.Path, nargs="*", default=[], metavar="DIR",
                        help="other exports of the same weights, a row each")
    parser.add_argument("--large", action="store_true", help="also ResNet-101 and BERT-base: regions and a question")
    parser.add_argument("--quick", action="store_true", help="one pass, one thread, no compiler, a second for each service")
    parser.add_argument("--json", type=pathlib.Path, help="also write all milliseconds there")
    args = parser.parse_args()
    args.peers = list(LARGE_IN if args.large else PEERS) if args.peers is None else args.peers
    if args.quick:
        args.passes, args.rounds, args.threads, args.batch, args.seconds = 1, 1, [1], [8], 1.0
        args.peers = [p for p in args.peers if p != "PyTorch compiled"]
    args.image, args.build = args.image.resolve(), args.build.resolve()
    if not (args.build / "minivlm").exists():
        raise SystemExit(f"{args.build}/minivlm is not there: cmake --preset release && cmake --build --preset release")
    return args


def main() -> None:
    args = parse()
    python = make_venv(args.venv.resolve())
    note("exporting")
    args.model = random_model(python, args.venv.resolve() / "paper") if str(args.model) == "paper" else args.model.resolve()
    graphs = export(python, args.model, args.image, args.venv.resolve() / "graphs")
    ours = inspect(args)
    print(f"{machine()}; {args.model.name}; {args.image.name}; {time.strftime('%Y-%m-%d')}; ours: {ours['precision']}, {ours['isa']}\n")
    kept = {}
    for threads in args.threads:
        kept[threads] = collect(runners(python, graphs, args, threads), args.passes, args.rounds)
        print(f"{threads} thread{'s' if threads > 1 else ''} for one request; median (quartiles) of {args.passes} passes by turns\n")
        print("\n".join(table(kept[threads], threads)) + "\n", flush=True)
    if args.clients:
        print("\n".join(services(python, graphs, args)))
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "times": kept}, indent=1))


if __name__ == "__main__":
    main()
