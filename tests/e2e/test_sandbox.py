"""The process is bound once it listens, thread by thread, and all that it advertises goes on."""
import contextlib
import ctypes
import errno
import functools
import hashlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import time
import zlib

from support import BUILD, LITE, PATIENCE, ROOT, TINY, Models, Server, launch, picture, run, unittest

ALONE = {"OPENBLAS_NUM_THREADS": "1"}  # else the library has threads before main
CODEC = ROOT / "tests" / "data" / "images" / "codec"
HEIC = [CODEC / name for name in ("mirrored-0.heic", "turned-3.heic", "grid-cut.heic")]


def png(width, height):
    """Black, in grey."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(bytes((width + 1) * height), 1)) + chunk(b"IEND", b""))


LANDLOCK_CREATE_RULESET, SECCOMP = 444, 317


def without(number):
    """For preexec_fn: a kernel, or a container, that does not know a system call (ENOSYS)."""
    steps = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7FFF0000)]
    program = b"".join(struct.pack("HBBI", *step) for step in steps)

    def bind():
        libc = ctypes.CDLL(None, use_errno=True)
        block = ctypes.create_string_buffer(program)
        head = struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(block))
        assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, head, 0, 0) == 0  # no_new_privs, PR_SET_SECCOMP
    return bind


def no_new_code():
    """For preexec_fn: what MemoryDenyWriteExecute and NoNewPrivileges of the systemd unit forbid, from Linux 6.3 on."""
    libc = ctypes.CDLL(None)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    libc.prctl(65, 1, 0, 0, 0)  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN


def unit():
    """For preexec_fn: the unit's SystemCallFilter=, its groups as systemd knows them, beside what no_new_code forbids."""
    text = (ROOT / "deploy" / "debian" / "minivlm-server.service.in").read_text()
    words, names = " ".join(re.findall(r"^SystemCallFilter=(.*)$", text, re.M)).split(), set()
    while words:
        if (word := words.pop()).startswith("@"):
            told = subprocess.run(["systemd-analyze", "syscall-filter", word], check=True, capture_output=True, text=True).stdout
            words += [line.strip() for line in told.splitlines()[1:] if "#" not in line]
        else:
            names.add(word.encode())
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(library.seccomp_init(0x00050000 | errno.EPERM))
    for name in names:
        number = library.seccomp_syscall_resolve_name(name)
        assert number < 0 or library.seccomp_rule_add_array(rules, 0x7FFF0000, number, 0, None) == 0, name

    def bind():
        no_new_code()
        assert library.seccomp_load(rules) == 0
    return bind


def certificate(folder, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                    folder / "k.pem", "-out", folder / "c.pem", "-days", "2", "-subj", f"/CN={name}"], check=True, capture_output=True)


def threads(server):
    """{name: status as a dict} of all threads"""
    found = {}
    for task in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir():
        status = dict(re.findall(r"^(\w+):\s*(.*)$", (task / "status").read_text(), re.M))
        found[status["Name"]] = status
    return found


def ask_through_tls(path_of_socket, method, path, body=b"", key="secret"):
    """By a UNIX socket: the status of the answer, and the certificate's name."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(60)
        plain.connect(path_of_socket)
        with context.wrap_socket(plain) as c:
            c.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
                      f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            out = b""
            with contextlib.suppress(ssl.SSLEOFError):
                while more := c.recv(65536):
                    out += more
            return int(out[9:12]), b"two" if b"two" in c.getpeercert(True) else b"one"


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
                            model=models.path, preexec_fn=no_new_code) as s:
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

    def test_every_decoder_through_tls(self):
        """All the decoders' test files, those that are refused too, 24 megapixels and a reload, each answered as without."""
        rows = re.findall(r'IMAGE_ROW\("([^"]+)", (\w+),', (CODEC / "table.inc").read_text())
        statuses = {"OK": 200, "ERR_CORRUPT_IMAGE": 422, "ERR_UNSUPPORTED_IMAGE": 415, "ERR_IMAGE_TOO_LARGE": 413}
        large = png(6000, 4000)
        with tempfile.TemporaryDirectory() as folder:
            certificate(pathlib.Path(folder), "one")
            context = ssl.create_default_context(cafile=f"{folder}/c.pem")
            context.check_hostname = False
            with self.bound("--server.sandbox=require", f"--server.tls_certificate={folder}/c.pem", f"--server.tls_key={folder}/k.pem",
                            ready=False) as s:
                end = time.monotonic() + 60 * PATIENCE
                while s.get("/readyz", admin=True).status != 200:
                    self.assertLess(time.monotonic(), end)
                    time.sleep(0.05)
                c = http.client.HTTPSConnection("127.0.0.1", s.port, timeout=120, context=context)

                def check(body):
                    c.request("POST", "/images/check", body)
                    answer = c.getresponse()
                    return answer.status, answer.read()

                for name, error in [row for row in rows if (CODEC / row[0]).stat().st_size]:
                    status, told = check((CODEC / name).read_bytes())
                    unread = status == 415 and b"this seems to be" in told  # a format that this build leaves out
                    self.assertTrue(status == statuses[error] or unread, f"{name}: {status} {told}")
                self.assertEqual(check(large)[0], 200)
                self.assertEqual(s.post("/admin/reload?wait=true", b"", admin=True).status, 200)
                self.assertEqual([check(file.read_bytes())[0] for file in HEIC], [200] * len(HEIC))
                self.assertEqual(check(large)[0], 200)
                c.close()
                self.assertFalse([line for line in s.lines if isinstance(line, dict) and line["level"] == "error"])

    def test_a_decoder_that_starts_a_program(self):
        """With the sandbox the process is killed and the program does not run; without it, the program runs."""
        self.bound().__exit__(None, None, None)
        jpeg = (ROOT / "docs" / "photos" / "cat.jpg").read_bytes()
        for sandbox, code in (("auto", -signal.SIGSYS), ("off", 0)):
            s = Server(f"--server.sandbox={sandbox}", env={**ALONE, "LD_PRELOAD": str(BUILD / "tests" / "libbreakout.so")})
            self.assertEqual(s.post("/images/check", HEIC[0].read_bytes()).status, 200)
            with contextlib.suppress(OSError, http.client.HTTPException):
                s.post("/caption", jpeg)
            self.assertEqual(s.process.wait(60), code)
            s.process.stderr.close()

    def test_under_the_systemd_unit(self):
        """What the unit forbids is not what the sandbox is made with."""
        self.bound().__exit__(None, None, None)
        with Server("--server.sandbox=require", "--server.admin_port=0", env=ALONE, preexec_fn=unit()) as s:
            self.assertIsNone(s.log("sandbox")[0]["missing"])
            self.assertEqual(s.post("/caption", HEIC[0].read_bytes()).status, 200)
            self.assertEqual(s.reload().status, 200)

    def test_kernels_without(self):
        """What the kernel lacks is named; `require` does not start without it, `auto` goes on with the rest."""
        self.bound().__exit__(None, None, None)
        for number, part, words in ((LANDLOCK_CREATE_RULESET, "files", "no Landlock"), (SECCOMP, "system_calls", "seccomp")):
            with Server("--server.sandbox=auto", env=ALONE, preexec_fn=without(number)) as s:
                told = s.log("sandbox")[0]
                self.assertEqual({name for name in ("system_calls", "files", "privileges") if not told[name]}, {part})
                self.assertIn(words, told["missing"])
                self.assertEqual(s.post("/caption", HEIC[0].read_bytes()).status, 200)
            done = subprocess.run([BUILD / "minivlm-server", f"--model.dir={TINY}", "--server.port=0", "--server.sandbox=require"],
                                  cwd=ROOT, env={**os.environ, **ALONE}, preexec_fn=without(number), capture_output=True, text=True,
                                  timeout=60)
            self.assertEqual(done.returncode, 1)
            for word in (words, "server.sandbox=require", "5.13 or later", "say auto"):
                self.assertIn(word, done.stderr)

    def test_everything_in_places_of_its_own(self):
        """Nothing may be read but what the configuration names, each in a folder of its own: certificate, keys and file of the
        configuration are replaced as Kubernetes does it, a socket and a log on disk besides."""
        with contextlib.ExitStack() as stack:
            folders = {name: pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
                       for name in ("mount", "keys", "socket", "rows", "log", "models")}
            mount = folders["mount"]

            def publish(version, name):
                fresh = mount / version
                fresh.mkdir()
                certificate(fresh, name)
                (fresh / "config.json").write_text(json.dumps(config))
                (mount / "next").symlink_to(version)
                (mount / "next").rename(mount / "..data")

            keys = folders["keys"] / "keys"
            keys.write_text("me " + hashlib.sha256(b"secret").hexdigest() + "\n")
            model = Models(folders["models"]).copy("first")
            config = {"model": {"dir": str(model)}, "collections": {"path": str(folders["rows"] / "c.db")},
                      "auth": {"keys_file": str(keys)}, "log": {"level": "info", "format": "json"},
                      "server": {"port": 0, "socket": str(folders["socket"] / "s"), "sandbox": "require", "sandbox_read": "",
                                 "tls_certificate": str(mount / "c.pem"), "tls_key": str(mount / "k.pem")}}
            for name in ("c.pem", "k.pem", "config.json"):
                (mount / name).symlink_to("..data/" + name)
            publish("..1", "one")
            self.bound().__exit__(None, None, None)
            log = folders["log"] / "log"
            file = stack.enter_context(open(log, "wb"))
            process = launch(f"--config={mount}/config.json", stderr=file, env={**os.environ, **ALONE})
            stack.callback(process.wait)
            stack.callback(process.kill)

            def lines(event):
                end = time.monotonic() + 60
                while not [line for line in map(json.loads, log.read_text().splitlines()) if line["event"] == event]:
                    self.assertTrue(time.monotonic() < end and process.poll() is None, log.read_text())
                    time.sleep(0.02)

            lines("ready")
            ask = functools.partial(ask_through_tls, config["server"]["socket"])
            self.assertEqual(ask("PUT", "/collections/a/images/b", picture()), (201, b"one"))
            self.assertEqual(ask("POST", "/caption", HEIC[0].read_bytes()), (200, b"one"))
            config["log"]["level"] = "debug"
            publish("..2", "two")
            fresh = keys.with_name("fresh")
            fresh.write_text("you " + hashlib.sha256(b"other").hexdigest() + "\n")
            fresh.rename(keys)
            process.send_signal(signal.SIGHUP)
            lines("configuration reloaded")
            self.assertEqual(ask("GET", "/collections/a", key="other"), (200, b"two"))
            self.assertEqual(ask("GET", "/collections/a")[0], 401)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(30), 0)
            self.assertFalse(os.path.exists(config["server"]["socket"]))

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
