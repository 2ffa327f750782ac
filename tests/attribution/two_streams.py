"""A small model in which two streams look at each other."""

import torch
from torch import nn
from torch.nn import functional as F

WIDTH, HEADS = 16, 4


class Attention(nn.MultiheadAttention):
    """One computation in three forms: PyTorch's module, the fused call, and a softmax by hand, which is kept."""

    def __init__(self, form):
        super().__init__(WIDTH, HEADS, batch_first=True)
        self.form, self.kept = form, []
        for weight in (self.in_proj_weight, self.out_proj.weight):
            nn.init.normal_(weight, std=0.25)

    def forward(self, query, memory, real=None):
        if self.form == "module":
            padding = None if real is None else ~real
            return super().forward(query, memory, memory, key_padding_mask=padding, need_weights=False)[0]
        parts = zip((query, memory, memory), self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3), strict=True)
        q, k, v = (F.linear(x, w, b).unflatten(-1, (HEADS, -1)).transpose(1, 2) for x, w, b in parts)
        mask = None if real is None else real[:, None, None]
        if self.form == "fused":
            mixed = F.scaled_dot_product_attention(q, k, v, mask)
        else:
            scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
            weights = (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(-1)
            self.kept.append(weights)
            mixed = weights @ v
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


def inputs(words=4, places=6, batch=3):
    torch.manual_seed(0)
    real = torch.ones(batch, words, dtype=torch.bool)
    real[1, -2:] = False
    return torch.randn(batch, words, WIDTH).double(), torch.randn(batch, places, WIDTH).double(), real
