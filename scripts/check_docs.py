#!/usr/bin/env python3
"""Checks that lines of documents and of comments in C have at most 120 characters, and that no comment ends on a line of
its own: clang-format looks at neither (ReflowComments: false). Rows of tables, code and pictures may be longer.

    check_docs.py               all *.md, *.c, *.h and *.inc files
    check_docs.py --self-test   plants one fault of each kind in made-up files and sees that it is found"""
import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LENGTH = 120
COMMENT = re.compile(r"\s*(/\*|\*( |$))")
FILES = ("*.md", "*.c", "*.h", "*.inc")


def long_lines(text: str) -> list[int]:
    found, is_code = [], False
    for n, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif len(line) > LENGTH and not is_code and not line.lstrip().startswith(("|", "![")):
            found.append(n)
    return found


def bad_comments(text: str) -> list[int]:
    lines = enumerate(text.splitlines(), 1)
    return [n for n, line in lines if (len(line) > LENGTH and COMMENT.match(line)) or line.strip() == "*/"]


def check(path: str, text: str) -> list[int]:
    return long_lines(text) if path.endswith(".md") else bad_comments(text)


def self_test() -> list[str]:
    long = "a " * 61
    page = f"{'é' * LENGTH}\n| {long} |\n![{long}](x.webp)\n```\n{long}\n```\n{long}\n- {long}\n"
    source = f'/* {"a" * 110} */\n/* {long}\n * {long}\n * b\n */\nconst char *text = "{long}";\n'
    found = check("page.md", page), check("source.c", source)
    return [] if found == ([7, 8], [2, 3, 5]) else [f"found {found}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--self-test", action="store_true")
    is_self_test = parser.parse_args().self_test
    listed = subprocess.run(["git", "ls-files", *FILES, ":!tests/data"], cwd=ROOT, check=True, capture_output=True, text=True)
    pages = [] if is_self_test else [p for p in listed.stdout.splitlines() if (ROOT / p).is_file()]
    faults = self_test() if is_self_test else [
        f"{page}:{n}: more than {LENGTH} characters, or an end of a comment alone" for page in pages
        for n in check(page, (ROOT / page).read_text())]
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print("self-test: the planted faults are found" if is_self_test else f"documents and comments: {len(pages)} files are in order")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
