"""The fusion transformer (MiniLM, BERT's layout): text, tags, regions and cells -> one hidden vector each.

Every piece works on batches and takes any mask, so that decoding, scoring and packed training share it."""

import torch
import torch.nn.functional as F
from torch import nn

from . import config as cfg

NORM_EPS = 1e-12
TEXT, TAGS = 0, 1  # segments
GEOMETRY = 6


class Norm(nn.LayerNorm):
    """LayerNorm in fp32 whatever autocast says: eps 1e-12 does not exist in bf16."""

    def __init__(self, hidden: int):
        super().__init__(hidden, eps=NORM_EPS)

    def forward(self, x):
        return F.layer_norm(x.float(), self.normalized_shape, self.weight.float(), self.bias.float(), self.eps)


class Embeddings(nn.Module):
    def __init__(self, c: cfg.Fusion):
        super().__init__()
        self.word = nn.Embedding(c.vocab, c.hidden)
        self.position = nn.Embedding(c.positions, c.hidden)
        self.segment = nn.Embedding(2, c.hidden)
        self.norm = Norm(c.hidden)

    def forward(self, ids, positions, segments):  # [B, n] each -> [B, n, D]
        return self.norm(self.word(ids) + self.position(positions) + self.segment(segments))


class BoxEmbeddings(nn.Module):
    """Regions, or cells. No position and no segment: the six numbers of the geometry say where a box is."""

    def __init__(self, c: cfg.Fusion, inputs: int):
        super().__init__()
        self.project = nn.Linear(inputs, c.hidden)
        self.norm = Norm(c.hidden)

    def forward(self, boxes):  # [B, n, inputs] -> [B, n, D]
        return self.norm(self.project(boxes))


class Attention(nn.Module):
    """Dropout on what it gives, none among its weights: that would leave PyTorch's fast attention."""

    def __init__(self, c: cfg.Fusion, dropout: float):
        super().__init__()
        self.heads, self.dropout = c.heads, dropout
        self.query = nn.Linear(c.hidden, c.hidden)
        self.key = nn.Linear(c.hidden, c.hidden)
        self.value = nn.Linear(c.hidden, c.hidden)
        self.output = nn.Linear(c.hidden, c.hidden)
        self.norm = Norm(c.hidden)

    def forward(self, x, mask=None, past=None, first=0):  # [B, n, D], [B, m, D] twice -> [B, n - first, D], (k, v)
        k, v = (self._split(layer(x)) for layer in (self.key, self.value))  # [B, heads, n, d]
        if first:
            x, mask = x[:, first:], None if mask is None else mask[..., first:, :]
        q = self._split(self.query(x))
        if past is not None:
            k, v = torch.cat((past[0], k), 2), torch.cat((past[1], v), 2)  # [B, heads, m + n, d]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # scores / sqrt(d)
        y = self.output(y.transpose(1, 2).flatten(2))  # [B, n, D]
        return self.norm(x + F.dropout(y, self.dropout, self.training)), (k, v)

    def _split(self, x):  # [B, n, D] -> [B, heads, n, d]
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    def __init__(self, c: cfg.Fusion, dropout: float):
        super().__init__()
        self.dropout = dropout
        self.up = nn.Linear(c.hidden, c.ffn)
        self.down = nn.Linear(c.ffn, c.hidden)
        self.norm = Norm(c.hidden)

    def forward(self, x):  # [B, n, D] -> [B, n, D]
        y = self.down(F.gelu(self.up(x)))  # exact gelu, with erf
        return self.norm(x + F.dropout(y, self.dropout, self.training))


class Layer(nn.Module):
    def __init__(self, c: cfg.Fusion, dropout: float):
        super().__init__()
        self.attention = Attention(c, dropout)
        self.ffn = FeedForward(c, dropout)

    def forward(self, x, mask=None, past=None, first=0):
        x, memory = self.attention(x, mask, past, first)
        return self.ffn(x), memory


class Fusion(nn.Module):
    def __init__(self, c: cfg.Fusion, region_hidden: int, dropout: float = 0.0, context: cfg.Context | None = None):
        super().__init__()
        self.dropout = dropout
        self.embeddings = Embeddings(c)
        if context is None or context.regions:
            self.regions = BoxEmbeddings(c, region_hidden + GEOMETRY)
        if context:
            self.cells = BoxEmbeddings(c, context.channels + GEOMETRY)
        self.layers = nn.ModuleList(Layer(c, dropout) for _ in range(c.layers))
        self._init_weights()

    def _init_weights(self):
        """BERT's: N(0, 0.02), biases zero."""
        for part in self.modules():
            if isinstance(part, (nn.Linear, nn.Embedding)):
                nn.init.normal_(part.weight, std=0.02)
            if isinstance(part, nn.Linear):
                nn.init.zeros_(part.bias)

    def embed_text(self, ids, positions, segments):  # [B, n] each -> [B, n, D]
        return F.dropout(self.embeddings(ids, positions, segments), self.dropout, self.training)

    def embed_boxes(self, regions, cells):  # [B, n, H + 6] and [B, m, channels + 6], or None for either -> [B, n + m, D]
        rows = [] if regions is None else [self.regions(regions)]
        rows += [] if cells is None else [self.cells(cells)]
        return F.dropout(torch.cat(rows, 1), self.dropout, self.training)

    def steps(self, x, mask=None, past=None):
        """Yields (output [B, n, D], (keys, values) [B, heads, m + n, d]) of layer after layer.

        mask: what may be seen, bool, or what is added to the scores, float; [n, m + n], or with [B, 1, ...] before it.
        past: (keys, values) of each layer for m earlier positions."""
        for i, layer in enumerate(self.layers):
            x, memory = layer(x, mask, None if past is None else past[i])
            yield x, memory

    def encode(self, x, mask=None, first=0):  # [B, n, D] -> [B, n - first, D], the rows from `first` on
        for layer in self.layers[:-1]:
            x, _ = layer(x, mask)
        return self.layers[-1](x, mask, None, first)[0]


# Masks: True where the row may see the column.


def full_mask(valid):  # [B, n] bool -> [B, 1, n, n]
    """All see all that is there; padding sees itself, so that its softmax stays finite."""
    n = valid.shape[1]
    return (valid[:, None, :] | torch.eye(n, dtype=torch.bool, device=valid.device)).unsqueeze(1)


def caption_mask(context_valid, text_valid):  # [B, c] and [B, t] bool -> [B, 1, c + t, c + t]
    """Order: tags, regions and cells (the context), then text. The context sees the context, text sees it and earlier text."""
    c, t = context_valid.shape[1], text_valid.shape[1]
    valid = torch.cat((context_valid, text_valid), 1)
    rule = torch.ones(c + t, c + t, dtype=torch.bool, device=valid.device).tril()
    rule[:c, :c] = True
    itself = torch.eye(c + t, dtype=torch.bool, device=valid.device)
    return ((rule & valid[:, None, :]) | itself).unsqueeze(1)


def additive(mask, dtype=torch.float32):
    """A bool mask as numbers to add to the scores; -10000 fits every format we use."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, -10000.0)
