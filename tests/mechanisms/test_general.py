"""General attention: the bilinear form, and its module beside the textbook."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jumok.errors import JumokError
from jumok.mechanisms.general import General, scores
from jumok.watching.watch import watch

SIZES = st.integers(1, 6)


@given(SIZES, SIZES, SIZES, SIZES, SIZES)
def test_scores_are_the_bilinear_form(batch, queries, keys, query_size, key_size):
    query, key = torch.randn(batch, queries, query_size), torch.randn(batch, keys, key_size)
    w = torch.randn(query_size, key_size)
    wanted = torch.einsum("bqd,de,bke->bqk", query, w, key)
    torch.testing.assert_close(scores(query, key, w), wanted, atol=1e-4, rtol=1e-4)


def test_gradients_are_right():
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((2, 3, 4), (2, 5, 6), (4, 6))]
    assert torch.autograd.gradcheck(scores, inputs)


@pytest.fixture
def attention():
    torch.manual_seed(0)
    return General(10, 12), (torch.randn(3, 4, 10), torch.randn(3, 6, 12), torch.randn(3, 6, 5))


@pytest.mark.parametrize("each", [False, True], ids=["a mask for all queries", "a mask for each query"])
def test_the_module_is_the_textbook(attention, each):
    module, inputs = attention
    mask = torch.rand((3, 4, 6) if each else (3, 6)) < 0.5
    mask[..., 0] = True
    context, weights = module.plain(*inputs, mask)
    torch.testing.assert_close(module(*inputs, mask), context)
    projected = module.project_keys(inputs[1])
    torch.testing.assert_close(module.weights(inputs[0], projected, mask), weights)
    for step in range(4):
        rows = mask[:, step : step + 1] if each else mask
        one = module.weights(inputs[0][:, step : step + 1], projected, rows)
        torch.testing.assert_close(one, weights[:, step : step + 1])


def test_the_module_shows_its_weights_and_a_step_does_not(attention):
    module, (query, key, value) = attention
    with watch(module) as seen:
        module(query, key, value)
        torch.bmm(module.weights(query, module.project_keys(key)), value)
    assert len(seen) == 1
    torch.testing.assert_close(seen[0].weights[:, 0], module.plain(query, key, value)[1])


def test_bad_use(attention):
    module, (query, key, value) = attention
    with pytest.raises(JumokError, match="sizes are 1 or more"):
        General(3, 0)
    with pytest.raises(JumokError, match="allows no key"):
        module(query, key, value, torch.zeros(3, 6, dtype=torch.bool))
    with pytest.raises(JumokError, match=r"wanted torch.bool"):
        module.weights(query, module.project_keys(key), torch.ones(3, 6))
    with pytest.raises(JumokError, match=r"mask has shape \(3, 5\), wanted"):
        module(query, key, value, torch.ones(3, 5, dtype=torch.bool))
    with pytest.raises(JumokError, match=r"wanted \(batch, keys, 12\)"):
        module.project_keys(query)
    with pytest.raises(JumokError, match=r"query has shape \(3, 4, 9\), wanted \(3, queries, 10\)"):
        module(query[..., :9], key, value)
    with pytest.raises(JumokError, match=r"key has shape \(2, 5, 3\) and w \(4, 6\), wanted"):
        scores(torch.zeros(2, 3, 4), torch.zeros(2, 5, 3), torch.zeros(4, 6))
