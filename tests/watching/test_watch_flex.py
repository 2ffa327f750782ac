"""flex_attention: as it runs unwatched, bit for bit, and seen from its inputs."""

import functools
import sys
import types

import pytest
import torch
from torch import nn
from torch.nn.attention import flex_attention as flex_module
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from jumok.errors import JumokError
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


compiled_flex = torch.compile(flex_attention, backend="eager")


def call_elsewhere(query, key, value):
    """As a helper of another file: the class that calls it does not hold the name."""
    return sys.modules["flex_of_another_file"].flex_attention(query, key, value)


flex_with_arguments = functools.partial(flex_attention, scale=8**-0.5)


class Held(Flexing):
    """Calls it by another way than a name of its own file."""

    def __init__(self, way):
        super().__init__()
        self.way, self.own, self.part = way, flex_attention, functools.partial(flex_attention, scale=8**-0.5)
        self.compiled = compiled_flex

    def forward(self, tokens):
        ways = {
            "of another file": call_elsewhere,
            "compiled": compiled_flex,
            "with arguments": flex_with_arguments,
            "an attribute": self.own,
            "an attribute with arguments": self.part,
            "a compiled attribute": self.compiled,
        }
        return ways[self.way](*self.heads(tokens))


@pytest.fixture
def other(monkeypatch):
    """A file of someone else that has the function by its name."""
    module = types.ModuleType("flex_of_another_file")
    module.flex_attention = flex_attention
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.mark.parametrize(
    "way",
    [
        "of another file",
        "compiled",
        "with arguments",
        "an attribute",
        "an attribute with arguments",
        "a compiled attribute",
    ],
)
def test_it_is_seen_by_whatever_name_the_model_has_it(way, other):
    model, tokens = Held(way).eval(), torch.randn(2, SIZE, 16)
    before = dict(vars(model))
    with torch.no_grad():
        plain = model(tokens)
        with watch(model) as seen, watch(model) as inner:
            again = model(tokens)
    assert torch.equal(plain, again)
    for each in (seen, inner):
        torch.testing.assert_close(each[0].weights, wanted(model, tokens).detach())
    assert vars(model) == before
    assert other.flex_attention is flex_attention


@pytest.mark.parametrize("way", ["of another file", "an attribute", "an attribute with arguments"])
def test_watchers_leave_in_any_order(way, other):
    model, tokens = Held(way).eval(), torch.randn(2, SIZE, 16)
    before = dict(vars(model))
    with torch.no_grad():
        first, second = watch(model), watch(model)
        first.__enter__()
        seen = second.__enter__()
        first.__exit__(None, None, None)
        model(tokens)
        second.__exit__(None, None, None)
    assert len(seen) == 1
    torch.testing.assert_close(seen[0].weights, wanted(model, tokens).detach())
    assert vars(model) == before
    assert other.flex_attention is flex_attention


def test_a_reference_that_is_not_found_is_said():
    hidden = [flex_attention]

    class Hiding(Flexing):
        def forward(self, tokens):
            return hidden[0](*self.heads(tokens))

    model = Hiding().eval()
    with torch.no_grad(), pytest.raises(JumokError, match="by a reference that watch does not find"), watch(model):
        model(torch.randn(2, SIZE, 16))
