#!/usr/bin/env python3
"""Writes tests/data/tokenizer: a small vocabulary over many scripts, odd strings, and the ids that the public
`tokenizers` package (scripts/requirements-reference.txt) gives them.

    python3 scripts/make_tokenizer_golden.py

cases.tsv has one string a line: its bytes in hex, a tab, the ids with spaces between. Bytes that are not UTF-8 reach
the package as U+FFFD. The same package version writes the same files.
"""
import pathlib
import random
import unicodedata

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

TARGET = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "tokenizer"
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CHARACTERS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
SPACES = [chr(c) for c in CHARACTERS if chr(c).isspace()]

WORDS = """
a an the of on in at to and or is are was with for by from it its this that there here not no yes one two three
man woman men women boy girl child children person people dog cat horse cow sheep bird bear zebra giraffe elephant
car bus train truck boat bicycle motorcycle plane street road sign light traffic bench tree grass field water beach
sky snow mountain table chair couch bed plate bowl cup glass bottle fork knife spoon pizza cake apple banana orange
red blue green yellow white black brown gray small large big old young tall long many several some two next front top
sitting standing walking running riding holding eating playing looking wearing parked flying photo picture view room
kitchen bathroom building window door wall clock phone laptop computer keyboard umbrella bag ball kite skateboard board
what where who how many color time is does do don can cat s t m d ll re ve 0 1 2 3 10 000 2010 straße istanbul cafe
international nation un believ affect able""".split()
ENDINGS = "s ed ing er est ly ness ment tion board boards able ation al ized ting ning 's 000 0 1 2".split()

SENTENCES = [
    "", " ", "   \t\r\n ", "A dog runs.", "a man riding a wave on top of a surfboard",
    "What color is the man's shirt?", "Two people,standing(near)a bus!", "don't can't it's WE'RE I'll they've",
    "[MASK]", "[CLS] a [SEP] b [PAD][UNK]", "[unused1] [UNUSED2]", "##ing ## # ###", "a##b",
    "Café, crème BRÛLÉE!", "cafe\u0301 CAFE\u0301", "İstanbul ISTANBUL ı", "STRASSE Straße straẞe",
    "ΣΑΣ ΌΔΟΣ όδος", "Привет, мир! Ёлка й", "שָׁלוֹם עולם",
    "مرحبا بالعالم ١٢٣ \u0640", "नमस्ते दुनिया",
    "สวัสดีชาวโลก", "你好,世界。", "こんにちは カタカナ ガ",
    "한국어 텍스트 각", "Tiếng Việt đẹp", "ﬁ ﬂ ﬃ Ǆ ǆ ŉ ǰ", "①②③ ½ ² ㎏",
    "🙂👩‍👩‍👧‍👦🇫🇷👍🏽", "a\u200bb a\u200db a\u00adb a\ufeffb",
    "\u202eright to left\u202c",
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ",
    "a\u0000b", "\ufffd a\ufffdb", "tab\tnew\nline\rreturn\x0bvt\x0cff\x85nel", "\u00a0nbsp\u2003em\u3000ideographic",
    "x\u2028y\u2029z", "--- ... ,,, !?!? $5.00 #1 @home a/b a\\b a_b {x} ~ ` ^ | < > =",
    "“quotes” ‘single’ « guillemets » – — … · • ‽ ¿¡ § ¶", "豈更車",
    "𝐁𝐨𝐥𝐝 𝒮𝒸𝓇𝒾𝓅𝓉 𝟘𝟙", "ａｂｃ ＡＢＣ １２３ ！", "\U0001d160\U0001d15e",
    "e\u0323\u0301 e\u0301\u0323", "\u1b44\u0fc6\u08d4 a\u0c55\u094d", "a\u08d4\u034f\u1b44 a\u08d4\u1b44",
    "a\u08d4\u200d\u1b44 a\u08d4\u0301\u1b44", "\u0344\u0f73\u0f75\u0f81", "Å Å Ω Ω K K",
    "ᾳ ᾼ Ά ΐ ΰ", "ǅ Ǆ ǈ ǋ", "\U000e0041\U000e007f\U000f0000\U0010ffff", "\u0378\u0379\U0001fffe\uffff",
]


def vocabulary(rng):
    """Specials, letters alone and continued, the words above, and characters of every block that BERT keeps."""
    clean = BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=True, lowercase=True)
    tokens = SPECIALS + [f"[unused{i}]" for i in range(10)]
    tokens += [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    tokens += ["##" + c for c in "abcdefghijklmnopqrstuvwxyz0123456789"]
    tokens += WORDS + ["##" + e for e in ENDINGS]
    kept = [c for c in CHARACTERS if c >= 0x80 and clean.normalize_str("a" + chr(c)) == "a" + chr(c)
            and unicodedata.category(chr(c)) != "Cn" and not chr(c).isspace()]
    blocks = {}
    for c in kept:
        blocks.setdefault(c >> 7, []).append(c)
    for block, characters in blocks.items():
        marks = [c for c in characters if unicodedata.combining(chr(c)) or unicodedata.category(chr(c))[0] == "M"]
        share = 24 if block < 0x600 >> 7 else 12 if block < 0x3000 >> 7 else 4
        for c in sorted(set(marks + rng.sample(characters, min(share, len(characters))))):
            tokens += [chr(c), "##" + chr(c)] if block < 0x3000 >> 7 or c in marks else [chr(c)]
    return list(dict.fromkeys(tokens))


def strings(rng, tokens):
    yield from SENTENCES
    words = [t.removeprefix("##") for t in tokens[15:]]
    categories = {}
    for c in CHARACTERS:
        categories.setdefault(unicodedata.category(chr(c)), []).append(chr(c))
    marks = [c for k in ("Mn", "Mc", "Me") for c in categories[k]]
    late_marks = [c for c in marks if unicodedata.combining(c) and (c > "\u08d3" or unicodedata.category(c) != "Mn")]
    for space in SPACES:
        yield f"a{space}dog{space}{space}runs"
    for block in range(0, 0x110000, 0x100):
        if block < 0x32400 or block in (0xE0000, 0xE0100, 0xF0000, 0x10FF00):
            yield "".join(chr(c) for c in rng.sample(range(block, block + 0x100), 7) if not 0xD800 <= c < 0xE000)
    for members in categories.values():
        for _ in range(12):
            middle = "".join(rng.choice(members) for _ in range(5))
            yield rng.choice(["", "a", "a "]) + middle + rng.choice(["", "b", " b"])
    for _ in range(400):
        middle = "".join(rng.choice(rng.choice([marks, late_marks])) for _ in range(rng.randint(1, 4)))
        yield rng.choice(words) + middle + rng.choice(words)
    for _ in range(500):
        between = ["", " ", "  ", "-", "'", ".", ", "]
        text = "".join(rng.choice(words) + rng.choice(between) for _ in range(rng.randint(1, 6)))
        yield rng.choice([text, text.upper(), text.title(), unicodedata.normalize("NFD", text)])
    for character in "aé中İ각\u0e33\u08d4!":
        for count in (99, 100, 101, 200):
            yield character * count
    for tail in ("\u0301", "\u0301a", "a", "\u200da", ".", "\u08d4"):
        yield "a" * 100 + tail


def broken(rng):
    """Bytes that are not UTF-8."""
    yield from (b"\xff", b"a\x80b", b"\xc0\xaf", b"a\xe2\x82", b"\xe2\x82A", b"\xed\xa0\x80x", b"\xf4\x90\x80\x80",
                b"\xf0\x9f\x99", b"\xc3(", b"caf\xe9", b"\xf8\x88\x80\x80\x80", b"\xe0\x80\x80dog", b"\xfe\xfe\xff\xff cat")
    for _ in range(100):
        text = bytearray(" ".join(rng.choice(SENTENCES) for _ in range(2)).encode()[:40])
        for _ in range(rng.randint(1, 4)):
            text.insert(rng.randint(0, len(text)), rng.randint(0x80, 0xFF))
        yield bytes(text)


def main():
    rng = random.Random(2026)
    tokens = vocabulary(rng)
    ids = {token: i for i, token in enumerate(tokens)}
    backend = Tokenizer(WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    backend.normalizer = BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=None,
                                        lowercase=True)
    backend.pre_tokenizer = BertPreTokenizer()
    cases = list(dict.fromkeys([s.encode() for s in strings(rng, tokens)] + list(broken(rng))))
    TARGET.mkdir(parents=True, exist_ok=True)
    (TARGET / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8", newline="\n")
    with open(TARGET / "cases.tsv", "w", encoding="ascii", newline="\n") as file:
        for case in cases:
            pieces = backend.encode(case.decode(errors="replace"), add_special_tokens=False).ids
            file.write(f"{case.hex()}\t{' '.join(map(str, pieces))}\n")
    print(f"{len(tokens)} tokens, {len(cases)} cases")


if __name__ == "__main__":
    main()
