"""A model that runs in mixed precision is read in full."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from jumok.watching.watch import watch

PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Fused(nn.Module):
    """A fused kernel, then PyTorch's module."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 3)
        self.first, self.last = nn.Linear(16, 16), nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, pixels):
        x = self.embed(pixels).flatten(2).transpose(1, 2)
        heads = self.first(x).unflatten(-1, (2, 8)).transpose(1, 2)
        x = x + F.scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).flatten(2)
        return self.head((x + self.last(x, x, x, need_weights=False)[0]).mean(1))


@pytest.mark.parametrize("inside", [True, False])
def test_autocast_changes_the_pass_and_not_the_precision_of_what_is_read(inside):
    model = Fused().eval()
    with watch(model) as plain:
        whole = model(PIXELS)
    with torch.autocast("cpu", torch.bfloat16), watch(model) as seen:
        logits = model(PIXELS)
    with torch.autocast("cpu", torch.bfloat16, enabled=inside):
        for number in (0, 1):
            sums = seen[number].weights.sum(-1)
            torch.testing.assert_close(sums, torch.ones_like(sums))
            torch.testing.assert_close(seen[number].weights, plain[number].weights, atol=5e-3, rtol=0)
        torch.testing.assert_close(seen.rollout(3).weights, plain.rollout(3).weights, atol=5e-3, rtol=0)
        found, wanted = seen.relevance(logits[:, 1], 3).weights, plain.relevance(whole[:, 1], 3).weights
        torch.testing.assert_close(found, wanted, atol=5e-3, rtol=0)
