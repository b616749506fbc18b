"""clients/js against the live server in node, and the examples of its README."""
import json
import os
import pathlib
import re
import subprocess
import tempfile

from support import BASE, IMAGES, ROOT, Server, run, unittest

CLIENT = ROOT / "clients" / "js"


class JavaScript(unittest.TestCase):
    def node(self, text, **environment):
        """Runs a module which finds the client as an installed package."""
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "node_modules").mkdir()
            (pathlib.Path(folder) / "node_modules" / "minivlm-client").symlink_to(CLIENT)
            module = pathlib.Path(folder) / "it.mjs"
            module.write_text(text)
            done = subprocess.run(["node", module], cwd=ROOT, capture_output=True, text=True, timeout=120,
                                  env={**os.environ, **environment})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_live(self):
        with tempfile.TemporaryDirectory() as folder, Server(f"--collections.path={folder}/c.db") as s:
            text = (ROOT / "tests" / "e2e" / "client_js.mjs").read_text()
            self.assertEqual(self.node(text, URL=f"http://127.0.0.1:{s.port}", PICTURE=str(IMAGES[0])), "good\n")

    def test_package(self):
        """What npm would publish: code, types and licence."""
        self.assertEqual((CLIENT / "LICENSE").read_text(), (ROOT / "LICENSE").read_text())
        done = subprocess.run(["npm", "pack", "--dry-run", "--json", "--offline"], cwd=CLIENT, capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        files = {file["path"] for file in json.loads(done.stdout)[0]["files"]}
        self.assertEqual(files, {"LICENSE", "README.md", "index.d.ts", "index.js", "package.json"})

    def test_examples(self):
        examples = re.findall(r"```js\n(.*?)```", (CLIENT / "README.md").read_text(), re.S)
        self.assertGreaterEqual(len(examples), 2)
        with Server(model=BASE) as s:
            for text in examples:
                self.assertTrue(self.node(text.replace("localhost:8080", f"127.0.0.1:{s.port}")))


run(__name__)
