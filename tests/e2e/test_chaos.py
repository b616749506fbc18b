"""The chaos client for a minute (E2E_CHAOS_SECONDS), on whatever build MINIVLM_BUILD_DIR names."""
import os

from chaos import Storm
from support import run, unittest

SECONDS = float(os.environ.get("E2E_CHAOS_SECONDS", "60"))


class Chaos(unittest.TestCase):
    """A1 to A5, A7, A9, A11, A17 together. Promise: the process lives, every honest client is served right, and all comes
    home afterwards."""

    def storm(self, **more):
        storm = Storm(more.pop("seconds"), **more)
        self.assertEqual(storm.run(), [], f"seed {storm.seed}; {dict(storm.counts)}")
        self.assertGreater(storm.counts["right"], 20, storm.counts)
        return storm.counts

    def test_one_process(self):
        """No restarts: what leaks adds up."""
        counts = self.storm(seconds=SECONDS * 0.6, seed=int(os.environ.get("E2E_CHAOS_SEED", "11")), restarts=False)
        self.assertGreater(counts["reload"], 0, counts)

    def test_with_restarts(self):
        """SIGTERM in the middle of it, again and again."""
        self.storm(seconds=SECONDS * 0.4, seed=int(os.environ.get("E2E_CHAOS_SEED", "12")))


run(__name__)
