"""What the tests of the reference share. Importing it puts scripts/ on the path."""
import pathlib
import sys

import torch

ROOT = pathlib.Path(__file__).resolve().parents[3]
DATA, GOLDEN = ROOT / "tests/data", ROOT / "tests/golden"
if str(ROOT / "scripts") not in sys.path:
    sys.path.insert(0, str(ROOT / "scripts"))

TINY = ("tiny", "tiny-lite", "tiny-cells", "tiny-both")
PICTURES = ("waves", "discs", "stripes", "small")

torch.set_num_threads(1)  # small tensors: helpers only get in the way
