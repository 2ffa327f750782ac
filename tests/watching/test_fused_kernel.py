"""Options of the fused call."""

import pytest
import torch
from watched_models import Fused

from jumok.watching.watch import watch


def textbook(query, key, mask=None, causal=False, scale=None):
    query, key = query.double(), key.double()
    key = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
    scores = query @ key.transpose(-1, -2) * (scale or query.shape[-1] ** -0.5)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), -torch.inf)
    return scores.softmax(-1).float()


BOOL_MASK = torch.rand(2, 1, 6, 9, generator=torch.Generator().manual_seed(1)) > 0.4
BOOL_MASK[..., 0] = True
FLOAT_MASK = torch.randn(4, 6, 9, generator=torch.Generator().manual_seed(2))
FUSED = {
    "plain": {},
    "scale": {"scale": 0.7},
    "causal": {"is_causal": True},
    "bool mask": {"attn_mask": BOOL_MASK},
    "float mask": {"attn_mask": FLOAT_MASK},
    "grouped queries": {"enable_gqa": True},
    "dropout": {"dropout_p": 0.5},
}


@pytest.mark.parametrize("case", FUSED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("gradients", [False, True])
def test_options_of_the_fused_call(case, dtype, gradients):
    options = {
        k: v.to(dtype) if isinstance(v, torch.Tensor) and v.is_floating_point() else v for k, v in FUSED[case].items()
    }
    torch.manual_seed(0)
    heads = 2 if case == "grouped queries" else 4
    query, key, value = torch.randn(2, 4, 6, 8), torch.randn(2, heads, 9, 8), torch.randn(2, heads, 9, 8)
    query, key, value = (t.to(dtype).requires_grad_(gradients) for t in (query, key, value))
    model = Fused(**options)
    torch.manual_seed(1)
    plain = model(query, key, value)
    torch.manual_seed(1)
    with watch(model) as seen:
        watched = model(query, key, value)
    assert torch.equal(plain, watched)
    wanted = textbook(query.detach(), key.detach(), options.get("attn_mask"), case == "causal", options.get("scale"))
    torch.testing.assert_close(seen[0].weights, wanted, atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(seen.row(0, 3).weights, wanted[:, :, 3:4], atol=2e-6, rtol=1e-5)


def test_a_row_that_may_attend_to_nothing_is_zero_not_nan():
    mask = torch.ones(5, 5, dtype=torch.bool)
    mask[2] = False
    query = torch.randn(1, 1, 5, 8)
    model = Fused(attn_mask=mask)
    with watch(model) as seen:
        model(query, query, query)
    assert (seen[0].weights[0, 0, 2] == 0).all()
    assert torch.allclose(seen[0].weights[0, 0, 3].sum(), torch.tensor(1.0))


# -- by hand ----------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [torch.jagged, torch.strided])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_items_of_different_lengths_in_a_nested_tensor(layout):
    lengths = (5, 3)
    items = [torch.randn(2, length, 8) for length in lengths]
    if layout == torch.jagged:
        tokens = torch.nested.nested_tensor([item.transpose(0, 1) for item in items], layout=layout).transpose(1, 2)
    else:
        tokens = torch.nested.nested_tensor(items, layout=layout)
    model = Fused()
    plain = model(tokens, tokens, tokens)
    with watch(model) as seen:
        watched = model(tokens, tokens, tokens)
    for one, other in zip(plain.unbind(), watched.unbind(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    for number, item in enumerate(items):
        found, length = seen[0].weights[number], lengths[number]
        wanted = textbook(item[None], item[None])[0]
        torch.testing.assert_close(found[:, :length, :length], wanted, atol=1e-6, rtol=1e-5)
        assert not found[:, length:].any()
        assert not found[:, :, length:].any()
    assert "nested tensor" in seen[0].keys.why
