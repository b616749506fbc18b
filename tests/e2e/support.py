"""The real server on a free port, and small clients for it. Python's standard library only."""
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MINIVLM_BUILD_DIR", ROOT / "build" / "release"))
TINY = ROOT / "tests" / "data" / "tiny"
BASE = ROOT / "models" / "minivlm-base"
IMAGES = sorted((ROOT / "tests" / "data" / "images").glob("*.*"))


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json["error"]["code"]


class Server:
    """with Server("--limits.images=2") as s: s.post("/caption", picture)"""

    def __init__(self, *flags, model=TINY, ready=True, env=None, **popen):
        command = [str(BUILD / "minivlm-server"), f"--model.dir={model}", "--server.port=0", "--log.format=json",
                   "--log.level=debug", *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT,
                                        env={**os.environ, **(env or {})}, **popen)
        self.lines, self.port, self.admin_port = [], None, None
        self.listening = threading.Event()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if not self.listening.wait(20) or self.port is None:
            self.process.kill()
            self.process.wait()
            self.reader.join(5)
            self.process.stderr.close()
            raise AssertionError("the server did not listen:\n" + "\n".join(map(str, self.lines)))
        if ready:
            self.wait_for("/readyz", 200)

    def _read(self):
        for line in self.process.stderr:
            with contextlib.suppress(ValueError):
                line = json.loads(line)
                if line["event"] == "listening":
                    self.port, self.admin_port = line["port"], line["admin_port"]
                    self.listening.set()
            self.lines.append(line)
        self.listening.set()

    def log(self, event):
        return [line for line in self.lines if isinstance(line, dict) and line["event"] == event]

    def wait_for_log(self, event, count=1, seconds=10):
        end = time.monotonic() + seconds
        while len(self.log(event)) < count:
            assert time.monotonic() < end, f"no {event} in the log: {self.lines[-5:]}"
            time.sleep(0.01)
        return self.log(event)

    def wait_for(self, path, status, seconds=30):
        end = time.monotonic() + seconds
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

    def stop(self, how=signal.SIGTERM, seconds=30):
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.reader.join(5)
        return code

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            code = self.stop()
            if kind is None:
                assert code == 0, f"exit code {code}: {self.lines[-3:]}"
        self.reader.join(5)
        self.process.stderr.close()


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
