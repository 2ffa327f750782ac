"""The two kernels of the linear map give the same result and the same gradients."""

import pytest
import torch
from torch.nn import functional as F

from jumok.mechanisms.kernels.door import noting, using
from jumok.mechanisms.layers import linear as module
from jumok.mechanisms.layers.linear import FEWEST_ROWS, KERNEL, Linear, Shape, linear, multiply_by_convolution

MAP = (KERNEL, (4, 6))


def inputs(dtype=torch.float32, tokens=7, size_in=12, size_out=20):
    draw = torch.Generator().manual_seed(0)
    shapes = ((3, tokens, size_in), (size_out, size_in), (size_out,))
    return [torch.randn(shape, generator=draw, dtype=dtype, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("biased", [True, False])
def test_convolution_equals_the_product_with_gradients(biased):
    tokens, weight, bias = inputs()
    given = [tokens, weight, bias] if biased else [tokens, weight]
    bias = bias if biased else None
    got, wanted = multiply_by_convolution(tokens, weight, bias), F.linear(tokens, weight, bias)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)
    pull = torch.randn(got.shape)
    for ours, theirs in zip(
        torch.autograd.grad(got, given, pull), torch.autograd.grad(wanted, given, pull), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_gradients_against_finite_differences():
    given = inputs(torch.float64, tokens=2, size_in=2, size_out=3)
    assert torch.autograd.gradcheck(multiply_by_convolution, given)
    assert torch.autograd.gradgradcheck(multiply_by_convolution, given)


def test_convolution_takes_strided_tokens():
    tokens, weight, bias = inputs()
    turned = tokens.detach().transpose(0, 1).contiguous().transpose(0, 1)
    torch.testing.assert_close(multiply_by_convolution(turned, weight, bias), F.linear(tokens, weight, bias))


@pytest.fixture
def convolutions(monkeypatch):
    """The calls that go by convolution, where maps of 4 to 6 are to."""
    calls = []
    monkeypatch.setattr(
        module, "multiply_by_convolution", lambda *given: calls.append(given) or multiply_by_convolution(*given)
    )
    with using({MAP}):
        yield calls


def test_where_nothing_was_chosen_it_is_the_plain_product(convolutions):
    tokens, weight = torch.randn(16, FEWEST_ROWS, 4), torch.randn(6, 4)
    with using(frozenset()):
        assert torch.equal(linear(tokens, weight, None), F.linear(tokens, weight))
    assert torch.equal(linear(tokens, weight[:5], None), F.linear(tokens, weight[:5]))  # a map of other sizes
    assert not convolutions


def test_taken_in_training_with_many_tokens(convolutions):
    layer, many = Linear(4, 6), torch.randn(16, FEWEST_ROWS // 16, 4)
    torch.testing.assert_close(layer(many), F.linear(many, layer.weight, layer.bias), atol=1e-5, rtol=1e-5)
    assert len(convolutions) == torch.backends.mkldnn.is_available()


@pytest.mark.parametrize(("threads", "chosen"), [(1, 0), (2, 1)])
def test_few_examples_of_many_tokens_need_several_threads(convolutions, threads, chosen):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        linear(torch.randn(4, FEWEST_ROWS, 4), torch.randn(6, 4), None)
    finally:
        torch.set_num_threads(before)
    assert len(convolutions) == (chosen and torch.backends.mkldnn.is_available())


def test_strided_tokens_go_the_usual_way(convolutions):
    linear(torch.randn(FEWEST_ROWS // 16, 16, 4).transpose(0, 1), torch.randn(6, 4), None)
    assert not convolutions


@pytest.mark.parametrize(
    "tokens",
    [
        torch.zeros(4, FEWEST_ROWS // 4 - 1, 4),
        torch.zeros(FEWEST_ROWS, 4),
        torch.zeros(1, FEWEST_ROWS, 4),
        torch.zeros(4, FEWEST_ROWS, 4, dtype=torch.float64),
    ],
    ids=["few tokens", "two axes", "a batch of one", "float64"],
)
def test_not_taken_where_it_does_not_gain(tokens, convolutions):
    layer = Linear(4, 6).to(tokens.dtype)
    assert layer(tokens).shape == (*tokens.shape[:-1], 6)
    assert not convolutions


def test_not_taken_without_gradients_or_under_autocast(convolutions):
    layer, many = Linear(4, 6), torch.randn(4, FEWEST_ROWS, 4)
    with torch.no_grad():
        layer(many)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(many).dtype == torch.bfloat16
    assert not convolutions


def test_no_tokens_at_all():
    assert linear(torch.zeros(0, 5, 4), torch.zeros(6, 4), None).shape == (0, 5, 6)


def test_calls_that_could_go_either_way_are_noted():
    many, few = torch.randn(16, FEWEST_ROWS // 16, 4), torch.randn(2, 3, 4)
    with noting() as calls:
        linear(many, torch.randn(6, 4), None)
        linear(few, torch.randn(6, 4), None)
        with torch.no_grad():
            linear(many, torch.randn(7, 4), None)
    linear(many, torch.randn(8, 4), None)
    wanted = {(KERNEL, (4, 6), Shape(16, FEWEST_ROWS // 16, 4, 6))}
    assert calls == (wanted if torch.backends.mkldnn.is_available() else set())
