"""What the other captions of a picture make of each: words that several people chose teach more than one person's own.

The weighted loss of Phan et al. (2017, "Consensus-based Sequence Training"), without drawing captions."""
from evaluation import metrics


def weights(corpus, share: float) -> dict[str, list[float]]:
    """Training picture -> a weight for each of its captions, 1 on average: 1 - share + share * (its CIDEr-D against the
    others) / (their mean)."""
    items = corpus.captions["train"]
    said = [[metrics.tokens(corpus.tokenizer.decode(ids)) for ids, _ in pairs] for _, pairs in items]
    cider = metrics.Cider(said)
    return {item[0]: spread(cider.among(n), share) for n, item in enumerate(items)}


def spread(values: list[float], share: float) -> list[float]:
    mean = sum(values) / len(values)
    return [1.0 - share + share * v / mean for v in values] if mean > 0 else [1.0] * len(values)
