"""The process is bound once it listens, thread by thread, and all that it advertises goes on."""
import hashlib
import os
import pathlib
import re
import signal
import tempfile

from support import LITE, ROOT, TINY, Models, Server, picture, run, unittest

ALONE = {"OPENBLAS_NUM_THREADS": "1"}  # else the library has threads before main
HEIC = [ROOT / "tests" / "data" / "images" / "codec" / name for name in ("mirrored-0.heic", "turned-3.heic", "grid-cut.heic")]


def threads(server):
    """{name: status as a dict} of all threads"""
    found = {}
    for task in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir():
        status = dict(re.findall(r"^(\w+):\s*(.*)$", (task / "status").read_text(), re.M))
        found[status["Name"]] = status
    return found


class Sandbox(unittest.TestCase):
    def bound(self, *flags, **more):
        """A server that must be bound; skipped where the kernel or the build has nothing to bind with."""
        server = Server("--server.admin_port=0", *flags, env=ALONE, **more)
        told = server.wait_for_log("sandbox")[0]
        if not told["system_calls"] or not told["files"]:
            server.__exit__(None, None, None)
            self.skipTest(told["missing"])
        return server

    def test_every_thread(self):
        with tempfile.TemporaryDirectory() as folder, self.bound(f"--collections.path={folder}/c.db") as s:
            self.assertIsNone(s.log("sandbox")[0]["missing"])
            self.assertEqual(set(s.metrics("minivlm_sandbox").values()), {1.0})
            found = threads(s)
            kinds = {re.sub(r"-(\d+|read|write)$", "", name) for name in found}
            self.assertEqual(kinds, {"minivlm-server", "log", "side", "engine", "decode", "archive"})
            files = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3  # CAP_CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER
            for name, status in found.items():
                with self.subTest(thread=name):
                    self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"))
                    opens_files = name.startswith(("minivlm", "archive"))
                    self.assertEqual(int(status["CapEff"], 16) & ~(files if opens_files else 0), 0)
            limits = pathlib.Path(f"/proc/{s.process.pid}/limits").read_text()
            self.assertRegex(limits, r"Max core file size\s+0\s+0")

    def test_all_goes_on(self):
        with tempfile.TemporaryDirectory() as folder:
            keys = pathlib.Path(folder, "keys")
            line = "me " + hashlib.sha256(b"secret").hexdigest() + " role=client,admin\n"
            keys.write_text(line)
            mine = {"Authorization": "Bearer secret"}
            models = Models(folder)  # a link that leads out of its folder
            with self.bound(f"--collections.path={folder}/c.db", f"--auth.keys_file={keys}", "--server.sandbox=require",
                            model=models.path) as s:
                answers = [s.post("/caption", file.read_bytes(), mine) for file in HEIC]
                self.assertEqual([a.status for a in answers], [200] * len(HEIC))
                self.assertEqual(s.request("PUT", "/collections/a/images/b", picture(), mine).status, 201)
                models.turn_to(LITE)
                self.assertEqual(s.post("/admin/reload?wait=true", b"", mine, admin=True).status, 200)
                keys.write_text(line.replace("me ", "her ") + line)
                s.process.send_signal(signal.SIGHUP)
                self.assertEqual(s.wait_for_log("configuration reloaded")[0]["keys"], 2)
                self.assertEqual(s.post("/caption", picture(), mine).status, 200)
                self.assertLess(s.leaves_within(10), 10)
                self.assertFalse([line for line in s.lines if isinstance(line, dict) and line["level"] == "error"])

    def test_reading_less(self):
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as elsewhere:
            models = Models(folder, first=Models(elsewhere).copy("first"))
            other = models.copy("other", of=LITE)
            with self.bound(f"--server.sandbox_read={folder}", model=models.path) as s:
                models.turn_to(other)  # within what may be read
                self.assertEqual(s.reload().status, 200)
                models.turn_to(TINY)  # out of it
                answer = s.reload()
                self.assertEqual((answer.status, answer.code), (422, "reload_failed"))
                self.assertIn("server.sandbox_read", answer.json["error"]["message"])
                self.assertEqual(s.post("/caption", picture()).status, 200)

    def test_off(self):
        with Server("--server.sandbox=off") as s:
            self.assertEqual(s.log("sandbox")[0]["missing"], "server.sandbox=off")
            self.assertEqual(set(s.metrics("minivlm_sandbox").values()), {0.0})
            if not os.environ.get("E2E_WRAPPER"):
                self.assertEqual({t["Seccomp"] for t in threads(s).values()}, {threads_of_this()})


def threads_of_this():
    return re.search(r"^Seccomp:\s*(\d)", pathlib.Path("/proc/self/status").read_text(), re.M)[1]


run(__name__)
