"""Captions word by word: greedy and beam search over a scorer.

A scorer gives the log-probabilities of the next token for every running hypothesis. There are two: one that keeps keys
and values of what it has seen, and one that computes the whole sequence anew at every step. They must agree."""
from dataclasses import dataclass

import torch

from .fusion import TEXT, Fusion, caption_mask
from .heads import Caption
from .text import Tokenizer


@dataclass
class Hypothesis:
    tokens: list[int]  # words, and [SEP] where the caption ended by itself
    total: float  # sum of log-probabilities

    @property
    def score(self) -> float:
        return self.total / len(self.tokens)

    def rank(self, length_penalty: float) -> float:
        return self.total / len(self.tokens) ** length_penalty


class Scorer:
    """What both have in common. context: embeddings of all that is seen, [1, c, D]. causal: the next word is predicted where
    the last one stands; else at a [MASK] behind it."""

    def __init__(self, fusion: Fusion, head: Caption, tokenizer: Tokenizer, context, causal: bool):
        self.fusion, self.head, self.tokenizer, self.context = fusion, head, tokenizer, context
        self.behind = [] if causal else [tokenizer.mask]  # what stands behind the last word

    def embed(self, rows, first: int):
        """Token ids [b, n] at positions first, first + 1, ... -> [b, n, D]"""
        ids = torch.tensor(rows, device=self.context.device)
        positions = torch.arange(first, first + ids.shape[1], device=ids.device).expand_as(ids)
        return self.fusion.embed_text(ids, positions, torch.full_like(ids, TEXT))

    def next_logits(self, prefixes: list[list[int]], parents: list[int]):
        raise NotImplementedError

    def logits(self, x):  # [b, D], the last row -> [b, V]
        return self.head(x, self.fusion.embeddings.word.weight)


class FullScorer(Scorer):
    def next_logits(self, prefixes: list[list[int]], parents: list[int]):
        """Prefixes start with [CLS]; -> logits of the token after each, [b, V]"""
        text = self.embed([prefix + self.behind for prefix in prefixes], 0)  # [b, t, D]
        x = torch.cat((self.context.expand(len(prefixes), -1, -1), text), 1)  # [b, c + t, D]
        valid = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        c = self.context.shape[1]
        return self.logits(self.fusion.encode(x, caption_mask(valid[:, :c], valid[:, c:]))[:, -1])


class CachedScorer(Scorer):
    """The context and earlier words never see later ones, so their keys and values are final."""

    def __init__(self, fusion, head, tokenizer, context, causal):
        super().__init__(fusion, head, tokenizer, context, causal)
        self.past = [memory for _, memory in fusion.steps(context)]  # of each layer (k, v) [b, heads, m, d]

    def next_logits(self, prefixes: list[list[int]], parents: list[int]):
        """parents[i]: which hypothesis of the step before prefix i continues."""
        self.past = [(k[parents], v[parents]) for k, v in self.past]
        x = self.embed([prefix[-1:] + self.behind for prefix in prefixes], len(prefixes[0]) - 1)  # [b, 1 or 2, D]
        seen, new = self.past[0][0].shape[2], x.shape[1]
        mask = torch.ones(new, seen + new, dtype=torch.bool, device=x.device).tril(seen)  # the token does not see the [MASK]
        steps = list(self.fusion.steps(x, mask, self.past))
        self.past = [(k[:, :, :seen + 1], v[:, :, :seen + 1]) for _, (k, v) in steps]  # the [MASK]'s own are not kept
        return self.logits(steps[-1][0][:, -1])


def allowed_log_probabilities(logits, prefixes: list[list[int]], tokenizer: Tokenizer):
    """[b, V] -> [b, V] with minus infinity where a token may not come next. The softmax is over all tokens."""
    scores = torch.log_softmax(logits.float(), -1).double()
    scores[:, tokenizer.forbidden] = -torch.inf
    for row, prefix in enumerate(prefixes):
        scores[row, prefix[-1]] = -torch.inf  # never the same word twice in a row; also forbids [CLS] at the start
        if len(prefix) == 1:
            scores[row, tokenizer.sep] = -torch.inf
    return scores


@torch.no_grad()
def greedy(scorer: Scorer, max_tokens: int) -> Hypothesis:
    tokenizer = scorer.tokenizer
    prefix, total = [tokenizer.cls], 0.0
    while len(prefix) <= max_tokens and prefix[-1] != tokenizer.sep:
        scores = allowed_log_probabilities(scorer.next_logits([prefix], [0]), [prefix], tokenizer)[0]  # [V]
        token = int((scores == scores.max()).nonzero()[0])  # ties: lower id
        prefix, total = prefix + [token], total + float(scores[token])
    return Hypothesis(prefix[1:], total)


@torch.no_grad()
def beam(scorer: Scorer, num_beams: int, max_tokens: int, length_penalty: float) -> list[Hypothesis]:
    """The best `num_beams` hypotheses, best first."""
    tokenizer = scorer.tokenizer
    prefixes, totals, parents = [[tokenizer.cls]], [0.0], [0]
    done: list[Hypothesis] = []
    for step in range(1, max_tokens + 1):
        scores = allowed_log_probabilities(scorer.next_logits(prefixes, parents), prefixes, tokenizer)
        scores = scores + torch.tensor(totals, dtype=torch.float64, device=scores.device)[:, None]  # [b, V]
        running = []  # (prefix, total, parent)
        for row, token, total in _best(scores, 2 * num_beams):
            hypothesis = Hypothesis(prefixes[row][1:] + [token], total)
            if token == tokenizer.sep:
                done = _keep(done, hypothesis, num_beams, length_penalty)
            else:
                running.append((prefixes[row] + [token], total, row))
            if len(running) == num_beams:
                break
        if not running:
            break
        prefixes, totals, parents = (list(column) for column in zip(*running))
        if step == max_tokens:
            for prefix, total in zip(prefixes, totals):
                done = _keep(done, Hypothesis(prefix[1:], total), num_beams, length_penalty)
        elif _finished(done, num_beams, max(totals), max_tokens, length_penalty):
            break
    return done


def _best(scores, count: int):
    """[b, V] -> the best (row, token, score), best first; ties: lower row, then lower token."""
    vocab = scores.shape[1]
    order = torch.sort(scores.flatten(), descending=True, stable=True)
    picked = zip(order.indices[:count].tolist(), order.values[:count].tolist())
    return [(i // vocab, i % vocab, score) for i, score in picked if score > -torch.inf]


def _keep(done, hypothesis, count: int, length_penalty: float):
    """Adds one and drops the worst above `count`; among equals the one that came first stays before."""
    ranked = sorted(done + [hypothesis], key=lambda h: -h.rank(length_penalty))
    return ranked[:count]


def _finished(done, num_beams: int, best_total: float, max_tokens: int, length_penalty: float) -> bool:
    """No running hypothesis can still get among the kept ones."""
    if len(done) < num_beams or length_penalty <= 0.0:
        return False
    return done[-1].rank(length_penalty) >= best_total / (max_tokens + 1) ** length_penalty
