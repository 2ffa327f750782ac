"""Multi-head attention against the plain form and against torch's own module."""

import itertools

import pytest
import torch
from torch import nn

from jumok.errors import JumokError
from jumok.mechanisms.multi_head import MultiHead

WIDTH, HEADS = 12, 3


def attention(**options):
    torch.manual_seed(0)
    return MultiHead(WIDTH, HEADS, **options).eval()


def tokens(count=5, batch=2, seed=1):
    return torch.randn(batch, count, WIDTH, generator=torch.Generator().manual_seed(seed), requires_grad=True)


def keys_mask():
    return torch.tensor([[True, True, False, True, True], [True, False, False, True, False]])


def pairs_mask():
    mask = torch.rand(2, 5, 5, generator=torch.Generator().manual_seed(3)) > 0.5
    return mask | torch.eye(5, dtype=torch.bool)


CALLS = {
    "self": lambda: ((tokens(),), {}),
    "self, keys masked": lambda: ((tokens(),), {"mask": keys_mask()}),
    "self, pairs masked": lambda: ((tokens(),), {"mask": pairs_mask()}),
    "causal": lambda: ((tokens(),), {"causal": True}),
    "causal, keys masked": lambda: ((tokens(),), {"causal": True, "mask": keys_mask()}),
    "memory": lambda: ((tokens(3), tokens(5, seed=2)), {}),
    "memory, keys masked": lambda: ((tokens(3), tokens(5, seed=2)), {"mask": keys_mask()}),
}


@pytest.mark.parametrize("name", CALLS)
def test_fused_equals_plain_with_gradients(name):
    module = attention()
    (inputs, options) = CALLS[name]()
    targets = [*inputs, *module.parameters()]
    fused, (plain, weights) = module(*inputs, **options), module.plain(*inputs, **options)
    torch.testing.assert_close(fused, plain, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    pull = torch.randn(fused.shape, generator=torch.Generator().manual_seed(4))
    for got, wanted in zip(
        torch.autograd.grad(fused, targets, pull), torch.autograd.grad(plain, targets, pull), strict=True
    ):
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("causal", "masked"), itertools.product([False, True], repeat=2))
def test_equals_torchs_own_module(causal, masked):
    ours, theirs = attention(), nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    inputs, mask = tokens(), keys_mask() if masked else None
    after = torch.ones(5, 5, dtype=torch.bool).triu(1) if causal else None  # torch: True = may not be attended
    wanted, weights = theirs(
        inputs, inputs, inputs, attn_mask=after, key_padding_mask=None if mask is None else ~mask,
        average_attn_weights=False,
    )  # fmt: skip
    torch.testing.assert_close(ours(inputs, mask=mask, causal=causal), wanted, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours.plain(inputs, mask=mask, causal=causal)[1], weights, atol=1e-6, rtol=1e-5)


def test_tokens_as_their_own_memory_are_self_attention():
    module, inputs = attention(), tokens()
    torch.testing.assert_close(module(inputs, inputs), module(inputs), atol=1e-6, rtol=1e-5)


def test_causal_looks_back_only():
    weights = attention().plain(tokens(), causal=True)[1]
    assert (weights.triu(1) == 0).all()
    assert (weights[..., 0, 0] == 1).all()


def test_dropout_acts_in_training_only():
    module, inputs = attention(dropout=0.5), tokens(batch=1).expand(2000, -1, -1)
    plain = module.plain(inputs[:1])[0]
    torch.testing.assert_close(module(inputs), plain.expand(2000, -1, -1), atol=1e-6, rtol=1e-5)
    draws = module.train()(inputs)
    assert not torch.equal(draws[0], draws[1])
    torch.testing.assert_close(draws.mean(0), plain[0], atol=0.05, rtol=0)  # unbiased


def test_wrong_options_raise():
    with pytest.raises(JumokError, match="5 heads do not divide a width of 12"):
        MultiHead(12, 5)
    with pytest.raises(JumokError, match="0 heads"):
        MultiHead(12, 0)
    with pytest.raises(JumokError, match="dropout"):
        MultiHead(12, 3, dropout=1.0)


def test_wrong_calls_raise():
    module = attention()
    with pytest.raises(JumokError, match=r"tokens has shape \(5, 12\), wanted \(batch, tokens, 12\)"):
        module(torch.zeros(5, 12))
    with pytest.raises(JumokError, match=r"memory has shape \(3, 5, 12\), wanted \(2, memory, 12\)"):
        module(tokens(), tokens(batch=3))
    with pytest.raises(JumokError, match="causal is for self-attention"):
        module(tokens(3), tokens(5), causal=True)
    with pytest.raises(JumokError, match=r"mask has shape \(2, 4\)"):
        module(tokens(), mask=torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(JumokError, match=r"torch\.float32, wanted torch\.bool"):
        module(tokens(), mask=torch.ones(2, 5))


def test_a_query_with_nothing_to_see_raises():
    mask = keys_mask()
    mask[1] = False
    with pytest.raises(JumokError, match="allows no key"):
        attention()(tokens(), mask=mask)
    first_hidden = torch.tensor([[False, True, True, True, True]] * 2)
    with pytest.raises(JumokError, match="allows no key"):  # the first token may look at itself only
        attention()(tokens(), mask=first_hidden, causal=True)
