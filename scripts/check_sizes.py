#!/usr/bin/env python3
"""Checks that files have at most 500 lines and functions at most 60, in C, Python, JavaScript, CSS and shell (the last
three: files only).

    check_sizes.py               all tracked sources
    check_sizes.py --self-test   plants one fault of each kind in made-up files and sees that it is found"""
import argparse
import ast
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILE, FUNCTION = 500, 60
C = (".c", ".h", ".inc")
FILES = ("*.c", "*.h", "*.inc", "*.py", "*.sh", "*.js", "*.mjs", "*.ts", "*.css")
GENERATED = {"engine/text/unicode_tables.c"}
NAME = re.compile(r"(\w+)\(")


def functions_of_c(lines: list[str]) -> list[tuple[int, int, str]]:
    """(line, length, name): clang-format puts both braces of a function, and of nothing else but types, at the left."""
    found, begin, name = [], 0, ""
    for n, line in enumerate(lines, 1):
        if line == "{":
            begin = n
            head = next((m for back in range(n - 2, max(n - 6, -1), -1) if (m := NAME.search(lines[back]))), None)
            name = head[1] if head else "?"
        elif line == "}" and begin:
            found.append((begin, n - begin + 1, name))
            begin = 0
    return found


def functions_of_python(text: str) -> list[tuple[int, int, str]]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [(f.lineno, f.end_lineno - f.lineno + 1, f.name) for f in ast.walk(ast.parse(text)) if isinstance(f, kinds) and f.end_lineno]


def check(path: str, text: str) -> list[str]:
    lines = text.splitlines()
    faults = [f"{path}:{FILE + 1}: {len(lines)} lines"] if len(lines) > FILE and path not in GENERATED else []
    functions = functions_of_python(text) if path.endswith(".py") else functions_of_c(lines) if path.endswith(C) else []
    return faults + [f"{path}:{at}: {name} has {n} lines" for at, n, name in functions if n > FUNCTION]


def self_test() -> list[str]:
    body = "    x();\n"
    files = {
        "a.c": f"int f(int a,\n      int b)\n{{\n{body * 58}}}\n" + f"static int g(void)\n{{\n{body * 59}}}\n",
        "b.py": f"def f():\n{body * 59}\nclass C:\n    def g(self):\n" + f"    {body}" * 60,
        "c.sh": "x\n" * 501,
        "d.js": "x\n" * 500,
        "e.inc": f"static int NAME(h)(void)\n{{\n{body * 59}}}\n",
    }
    found = [fault for path, text in files.items() for fault in check(path, text)]
    expected = ["a.c:64: g has 61 lines", "b.py:63: g has 61 lines", "c.sh:501: 501 lines", "e.inc:2: NAME has 61 lines"]
    return [] if found == expected else [f"found {found}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--self-test", action="store_true")
    if parser.parse_args().self_test:
        faults = self_test()
    else:
        listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", *FILES], cwd=ROOT, check=True,
                                capture_output=True, text=True)
        paths = [p for p in listed.stdout.splitlines() if (ROOT / p).is_file()]
        faults = [fault for path in paths for fault in check(path, (ROOT / path).read_text())]
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print("sizes: all are within bounds")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
