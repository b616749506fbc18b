"""What the documents print runs: commands and programs against the real model, configurations of proxies in front of it."""
import importlib.util
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

if importlib.util.find_spec("httpx") is None and sys.executable != "/usr/bin/python3":
    os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])  # Debian's, which has python3-httpx

import http.client

import yaml
from support import BASE, ROOT, Answer, Server, picture, run, unittest

DOCUMENTS = ("compatible.md", "cookbook.md")


def blocks(kind, names=DOCUMENTS):
    return [(name, text) for name in names
            for text in re.findall(rf"```{kind}\n(.*?)```", (ROOT / "docs" / name).read_text(), re.S)]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Documents(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.server = Server(f"--collections.path={cls.folder.name}/c.db", model=BASE)

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None, None, None)
        cls.folder.cleanup()

    def here(self, text):
        return text.replace("localhost:8080", f"127.0.0.1:{self.server.port}").replace("127.0.0.1:8080", f"127.0.0.1:{self.server.port}")

    def test_commands(self):
        commands = blocks("sh")
        self.assertGreater(len(commands), 4)
        for name, command in commands:
            with self.subTest(document=name, command=command):
                text = re.sub(r"\bcurl ", "curl -sS --fail-with-body ", self.here(command))
                done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=60)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                for line in done.stdout.splitlines():
                    json.loads(line)

    def test_programs(self):
        """Those that need a package of others are run in tests/clients."""
        programs = [(name, text) for name, text in blocks("py") if "openai" not in text]
        self.assertGreaterEqual(len(programs), 2)
        for name, text in programs:
            with self.subTest(document=name, program=text):
                done = subprocess.run([sys.executable, "-c", self.here(text)], cwd=ROOT, capture_output=True, text=True, timeout=120,
                                      env={**os.environ, "PYTHONPATH": str(ROOT / "clients" / "python")})
                self.assertEqual((done.returncode, bool(done.stdout)), (0, True), done.stderr)

    def through(self, port, process):
        """A caption through a proxy on the port."""
        end = time.monotonic() + 30
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                connection.request("POST", "/caption", picture())
                answer = Answer(connection.getresponse())
                connection.close()
                if answer.status == 200:
                    return answer.json["caption"]
            except OSError:
                answer = None
            self.assertIsNone(process.poll(), "the proxy has ended")
            self.assertLess(time.monotonic(), end, answer and answer.body)
            time.sleep(0.1)

    def proxy(self, kind, make):
        ((_, text),) = blocks(kind)
        port = free_port()
        text = self.here(text).replace("127.0.0.1:8000", f"127.0.0.1:{port}")
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "configuration"
            command = make(path, text, folder)
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                self.assertEqual(self.through(port, process), self.server.post("/caption", picture()).json["caption"])
            finally:
                process.terminate()
                process.wait(10)

    def test_nginx(self):
        def make(path, text, folder):
            temporary = "".join(f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            path.write_text(f"daemon off;\npid {folder}/pid;\nerror_log /dev/null;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{text}}}\n")
            if os.geteuid() == 0:
                path.write_text("user root;\n" + path.read_text())
            return ["/usr/sbin/nginx", "-c", path]
        self.proxy("nginx", make)

    def test_haproxy(self):
        def make(path, text, folder):
            path.write_text("global\n    maxconn 100\n" + text)
            return ["/usr/sbin/haproxy", "-f", path]
        self.proxy("haproxy", make)

    def test_others_are_well_formed(self):
        envoy, alb = (yaml.safe_load(text) for _, text in blocks("yaml"))
        self.assertEqual(envoy["static_resources"]["clusters"][0]["name"], "minivlm")
        self.assertEqual(alb["kind"], "Ingress")
        self.assertTrue(all(isinstance(v, str) for v in alb["metadata"]["annotations"].values()))

    def test_links_lead_somewhere(self):
        for name in DOCUMENTS:
            for path in re.findall(r"\]\(([^):#]+)[^)]*\)", (ROOT / "docs" / name).read_text()):
                self.assertTrue((ROOT / "docs" / path).exists(), path)


run(__name__)
