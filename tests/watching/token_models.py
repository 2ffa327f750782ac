"""Small modules of attention to which something is done on the way, for tests of where tokens go."""

import torch
from torch import nn

from jumok.watching.watch import watch

WORDS = {"vocab_size": 50, "bos_token_id": 0, "eos_token_id": 49, "pad_token_id": 1}


def attention(**options):
    return nn.MultiheadAttention(16, 2, batch_first=True, **options)


def multi_head(**options):
    torch.manual_seed(0)
    return nn.MultiheadAttention(16, 4, **options)


def looked(model, *inputs, **named):
    with torch.no_grad(), watch(model.eval()) as seen:
        model(*inputs, **named)
    return seen


class Image(nn.Module):
    """Attention over patches of an image, after something was done to them."""

    def __init__(self, change=lambda tokens: tokens, channels=3, **options):
        super().__init__()
        self.embed = nn.Conv2d(channels, 16, 8, 8)
        self.attention = attention(**options)
        self.change = change

    def forward(self, pixels):
        tokens = self.change(self.embed(pixels).flatten(2).transpose(1, 2))
        return self.attention(tokens, tokens, tokens)[0]


class ByHand(nn.Module):
    """Weights to which something is done between the softmax and the values."""

    def __init__(self, change):
        super().__init__()
        self.qkv, self.change, self.mix = nn.Linear(16, 48), change, nn.Linear(2, 2)

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (2, 8)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        self.used = self.change(self, q @ k.mT)
        return x + (self.used @ v).transpose(1, 2).flatten(2)


def squared(module, scores):
    weights = scores.softmax(-1).square()
    return weights / weights.sum(-1, keepdim=True)


def with_sink(module, scores):
    return torch.cat([scores, scores.new_zeros(*scores.shape[:-1], 1)], -1).softmax(-1)[..., :-1]


CHANGES = {
    "talking heads by a linear layer": lambda m, s: m.mix(s.softmax(-1).permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
    "talking heads by einsum": lambda m, s: torch.einsum("bhij,hg->bgij", s.softmax(-1), m.mix.weight),
    "renormalised": squared,
    "a sink": with_sink,
    "a mask of heads": lambda m, s: s.softmax(-1) * torch.tensor([1.0, 0.0])[:, None, None],
}
