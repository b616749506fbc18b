#!/usr/bin/env python3
"""Writes engine/text/unicode_tables.c: what BERT's uncased tokeniser does to every Unicode character.

The truth is the public `tokenizers` package (scripts/requirements-reference.txt): each of the 1,112,064 characters
goes through its normaliser and pre-tokeniser, one property at a time, and the answers become tables. Its categories are
those of an old Unicode and its lower case that of a new one, so tables made from one Unicode version would differ from
it; the differences from Python's unicodedata are printed and counted in the head of the file.

    python3 scripts/gen_unicode_tables.py            # rewrites the file
    python3 scripts/gen_unicode_tables.py --check    # exit 1 when the file is not what would be written
"""
import argparse
import bisect
import importlib.metadata
import pathlib
import sys
import unicodedata

from tokenizers.normalizers import NFD, BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

TARGET = pathlib.Path(__file__).resolve().parent.parent / "engine" / "model" / "unicode_tables.c"
CHARACTERS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
HANGUL = range(0xAC00, 0xD7A4)  # decomposed by arithmetic in unicode.c
BLOCKS = 0x301  # of 256 characters; the last one is all the rest
FLAGS = ("DROP", "SPACE", "CJK", "MARK", "STARTER_MARK", "PUNCT")


def normaliser(**kwargs):
    off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return BertNormalizer(**(off | kwargs)).normalize_str


class Probe:
    """flags[c]: set of names; order[c]: combining class where it counts; fold[c]: what c becomes."""

    def __init__(self):
        self.flags = {c: set() for c in CHARACTERS}
        self.order, self.fold = {}, {}
        self.probe_flags()
        self.probe_folds()
        self.probe_order()

    def probe_flags(self):
        clean, chinese = normaliser(clean_text=True), normaliser(handle_chinese_chars=True)
        strip, split = normaliser(strip_accents=True), BertPreTokenizer().pre_tokenize_str
        for c in CHARACTERS:
            s, flags = chr(c), self.flags[c]
            cleaned = clean(f"a{s}b")
            assert cleaned in ("ab", "a b", f"a{s}b"), hex(c)
            if cleaned == "ab":
                flags.add("DROP")
            elif cleaned == "a b":
                flags.add("SPACE")
            if chinese(s) != s:
                assert chinese(s) == f" {s} ", hex(c)
                flags.add("CJK")
            if strip("a" + s) == "a":
                flags.add("MARK")
            pieces = [piece for piece, _ in split(f"a{s}b")]
            assert pieces in ([f"a{s}b"], ["a", s, "b"], ["a", "b"]), hex(c)
            if len(pieces) == 3:
                flags.add("PUNCT")
            if len(pieces) == 2:  # white space: all of it must be gone before this point
                assert flags & {"SPACE", "DROP"}, hex(c)

    def probe_folds(self):
        both = normaliser(strip_accents=True, lowercase=True)
        for c in CHARACTERS:
            if self.flags[c] & {"DROP", "SPACE", "MARK"}:
                continue
            folded = [ord(x) for x in both("a" + chr(c))[1:]]
            assert folded and not any(self.flags[x] & {"DROP", "SPACE", "MARK"} for x in folded), hex(c)
            if c in HANGUL:
                assert folded == [ord(x) for x in unicodedata.normalize("NFD", chr(c))], hex(c)
            elif folded != [c]:
                self.fold[c] = folded

    def probe_order(self):
        """Combining classes from how NFD sorts pairs; which stripped marks stop the sorting of what is kept."""
        nfd = NFD().normalize_str
        top, ladder = "\u0345", {240: "\u0345"}
        for c in CHARACTERS:  # one mark of each class that the package's tables know
            if nfd(top + chr(c)) == chr(c) + top:
                ladder.setdefault(unicodedata.combining(chr(c)), chr(c))
        steps = sorted(ladder)
        for a, b in zip(steps, steps[1:]):
            assert nfd(ladder[b] + ladder[a]) == ladder[a] + ladder[b]
        for c in CHARACTERS:
            s = chr(c)
            if "DROP" in self.flags[c] or nfd(s) != s:
                continue  # what decomposes begins with its base, see below
            if nfd(top + s) == s + top or nfd(s + ladder[1]) == ladder[1] + s:  # not a starter
                self.order[c] = max(k for k in steps if nfd(ladder[k] + s) == ladder[k] + s)
        is_starter = {c: all(x not in self.order for x in map(ord, nfd(chr(c)))) for c in CHARACTERS}
        for c in CHARACTERS:
            if "MARK" in self.flags[c]:
                self.order.pop(c, 0)
                if is_starter[c]:  # removed, but nothing is sorted past it
                    self.flags[c].add("STARTER_MARK")
        for c, folded in self.fold.items():  # what remains begins with a starter; no removed one follows a kept mark
            parts = [ord(x) for x in nfd(chr(c))]
            kept = [x for x in parts if "MARK" not in self.flags[x]]
            assert len(kept) == len(folded) and is_starter[kept[0]] and is_starter[folded[0]], hex(c)
            marks = [i for i, x in enumerate(parts) if x in self.order]
            assert not any(is_starter[x] for x in parts[min(marks, default=len(parts)):]), hex(c)


def ranges_of(probe):
    """[(first, last, flags, order)] of neighbours that are alike."""
    ranges = []
    for c in CHARACTERS:
        value = (frozenset(probe.flags[c]), probe.order.get(c, 0))
        if value == (frozenset(), 0):
            continue
        if ranges and ranges[-1][1] == c - 1 and ranges[-1][2] == value:
            ranges[-1][1] = c
        else:
            ranges.append([c, c, value])
    return [(first, last, *value) for first, last, value in ranges]


def differences(probe):
    """Lines for people: where unicodedata would have answered otherwise."""
    cat = {c: unicodedata.category(chr(c)) for c in CHARACTERS}
    is_ascii_symbol = lambda c: c < 128 and chr(c).isprintable() and not chr(c).isalnum() and c != 32
    expected = {
        "control and format characters (Cc, Cf, Co) dropped": (
            {c for c in CHARACTERS if "DROP" in probe.flags[c]},
            {c for c in CHARACTERS if c == 0xFFFD or cat[c] in ("Cc", "Cf", "Co") and chr(c) not in "\t\n\r"}),
        "combining marks (Mn) stripped": (
            {c for c in CHARACTERS if "MARK" in probe.flags[c]}, {c for c in CHARACTERS if cat[c] == "Mn"}),
        "punctuation (P*, ASCII symbols)": (
            {c for c in CHARACTERS if "PUNCT" in probe.flags[c]},
            {c for c in CHARACTERS if cat[c][0] == "P" or is_ascii_symbol(c)}),
        "white space": (
            {c for c in CHARACTERS if "SPACE" in probe.flags[c]},
            {c for c in CHARACTERS if chr(c).isspace() and (cat[c] != "Cc" or chr(c) in "\t\n\r")}),
    }
    lower = normaliser(lowercase=True)
    expected["lower case"] = ({(c, lower(chr(c))) for c in CHARACTERS if lower(chr(c)) != chr(c)},
                              {(c, chr(c).lower()) for c in CHARACTERS if chr(c).lower() != chr(c)})
    decompose = NFD().normalize_str
    expected["decomposition (NFD)"] = (
        {(c, decompose(chr(c))) for c in CHARACTERS if decompose(chr(c)) != chr(c)},
        {(c, unicodedata.normalize("NFD", chr(c))) for c in CHARACTERS if not unicodedata.is_normalized("NFD", chr(c))})
    for name, (ours, theirs) in expected.items():
        yield f"{name}: {len(ours)}, of them {len(ours - theirs)} not there; {len(theirs - ours)} only there"


def wrap(items):
    lines, line = [], "   "
    for item in items:
        if len(line) + 1 + len(item) > 119:
            lines.append(line)
            line = "   "
        line += " " + item
    return "\n".join(lines + [line])


def starts(firsts):
    """For each block and one more: index of the last entry that begins at or before the block's first character."""
    index = [max(0, bisect.bisect_right(firsts, block << 8) - 1) for block in range(BLOCKS)]
    return wrap(f"{i}," for i in index + [len(firsts) - 1])


def flag_value(flags, order):
    return sum(1 << FLAGS.index(f) for f in flags) | order << 8


def render(probe):
    folds, parts = [], []
    for c, to in sorted(probe.fold.items()):
        assert 1 <= len(to) <= 3
        value = to[0] if len(to) == 1 else 1 << 31 | len(to) << 24 | len(parts)
        parts += to if len(to) > 1 else []
        folds.append(f"{{{c:#x}, {value:#x}}},")
    ranges = [f"{{{first:#x}, {last:#x}, {flag_value(*value):#x}}}," for first, last, *value in ranges_of(probe)]
    ascii_flags = [f"{flag_value(probe.flags[c], 0)}," for c in range(128)]
    version = importlib.metadata.version("tokenizers")
    notes = "\n".join(" *   " + line for line in differences(probe))
    flag_list = ", ".join(f"{1 << i} {name}" for i, name in enumerate(FLAGS))
    return f"""/* Generated by scripts/gen_unicode_tables.py from tokenizers {version}; do not edit.
 *
 * Compared with Unicode {unicodedata.unidata_version} (Python's unicodedata), characters:
{notes}
 * The package's categories are those of Unicode 8, its lower case follows a newer version than the one compared.
 *
 * Flags: {flag_list}.
 * Bits 8 and up: canonical combining class of what is not stripped. */
/* clang-format off */
#include "engine/text/unicode_tables.h"

const unsigned char unicode_tables_ascii[128] = {{
{wrap(ascii_flags)}
}};

const struct unicode_tables_range unicode_tables_ranges[] = {{
{wrap(ranges)}
}};
const uint16_t unicode_tables_range_starts[{BLOCKS + 1}] = {{
{starts([first for first, *_ in ranges_of(probe)])}
}};

const struct unicode_tables_fold unicode_tables_folds[] = {{
{wrap(folds)}
}};
const uint16_t unicode_tables_fold_starts[{BLOCKS + 1}] = {{
{starts(sorted(probe.fold))}
}};

const uint32_t unicode_tables_parts[] = {{
{wrap(f"{x:#x}," for x in parts)}
}};
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    probe = Probe()
    text = render(probe)
    if args.check:
        return 0 if TARGET.read_text() == text else f"{TARGET.name} is not what this script writes"
    TARGET.write_text(text)
    print("\n".join(differences(probe)))
    print(f"{TARGET}: {len(text)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
