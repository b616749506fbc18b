"""What the documents print runs: commands with the answers that stand behind them, programs, configurations of proxies."""
import importlib.util
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
from support import BASE, BUILD, ROOT, Answer, Server, picture, run, unittest

sys.path.insert(0, str(ROOT / "scripts"))
from documents import answers, fences, figures, live

EVERY = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True).stdout.split() or \
    [str(p.relative_to(ROOT)) for p in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("clients/*/*.md"))]


def blocks(kind, names=("docs/compatible.md", "docs/cookbook.md")):
    return [(name, fence.text) for name in names for fence in fences.fences(name) if fence.kind == kind]


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
        return re.sub(r"(localhost|127\.0\.0\.1):8080", f"127.0.0.1:{self.server.port}", text)

    def test_commands(self):
        counts = {}
        for document in fences.RUN:
            with tempfile.TemporaryDirectory() as folder:
                for _, command, _, fault in live.run(document, fences.Desk(folder, BUILD, self.server.port)):
                    counts[document] = counts.get(document, 0) + 1
                    with self.subTest(document=document, command=command):
                        self.assertEqual(fault, "")
        ours = {d for d in fences.RUN for f in fences.fences(d) if f.kind == "sh" and not all(map(fences.is_elsewhere, fences.commands(f)))}
        self.assertEqual(set(counts), ours)
        self.assertGreater(sum(counts.values()), 35)

    def test_no_command_is_left_out(self):
        """Each stands in a document that is run, or is one of those that are run elsewhere."""
        for document in EVERY:
            for fence in fences.fences(document):
                if fence.kind == "":
                    self.assertNotRegex(fence.text, r"(?m)^(curl|minivlm|python3|cmake|npm|pip|docker|scripts/|\.venv/)", document)  # sh
                if fence.kind == "sh" and document not in fences.RUN:
                    for command in fences.commands(fence):
                        self.assertTrue(fences.is_elsewhere(command), f"{document}: {command}")

    def test_what_is_not_run_here_exists(self):
        """Commands that need root, hours or downloads: their programs, options, presets and files."""
        named = [(document, command) for document in EVERY for command in fences.mentions(document)]
        self.assertGreater(len(named), 40)
        for document, command in named:
            with self.subTest(document=document, command=command):
                self.assertEqual(fences.missing(command), [])
        for fault in ("ctest --preset quick", ".venv/bin/python -m train.nothing", ".venv/bin/python -m train.adapt --mode x",
                      "pip install -r scripts/none.txt", "scripts/nothing.sh", "python3 scripts/fuzz.sh --tab 3"):
            self.assertEqual(len(fences.missing(fault)), 1, fault)

    def test_every_kind_of_block_is_looked_at(self):
        """Programs and configurations stand where a test runs them; data can be read."""
        run = {"py": {"docs/compatible.md", "docs/cookbook.md", "clients/python/README.md"}, "js": {"clients/js/README.md"},
               "html": {"clients/js/README.md"}, "nginx": {"docs/cookbook.md"}, "haproxy": {"docs/cookbook.md"}, "yaml": {"docs/cookbook.md"}}
        for document in EVERY:
            found = fences.fences(document)
            self.assertEqual(len(found), len(re.findall(r"(?m)^\s*```\w", (ROOT / document).read_text(encoding="utf-8"))) +
                             sum(f.kind == "" for f in found), f"{document}: a block that is indented is seen by no test")
            for fence in found:
                with self.subTest(document=document, kind=fence.kind, text=fence.text[:80]):
                    self.assertIn(fence.kind, {"", "sh", "json", "text", *run})
                    if fence.kind in run:
                        self.assertIn(document, run[fence.kind])
                    if fence.kind == "json":
                        answers.printed(fence.text)

    def test_programs(self):
        """Those that need a package of others are run in tests/clients."""
        programs = [(name, text) for name, text in blocks("py") if "openai" not in text and "huggingface_hub" not in text]
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
        ((_, text),) = blocks(kind, ("docs/cookbook.md",))
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
        """Envoy's runs in tests/clients."""
        envoy, alb = (yaml.safe_load(text) for _, text in blocks("yaml"))
        self.assertEqual(envoy["static_resources"]["clusters"][0]["name"], "minivlm")
        self.assertEqual(alb["kind"], "Ingress")
        notes = {key.removeprefix("alb.ingress.kubernetes.io/"): value for key, value in alb["metadata"]["annotations"].items()}
        self.assertTrue(all(isinstance(v, str) for v in notes.values()))
        self.assertLess(int(notes["healthcheck-timeout-seconds"]), int(notes["healthcheck-interval-seconds"]))

    def test_links_lead_somewhere(self):
        for document in EVERY:
            text = (ROOT / document).read_text(encoding="utf-8")
            for path, anchor in re.findall(r"\]\(([^):#\s]*)(?:#([^)\s]*))?\)", text):
                target = (ROOT / document).parent / path if path else ROOT / document
                with self.subTest(document=document, link=path or anchor):
                    self.assertTrue(target.exists())
                    if anchor and target.suffix == ".md":
                        heads = re.findall(r"(?m)^#+ (.*)$", target.read_text(encoding="utf-8"))
                        self.assertIn(anchor, [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads])


class Printed(unittest.TestCase):
    """Of the comparison itself: what is planted is noticed, what is written anew is the same."""
    def test_a_changed_answer_is_noticed(self):
        answer = fences.fences("README.md")[1].answer
        self.assertEqual(answer.kind, "json")
        printed = answers.printed(answer.text)
        self.assertTrue(answers.same(printed, printed))
        for fault in ({"caption": "a dog"}, {"score": printed["score"] + 0.1}, {"usage": {}}, {"image": {"id": "00"}}, {"captions": []}):
            self.assertFalse(answers.same(printed, {**printed, **fault}), fault)

    def test_lines_of_a_program(self):
        shown = fences.Fence("x.md", "text", "a cat\n")
        self.assertTrue(answers.is_shown(shown, "a cat\n"))
        self.assertFalse(answers.is_shown(shown, "a dog\n"))
        self.assertEqual(answers.fresh(shown, "a dog\n"), "a dog\n")

    def test_cuts(self):
        shown = answers.printed('{"a": [1, {"b": "x…"}, …], "request_id": "7"}')
        self.assertTrue(answers.same(shown, {"a": [1, {"b": "xyz"}, 2, 3], "request_id": "9"}))
        for got in ({"a": [1], "request_id": "9"}, {"a": [1, {"b": "yx"}, 2], "request_id": "9"}, {"a": [1, {"b": "xyz"}], "request_id": 9}):
            self.assertFalse(answers.same(shown, got), got)
        self.assertEqual(answers.rewritten('{"a": [1,\n  {"b": "x…"}, …]}', {"a": [2, {"b": "yz"}, 3]}), '{"a": [2,\n  {"b": "y…"}, …]}')
        with self.assertRaisesRegex(ValueError, "other keys"):
            answers.rewritten('{"a": 1}', {"b": 1})


class Figures(unittest.TestCase):
    def test_pictures_are_those_of_the_figures(self):
        """scripts/documents.sh draws them anew."""
        for name, text in figures.drawings().items():
            self.assertEqual((ROOT / "docs/images" / name).read_text(encoding="utf-8"), text, name)
            self.assertLess(len(text), 200000, name)

    def test_speed_is_that_of_the_log(self):
        self.assertEqual(figures.read("speed"), figures.speed_of((ROOT / "SPEED.md").read_text(encoding="utf-8")))

    def test_they_are_shown_and_described(self):
        shown = {name for document in EVERY for name in re.findall(r"!\[[^\]]{20,}\]\([^)]*images/([^)]+)\)", (ROOT / document).read_text())}
        self.assertEqual(shown, {p.name for p in (ROOT / "docs/images").iterdir()})


run(__name__)
