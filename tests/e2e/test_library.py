#!/usr/bin/env python3
"""A library of photographs through `minivlm`: folders, files of results, resuming, sidecars, collections of a server.

MINIVLM_BUILD_DIR names the build folder (default build/release)."""
import base64
import csv
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import xml.etree.ElementTree as ElementTree

import wire
from support import Server

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = str(pathlib.Path(os.environ.get("MINIVLM_BUILD_DIR", ROOT / "build/release")).resolve() / "minivlm")
ENVIRONMENT = {**os.environ, "MINIVLM_MODEL": str(ROOT / "tests/data/tiny")}
PICTURE = ROOT / "tests/data/images/waves.png"
OK, FAILED, USAGE = 0, 1, 2


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def put(self, *names, of=PICTURE):
        for name in names:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(of, self.root / name)

    def run_it(self, *arguments, **environment) -> tuple[int, str, str]:
        done = subprocess.run([PROGRAM, *map(str, arguments)], cwd=self.root, env={**ENVIRONMENT, **environment},
                              capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout, done.stderr

    def files(self, name) -> list[str]:
        """What an output says it holds, in its order."""
        if name.endswith(".csv"):
            with open(self.root / name, newline="", encoding="utf-8") as file:
                return [row["file"] for row in csv.DictReader(file)]
        return [json.loads(line)["file"] for line in (self.root / name).read_text().splitlines()]


class Folders(Case):
    def test_pictures_at_any_depth_in_order(self):
        self.put("b/z.png", "b/A.PNG", "a/deep/er/x.jpeg", "b/.thumbs/t.png", ".hidden.png", "b/notes.txt", "alone")
        (self.root / "b/loop").symlink_to(self.root)
        code, out, err = self.run_it("caption", "--json", "b", "a", "alone")
        self.assertEqual((code, err), (OK, ""))
        self.assertEqual([json.loads(line)["file"] for line in out.splitlines()], ["b/A.PNG", "b/z.png", "a/deep/er/x.jpeg", "alone"])

    def test_nothing_there(self):
        (self.root / "empty").mkdir()
        code, out, err = self.run_it("caption", "empty")
        self.assertEqual((code, out, err), (FAILED, "", "minivlm: empty: this folder contains no images\n"))


    def test_what_only_looks_like_a_picture(self):
        self.put("a.png")
        os.mkfifo(self.root / "pipe")
        (self.root / "to-pipe.png").symlink_to("pipe")  # reading it would wait for ever
        (self.root / "to-folder.png").symlink_to(self.root)
        (self.root / "to-nowhere.png").symlink_to("nowhere")
        code, out, err = self.run_it("caption", ".")
        self.assertEqual((code, err), (FAILED, "minivlm: ./to-nowhere.png: No such file or directory (io_error)\n"))
        self.assertRegex(out, r"^./a.png: .*\n$")

    @unittest.skipIf(os.geteuid() == 0 and not shutil.which("setpriv"), "root may read everything")
    def test_a_folder_that_cannot_be_read_fails_alone(self):
        self.put("a.png", "shut/b.png", "z.png")
        self.root.chmod(0o777)
        (self.root / "shut").chmod(0)
        as_nobody = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        for resume in ([], ["--resume"]):
            done = subprocess.run([*as_nobody, PROGRAM, "caption", ".", "--output", "o.csv", *resume], cwd=self.root, env=ENVIRONMENT,
                                  capture_output=True, text=True, timeout=120)
            self.assertEqual(done.returncode, FAILED, done.stderr)
            with open(self.root / "o.csv", newline="", encoding="utf-8") as file:
                rows = sorted((row["file"], row["error"]) for row in csv.DictReader(file))
            self.assertEqual(rows, [("./a.png", ""), ("./shut", "Permission denied"), ("./z.png", "")])
        (self.root / "shut").chmod(0o755)

    def test_ten_thousand(self):
        self.put("0000.png")
        for n in range(1, 10000):
            (self.root / f"{n:04}.png").hardlink_to(self.root / "0000.png")
        with subprocess.Popen([PROGRAM, "caption", "--num-beams", "1", ".", "--output", "o.csv"], cwd=self.root, env=ENVIRONMENT) as process:
            while not (self.root / "o.csv").exists() or (self.root / "o.csv").stat().st_size < 3000:
                time.sleep(0.001)
            process.send_signal(signal.SIGINT)
        self.assertEqual(len(set(self.files("o.csv"))), len(self.files("o.csv")))  # the names fit, and none is there twice


class Output(Case):
    NAMES = ("a.png", 'sub/q",\n.png', "z.png")

    def test_the_same_in_both_forms(self):
        self.put(*self.NAMES)
        for name in ("out.jsonl", "out.csv"):
            code, out, err = self.run_it("caption", ".", "--output", name)
            self.assertEqual((code, out, err), (OK, "", f"minivlm: {name}: 3 images written\n"))
            self.assertEqual(self.files(name), [f"./{n}" for n in self.NAMES])
        said = [json.loads(line)["caption"] for line in (self.root / "out.jsonl").read_text().splitlines()]
        with open(self.root / "out.csv", newline="", encoding="utf-8") as file:
            self.assertEqual([row["caption"] for row in csv.DictReader(file)], said)

    def test_columns(self):
        self.put("a.png")
        for arguments, rows in ((("vqa", "--question", "what, is it?", "--question", "why"), 2),
                                (("retrieve", "--text", "a dog"), 1), (("regions", "--min-score", "2"), 1),
                                (("caption", "--num-captions", "2", "--num-beams", "2"), 2)):
            name = arguments[0] + ".csv"
            self.assertEqual(self.run_it(*arguments, "a.png", "--output", name)[0], OK)
            with open(self.root / name, newline="", encoding="utf-8") as file:
                found = list(csv.DictReader(file, strict=True))
            self.assertEqual(len(found), rows)
            self.assertTrue(all(None not in row and None not in row.values() and row["error"] == "" for row in found), found)

    def test_never_overwritten(self):
        self.put("a.png")
        (self.root / "out.csv").write_text("mine\n")
        code, _, err = self.run_it("caption", "a.png", "--output", "out.csv")
        self.assertEqual(code, FAILED)
        self.assertIn("out.csv already exists; continue it with --resume", err)
        code, _, err = self.run_it("caption", "a.png", "--output", "out.csv", "--resume")
        self.assertIn('its first line is not "file,caption,score,error"', err)
        self.assertEqual((self.root / "out.csv").read_text(), "mine\n")
        self.assertEqual(sorted(p.name for p in self.root.iterdir()), ["a.png", "out.csv"])

    def test_links_and_permissions_stay(self):
        self.put("a.png", "b.png")
        (self.root / "kept").mkdir()
        self.run_it("caption", "a.png", "--output", "kept/real.csv")
        (self.root / "kept/real.csv").chmod(0o600)
        (self.root / "kept/real.csv.part").write_text("somebody's")
        (self.root / "out.csv").symlink_to("kept/real.csv")
        self.assertEqual(self.run_it("caption", "a.png", "b.png", "--output", "out.csv", "--resume")[0], OK)
        self.assertTrue((self.root / "out.csv").is_symlink())
        self.assertEqual((self.root / "kept/real.csv").stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.files("kept/real.csv"), ["a.png", "b.png"])
        self.assertEqual((self.root / "kept/real.csv.part").read_text(), "somebody's")
        self.assertEqual(len(list((self.root / "kept").iterdir())), 2)

    def test_names_of_nothing(self):
        """A folder that is mistyped is told, and has no row: also when resuming, and beside a good name."""
        self.put("b/z.png")
        code, out, err = self.run_it("caption", "--output", "o.csv", "typo/")
        self.assertEqual((code, out), (FAILED, ""))
        self.assertIn("minivlm: typo/: No such file or directory\n", err)
        for more in ((), ("--output", "o.csv")):
            code, _, err = self.run_it("caption", "https://a.example/cat.jpg", *more)
            self.assertIn("minivlm: https://a.example/cat.jpg: addresses are not fetched", err)
        self.assertFalse((self.root / "o.csv").exists())
        for n_error, names in ((1, ("typo/", "b", "b/z.png/none")), (0, ("--resume", "../nothere.png", "b"))):
            code, out, err = self.run_it("caption", "--output", "o.csv", *names)
            self.assertEqual((code, self.files("o.csv")), (FAILED, ["b/z.png"]), err)
            self.assertIn(f"minivlm: {names[-1] if n_error else names[1]}: ", err)
            self.assertNotIn("with an error", err)

    def test_formulas(self):
        """What a spreadsheet would run is text there, and names still name their files."""
        self.put("=1+1.png", "@a.png", "-5.png")
        said = self.run_it("vqa", "--question", "=HYPERLINK(1)", "--question", "-5", "--output", "o.csv", "--", "=1+1.png", "@a.png", "-5.png")
        self.assertEqual(said[0], OK, said[2])
        with open(self.root / "o.csv", newline="", encoding="utf-8") as file:
            rows = [(row["file"], row["question"]) for row in csv.DictReader(file)]
        self.assertEqual(rows, [(f"./{name}", q) for name in ("=1+1.png", "@a.png", "-5.png") for q in ("'=HYPERLINK(1)", "-5")])
        again = self.run_it("vqa", "--question", "=HYPERLINK(1)", "--question", "-5", "--output", "o.csv", "--resume", "--", "=1+1.png", "@a.png")
        self.assertEqual((again[0], again[2]), (OK, "minivlm: o.csv: 0 images written\n"))

    def test_names_that_are_no_utf8(self):
        name = os.path.join(os.fsencode(self.root), b"caf\xe9.png")
        other = os.path.join(os.fsencode(self.root), b"caf\xe8.png")
        for path in (name, other):
            shutil.copy(PICTURE, path)
        for output in ("o.jsonl", "o.csv"):
            self.assertEqual(self.run_it("caption", ".", "--output", output)[0], OK)
            self.assertEqual(self.run_it("caption", ".", "--output", output, "--resume")[2], f"minivlm: {output}: 0 images written\n")
        rows = [json.loads(line) for line in (self.root / "o.jsonl").read_text().splitlines()]
        self.assertEqual([base64.b64decode(row["file_base64"]) for row in rows], [b"./caf\xe8.png", b"./caf\xe9.png"])
        self.assertIn(b"./caf\xe9.png,", (self.root / "o.csv").read_bytes())

    def test_of_another_command(self):
        self.put("a.png")
        self.run_it("regions", "a.png", "--output", "out.jsonl")
        before = (self.root / "out.jsonl").read_bytes()
        code, _, err = self.run_it("caption", "a.png", "--output", "out.jsonl", "--resume")
        self.assertEqual((code, (self.root / "out.jsonl").read_bytes()), (FAILED, before))
        self.assertIn("no answer of this command begins", err)

    def test_wrong_usage(self):
        self.put("a.png")
        for arguments in (("--output", "out.txt"), ("--resume",), ("--sidecar", "iptc"), ("--output", "o.csv", "--explain"),
                          ("--output", "o.csv", "--resume", "--jsonl", "-")):
            self.assertEqual(self.run_it("caption", *(["a.png"] if "--jsonl" not in arguments else []), *arguments)[0], USAGE, arguments)

    def test_disk_full(self):
        self.put("a.png")
        (self.root / "full.csv").symlink_to("/dev/full")
        code, _, err = self.run_it("caption", "a.png", "--output", "full.csv", "--resume")
        self.assertEqual(code, FAILED)
        self.assertIn("full.csv", err)


class Resume(Case):
    def test_failures_again_and_the_rest(self):
        for name in ("out.jsonl", "out.csv"):
            self.put("a.png", "c.png")
            (self.root / "b.png").write_bytes(b"no picture")
            self.assertEqual(self.run_it("caption", ".", "--output", name)[0], FAILED)
            with open(self.root / name, "a", encoding="utf-8") as file:
                file.write('{"file": "./d.png", "cap' if name.endswith("jsonl") else '"./d.png,cut')
            self.put("b.png", "d.png")
            code, _, err = self.run_it("caption", ".", "--output", name, "--resume")
            self.assertEqual((code, err), (OK, f"minivlm: {name}: 2 images written\n"))
            self.assertEqual(self.files(name), ["./a.png", "./c.png", "./b.png", "./d.png"])
            self.assertEqual(self.run_it("caption", ".", "--output", name, "--resume")[2], f"minivlm: {name}: 0 images written\n")
            (self.root / "d.png").unlink()

    def test_stopped_in_the_middle(self):
        self.put(*(f"{n:04}.png" for n in range(400)))
        with subprocess.Popen([PROGRAM, "caption", ".", "--output", "out.jsonl"], cwd=self.root, env=ENVIRONMENT) as process:
            while not (self.root / "out.jsonl").exists() or (self.root / "out.jsonl").stat().st_size < 1000:
                time.sleep(0.001)
            process.send_signal(signal.SIGINT)
        first = self.files("out.jsonl")  # whole lines only, or this fails
        self.assertTrue(first)
        self.assertEqual(self.run_it("caption", ".", "--output", "out.jsonl", "--resume")[0], OK)
        self.assertEqual(sorted(self.files("out.jsonl")), [f"./{n:04}.png" for n in range(400)])


class Sidecars(Case):
    def test_changed_by_hand(self):
        self.put("a.png")
        self.assertEqual(self.run_it("caption", "a.png", "--sidecar", "xmp")[0], OK)
        written = (self.root / "a.png.xmp").read_text()
        for change in (written.replace('x-default">', 'x-default">my '),
                       written.replace(" </rdf:RDF>", " <rdf:Description/></rdf:RDF>"), written[:-1], ""):
            (self.root / "a.png.xmp").write_text(change)
            code, _, err = self.run_it("caption", "a.png", "--sidecar", "xmp")
            self.assertEqual((code, (self.root / "a.png.xmp").read_text()), (FAILED, change), err)
        (self.root / "a.png.xmp").unlink()
        (self.root / "a.png.xmp").symlink_to("elsewhere.xmp")  # not there now: a disk that is not mounted
        self.assertEqual(self.run_it("caption", "a.png", "--sidecar", "xmp")[0], FAILED)
        self.assertTrue((self.root / "a.png.xmp").is_symlink())

    def test_none_for_standard_input(self):
        code, out, err = self.run_it("caption", "-", "--sidecar", "xmp")
        self.assertEqual((code, out), (USAGE, ""))
        self.assertIn("an image from standard input has no path", err)

    def test_description(self):
        self.put("a.png")
        before = (self.root / "a.png").read_bytes()
        for _ in range(2):  # its own sidecar is written anew
            code, out, _ = self.run_it("caption", "a.png", "--sidecar", "xmp")
            self.assertEqual(code, OK)
        tree = ElementTree.parse(self.root / "a.png.xmp")
        names = {"rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "dc": "http://purl.org/dc/elements/1.1/"}
        self.assertEqual(tree.find(".//dc:description/rdf:Alt/rdf:li", names).text, out.strip())
        self.assertEqual((self.root / "a.png").read_bytes(), before)
        self.assertEqual(sorted(p.name for p in self.root.iterdir()), ["a.png", "a.png.xmp"])

    def test_of_another_program(self):
        """The caption is added once, the rest stays byte for byte; what cannot be added to is left alone and told."""
        rdf = ('<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
               '  <rdf:Description rdf:about="u:1" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"{}/>\n </rdf:RDF></x:xmpmeta>')
        self.put("a.png")
        sidecar = self.root / "a.png.xmp"
        sidecar.write_text(rdf.format(""))
        sidecar.chmod(0o640)
        code, out, _ = self.run_it("caption", "a.png", "--sidecar", "xmp")
        self.assertEqual(code, OK)
        text = sidecar.read_text()
        head, tail = rdf.format("").split("</rdf:RDF>")
        self.assertTrue(text.startswith(head) and text.endswith("</rdf:RDF>" + tail), text)
        names = {"rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "dc": "http://purl.org/dc/elements/1.1/"}
        parts = ElementTree.fromstring(text).findall(".//rdf:Description", names)
        self.assertEqual([p.get("{%s}about" % names["rdf"]) for p in parts], ["u:1", "u:1"])
        self.assertEqual(parts[1].find("dc:description/rdf:Alt/rdf:li", names).text, out.strip())
        self.assertEqual(sidecar.stat().st_mode & 0o777, 0o640)
        other = rdf.format(' xmlns:d="http://purl.org/dc/elements/1.1/" d:description="mine"')
        for kept in (text, other, rdf.format("").replace("<x:", "<!-- </rdf:RDF> --><x:", 1), "<x:xmpmeta x:xmptk='darktable'/>", ""):
            sidecar.write_text(kept)
            code, out, err = self.run_it("caption", "a.png", "--sidecar", "xmp")
            self.assertEqual((code, out, sidecar.read_text()), (FAILED, "", kept))
            self.assertIn("a.png.xmp has a description already", err)


class Collections(Case):
    def test_import_and_search(self):
        self.put("in/a.png", "in/sub/ü \"b\".png", "alone.png")
        (self.root / "in/bad.png").write_bytes(b"no picture")
        with Server(f"--collections.path={self.root}/c.db") as s:
            there = {"MINIVLM_SERVER": f"http://127.0.0.1:{s.port}"}
            code, _, err = self.run_it("import", "--collection", "album", "in", "alone.png", **there)
            self.assertEqual(code, FAILED)
            self.assertRegex(err, r"^minivlm: in/bad.png: .*\(415\)\nminivlm: album: 3 of 4 images stored\n$")
            listed = s.get("/collections/album").json["images"]
            self.assertEqual(sorted(i["key"] for i in listed), ["a.png", "alone.png", 'sub/ü "b".png'])
            code, out, err = self.run_it("search", "--collection", "album", "a dog", **there)
            self.assertEqual((code, err, len(out.splitlines())), (OK, "", 3))
            self.assertRegex(out.splitlines()[0], r"^\d\.\d\d  \S")
            code, out, _ = self.run_it("search", "--collection", "album", "--json", "--top-k", "1", "a dog", **there)
            self.assertEqual(len(json.loads(out)["results"]), 1)
            code, out, err = self.run_it("search", "--collection", "other", "a dog", **there)
            self.assertEqual((code, out, err),
                             (FAILED, "", "minivlm: there is no collection with this name; GET /collections lists the names (404)\n"))
            code, out, err = self.run_it("search", "--collection", "album", "dog " * 99, **there)
            self.assertEqual((code, len(out.splitlines())), (OK, 3))
            self.assertRegex(err, r"^minivlm: only the first \d+ word pieces were read of text 0\n$")
            (self.root / "cut.jpg").write_bytes((ROOT / "tests/data/images/codec/truncated.jpg").read_bytes())
            code, _, err = self.run_it("import", "--collection", "album", "cut.jpg", **there)
            self.assertEqual((code, "take it as it is with --tolerate-truncated" in err), (FAILED, True), err)
            self.assertEqual(self.run_it("import", "--collection", "album", "--tolerate-truncated", "cut.jpg", **there)[0], OK)

    def test_two_pictures_with_one_key(self):
        self.put("2025/1.png", "2025/2.png", "2026/1.png")
        with Server(f"--collections.path={self.root}/c.db") as s:
            there = {"MINIVLM_SERVER": f"http://127.0.0.1:{s.port}"}
            code, _, err = self.run_it("import", "--collection", "album", "2025", "2026", **there)
            self.assertEqual(code, FAILED)
            self.assertRegex(err, r"^minivlm: 2026/1.png: not stored: its key, 1.png, is also that of 2025/1.png; .*\n"
                                  r"minivlm: album: 2 of 3 images stored\n$")
            code, _, err = self.run_it("import", "--collection", "album", "2025", "./2025/1.png", **there)  # one twice
            self.assertEqual((code, err), (OK, "minivlm: album: 3 of 3 images stored\n"))

    def test_key_of_the_server(self):
        self.put("a.png", "b.png")
        (self.root / "keys").write_text(f"me {hashlib.sha256(b'secret').hexdigest()}\n")
        (self.root / "keys").chmod(0o600)
        with Server(f"--collections.path={self.root}/c.db", f"--auth.keys_file={self.root}/keys") as s:
            there = {"MINIVLM_SERVER": f"http://127.0.0.1:{s.port}"}
            code, _, err = self.run_it("import", "--collection", "album", "--parallel", "1", "a.png", "b.png", **there)
            self.assertEqual((code, err.count("(401)")), (FAILED, 1))  # the others would fare no better
            self.assertEqual(self.run_it("import", "--collection", "album", "a.png", MINIVLM_API_KEY="secret", **there)[0], OK)

    def test_addresses(self):
        """A socket, a prefix with and without a slash, and TLS, whose authority must be known."""
        self.put("a.png")
        certificate, key = wire.certificate(self.root)
        store, find = ("import", "--collection", "album", "a.png"), ("search", "--collection", "album", "a dog")
        with Server(f"--collections.path={self.root}/c.db", "--server.prefix=/vision", f"--server.socket={self.root}/s") as s:
            for address in (f"http://127.0.0.1:{s.port}/vision/", f"127.0.0.1:{s.port}/vision"):
                self.assertEqual(self.run_it(*store, MINIVLM_SERVER=address)[0], OK)
                self.assertEqual(self.run_it(*find, "--server", address)[1][4:], "  a.png\n")
        with Server(f"--collections.path={self.root}/c.db", f"--server.socket={self.root}/s") as s:
            self.assertEqual(self.run_it(*store, "--server", f"unix:{self.root}/s")[0], OK)
            self.assertEqual(self.run_it(*find, MINIVLM_SERVER="unix:s")[1][4:], "  a.png\n")
            code, _, err = self.run_it(*find, "--server", "unix:other")
            self.assertEqual((code, err), (FAILED, "minivlm: unix:other: Couldn't connect to server; is the server running?\n"))
        with Server(f"--collections.path={self.root}/c.db", f"--server.tls_certificate={certificate}", f"--server.tls_key={key}",
                    ready=False) as s:
            s.wait_for_log("ready")
            address = f"https://127.0.0.1:{s.port}"
            code, _, err = self.run_it(*find, "--server", address)
            self.assertEqual((code, "MINIVLM_CA_FILE" in err), (FAILED, True), err)
            self.assertEqual(self.run_it(*find, "--server", address, MINIVLM_CA_FILE=certificate)[1][4:], "  a.png\n")

    def test_nobody_there(self):
        self.put("a.png", "b.png")
        code, _, err = self.run_it("import", "--collection", "album", "--parallel", "1", "a.png", "b.png",
                                   MINIVLM_SERVER="http://127.0.0.1:1")
        self.assertEqual((code, err.count("127.0.0.1:1")), (FAILED, 1))

    def test_server_that_starts_again(self):
        """What was begun waits for it; nothing is lost."""
        self.put(*(f"{n:02}.png" for n in range(60)))
        port = 0
        with Server(f"--collections.path={self.root}/c.db", "--drain.delay_ms=0") as s:
            port = s.port
            with subprocess.Popen([PROGRAM, "import", "--collection", "album", "--parallel", "2", "."], cwd=self.root, text=True,
                                  stderr=subprocess.PIPE, env={**ENVIRONMENT, "MINIVLM_SERVER": f"http://127.0.0.1:{port}"}) as process:
                s.wait_for_requests("collection_put", 5)
                s.stop(signal.SIGKILL)
                with Server(f"--collections.path={self.root}/c.db", f"--server.port={port}") as again:
                    said = process.communicate(timeout=120)[1]
                    self.assertEqual((process.returncode, said), (OK, "minivlm: album: 60 of 60 images stored\n"))
                    self.assertEqual(again.get("/collections/album").json["size"], 60)

    def test_server_that_is_full(self):
        self.put(*(f"{n}.png" for n in range(24)))
        with Server(f"--collections.path={self.root}/c.db", "--limits.requests=1") as s:
            code, _, err = self.run_it("import", "--collection", "album", "--parallel", "8", ".", MINIVLM_SERVER=f"http://127.0.0.1:{s.port}")
            self.assertEqual((code, err), (OK, "minivlm: album: 24 of 24 images stored\n"))
            self.assertEqual(s.get("/collections/album").json["size"], 24)


if __name__ == "__main__":
    unittest.main()
