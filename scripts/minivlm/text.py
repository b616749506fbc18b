"""Words <-> token ids: BERT's uncased WordPiece."""
import re

from tokenizers import Tokenizer as Backend
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Tokenizer:
    """The special tokens are known to this class only: a "[MASK]" that somebody types is three pieces of plain text."""

    def __init__(self, tokens: list[str]):
        self.tokens = tokens
        ids = {token: i for i, token in enumerate(tokens)}
        for token in SPECIALS:
            if token not in ids:
                raise ValueError(f"vocab.txt: {token} is missing")
        self.pad, self.unk, self.cls, self.sep, self.mask = (ids[token] for token in SPECIALS)
        unused = [i for i, token in enumerate(tokens) if re.fullmatch(r"\[unused\d+\]", token)]
        self.forbidden = [self.pad, self.unk, self.cls, self.mask] + unused  # never part of a caption
        self.backend = Backend(WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
        self.backend.normalizer = BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=True,
                                                 lowercase=True)
        self.backend.pre_tokenizer = BertPreTokenizer()

    @classmethod
    def from_file(cls, path) -> "Tokenizer":
        with open(path, encoding="utf-8", newline="\n") as file:
            return cls(file.read().removesuffix("\n").split("\n"))

    def encode(self, text: str) -> list[int]:
        """Ids of the pieces, without [CLS] and [SEP]."""
        return self.backend.encode(text, add_special_tokens=False).ids

    def decode(self, ids: list[int]) -> str:
        """Pieces joined by single spaces; one that begins with ## is glued to the one before. Specials vanish."""
        text = ""
        for i in ids:
            token = self.tokens[i]
            if token in SPECIALS:
                continue
            if token.startswith("##"):
                text += token[2:]
            else:
                text += " " + token
        return text.strip()


def tag_string(labels: list[str]) -> str:
    """Each label once, in the order given."""
    return " ".join(dict.fromkeys(labels))
