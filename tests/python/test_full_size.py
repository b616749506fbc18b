"""The C engine against the reference on a random model of the paper's size, made for the occasion: sizes that the small
models of tests/data never reach (300 proposals, 1600 labels, 30522 words, twelve layers)."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from support import ROOT

BUILD = os.environ.get("MINIVLM_BUILD_DIR")


@unittest.skipUnless(BUILD, "MINIVLM_BUILD_DIR names no build folder")
class FullSize(unittest.TestCase):
    def test_stages(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, "-W", "ignore", ROOT / "scripts/make_golden.py", "--full", folder],
                           check=True, stdout=subprocess.DEVNULL)
            program = pathlib.Path(BUILD) / "tests/golden_test_stages"
            done = subprocess.run([program], cwd=ROOT, env=os.environ | {"MINIVLM_GOLDEN_DIR": folder},
                                  capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"full-paper \w+ native: \d\d\d comparisons")


if __name__ == "__main__":
    unittest.main()
