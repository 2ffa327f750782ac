"""flex_attention: as it runs unwatched, bit for bit, and seen from its inputs."""

import sys

import pytest
import torch
from torch import nn
from torch.nn.attention import flex_attention as flex_module
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from jumok.watching.flex_kernel import Flexed
from jumok.watching.watch import watch

SIZE = 40
pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")


def causal(batch, head, query, key):
    return query >= key


def slope(score, batch, head, query, key):
    return torch.tanh(score + (key - query) / (head + 2.0))


class Flexing(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.qkv = nn.Linear(16, 48)
        self.options = options

    def heads(self, tokens):
        return (each.unflatten(-1, (2, 8)).transpose(1, 2) for each in self.qkv(tokens).chunk(3, -1))

    def forward(self, tokens):
        return flex_attention(*self.heads(tokens), **self.options)


def wanted(model, tokens):
    """The weights by hand, from the same options."""
    query, key, _ = model.heads(tokens)
    scores = query @ key.mT * model.options.get("scale", 8**-0.5)
    places = torch.arange(SIZE)
    if "score_mod" in model.options:
        heads = torch.arange(2)[:, None, None]
        scores = model.options["score_mod"](scores, 0, heads, places[:, None], places)
    if model.options.get("block_mask") is not None:
        scores = scores.masked_fill(places[:, None] < places, -torch.inf)
    return scores.softmax(-1)


@pytest.mark.parametrize("name", ["plain", "score_mod", "causal", "all"])
def test_weights_rollout_and_relevance(name):
    torch.manual_seed(0)
    mask = create_block_mask(causal, None, None, SIZE, SIZE, device="cpu", BLOCK_SIZE=16)
    options = {
        "plain": {},
        "score_mod": {"score_mod": slope},
        "causal": {"block_mask": mask},
        "all": {"score_mod": slope, "block_mask": mask, "scale": 0.5},
    }[name]
    model, tokens = Flexing(**options).eval(), torch.randn(2, SIZE, 16)
    with torch.no_grad():
        plain = model(tokens)
        with watch(model) as seen:
            watched = model(tokens)
        weights = wanted(model, tokens)
    assert torch.equal(plain, watched)
    assert seen[0].lead == ("batch", "head")
    torch.testing.assert_close(seen[0].weights, weights)
    torch.testing.assert_close(seen.row(0, 7).weights, weights[:, :, 7:8])
    torch.testing.assert_close(seen.rollout(7).weights[:, 0], weights.mean(1)[:, 7])  # no residual connection


def test_relevance_needs_no_graph_of_its_own():
    """PyTorch has no backward pass of it on a CPU, so the record is given a gradient."""
    torch.manual_seed(0)
    model, tokens = Flexing(score_mod=slope).eval(), torch.randn(1, SIZE, 16)
    with torch.no_grad():
        query, key, value = model.heads(tokens)
        weights = wanted(model, tokens)
    gradient, row = torch.randn(1, 2, SIZE, 8), torch.rand(1, SIZE)
    record = Flexed(query, key, value, slope, None, 8**-0.5, None)
    relevant = (weights * (gradient @ value.mT)).clamp(min=0).mean(1)
    torch.testing.assert_close(record.pull_relevance(row, gradient), (row[:, None] @ relevant)[:, 0])
    torch.testing.assert_close(record.relevant(gradient), relevant)


def test_the_function_stands_where_it_stood():
    model = Flexing().eval()
    here = sys.modules[__name__]
    with torch.no_grad(), watch(model), watch(model):
        assert here.flex_attention is not flex_attention or flex_module.flex_attention.__wrapped__
    assert here.flex_attention is flex_module.flex_attention
    assert not hasattr(flex_module.flex_attention, "__wrapped__")
