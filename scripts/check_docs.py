#!/usr/bin/env python3
"""Checks that lines of documents have at most 120 characters; rows of tables, code and pictures may be longer.

    check_docs.py               all *.md files
    check_docs.py --self-test   plants one fault of each kind in a made-up page and sees that it is found"""
import argparse
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LENGTH = 120


def long_lines(text: str) -> list[int]:
    found, is_code = [], False
    for n, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif len(line) > LENGTH and not is_code and not line.lstrip().startswith(("|", "![")):
            found.append(n)
    return found


def self_test() -> list[str]:
    long = "a " * 61
    page = f"{'é' * LENGTH}\n| {long} |\n![{long}](x.webp)\n```\n{long}\n```\n{long}\n- {long}\n"
    return [] if long_lines(page) == [7, 8] else [f"found {long_lines(page)}, planted in lines 7 and 8"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--self-test", action="store_true")
    is_self_test = parser.parse_args().self_test
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True)
    pages = [] if is_self_test else [p for p in listed.stdout.splitlines() if (ROOT / p).is_file()]
    faults = self_test() if is_self_test else [
        f"{page}:{n}: more than {LENGTH} characters" for page in pages for n in long_lines((ROOT / page).read_text())]
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print("self-test: the planted faults are found" if is_self_test else f"documents: {len(pages)} are in order")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
