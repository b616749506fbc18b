"""The README's curl examples, run as they are printed against the real model, give the answers that are printed."""
import json
import re
import subprocess

from support import BASE, ROOT, Server, run, unittest

README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```sh\n(curl[^`]*?)```\n```json\n(.*?)```", README, re.S)


def same(printed, got):
    """Equal, scores to two digits (instruction sets round differently), ids as far as they are printed."""
    if isinstance(printed, dict):
        return isinstance(got, dict) and printed.keys() == got.keys() and all(same(v, got[k]) for k, v in printed.items())
    if isinstance(printed, list):
        return isinstance(got, list) and len(printed) == len(got) and all(map(same, printed, got))
    if isinstance(printed, float):
        return abs(printed - got) < 0.02
    if isinstance(printed, str) and printed.endswith("\N{HORIZONTAL ELLIPSIS}"):
        return got.startswith(printed[:-1])
    return printed == got


class Readme(unittest.TestCase):
    def test_examples(self):
        self.assertGreaterEqual(len(EXAMPLES), 3)
        with Server(model=BASE) as s:
            for command, printed in EXAMPLES:
                command = command.replace("localhost:8080", f"127.0.0.1:{s.port}")
                done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60)
                self.assertTrue(same(json.loads(printed), json.loads(done.stdout)), (command, done.stdout, done.stderr))

    def test_a_changed_answer_is_noticed(self):
        printed = json.loads(EXAMPLES[0][1])
        for fault in ({"caption": "a dog"}, {"score": printed["score"] + 0.1}, {"usage": {}}, {"image": {"id": "00"}}):
            self.assertFalse(same(printed, {**printed, **fault}), fault)

    def test_files_it_names_are_there(self):
        for path in re.findall(r"\]\(([^):#]+)\)", README):
            self.assertTrue((ROOT / path).exists(), path)


run(__name__)
