"""Captions that people agree with: self-critical training (Rennie et al. 2017) on CIDEr-D.

The model says several captions of each training picture by drawing its words; each is held against what people wrote; the
probability of those that do better than the others of the same picture rises, that of the rest falls. It is one more task of
a stage (fuse.py): the others go on beside it, so that they are not forgotten."""
import torch
import torch.nn.functional as F
from evaluation import metrics


class Critic:
    def __init__(self, corpus):
        truth = {c.image: c.texts for c in corpus.records if c.split == "train"}
        self.place = {name: n for n, name in enumerate(truth)}
        self.cider = metrics.Cider([[metrics.tokens(t) for t in texts] for texts in truth.values()])

    def rewards(self, name: str, texts):
        return torch.tensor([self.cider.one(self.place[name], metrics.tokens(t)) for t in texts])


def advantages(rewards):  # [pictures, captions] -> how much better each is than the mean of the picture's others
    n = rewards.shape[1]
    return (rewards - rewards.mean(1, keepdim=True)) * n / (n - 1)


def loss(fuser, critic: Critic, items, count: int, most: int):
    files = [i[0] for i in items]
    views = [0] * len(items)
    fuser.model.eval()
    with torch.no_grad():
        said = fuser.speak(files, most, count)  # of each picture [[ids]]
    fuser.model.train()
    decode = fuser.corpus.tokenizer.decode
    better = advantages(torch.stack([critic.rewards(f, [decode(ids) for ids in many]) for f, many in zip(files, said)]))
    logits, targets = fuser.packed(*fuser.context(files, views), said)
    words = -F.cross_entropy(logits.float(), targets, reduction="none")  # log-probability of every word and [SEP]
    lengths = torch.tensor([len(ids) + 1 for many in said for ids in many])
    gain = better.to(words.device).flatten().repeat_interleave(lengths)
    return -(gain * words).mean()
