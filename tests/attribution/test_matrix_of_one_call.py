"""The relevant weights of one call, as an array."""

import pytest
import torch
from two_streams import WIDTH, Attention, inputs
from watched_models import Fused

from jumok.errors import JumokError
from jumok.watching import dot_product
from jumok.watching.dot_product import DotProduct
from jumok.watching.records import Given
from jumok.watching.watch import watch


@pytest.fixture(params=[(1 << 17, 1024, 1 << 22), (20, 4, 100)], ids=["one block", "small blocks"])
def _blocks(request, monkeypatch):
    for name, value in zip(("HEAD_VALUES", "BLOCK_COLUMNS", "BLOCK_VALUES"), request.param, strict=True):
        monkeypatch.setattr(dot_product, name, value)


def explicit(query, key, value, output_gradient, mask=None):
    """The mean over heads of (dL/dA * A)+ by autograd, on weights that are formed."""
    key, value = (tensor.repeat_interleave(query.shape[1] // tensor.shape[1], 1) for tensor in (key, value))
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    weights = (scores if mask is None else scores + mask).softmax(-1)
    (slope,) = torch.autograd.grad(weights @ value, weights, output_gradient)
    return (slope * weights).clamp(min=0).mean(1).detach()


MASK = torch.randn(4, 6, 9, generator=torch.Generator().manual_seed(2))
CAUSAL = torch.full((6, 9), -torch.inf).triu(1)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize(
    ("options", "mask", "key_heads"),
    [({}, None, 4), ({"attn_mask": MASK}, MASK, 4), ({"is_causal": True}, CAUSAL, 4), ({"enable_gqa": True}, None, 2)],
)
@pytest.mark.parametrize("images", [slice(None), slice(1, 3), slice(2, 9)])
def test_the_relevant_weights_of_a_fused_call(options, mask, key_heads, images):
    torch.manual_seed(0)
    query = torch.randn(3, 4, 6, 8, requires_grad=True)
    key, value = (torch.randn(3, key_heads, 9, 8, requires_grad=True) for _ in range(2))
    gradient = torch.randn(3, 4, 6, 8)
    model = Fused(**options)
    with watch(model) as seen:
        model(query, key, value)
    record = seen._calls[0].attended
    assert isinstance(record, DotProduct)
    wanted = explicit(query, key, value, gradient, mask)
    torch.testing.assert_close(record.relevant(gradient, images), wanted[images], atol=1e-6, rtol=1e-5)
    row = torch.rand(3, 6)
    pulled = record.pull_relevance(row, gradient)
    torch.testing.assert_close((row[:, None] @ record.relevant(gradient))[:, 0], pulled, atol=1e-6, rtol=1e-5)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("form", ["module", "by hand"])
@pytest.mark.parametrize("images", [slice(None), slice(1, 3)])
def test_the_relevant_weights_of_a_module_and_of_a_softmax_by_hand(form, images):
    torch.manual_seed(0)
    layer, readout = Attention("by hand"), torch.randn(WIDTH)
    words, places, _ = (tensor.float() for tensor in inputs())
    target = (layer(words, places) @ readout).sum()
    (slope,) = torch.autograd.grad(target, layer.kept[0])
    wanted = (slope * layer.kept[0]).clamp(min=0).mean(1).detach()
    layer.form = form
    with watch(layer) as seen:
        target = (layer(words, places) @ readout).sum()
    record = seen._calls[0].attended
    assert isinstance(record, Given) == (form == "by hand")
    (gradient,) = torch.autograd.grad(target, record.traced)
    torch.testing.assert_close(record.relevant(gradient, images), wanted[images], atol=1e-6, rtol=1e-5)


def test_dropped_weights_are_refused():
    record = DotProduct(*torch.randn(3, 1, 1, 4, 8), dropout=0.5)
    with pytest.raises(JumokError, match=r"model.eval\(\)"):
        record.relevant(torch.randn(1, 1, 4, 8))
