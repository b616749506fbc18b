"""The real server on a free port, and small clients for it: for the tests and for scripts/bench. Python's standard library
only."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

import wire

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MINIVLM_BUILD_DIR", ROOT / "build" / "release"))
TINY = ROOT / "tests" / "data" / "tiny"
LITE = ROOT / "tests" / "data" / "tiny-lite"  # features of tiny's size, and other weights
BASE = ROOT / "models" / "minivlm-base"
IMAGES = sorted((ROOT / "tests" / "data" / "images").glob("*.*"))
WRAPPER = shlex.split(os.environ.get("E2E_WRAPPER", ""))  # valgrind and its like: the server is started under it
PATIENCE = float(os.environ.get("E2E_PATIENCE", "1"))     # how much slower the server runs for that
REPORT = re.compile(r"Sanitizer|runtime error:|==\d+==.*(Invalid|uninitialised|definitely lost)|stack smashing|BUG")


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json["error"]["code"]


def launch(*flags, build=None, **popen):
    """The server's process and nothing else: for tests of its log, its start or its socket."""
    command = [*WRAPPER, str((build or BUILD) / "minivlm-server"), *map(str, flags)]
    return subprocess.Popen(command, **{"cwd": ROOT, **popen})


class Client:
    """What speaks HTTP to a server, whoever started it."""

    def __init__(self, port, admin_port=None):
        self.port, self.admin_port = port, admin_port

    def wait_for(self, path, status, seconds=120):
        end = time.monotonic() + seconds * PATIENCE
        while (answer := self.get(path)).status != status:
            assert time.monotonic() < end, f"{path} is {answer.status}, not {status}: {answer.body}"
            time.sleep(0.02)
        return answer

    def connect(self, timeout=60, admin=False):
        return http.client.HTTPConnection("127.0.0.1", self.admin_port if admin else self.port, timeout=timeout)

    def request(self, method, path, body=None, headers=None, admin=False, timeout=60):
        with contextlib.closing(self.connect(timeout, admin)) as c:
            c.request(method, path, body, headers or {})
            return Answer(c.getresponse())

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, body, headers=None, **more):
        if isinstance(body, (dict, list)):
            body, headers = json.dumps(body), {"Content-Type": "application/json", **(headers or {})}
        return self.request("POST", path, body, headers, **more)

    def raw(self, data, timeout=10, half_close=False):
        """Bytes in, bytes out until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as s:
            out = b""
            with contextlib.suppress(ConnectionError, BrokenPipeError):
                s.sendall(data)
            with contextlib.suppress(OSError):
                if half_close:
                    s.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while more := s.recv(65536):
                    out += more
            return out

    def metric(self, line):
        for found in self.get("/metrics").body.decode().splitlines():
            if found.startswith(line + " "):
                return float(found.split()[-1])
        return 0.0

    def metrics(self, pattern):
        """{name with labels: value} of the metrics whose name the pattern fits"""
        lines = self.get("/metrics", admin=self.admin_port is not None and self.admin_port >= 0).body.decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if re.match(pattern, line))
        return {name: float(value) for name, value in pairs}

    def wait_until_idle(self, seconds=30):
        """Every place and every byte has been returned."""
        end = time.monotonic() + seconds * PATIENCE
        while any(held := self.metrics("minivlm_(inflight_requests|body_bytes) ").values()):
            assert time.monotonic() < end, f"never came back: requests, bytes {held}"
            time.sleep(0.05)

    def wire(self, **more):
        return wire.Wire(self.port, **more)

    def reload(self, query="?wait=true"):
        return self.post("/admin/reload" + query, b"", admin=True, timeout=30 * PATIENCE)


class Server(Client):
    """with Server("--limits.images=2") as s: s.post("/caption", picture)

    The log is read as it comes and stays in `lines`; with `log`, the path of a file, it goes there and is read until the
    server listens, so that reading takes nothing from what is measured."""

    def __init__(self, *flags, model=TINY, ready=True, env=None, keeps_requests=True, build=None, log=None, **popen):
        super().__init__(None)
        self.keeps_requests = keeps_requests  # of the log, in `lines`
        self.log_file = open(log, "w+") if log else None
        self.reading = threading.Event()
        self.reading.set()
        self.process = launch(f"--model.dir={model}", "--server.port=0", "--log.format=json", f"--log.level={'info' if log else 'debug'}",
                              *flags, build=build, stderr=self.log_file or subprocess.PIPE, text=True,
                              env={**os.environ, **(env or {})}, **popen)
        self.lines = []
        self.listening = threading.Event()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        try:
            if not self.listening.wait(20 * PATIENCE) or self.port is None:
                raise AssertionError("the server did not listen:\n" + "\n".join(map(str, self.lines)))
            if ready:
                self.wait_for("/readyz", 200)
        except (AssertionError, OSError):
            self.process.kill()
            self.process.wait()
            self._close_log()
            raise

    def _close_log(self):
        self.reader.join(5)
        (self.log_file or self.process.stderr).close()

    def _written(self):
        """Lines of the file, as they come, until the server listens or has ended."""
        with open(self.log_file.name) as file:
            line = ""
            while not self.listening.is_set():
                line += file.readline()
                if line.endswith("\n"):
                    yield line
                    line = ""
                elif not self.alive:
                    return
                else:
                    time.sleep(0.01)

    def _read(self):
        for line in self._written() if self.log_file else self.process.stderr:
            with contextlib.suppress(ValueError):
                line = json.loads(line)
                if line["event"] == "listening":
                    self.port, self.admin_port = line["port"], line["admin_port"]
                    self.listening.set()
            if self.keeps_requests or not isinstance(line, dict) or line["event"] != "request":
                self.lines.append(line)
            self.reading.wait()
        self.listening.set()

    def log(self, event):
        return [line for line in self.lines if isinstance(line, dict) and line["event"] == event]

    @property
    def alive(self):
        return self.process.poll() is None

    @property
    def reports(self):
        """What sanitizers, valgrind, the C library and our own assertions said."""
        return [line for line in self.lines if isinstance(line, str) and REPORT.search(line)]

    def wait_for_log(self, event, count=1, seconds=10):
        end = time.monotonic() + seconds * PATIENCE
        while len(self.log(event)) < count:
            assert time.monotonic() < end, f"no {event} in the log: {self.lines[-5:]}"
            time.sleep(0.01)
        return self.log(event)

    def wait_for_requests(self, route, count=1, seconds=10):
        """Lines of requests to this route; they come after their answers."""
        end = time.monotonic() + seconds * PATIENCE
        while len(found := [line for line in self.log("request") if line["route"] == route]) < count:
            assert time.monotonic() < end, f"no {count} requests to {route} in the log: {self.lines[-5:]}"
            time.sleep(0.01)
        return found

    def _status(self, key):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{key}:\s+(\d+) kB", text)[1]) / 1024

    @property
    def resident(self):
        """MiB of memory now"""
        return self._status("VmRSS")

    @property
    def peak(self):
        """MiB of memory at the most since forget_peak"""
        return self._status("VmHWM")

    def forget_peak(self):
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    @property
    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def leaves_within(self, seconds):
        """Seconds from SIGTERM to the end of the process, with a zero exit code; fails when it takes longer."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"still there {seconds} s after SIGTERM") from None
        assert code == 0, f"exit code {code}: {self.lines[-3:]}"
        return time.monotonic() - began

    def stop(self, how=signal.SIGTERM, seconds=30):
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            code = self.process.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        self.reader.join(5)
        return code

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.reading.set()
        ended_by_us = (0, 128 + signal.SIGTERM, -signal.SIGKILL)
        code = self.stop() if self.alive else self.process.returncode
        self._close_log()
        if kind is None:
            assert code in ended_by_us, f"exit code {code}: {self.lines[-3:]}"
            assert not self.reports, self.reports[:20]


class Models:
    """A model directory behind a link that is turned to another one, as a rollout does."""

    def __init__(self, folder, first=TINY):
        self.folder, self.path = pathlib.Path(folder), pathlib.Path(folder) / "current"
        self.path.symlink_to(first)

    def turn_to(self, model):
        fresh = self.folder / "next"
        fresh.symlink_to(model)
        fresh.rename(self.path)

    def copy(self, name, of=TINY):
        return pathlib.Path(shutil.copytree(of, self.folder / name))


def descriptors_limit(soft, hard):
    """for Server(preexec_fn=...)"""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def form(parts):
    """multipart/form-data of (name, bytes or str) pairs -> body, headers."""
    boundary = "frontier-5f1c"
    out = b""
    for name, value in parts:
        is_file = isinstance(value, bytes)
        out += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        out += b'; filename="../x.jpg"\r\nContent-Type: image/jpeg\r\n\r\n' if is_file else b"\r\n\r\n"
        out += (value if is_file else value.encode()) + b"\r\n"
    return out + f"--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def picture(n=0):
    return IMAGES[n % len(IMAGES)].read_bytes()


def run(name):
    if name == "__main__":
        unittest.main(verbosity=1)
