#!/usr/bin/env python3
"""Checks that what comments and pages name is there: files, and errors of engine/base/err.h; that the version which other
files repeat is that of engine/base/version.h; and that "Where a change goes" in ARCHITECTURE.md names every source that an
earlier change of the kind is in.

    check_names.py               checks comments of programs and scripts, and all pages but CHANGELOG.md and SPEED.md (what was)
    check_names.py --self-test   plants one fault of each kind in a made-up tree and sees that it is found

A file may be named by the end of its path (`gate/gate.h`, `gate.h`). JSON without
a folder is data in Python and in docs/training.md: what a program reads or writes elsewhere."""
import argparse
import fnmatch
import io
import pathlib
import re
import subprocess
import sys
import tempfile
import tokenize

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = re.compile(r"(?!CHANGELOG|SPEED|tests/)[\w./-]+\.md")
# Of libraries, data sets, usage, a build.
FOREIGN = {"jpeglib.h", "Resample.c", "annotations/captions_train2017.json", "FILE.c", "doc/proxy-protocol.txt", "ROWS.json",
           "build/coverage/coverage.txt", "vg_objects.txt", "vg_attributes.txt"}
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
HASH = re.compile(r"(?:^|(?<=[ \t]))#[^\n]*", re.M)
WITH_COMMENT = (".c", ".h", ".inc", ".js", ".mjs", ".ts", ".css")
WITH_HASH = (".sh", ".cmake", ".yml", ".yaml", ".toml", "CMakeLists.txt", "Dockerfile")
FILE = re.compile(r"(?<![\w*.<>{/-])((?:\.?[\w-]+/)*[\w-]+\.(?:c|h|inc|py|md|sh|json|m?js|ts|css|html|svg|cmake|ya?ml|toml|cfg|txt))\b(?![\w*(])")
ERROR = re.compile(r"\bERR_[A-Z]+(?:_[A-Z]+)*\b(?!\*)")

VERSION = re.compile(r'VERSION_TEXT "([^"]+)"')
VERSIONS = {
    "server/api/openapi.json": re.compile(r'^  "version": "([^"]*)"', re.M),
    "deploy/k8s/kustomization.yaml": re.compile(r"(?:minivlm-server:|newTag: )([\w.-]+)"),
    "clients/js/package.json": re.compile(r'^  "version": "([^"]*)"', re.M),
    "clients/python/pyproject.toml": re.compile(r'^version = "([^"]*)"', re.M),
}

# Kind of change: what marks an earlier one, and the files that are its own.
WALK = {
    "An image format": (r"(?i)\bgif", r"engine/image/gif\."),
    "A route": (r"images/check", ""),
    "An instruction set": (r"(?i)neondot", r"engine/kernels/arm/\w+_neondot\.c"),
    "A metric": (r"turn_requests_max|proxy_headers_failed", ""),
    "A configuration key": (r"\bmin_send_rate\b", r"server/http/"),
    "An option of the command line": (r"OPT_DRAW|\*draw;", ""),
}
WALKED = ("engine/", "cli/", "config/", "server/", "web/", "deploy/", "CMakeLists.txt", "scripts/install_deps.sh", "scripts/check_symbols.sh",
          "scripts/check_layers.py")


def endings(paths: list[str]) -> set[str]:
    """Every path with 0, 1, ... leading folders left out."""
    return {"/".join(parts[i:]) for parts in (p.split("/") for p in paths) for i in range(len(parts))}


def tracked(root: pathlib.Path) -> list[str]:
    told = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=root, check=True,
                          capture_output=True, text=True)
    return sorted(p for p in told.stdout.splitlines() if (root / p).is_file())


def texts(path: str, content: str) -> list[tuple[int, str]]:
    """(line, text) of what is to be read: comments, docstrings of Python, a page as a whole."""
    if path.endswith(".md"):
        return [(1, content)]
    if path.endswith(".py"):
        tokens = tokenize.generate_tokens(io.StringIO(content).readline)
        return [(t.start[0], t.string) for t in tokens
                if t.type == tokenize.COMMENT or t.type == tokenize.STRING and t.string.startswith('"""')]
    pattern = HASH if path.endswith(WITH_HASH) else COMMENT
    return [(content.count("\n", 0, m.start()) + 1, m.group()) for m in pattern.finditer(content)]


def check(root: pathlib.Path, paths: list[str]) -> list[str]:
    known = endings(paths) | FOREIGN
    errors = set(ERROR.findall((root / "engine/base/err.h").read_text()))
    faults = []
    for path in paths:
        if not PAGE.fullmatch(path) and not path.endswith((".py", *WITH_COMMENT, *WITH_HASH)):
            continue
        for first, text in texts(path, (root / path).read_text()):
            for found in FILE.finditer(text):
                name = found.group(1)
                is_data = name.endswith(".json") and "/" not in name and (path.endswith(".py") or path == "docs/training.md")
                if name not in known and not is_data:
                    faults.append((path, first + text.count("\n", 0, found.start()), f"there is no {name}"))
            for found in ERROR.finditer(text) if errors else ():
                if found.group() not in errors:
                    line = first + text.count("\n", 0, found.start())
                    faults.append((path, line, f"{found.group()} is not in engine/base/err.h"))
    return [f"{path}:{line}: {what}" for path, line, what in faults] + check_versions(root, paths) + check_walk(root, paths)


def check_walk(root: pathlib.Path, paths: list[str]) -> list[str]:
    text = (root / "ARCHITECTURE.md").read_text()
    paragraphs = dict(re.findall(r"^- \*\*([\w ]+)\*\*: (.*?)(?=^- \*\*|^#|\Z)", text.partition("\n## Where a change goes\n")[2], re.M | re.S))
    faults = []
    for kind, (mark, own) in WALK.items() if paragraphs else ():
        named = [re.sub(r"ARCH|NAME", "*", word) for word in re.findall(r"`([^`]+)`", paragraphs.get(kind, ""))]
        for path in (p for p in paths if p.startswith(WALKED) and not (own and re.match(own, p))):
            is_named = any(fnmatch.fnmatch(path, pattern) or path.endswith("/" + pattern) for pattern in named)
            if not is_named and re.search(mark, (root / path).read_text(errors="replace")):
                faults.append(f"ARCHITECTURE.md:1: \"{kind}\" does not name {path}")
    return faults


def check_versions(root: pathlib.Path, paths: list[str]) -> list[str]:
    version = "".join(VERSION.findall((root / "engine/base/version.h").read_text()))
    faults = []
    for path in sorted(VERSIONS.keys() & set(paths)):
        text = (root / path).read_text()
        found = [(text.count("\n", 0, m.start()) + 1, m.group(1)) for m in VERSIONS[path].finditer(text)]
        faults += [f"{path}:{line}: {other} is not the version of engine/base/version.h" for line, other in found if other != version]
        faults += [] if found else [f"{path}:1: names no version"]
    return faults


GOOD = {
    "engine/base/err.h": "X(ERR_IO, a, b)\n",
    "engine/base/version.h": '#define VERSION_TEXT "1.2.3"\n',
    "clients/python/pyproject.toml": 'version = "1.2.3"\n',
    "engine/a.h": "/* a - see engine/a.h, a.h, base/err.h, <stdio.h>, test_*.c and model_config.json5 */\nint x; /* ERR_IO */\n",
    "engine/a.c": 'static const char *names = "nothere.c";\n',
    "scripts/a.py": '"""See engine/a.h."""\nx = "nothere.c"  # a.c\n',
    "scripts/d.sh": "cp x.json y.json # see scripts/a.py\n",
    "web/a.js": "fetch('x.json'); // a.h\n",
    "docs/training.md": "scenes.json\n",
    "CHANGELOG.md": "photo.json\n",
    "ARCHITECTURE.md": "`engine/a.h` and [a](engine/a.c)\n\n## Where a change goes\n\n- **A metric**: `engine/a.c`, `engine/m/*_NAME.c`.\n"
                       "- **A route**: `a.h`.\n",
    "engine/m/x_neon.c": "int turn_requests_max;\n",
}
PLANTED = {
    "engine/b.h": ("int x;\n/* b -\n * see gone.h */\n", "engine/b.h:3: there is no gone.h"),
    "engine/c.c": ("/* engine/base/a.h */\n", "engine/c.c:1: there is no engine/base/a.h"),
    "engine/d.c": ("// ERR_NO_MEMORY\n", "engine/d.c:1: ERR_NO_MEMORY is not in engine/base/err.h"),
    "engine/e.c": ("/* gone_file.cmake */\n", "engine/e.c:1: there is no gone_file.cmake"),
    "engine/f.c": ("/* nothere.yml */\n", "engine/f.c:1: there is no nothere.yml"),
    "scripts/b.py": ("x = 1\n# nothere.c\n", "scripts/b.py:2: there is no nothere.c"),
    "scripts/c.py": ('def f():\n    """See\n    gone.py."""\n', "scripts/c.py:3: there is no gone.py"),
    "scripts/e.sh": ("true # as scripts/gone.py does\n", "scripts/e.sh:1: there is no scripts/gone.py"),
    "scripts/f.py": ("# server/gone.json\n", "scripts/f.py:1: there is no server/gone.json"),
    "web/b.js": ("// gone.css\n", "web/b.js:1: there is no gone.css"),
    "deploy/b.cmake": ("# .github/workflows/gone.yml\n", "deploy/b.cmake:1: there is no .github/workflows/gone.yml"),
    "docs/api.md": ("\nscripts/lost.sh\n", "docs/api.md:2: there is no scripts/lost.sh"),
    "server/api/openapi.json": ('{\n  "version": "1.2.2",\n', "server/api/openapi.json:2: 1.2.2 is not the version of engine/base/version.h"),
    "deploy/k8s/kustomization.yaml": ("# minivlm-server:1.2.3\n    newTag: 1.2.4\n",
                                      "deploy/k8s/kustomization.yaml:2: 1.2.4 is not the version of engine/base/version.h"),
    "clients/js/package.json": ("{\n}\n", "clients/js/package.json:1: names no version"),
    "server/m.c": ("int turn_requests_max;\n", 'ARCHITECTURE.md:1: "A metric" does not name server/m.c'),
    "SECURITY.md": ("\n`deploy/gone.cfg`\n", "SECURITY.md:2: there is no deploy/gone.cfg"),
    "models/base/README.md": ("[x](gone.html)\n", "models/base/README.md:1: there is no gone.html"),
    "tests/b.mjs": ("// gone.mjs\n", "tests/b.mjs:1: there is no gone.mjs"),
    "CONTRIBUTING.md": ("\nscripts/gone.sh\n", "CONTRIBUTING.md:2: there is no scripts/gone.sh"),
}


def self_test() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for path, text in (GOOD | {p: t for p, (t, _) in PLANTED.items()}).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        failures = [f"reported in a good tree: {f}" for f in check(root, sorted(GOOD))]
        found, expected = check(root, sorted(GOOD | PLANTED)), {m for _, m in PLANTED.values()}
        return failures + [f"not found: {m}" for m in sorted(expected - set(found))] + [
            f"not planted: {f}" for f in sorted(set(found) - expected)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--self-test", action="store_true")
    is_self_test = parser.parse_args().self_test
    faults = self_test() if is_self_test else check(ROOT, tracked(ROOT))
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print(f"self-test: {len(PLANTED)} planted faults found" if is_self_test else "names: all are there")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
