"""Weights are those of the call, whatever is written later into what they are computed from."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from jumok.errors import JumokError
from jumok.watching.watch import watch

WRITES = {
    "in place": lambda q, k: q.mul_(3),
    "an operator": lambda q, k: k.__iadd__(1 + torch.arange(4.0)),
    "through .data": lambda q, k: q.data.mul_(3),
    "into an item of .data": lambda q, k: q.data.__setitem__(0, q[0] * 3),
    "into a view's .data": lambda q, k: q[:1].data.mul_(3),
    "detached": lambda q, k: q.detach().copy_(q * 3),
    "another .data": lambda q, k: setattr(q, "data", q * 3),
    "an activation in place": lambda q, k: F.relu(q, inplace=True),
    "several at once": lambda q, k: torch._foreach_mul_([q, k], 2.0),
    "through numpy": lambda q, k: q.detach().numpy().fill(1.0),
}


class Fused(nn.Module):
    def __init__(self, write):
        super().__init__()
        self.qkv, self.write = nn.Linear(8, 24), write

    def forward(self, x):
        q, k, v = (each.unflatten(-1, (2, 4)).transpose(1, 2).contiguous() for each in self.qkv(x).chunk(3, -1))
        self.weights = (q @ k.mT / 2).softmax(-1).detach().clone()
        made = F.scaled_dot_product_attention(q, k, v)
        self.write(q, k)
        return made


class ByHand(Fused):
    def forward(self, x):
        q, k, v = (each.unflatten(-1, (2, 4)).transpose(1, 2) for each in self.qkv(x).chunk(3, -1))
        weights = (q @ k.mT).softmax(-1)
        self.weights = weights.detach().clone()
        made = weights @ v
        self.write(weights, torch.ones(4))
        return made


class Module(nn.Module):
    def __init__(self, write):
        super().__init__()
        self.attention, self.write = nn.MultiheadAttention(8, 2, batch_first=True), write

    def forward(self, x):
        x = x.clone()
        made, weights = self.attention(x, x, x, average_attn_weights=False)
        self.weights = weights.clone()
        self.write(x, torch.ones(4))
        return made


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("kind", [Fused, ByHand, Module])
def test_a_write_after_the_call_changes_no_map(kind, write, mode):
    torch.manual_seed(0)
    model = kind(WRITES[write]).eval()
    with mode(), watch(model) as seen:
        model(torch.randn(2, 5, 8))
    torch.testing.assert_close(seen[0].weights, model.weights, atol=1e-6, rtol=1e-5)


def test_projections_that_are_changed_after_the_call_change_no_map():
    torch.manual_seed(0)
    module, x = nn.MultiheadAttention(8, 2, batch_first=True).eval(), torch.randn(2, 5, 8)
    with torch.no_grad(), watch(module) as seen:
        wanted = module(x, x, x, average_attn_weights=False)[1]
        module.in_proj_weight.data.mul_(3)
    torch.testing.assert_close(seen[0].weights, wanted, atol=1e-6, rtol=1e-5)


def test_weights_by_hand_that_are_changed_after_the_block_are_refused():
    kept = []
    model = ByHand(lambda weights, _: kept.append(weights)).eval()
    with torch.no_grad(), watch(model) as seen:
        model(torch.randn(2, 5, 8))
    kept[0].mul_(2)
    with pytest.raises(JumokError, match="changed in place"):
        _ = seen[0]
