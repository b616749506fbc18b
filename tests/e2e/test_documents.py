"""The commands of the documents run as they are printed, against the real model, and are answered."""
import json
import re
import subprocess

from support import BASE, ROOT, Server, run, unittest

COMMANDS = [(name, command) for name in ("compatible.md",)
            for command in re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / name).read_text(), re.S)]


class Documents(unittest.TestCase):
    def test_commands_are_answered(self):
        self.assertGreater(len(COMMANDS), 3)
        with Server(model=BASE) as s:
            for name, command in COMMANDS:
                with self.subTest(document=name, command=command):
                    text = re.sub(r"\bcurl ", "curl -sS --fail-with-body ", command.replace("localhost:8080", f"127.0.0.1:{s.port}"))
                    done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=60)
                    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                    for line in done.stdout.splitlines():
                        json.loads(line)


run(__name__)
