"""The small models of the tests: a vocabulary, labels and their configurations."""
from minivlm import config as cfg

OBJECTS = ["person", "dog", "cat", "red car", "bus", "tree", "traffic light", "ball", "boat", "skateboard", "horse",
           "café table"]
ANSWERS = ["yes", "no", "red", "blue", "one", "two", "dog", "cat", "on the left", "outside", "frisbee", "0", "winter",
           "nothing", "t-shirt"]
QUESTIONS = ["What colour is the dog's ball?", "is the man on the left riding a skateboard or a horse, or is he "
             "standing near the big red bus?"]
SENTENCES = ["A dog runs on the green grass.", "Two people in a small boat near trees"]

_WORDS = """a an the of on in at to with and or is are was it his her their he she they who what where which how many
there this that not no yes near by up down under over behind front next side top left right back out off into through
man men woman women person people child children boy girl dog dogs cat cats horse bird cow sheep bear car cars bus train
truck boat bike street road traffic light sign tree trees grass water beach snow sky sun house building table chair bed
plate food pizza cake ball board skate red blue green white black brown yellow small big old young two three one four
group field park kitchen room window door hand head hat shirt riding standing sitting walking running playing holding
eating looking run play color colour cafe""".split()
_PIECES = ["##ing", "##ed", "##er", "##ly", "##board", "##light", "##bee", "##side", "##time"]
_PUNCTUATION = list(".,?!'\"-:;()[]/&#")


def vocabulary() -> list[str]:
    """About 300 pieces. The specials do not have BERT's ids, so that nobody can rely on those."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[unused2]", "[MASK]"]
    tokens += _PUNCTUATION + list("0123456789") + list(letters) + ["##" + c for c in letters + "0123456789"]
    tokens += [w for w in _WORDS if w not in letters] + _PIECES + ["中", "é"]
    return list(dict.fromkeys(tokens))


def synthetic_vocabulary(size: int) -> list[str]:
    """A vocabulary of any size for the full model where BERT's is not at hand: the small one, then made-up words."""
    tokens = vocabulary()
    have = set(tokens)
    syllables = [a + b for a in "bcdfghklmnprstvwz" for b in "aeiou"]
    n = 0
    while len(tokens) < size:
        k, word = n, ""
        for _ in range(3):
            word, k = word + syllables[k % len(syllables)], k // len(syllables)
        token = word if n % 4 else "##" + word
        if token not in have:
            have.add(token)
            tokens.append(token)
        n += 1
    return tokens


# What each model has that "tiny" has not: EfficientNet-Lite's blocks, the grid of cells, words predicted where they stand.
LITE = {"tiny-lite", "tiny-cells"}
CONTEXT = {"tiny-cells": {"channels": 21, "own_blocks": 3, "pool": 1, "regions": 0},
           "tiny-both": {"channels": 17, "own_blocks": 0, "pool": 2, "regions": 3}}
SIDE = {"tiny-cells": 96, "tiny-both": 100}
CAUSAL = {"tiny-cells"}


def config(name: str) -> cfg.Config:
    """Small and uneven: few sizes are multiples of anything."""
    lite = name in LITE
    base: dict = {
        "format": "minivlm-1", "name": name, "version": "1",
        "image": {"resize": "square" if lite else "short_side", "size": SIDE.get(name, 64), "max_size": 144 if name in SIDE else 96, "divisor": 32,
                  "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        "backbone": {"activation": "relu6" if lite else "swish", "squeeze_excite": not lite,
                     "padding": "same" if lite else "symmetric", "stem": 8,
                     "stages": [[1, 3, 1, 5, 1], [6, 3, 2, 9, 2], [6, 5, 2, 10, 2], [4, 3, 2, 14, 1], [6, 5, 1, 15, 2],
                                [5, 5, 2, 18, 2], [3, 3, 1, 22, 1]]},
        "bifpn": {"channels": 12, "repeats": 2},
        "rpn": {"anchor_sizes": [8, 16, 29, 50, 90], "pre_nms": 60, "nms": 0.7, "proposals": 40},
        "roi": {"pool": 3 if lite else 4, "sampling": 2, "hidden": 40, "classes": len(OBJECTS), "nms": 0.5,
                "score_threshold": 0.7, "min_regions": 4, "max_regions": 11},
        "fusion": {"layers": 2, "hidden": 48, "heads": 4, "ffn": 76, "vocab": len(vocabulary()), "positions": 27},
        "text": {"caption_length": 13, "text_length": 14, "tags_length": 11, "tag_threshold": 0.75},
        "caption": {"num_beams": 3, "max_tokens": 10, "length_penalty": 1.0},
        "vqa": {"answers": len(ANSWERS)},
        "weights": {"file": "model.safetensors", "sha256": "0" * 64}}
    if name in CONTEXT:
        base["context"] = CONTEXT[name]
    if name in CAUSAL:
        base["caption"]["decoder"] = "causal"
    return cfg.Config.from_dict(base)


TEXTS = ["A dog runs.", "", "   ", "Café, crème BRÛLÉE!", "the skateboards' traffic-light", "[MASK] a [SEP] [CLS]",
         "what's 10+2=12?", "中文 dog", "dog中cat", "Ünïcödé ÅNGSTRÖM", "tab\tnew\nline\r\u00a0nbsp\u3000wide",
         "control\u0007bell \u200bzero\ufffd width", "x" * 100, "y" * 101, "naïve #hash &amp; (a/b) [c]; \"q\"",
         "emoji \U0001F600 dog", "dog\u2014cat\u2019s", "İstanbul ß ﬁ", "cat...dog", "\u0301acute alone", "#dog ##s",
         "привет dog", "re\u00adsign", "O\u0301\u0327 dog", "한국 dog", "$5 dog^2 `cat` ~a~ {b} <c> |d| \\e _f_ %g @h +i = j"]
