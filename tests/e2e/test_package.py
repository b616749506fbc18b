"""The Debian packages that CPack makes of this build: what is in them, and that it fits together. scripts/package.sh also
installs, upgrades and removes them in a bare root."""
import configparser
import email
import gzip
import hashlib
import json
import os
import pathlib
import re
import stat
import subprocess
import tarfile
import tempfile

from support import BASE, BUILD, ROOT, run, unittest

VERSION = re.findall(r'VERSION_TEXT "([^"]+)"', (ROOT / "engine/base/version.h").read_text())[0]
CONFIG, UNIT = "etc/minivlm-server/config.json", "usr/lib/systemd/system/minivlm-server.service"
MODEL = "usr/share/minivlm/models/minivlm-base"
PROGRAMS = {
    "etc": {CONFIG}, "usr/lib": {UNIT}, "usr/bin": {"usr/bin/minivlm", "usr/bin/minivlm-server"},
    "usr/share/man": {"usr/share/man/man1/minivlm.1.gz", "usr/share/man/man8/minivlm-server.8.gz"},
    "usr/share/bash-completion": {f"usr/share/bash-completion/completions/{name}" for name in ("minivlm", "minivlm-server")},
    "usr/share/zsh": {f"usr/share/zsh/vendor-completions/_{name}" for name in ("minivlm", "minivlm-server")},
    "usr/share/doc": {f"usr/share/doc/minivlm-server/{name}" for name in (
        "NOTICE", "README.md", "CHANGELOG.md.gz", "changelog.gz", "api.md", "configuration.md", "operations.md", "copyright")},
}


class Package:
    def __init__(self, path):
        self.path = path
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["dpkg-deb", "--control", path, folder], check=True)
            self.control = {p.name: p.read_text() for p in pathlib.Path(folder).iterdir()}
            self.executable = {p.name for p in pathlib.Path(folder).iterdir() if p.stat().st_mode & stat.S_IXUSR}
        self.fields = dict(email.message_from_string(self.control["control"]))
        tar = subprocess.run(["dpkg-deb", "--fsys-tarfile", path], check=True, capture_output=True).stdout
        with tempfile.TemporaryFile() as file:
            file.write(tar)
            file.seek(0)
            with tarfile.open(fileobj=file) as archive:
                self.members = {m.name.removeprefix("./").rstrip("/"): m for m in archive}
                self.files = {name: archive.extractfile(m).read() for name, m in self.members.items() if m.isfile()}


class Packages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        made = subprocess.run(["cpack", "-G", "DEB", "--config", BUILD / "CPackConfig.cmake", "-B", cls.folder.name], cwd=cls.folder.name,
                              capture_output=True, text=True)
        assert made.returncode == 0, made.stdout + made.stderr
        cls.architecture = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()
        found = sorted(p.name for p in pathlib.Path(cls.folder.name).glob("*.deb"))
        names = [f"minivlm-model-base_{VERSION}_all.deb", f"minivlm-server_{VERSION}_{cls.architecture}.deb"]
        assert found == names, found
        cls.model, cls.programs = (Package(pathlib.Path(cls.folder.name) / name) for name in names)

    def test_files(self):
        expected = set().union(*PROGRAMS.values())
        self.assertEqual(set(self.programs.files), expected)
        self.assertEqual({os.path.basename(n) for n in self.model.files if n.startswith(MODEL)}, {p.name for p in BASE.iterdir()})
        self.assertEqual({n for n in self.model.files if not n.startswith(MODEL)},
                         {f"usr/share/doc/minivlm-model-base/{name}" for name in ("changelog.gz", "copyright")})
        for package in (self.programs, self.model):
            for name, member in package.members.items():
                with self.subTest(name=name):
                    wanted = 0o755 if member.isdir() or name.startswith("usr/bin/") else 0o644
                    self.assertEqual((member.uid, member.gid, member.mode & 0o7777), (0, 0, wanted))
                    self.assertTrue(member.isdir() or member.isfile(), "a link or a device")
            sums = dict(reversed(line.split("  ", 1)) for line in package.control["md5sums"].splitlines())
            self.assertEqual({n: hashlib.md5(b).hexdigest() for n, b in package.files.items()}, sums)
        for name in ("config.json", "model.safetensors", "vocab.txt"):
            self.assertEqual(self.model.files[f"{MODEL}/{name}"], (BASE / name).read_bytes())

    def test_fields(self):
        for package in (self.programs, self.model):
            fields = package.fields
            self.assertEqual(fields["Version"], VERSION)
            self.assertRegex(fields["Maintainer"], r"^[^<>@]+ <[^<>@ ]+@[^<>@ ]+>$")
            self.assertNotRegex(fields["Maintainer"], r"\.(invalid|example)>")
            summary, _, more = fields["Description"].partition("\n")
            self.assertTrue(0 < len(summary) <= 80 and not summary.endswith("."), summary)
            self.assertGreater(len(more), 80)
            for line in more.split("\n"):
                self.assertRegex(line, r"^ \S.{,78}$")  # another blank in front: not to be wrapped
            self.assertGreater(int(fields["Installed-Size"]), 1000)
        needs = {re.split(r"[ (|]", n.strip())[0] for n in self.programs.fields["Depends"].split(",")}
        self.assertLessEqual({"minivlm-model-base", "procps", "libc6"}, needs)
        self.assertTrue({n for n in needs if n.startswith("libmicrohttpd")}, "libraries are not named")
        self.assertEqual(self.programs.fields["Architecture"], self.architecture)
        self.assertEqual(self.model.fields["Architecture"], "all")
        self.assertTrue(self.model.fields["Section"].startswith("non-free/"))
        self.assertNotIn("Depends", self.model.fields)

    def test_changelogs(self):
        for package, name in ((self.programs, "minivlm-server"), (self.model, "minivlm-model-base")):
            text = gzip.decompress(package.files[f"usr/share/doc/{name}/changelog.gz"])
            told = subprocess.run(["dpkg-parsechangelog", "-l", "-"], input=text, check=True, capture_output=True)
            self.assertEqual(told.stderr, b"")
            fields = dict(email.message_from_bytes(told.stdout))
            self.assertEqual([fields[k] for k in ("Source", "Version", "Maintainer")], [name, VERSION, package.fields["Maintainer"]])

    def test_scripts(self):
        """Kept when the package is removed, gone when it is purged, and nothing but shell in between."""
        self.assertEqual(self.programs.control["conffiles"].split(), ["/" + CONFIG])
        self.assertEqual(self.programs.executable, {"postinst", "prerm", "postrm"})
        for name in self.programs.executable:
            text = self.programs.control[name]
            self.assertTrue(text.startswith("#!/bin/sh\nset -e\n"), name)
            subprocess.run(["sh", "-n"], input=text, text=True, check=True)
            self.assertNotIn("@", text)
        self.assertIn("rm -rf /etc/minivlm-server ", self.programs.control["postrm"])
        self.assertEqual(set(self.model.control), {"control", "md5sums"})

    def test_unit(self):
        unit = configparser.RawConfigParser(strict=False)
        unit.optionxform = str
        unit.read_string(self.programs.files[UNIT].decode())
        service = unit["Service"]
        program, flag, config = service["ExecStart"].split()
        self.assertIn(program.removeprefix("/"), self.programs.files)
        self.assertEqual((flag, config), ("--config", "/" + CONFIG))
        for key, value in {"DynamicUser": "yes", "ProtectSystem": "strict", "NoNewPrivileges": "yes", "MemoryDenyWriteExecute": "yes",
                           "PrivateTmp": "yes", "CapabilityBoundingSet": ""}.items():
            self.assertEqual(service[key], value, key)
        self.assertEqual(unit["Install"]["WantedBy"], "multi-user.target")
        settings = json.loads(self.programs.files[CONFIG])
        self.assertEqual(settings["model"]["dir"], "/" + MODEL)
        self.assertEqual(settings["server"]["host"], "127.0.0.1")

    def test_licences(self):
        for package, name in ((self.programs, "minivlm-server"), (self.model, "minivlm-model-base")):
            text = package.files[f"usr/share/doc/{name}/copyright"].decode()
            self.assertIn("License: Apache-2.0", text)
            self.assertIn("research and non-commercial use only", text)

    def test_unpacked(self):
        """The programs find the model and each other from where the packages put them."""
        with tempfile.TemporaryDirectory() as root:
            for package in (self.programs, self.model):
                subprocess.run(["dpkg-deb", "--extract", package.path, root], check=True)
            program = os.path.join(root, "usr/bin/minivlm")
            bare = {"PATH": os.environ["PATH"], "OPENBLAS_NUM_THREADS": "1"}
            told = subprocess.run([program, "caption", ROOT / "docs/photos/cat.jpg"], cwd="/", env=bare, capture_output=True, text=True)
            self.assertRegex(told.stdout, r"^[a-z]+( [a-z]+){2,}\n$", told.stderr)
            for name in ("minivlm", "minivlm-server"):
                told = subprocess.run([os.path.join(root, "usr/bin", name), "--version"], env=bare, capture_output=True, text=True)
                self.assertEqual(told.stdout.split()[:2], [name, VERSION])
            sections = subprocess.run(["readelf", "--section-headers", program], check=True, capture_output=True, text=True).stdout
            self.assertNotIn(".symtab", sections, "not stripped")


run(__name__)
