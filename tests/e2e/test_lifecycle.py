"""Start, readiness, reload, drain, signals; slow and vanishing clients; many idle connections."""
import concurrent.futures
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time

from support import BASE, BUILD, ROOT, TINY, Server, picture, run, unittest

SLOW = ("--engine.isa=ref", "--engine.threads=1", "--limits.timeout_ms=600000")  # with the real model tens to hundreds of ms an answer


class Start(unittest.TestCase):
    def refuse(self, *flags):
        done = subprocess.run([BUILD / "minivlm-server", "--server.port=0", "--log.format=json", *flags], cwd=ROOT,
                              capture_output=True, text=True, timeout=60)
        return done.returncode, done.stderr

    def copy_of_tiny(self, folder):
        copy = pathlib.Path(folder) / "m"
        shutil.copytree(TINY, copy)
        return copy, bytearray((copy / "model.safetensors").read_bytes())

    def test_bad_starts_say_why(self):
        with tempfile.TemporaryDirectory() as folder:
            for flags, code, words in (
                    (["--model.dir=" + folder], 1, "config.json"),
                    ([f"--model.dir={TINY}", "--server.host=999.1.1.1"], 1, "server.host"),
                    ([f"--model.dir={TINY}", "--auth.keys_file=/nowhere"], 1, "auth.keys_file"),
                    ([f"--model.dir={TINY}", "--limits.memory_bytes=1MiB"], 1, "limits.memory_bytes"),
                    ([f"--model.dir={TINY}", "--collections.path=/nowhere/c.db"], 1, "nowhere"),
                    (["--server.port=70000", "--nonsense=1"], 2, "server.port")):
                got, stderr = self.refuse(*flags)
                self.assertEqual(got, code, stderr)
                self.assertIn(words, stderr)

    def test_port_in_use(self):
        with Server() as s:
            code, stderr = self.refuse(f"--model.dir={TINY}", f"--server.port={s.port}")
            self.assertEqual(code, 1)
            self.assertIn("in use", stderr)

    def test_damaged_weights_never_serve(self):
        with tempfile.TemporaryDirectory() as folder:
            copy, weights = self.copy_of_tiny(folder)
            weights[-1] ^= 1
            (copy / "model.safetensors").write_bytes(weights)
            code, stderr = self.refuse(f"--model.dir={copy}")
            self.assertEqual(code, 1)
            self.assertIn("sha256", stderr.lower().replace("-", ""))

    def test_a_model_that_computes_no_numbers_never_serves(self):
        with tempfile.TemporaryDirectory() as folder:
            copy, weights = self.copy_of_tiny(folder)
            length = int.from_bytes(weights[:8], "little")
            tensor = json.loads(weights[8:8 + length])["fusion.embeddings.norm.weight"]
            begin, end = (8 + length + at for at in tensor["data_offsets"])
            self.assertEqual(tensor["dtype"], "F32")
            weights[begin:end] = struct.pack("<f", 3e38) * ((end - begin) // 4)
            (copy / "model.safetensors").write_bytes(weights)
            code, stderr = self.refuse(f"--model.dir={copy}", "--model.verify=false")
            self.assertEqual(code, 1)
            self.assertIn("warm-up failed", stderr)

    def test_stored_answers_of_another_model_never_serve(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder) / "m"
            shutil.copytree(BASE, copy)
            stored = json.loads((copy / "selftest.json").read_text())
            for key, value in stored.items():
                (copy / "selftest.json").write_text(json.dumps(stored | {key: [v + 0.5 for v in value]}))
                code, stderr = self.refuse(f"--model.dir={copy}")
                self.assertEqual(code, 1)
                self.assertIn(f"self-test failed: {key}", stderr)
            for wrong in ("high", [], [0.5, "high"], {"a": 1}):
                (copy / "selftest.json").write_text(json.dumps(stored | {"match_score": wrong}))
                self.assertIn("selftest.json: match_score must be", self.refuse(f"--model.dir={copy}")[1])
            for text in ("{", "{}", ""):
                (copy / "selftest.json").write_text(text)
                self.assertIn("selftest.json: ", self.refuse(f"--model.dir={copy}")[1])
            (copy / "selftest.json").unlink()
            os.mkfifo(copy / "selftest.json")  # which nobody writes: opening it would wait for ever
            self.assertIn("selftest.json: not a regular file", self.refuse(f"--model.dir={copy}")[1])

    def test_health_is_there_before_the_model(self):
        with Server(model=BASE, ready=False) as s:
            self.assertEqual(s.get("/healthz").status, 200)
            early = s.post("/caption", picture())
            if early.status != 200:
                self.assertEqual((early.status, early.code), (503, "not_ready"))
                self.assertIn("Retry-After", early.headers)
            s.wait_for("/startupz", 200)
            self.assertEqual(s.get("/readyz").status, 200)
            self.assertEqual(s.get("/readyz?max_load=1").status, 200)
            self.assertEqual(s.get("/readyz?max_load=2").status, 400)

    def test_without_standard_streams_beside_a_service_of_its_name(self):
        env = {"MINIVLM_SERVER_PORT": "tcp://10.0.0.7:8080", "MINIVLM_SERVER_SERVICE_HOST": "10.0.0.7"}
        with Server(env=env, preexec_fn=lambda: (os.close(0), os.close(1))) as s:
            self.assertEqual(s.post("/caption", picture()).status, 200)
            self.assertEqual(s.stop(), 0)

    def test_healthcheck_flag(self):
        check = lambda port: subprocess.run([BUILD / "minivlm-server", "--healthcheck", f"--server.port={port}"],
                                            capture_output=True, timeout=10).returncode
        with Server() as s:
            self.assertEqual(check(s.port), 0)
            port = s.port
        self.assertEqual(check(port), 1)


class Tls(unittest.TestCase):
    def test_https(self):
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = folder + "/c.pem", folder + "/k.pem"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                            "-keyout", key, "-out", certificate, "-subj", "/CN=localhost", "-days", "1",
                            "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
            flags = [f"--server.tls_certificate={certificate}", f"--server.tls_key={key}"]
            with Server(*flags, "--server.admin_port=0", ready=False) as s:
                trust = ssl.create_default_context(cafile=certificate)
                connect = lambda: http.client.HTTPSConnection("127.0.0.1", s.port, timeout=20, context=trust)
                self.wait_until_ready(connect)
                with concurrent.futures.ThreadPoolExecutor(8) as pool:
                    answers = list(pool.map(lambda n: self.caption(connect, n % 4), range(16)))
                self.assertEqual([status for status, _ in answers], [200] * 16)
                self.assertEqual(answers[:4] * 4, answers)
                self.assertNotIn(b"200 OK", s.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))
                self.assertEqual(s.get("/healthz", admin=True).status, 200)
                health = [BUILD / "minivlm-server", "--healthcheck", *flags, f"--server.port={s.port}"]
                self.assertEqual(subprocess.run(health, capture_output=True).returncode, 1)
                health.append(f"--server.admin_port={s.admin_port}")
                self.assertEqual(subprocess.run(health, capture_output=True).returncode, 0)
            for faulty, words in ((flags[:1], "tls_key is not given"), ([flags[0], f"--server.tls_key={certificate}"], "PEM"),
                                  ([flags[0], f"--server.tls_key={__file__}"], "PEM"),
                                  ([flags[0], "--server.tls_key=/nowhere"], "/nowhere")):
                code, stderr = Start.refuse(self, f"--model.dir={TINY}", *faulty)
                self.assertEqual(code, 1, stderr)
                self.assertIn(words, stderr)

    def caption(self, connect, n):
        with contextlib.closing(connect()) as c:
            c.request("POST", "/caption", picture(n))
            answer = c.getresponse()
            return answer.status, answer.read()

    def wait_until_ready(self, connect):
        end, status = time.monotonic() + 20, 0
        while status != 200:
            self.assertLess(time.monotonic(), end)
            with contextlib.closing(connect()) as c:
                c.request("GET", "/readyz")
                status = c.getresponse().status


class Leaving(unittest.TestCase):
    def test_sigterm_answers_all_that_is_in_flight(self):
        with Server(*SLOW, "--drain.delay_ms=300", "--cache.bytes=0", model=BASE) as s:
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                answers = [pool.submit(s.post, "/caption?num_beams=2", picture(n)) for n in range(8)]
                time.sleep(0.1)
                s.process.send_signal(signal.SIGTERM)
                time.sleep(0.1)
                leaving = s.get("/readyz")
                self.assertEqual((leaving.status, leaving.code), (503, "draining"))
                self.assertEqual(s.get("/healthz").status, 200)
                statuses = [a.result().status for a in answers]
            self.assertEqual(statuses, [200] * 8)
            self.assertEqual(s.process.wait(20), 0)

    def test_drain_timeout_cuts_off_with_an_answer(self):
        with Server(*SLOW, "--drain.timeout_ms=50", "--cache.bytes=0", model=BASE) as s:
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                answers = [pool.submit(s.post, "/caption?num_beams=10", picture(n)) for n in range(8)]
                time.sleep(0.1)
                s.process.send_signal(signal.SIGTERM)
                results = [a.result() for a in answers]
            cut = [a for a in results if a.status == 503]
            self.assertTrue(cut, [a.status for a in results])
            self.assertEqual({a.code for a in cut}, {"draining"})
            self.assertEqual({a.headers["Connection"] for a in cut}, {"close"})
            self.assertEqual(s.process.wait(20), 0)

    def test_second_signal_leaves_at_once(self):
        with Server(*SLOW, "--cache.bytes=0", model=BASE) as s:
            threads = [threading.Thread(target=self.ask_in_vain, args=(s,)) for _ in range(4)]
            for t in threads:
                t.start()
            time.sleep(0.1)
            s.process.send_signal(signal.SIGTERM)
            s.wait_for_log("draining")
            s.process.send_signal(signal.SIGTERM)
            self.assertEqual(s.process.wait(1), 128 + signal.SIGTERM)
            for t in threads:
                t.join()

    @staticmethod
    def ask_in_vain(s):
        with contextlib.suppress(OSError, http.client.HTTPException):
            s.post("/caption?num_beams=10", picture())

    def test_sigterm_while_loading(self):
        with Server(model=BASE, ready=False) as s:
            s.process.send_signal(signal.SIGTERM)
            self.assertEqual(s.process.wait(20), 0)


class Changing(unittest.TestCase):
    def test_sighup_takes_what_can_be_taken(self):
        with tempfile.TemporaryDirectory() as folder:
            keys, config = pathlib.Path(folder) / "keys", pathlib.Path(folder) / "c.json"
            line = lambda key: f"someone {hashlib.sha256(key.encode()).hexdigest()}\n"
            keys.write_text(line("old"))
            config.write_text(json.dumps({"auth": {"keys_file": str(keys)}, "limits": {"body_bytes": "1MiB"}}))
            with Server("--config", str(config)) as s:
                ask = lambda key: s.post("/caption", picture(), {"Authorization": "Bearer " + key}).status
                self.assertEqual((ask("old"), ask("new")), (200, 401))
                keys.write_text(line("new"))
                config.write_text(json.dumps({"auth": {"keys_file": str(keys)}, "limits": {"body_bytes": 1024, "requests": 9}}))
                s.process.send_signal(signal.SIGHUP)
                self.assertEqual(s.wait_for_log("configuration reloaded")[0]["needs_restart"], "limits.requests")
                self.assertEqual((ask("old"), ask("new")), (401, 413))
                keys.write_text("nonsense\n")
                s.process.send_signal(signal.SIGHUP)
                s.wait_for_log("configuration not reloaded")
                self.assertEqual(ask("new"), 413)

    def test_model_reload_loses_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder) / "m"
            shutil.copytree(TINY, copy)
            with Server("--server.admin_port=0", model=copy) as s:
                wrong, stop = [], threading.Event()
                expected = s.post("/caption", picture()).json["caption"]

                def ask():
                    while not stop.is_set():
                        answer = s.post("/caption", picture())
                        if answer.status != 200 or answer.json["caption"] != expected:
                            wrong.append(answer.body)
                threads = [threading.Thread(target=ask) for _ in range(4)]
                for t in threads:
                    t.start()
                for n in range(3):
                    self.assertEqual(s.post("/admin/reload", b"", admin=True).status, 202)
                    s.wait_for_log("ready", n + 2)
                (copy / "vocab.txt").unlink()
                self.assertEqual(s.post("/admin/reload", b"", admin=True).status, 202)
                s.wait_for_log("model not loaded")
                stop.set()
                for t in threads:
                    t.join()
                self.assertEqual(wrong, [])
                self.assertEqual(s.post("/caption", picture()).json["caption"], expected)
                self.assertIn('minivlm_reloads_total{outcome="ok"} 3', s.get("/metrics", admin=True).body.decode())


class Connections(unittest.TestCase):
    def test_a_thousand_idle_connections(self):
        with Server() as s, contextlib.ExitStack() as stack:
            memory = lambda: s.metric("process_resident_memory_bytes")
            before = memory()
            idle = [stack.enter_context(socket.create_connection(("127.0.0.1", s.port))) for _ in range(1000)]
            for c in idle:
                c.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            for c in idle:
                self.assertIn(b"200", c.recv(1000))
            grown = memory() - before
            self.assertEqual(s.post("/caption", picture()).status, 200)
            self.assertLess(grown, 20e6)

    def test_limits_on_connections(self):
        with Server("--server.max_connections=8", "--server.idle_timeout_ms=1000") as s:
            idle = [socket.create_connection(("127.0.0.1", s.port)) for _ in range(12)]
            time.sleep(1.8)
            for c in idle:
                c.settimeout(5)
                with contextlib.suppress(ConnectionError):
                    self.assertIn(c.recv(12), (b"", b"HTTP/1.1 503"))
                c.close()
            self.assertEqual(s.get("/healthz").status, 200)

    def test_slow_headers_are_cut(self):
        with Server("--server.idle_timeout_ms=1000") as s:
            with socket.create_connection(("127.0.0.1", s.port), timeout=10) as c:
                began = time.monotonic()
                with contextlib.suppress(ConnectionError):
                    c.sendall(b"GET /healthz HTTP/1.1\r\n")
                    while time.monotonic() - began < 8:
                        c.sendall(b"a")
                        time.sleep(0.1)
                self.assertLess(time.monotonic() - began, 6)

    def test_descriptors_stay_flat(self):
        with Server() as s:
            count = lambda: len(os.listdir(f"/proc/{s.process.pid}/fd"))
            s.post("/caption", picture())
            before = count()
            for n in range(100):
                c = socket.create_connection(("127.0.0.1", s.port))
                c.sendall(b"POST /caption HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n" + b"x" * n)
                c.close()
            s.wait_for("/healthz", 200)
            end = time.monotonic() + 5
            while count() > before + 1 and time.monotonic() < end:
                time.sleep(0.05)
            self.assertLessEqual(count(), before + 1)
            self.assertEqual(s.metric("minivlm_body_bytes"), 0)

    def test_log_lines_cannot_be_forged(self):
        with Server() as s:
            s.raw(b'GET /x%0A{"event":"forged"} HTTP/1.1\r\nHost: x\r\nX-Request-Id: a"b\r\nConnection: close\r\n\r\n')
            s.wait_for_log("request")
            self.assertEqual(s.log("forged"), [])
            self.assertTrue(all(isinstance(line, dict) for line in s.lines))


run(__name__)
