"""The three tasks on top of the fusion's hidden vectors."""
import torch
import torch.nn.functional as F
from torch import nn

from . import config as cfg
from .fusion import Norm


class Caption(nn.Module):
    """Which word stands at [MASK], or comes next. The output matrix is that of the word embeddings."""

    def __init__(self, c: cfg.Fusion):
        super().__init__()
        self.transform = nn.Linear(c.hidden, c.hidden)
        self.norm = Norm(c.hidden)
        self.bias = nn.Parameter(torch.zeros(c.vocab))

    def forward(self, x, word):  # [..., D], [V, D] -> logits [..., V]
        x = self.norm(F.gelu(self.transform(x)))
        return F.linear(x, word, self.bias)


class Pooled(nn.Module):
    """A linear layer on tanh of a linear layer on [CLS]: vqa and retrieve."""

    def __init__(self, c: cfg.Fusion, outputs: int, dropout: float):
        super().__init__()
        self.dropout = dropout
        self.pooler = nn.Linear(c.hidden, c.hidden)
        self.classifier = nn.Linear(c.hidden, outputs)

    def forward(self, x):  # [..., D], the [CLS] -> logits [..., outputs]
        pooled = torch.tanh(self.pooler(x))
        return self.classifier(F.dropout(pooled, self.dropout, self.training))


class Heads(nn.Module):
    def __init__(self, c: cfg.Config, dropout: float = 0.0):
        super().__init__()
        self.caption = Caption(c.fusion)
        self.vqa = Pooled(c.fusion, c.vqa.answers, dropout)
        self.retrieve = Pooled(c.fusion, 2, dropout)  # 1 is "match"
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.normal_(part.weight, std=0.02)
                nn.init.zeros_(part.bias)
