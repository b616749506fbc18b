"""Metrics of captions, answers and rankings.

BLEU, ROUGE-L and CIDEr-D give the numbers of the public COCO caption tools (tests/python compares them) for the same
tokens. Tokens here are lower-case words without punctuation, which is what the tools' PTB tokeniser leaves of plain
captions. METEOR and SPICE are the tools' own Java programs, run where they can: SPICE only after `python -m
pycocoevalcap.spice.get_stanford_models` has fetched the parser it needs, which nothing here does unasked."""
import importlib.util
import math
import pathlib
import random
import re
import shutil
from collections import Counter, defaultdict

SPICE_MODELS = "spice/lib/stanford-corenlp-3.6.0-models.jar"
PUNCTUATION = re.compile(r"[.,:;!?()\[\]{}\"`*_/\\<>|~^]|--|\.\.\.|(?<!\w)'|'(?!\w)")


def tokens(text: str) -> list[str]:
    """Lower case, punctuation gone, clitics split off as PTB does ("dog's" -> "dog", "'s")."""
    text = PUNCTUATION.sub(" ", text.lower().replace("n't", " n't"))
    text = re.sub(r"(?<=\w)('(?:s|re|ve|ll|d|m))\b", r" \1", text)
    return [w for w in text.split() if w != "-"]


def ngrams(words: list[str], max_n: int = 4) -> Counter:
    return Counter(tuple(words[i:i + n]) for n in range(1, max_n + 1) for i in range(len(words) - n + 1))


# BLEU


def bleu(candidates: list[list[str]], references: list[list[list[str]]], max_n: int = 4) -> list[float]:
    """Corpus BLEU-1..max_n with the closest reference length."""
    right, guess = [0] * max_n, [0] * max_n
    length, wanted = 0, 0
    for words, refs in zip(candidates, references):
        limit: Counter[tuple[str, ...]] = Counter()
        for ref in refs:
            limit |= ngrams(ref, max_n)
        for gram, n in ngrams(words, max_n).items():
            right[len(gram) - 1] += min(n, limit[gram])
        for n in range(max_n):
            guess[n] += max(0, len(words) - n)
        length += len(words)
        wanted += min((abs(len(ref) - len(words)), len(ref)) for ref in refs)[1]
    ratio = (length + 1e-15) / (wanted + 1e-9)
    penalty = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    out, product = [], 1.0
    for n in range(max_n):
        product *= (right[n] + 1e-15) / (guess[n] + 1e-9)
        out.append(product ** (1 / (n + 1)) * penalty)
    return out


# ROUGE-L


def common_length(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for x in a:
        before = 0
        for j, y in enumerate(b, 1):
            above = row[j]
            row[j] = before + 1 if x == y else max(row[j], row[j - 1])
            before = above
    return row[-1]


def rouge_l(candidates, references, beta: float = 1.2) -> float:
    total = 0.0
    for words, refs in zip(candidates, references):
        both = [common_length(words, ref) for ref in refs]
        precision = max(n / len(words) for n in both) if words else 0.0
        recall = max(n / len(ref) for n, ref in zip(both, refs))
        if precision and recall:
            total += (1 + beta ** 2) * precision * recall / (recall + beta ** 2 * precision)
    return total / len(candidates)


# CIDEr-D


class Cider:
    """CIDEr-D with document frequencies from the references of the scored pictures."""

    def __init__(self, references, sigma: float = 6.0):
        self.references, self.sigma = references, sigma
        self.documents: Counter[tuple[str, ...]] = Counter()
        for refs in references:
            self.documents.update(set().union(*(ngrams(ref) for ref in refs)))
        self.log_count = math.log(len(references)) if len(references) > 1 else 1.0
        self.vectors = [[self._vector(ref) for ref in refs] for refs in references]

    def _vector(self, words):
        """-> tf-idf by order, norms by order, length in bigrams."""
        grams = [defaultdict(float) for _ in range(4)]
        for gram, n in ngrams(words).items():
            grams[len(gram) - 1][gram] = n * (self.log_count - math.log(max(1.0, self.documents[gram])))
        return grams, [math.sqrt(sum(v * v for v in g.values())) for g in grams], max(0, len(words) - 1)

    def one(self, index: int, words: list[str]) -> float:
        """Score of a caption for picture number `index`, times 10 as usual."""
        said = self._vector(words)
        return sum(self._alike(said, theirs) for theirs in self.vectors[index]) / len(self.vectors[index])

    def _alike(self, said, theirs) -> float:
        (grams, norms, length), (their_grams, their_norms, their_length) = said, theirs
        damp, total = math.exp(-((length - their_length) ** 2) / (2 * self.sigma ** 2)), 0.0
        for n in range(4):
            if norms[n] and their_norms[n]:
                dot = sum(min(v, their_grams[n].get(g, 0.0)) * their_grams[n].get(g, 0.0) for g, v in grams[n].items())
                total += damp * dot / (norms[n] * their_norms[n])
        return 10.0 * total / 4

    def among(self, index: int) -> list[float]:
        """Each reference of picture number `index` against the others; 0 where it is alone."""
        vectors = self.vectors[index]
        return [sum(map(self._alike, [a] * len(vectors), vectors[:i] + vectors[i + 1:])) / max(1, len(vectors) - 1)
                for i, a in enumerate(vectors)]

    def __call__(self, candidates) -> float:
        return sum(self.one(i, words) for i, words in enumerate(candidates)) / len(candidates)


def java_scores(said: list[list[str]], known: list[list[list[str]]]) -> dict[str, float]:
    """METEOR 1.5 and SPICE 1.0 by their own Java programs; nothing where they cannot run."""
    tools = importlib.util.find_spec("pycocoevalcap")
    if not shutil.which("java") or not tools:
        return {}
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.spice.spice import Spice
    programs = {"METEOR": Meteor}
    if (pathlib.Path((tools.submodule_search_locations or [""])[0]) / SPICE_MODELS).is_file():
        programs["SPICE"] = Spice
    truth = {i: [" ".join(r) for r in refs] for i, refs in enumerate(known)}
    given = {i: [" ".join(c)] for i, c in enumerate(said)}
    return {name: 100 * float(program().compute_score(truth, given)[0]) for name, program in programs.items()}


def cider_each(candidates: list[str], references: list[list[str]]) -> list[float]:
    """CIDEr-D of every caption in per cent; rare words are those of all these references."""
    cider = Cider([[tokens(r) for r in refs] for refs in references])
    return [100 * cider.one(i, tokens(c)) for i, c in enumerate(candidates)]


def people_each(references: list[list[str]]) -> list[float]:
    """CIDEr-D in per cent of what people say of a picture, each against the others; the pictures that several described."""
    cider = Cider([[tokens(r) for r in refs] for refs in references])
    return [100 * sum(cider.among(i)) / len(refs) for i, refs in enumerate(references) if len(refs) > 1]


def caption_scores(candidates: list[str], references: list[list[str]]) -> dict[str, float | list[float]]:
    """The caption metrics of our own in per cent, as papers print them."""
    said = [tokens(c) for c in candidates]
    known = [[tokens(r) for r in refs] for refs in references]
    b = bleu(said, known)
    each = cider_each(candidates, references)
    return {"BLEU-1": 100 * b[0], "BLEU-4": 100 * b[3], "ROUGE-L": 100 * rouge_l(said, known),
            "CIDEr-D": sum(each) / len(each), "CIDEr-D 95 %": interval(each)}


def interval(values: list[float], draws=1000, seed=1) -> list[float]:
    """Where the mean lies in 95 % of the sets that are drawn from these values with replacement."""
    rng, n = random.Random(seed), len(values)
    means = sorted(sum(rng.choices(values, k=n)) / n for _ in range(draws))
    return [means[int(0.025 * draws)], means[int(0.975 * draws) - 1]]


# VQA

NUMBERS = {"none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
           "seven": "7", "eight": "8", "nine": "9", "ten": "10"}


def plain_answer(text: str) -> str:
    """The official normalisation in short: no articles, digits for number words, no punctuation."""
    text = re.sub(r"(?<=\d),(?=\d)", "", text.lower().replace("\n", " ").strip())
    text = re.sub(r"[;/\[\]\"{}()=+\\_\-><@`,?!]", " ", text)
    text = re.sub(r"(?<!\d)\.(?!\d)", "", text)
    return " ".join(NUMBERS.get(w, w) for w in text.split() if w not in ("a", "an", "the"))


def vqa_accuracy(answer: str, given: list[str]) -> float:
    """Ten people: mean over leaving one out of min(agreeing / 3, 1). Fewer: 1 where any one agrees."""
    answer, given = plain_answer(answer), [plain_answer(g) for g in given]
    if len(given) < 10:
        return float(answer in given)
    parts = [min(1.0, sum(g == answer for j, g in enumerate(given) if j != i) / 3) for i in range(len(given))]
    return sum(parts) / len(parts)


# Retrieval


def ranks(scores, right) -> list[int]:
    """scores: for each query one number an item; right: for each query the set of right items. -> how many wrong items
    stand before the best right one, for each query; ties count against."""
    found = []
    for row, wanted in zip(scores, right):
        best = max(row[i] for i in wanted)
        found.append(sum(1 for i, s in enumerate(row) if i not in wanted and s >= best))
    return found


def recalls(found: list[int], at=(1, 5, 10)) -> dict:
    """found: ranks() of every query -> per cent whose right item is among the first k, and where 95 % of resamples lie."""
    out: dict[str, object] = {}
    for k in at:
        hits = [100.0 * (rank < k) for rank in found]
        out |= {f"R@{k}": sum(hits) / len(hits), f"R@{k} 95 %": interval(hits)}
    return out
