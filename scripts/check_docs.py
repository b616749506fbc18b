#!/usr/bin/env python3
"""Checks that lines of documents, cells of their tables and comments in C have at most 120 characters, that no comment ends
on a line of its own, and that a comment behind code goes on deeper than that code: clang-format looks at none of it
(ReflowComments: false). Code and pictures may be longer.

    check_docs.py               all *.md, *.c, *.h and *.inc files
    check_docs.py --self-test   plants one fault of each kind in made-up files and sees that it is found"""
import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LENGTH = 120
CELL = re.compile(r"(?<!\\)\|")
BEHIND = re.compile(r"\s*[\w}#][^\"]*/\*((?!\*/).)*")
COMMENT = re.compile(r"\s*(/\*|\*( |$))")
FILES = ("*.md", "*.c", "*.h", "*.inc")


def long_lines(text: str) -> list[int]:
    found, is_code = [], False
    for n, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code and not line.lstrip().startswith("!["):
            cells = CELL.split(line) if line.lstrip().startswith("|") else [line]
            found += [n] * any(len(cell.strip()) > LENGTH for cell in cells)
    return found


def indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def bad_comments(text: str) -> list[int]:
    lines, found = text.splitlines(), []
    for n, (before, line) in enumerate(zip(["", *lines], lines), 1):
        behind_code = BEHIND.fullmatch(before) and indentation(line) <= indentation(before)
        if len(line) > LENGTH and COMMENT.match(line) or line.strip() == "*/" or behind_code:
            found.append(n)
    return found


def check(path: str, text: str) -> list[int]:
    return long_lines(text) if path.endswith(".md") else bad_comments(text)


def self_test() -> list[str]:
    long = "a " * 61
    half = long[:LENGTH]
    page = f"{'é' * LENGTH}\n| {half} | {half} |\n![{long}](x.webp)\n```\n{long}\n```\n{long}\n- {long}\n| a | {long} |\n"
    source = (f'/* {"a" * 110} */\n/* {long}\n * {long}\n * b\n */\nconst char *text = "{long}";\n    int a; /* a\n    b */\n'
              "    int a; /* a\n              b */\n")
    found = check("page.md", page), check("source.c", source)
    return [] if found == ([7, 8, 9], [2, 3, 5, 8]) else [f"found {found}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--self-test", action="store_true")
    is_self_test = parser.parse_args().self_test
    listed = subprocess.run(["git", "ls-files", *FILES, ":!tests/data"], cwd=ROOT, check=True, capture_output=True, text=True)
    pages = [] if is_self_test else [p for p in listed.stdout.splitlines() if (ROOT / p).is_file()]
    faults = self_test() if is_self_test else [
        f"{page}:{n}: more than {LENGTH} characters in a line or cell, or a comment out of shape" for page in pages
        for n in check(page, (ROOT / page).read_text())]
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print("self-test: the planted faults are found" if is_self_test else f"documents and comments: {len(pages)} files are in order")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
