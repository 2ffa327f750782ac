"""Dropout by bits: the right share, the right scale, repeatable, and its gradient."""

import pytest
import torch

from jumok.mechanisms.kernels.door import noting, using
from jumok.mechanisms.layers.dropout import Dropout, drop_by_bits


@pytest.mark.parametrize("probability", [0.1, 0.25, 0.5, 0.9])
def test_share_and_scale(probability):
    torch.manual_seed(0)
    values = drop_by_bits(torch.ones(400_000), probability)
    assert set(values.unique().tolist()) == {0.0, values.max().item()}
    assert values.max().item() == pytest.approx(1 / (1 - probability), rel=1e-3)
    assert (values == 0).float().mean().item() == pytest.approx(probability, abs=0.004)
    assert values.mean().item() == pytest.approx(1, abs=0.02)


def test_values_that_share_a_draw_are_independent():
    torch.manual_seed(1)
    four = (drop_by_bits(torch.ones(400_000), 0.5) == 0).float().view(-1, 4)
    assert (torch.corrcoef(four.T) - torch.eye(4)).abs().max() < 0.02
    places = torch.corrcoef(torch.stack([four[:-1].flatten(), four[1:].flatten()]))
    assert abs(places[0, 1]) < 0.02


def test_the_seed_decides():
    torch.manual_seed(3)
    first = drop_by_bits(torch.ones(10_001), 0.3)
    second = drop_by_bits(torch.ones(10_001), 0.3)
    torch.manual_seed(3)
    assert torch.equal(drop_by_bits(torch.ones(10_001), 0.3), first)
    assert not torch.equal(first, second)


def test_gradient_goes_where_values_went():
    values = torch.randn(100, 50, requires_grad=True)
    kept = drop_by_bits(values, 0.4)
    kept.sum().backward()
    torch.testing.assert_close(values.grad, torch.where(kept == 0, 0.0, 1 / (1 - 0.4)), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_type_stays(dtype):
    assert drop_by_bits(torch.ones(64, 65, dtype=dtype), 0.2).dtype == dtype


def test_eval_and_nothing_to_drop_change_nothing():
    values = torch.randn(200, 100)
    assert torch.equal(Dropout(0.5).eval()(values), values)
    assert torch.equal(Dropout(0.0)(values), values)
    assert torch.equal(Dropout(1.0)(values), torch.zeros_like(values))
    few = torch.ones(10, 10)
    assert set(Dropout(0.5)(few).unique().tolist()) <= {0.0, 2.0}


def test_the_layer_goes_by_the_choice_of_its_size():
    values = torch.ones(100, 50)
    with noting() as calls:
        torch.manual_seed(1)
        plain = Dropout(0.5)(values)
    (call,) = calls
    torch.manual_seed(1)
    assert torch.equal(plain, torch.nn.functional.dropout(values, 0.5))
    with using({call.choice}):
        torch.manual_seed(1)
        fast = Dropout(0.5)(values)
    torch.manual_seed(1)
    assert torch.equal(fast, drop_by_bits(values, 0.5))
    assert not torch.equal(fast, plain)
