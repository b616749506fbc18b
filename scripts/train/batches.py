"""Sequences for the three tasks, packed so that every padded slot is a small loss.

Captions: all captions of a picture share its regions and cells, and a mask lets each row see exactly what it sees when
captions are decoded, so that one pass trains every position of every caption. With the causal decoder each word's row
predicts the next. With the other each caption stands twice in the sequence, as words and as one [MASK] a word."""
from dataclasses import dataclass

import torch
from minivlm.fusion import TAGS, TEXT, full_mask


@dataclass
class CaptionBatch:
    ids: torch.Tensor  # [B, t] text of all captions
    positions: torch.Tensor  # [B, t]
    mask: torch.Tensor  # [B, 1, c + t, c + t] bool
    where: torch.Tensor  # [m] rows of the flattened [B * t] that predict
    targets: torch.Tensor  # [m]


def pack_captions(captions, context_valid, tokenizer, causal: bool) -> CaptionBatch:
    """captions: for each picture a list of token-id lists (words only); context_valid: [B, c] of what is seen."""
    rows = [_streams(many, tokenizer, causal) for many in captions]
    t = max(len(r[0]) for r in rows)
    b = len(rows)
    ids, positions = torch.zeros(b, t, dtype=torch.long), torch.zeros(b, t, dtype=torch.long)
    owner = torch.full((b, t), -2)
    masked = torch.zeros(b, t, dtype=torch.bool)
    targets = torch.full((b, t), -1)
    for n, columns in enumerate(rows):
        k = len(columns[0])
        for array, column in zip((ids, positions, owner, masked, targets), columns):
            array[n, :k] = torch.tensor(column)
    mask = caption_mask(context_valid, owner, positions, masked)
    where = (targets.flatten() >= 0).nonzero()[:, 0]
    return CaptionBatch(ids, positions, mask, where, targets.flatten()[where])


def _streams(captions, tokenizer, causal: bool):
    """One picture's captions one after the other -> ids, positions, owners, is-mask, targets."""
    ids, positions, owner, masked = [], [], [], []
    targets: list[int] = []
    for n, words in enumerate(captions):
        length, wanted = len(words) + 1, words + [tokenizer.sep]
        ids += [tokenizer.cls] + words
        positions += list(range(length))
        owner += [n] * length
        masked += [False] * length
        targets += wanted if causal else [-1] * length
        if not causal:
            ids += [tokenizer.mask] * length
            positions += list(range(1, length + 1))
            owner += [n] * length
            masked += [True] * length
            targets += wanted
    return ids, positions, owner, masked, targets


def caption_mask(context_valid, owner, positions, masked):
    """[B, c], [B, t] three times -> [B, 1, c + t, c + t]; a [MASK] at position p sees words before p and itself."""
    same = owner[:, :, None] == owner[:, None, :]
    limit = positions - masked.long()  # a word sees up to itself, a [MASK] up to the word before it
    text = same & ~masked[:, None, :] & (positions[:, None, :] <= limit[:, :, None])
    text |= torch.eye(owner.shape[1], dtype=torch.bool)
    b, c, t = len(owner), context_valid.shape[1], owner.shape[1]
    mask = torch.zeros(b, c + t, c + t, dtype=torch.bool)
    mask[:, :, :c] = context_valid[:, None, :]
    mask[:, :c, :c] |= torch.eye(c, dtype=torch.bool)
    mask[:, c:, c:] = text
    return mask[:, None]


@dataclass
class PairBatch:
    ids: torch.Tensor  # [B, t] text and tags
    positions: torch.Tensor
    segments: torch.Tensor
    valid: torch.Tensor  # [B, t]


def pack_pairs(texts, tags) -> PairBatch:
    """texts: id lists with [CLS] and [SEP]; tags: id lists with their [SEP], or empty."""
    t = max(len(a) + len(b) for a, b in zip(texts, tags))
    ids, segments = torch.zeros(len(texts), t, dtype=torch.long), torch.zeros(len(texts), t, dtype=torch.long)
    valid = torch.zeros(len(texts), t, dtype=torch.bool)
    for n, (text, tag) in enumerate(zip(texts, tags)):
        ids[n, :len(text) + len(tag)] = torch.tensor(text + tag)
        segments[n, :len(text)], segments[n, len(text):len(text) + len(tag)] = TEXT, TAGS
        valid[n, :len(text) + len(tag)] = True
    return PairBatch(ids, torch.arange(t).expand_as(ids), segments, valid)


def pair_mask(pair: PairBatch, seen_valid):  # [B, t], [B, n] -> [B, 1, n + t, n + t]: what is seen, then text and tags
    return full_mask(torch.cat((seen_valid, pair.valid), 1))


def pad_tags(tags, first_position: int):
    """Tags as part of a caption's context -> ids, positions, segments, valid, [B, g] each."""
    g = max((len(t) for t in tags), default=0)
    ids, valid = torch.zeros(len(tags), g, dtype=torch.long), torch.zeros(len(tags), g, dtype=torch.bool)
    for n, tag in enumerate(tags):
        ids[n, :len(tag)], valid[n, :len(tag)] = torch.tensor(tag, dtype=torch.long), True
    positions = (first_position + torch.arange(g)).expand_as(ids)
    return ids, positions, torch.full_like(ids, TAGS), valid
