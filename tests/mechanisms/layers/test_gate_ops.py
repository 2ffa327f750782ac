"""Pooling and products of feature maps: values and gradients as plain torch gives them."""

import pytest
import torch

from jumok.mechanisms.kernels.door import noting, using
from jumok.mechanisms.layers.gate_ops import gate_features, mean, mean_and_largest

AXES = pytest.mark.parametrize("axes", [(2, 3), (1,)])
MEMORY = pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])


class Everything:
    """Choices that are all fast."""

    def __contains__(self, choice):
        return True


@pytest.fixture(autouse=True)
def fast():
    with using(Everything()):
        yield


def features(memory=torch.contiguous_format, dtype=torch.float64):
    drawn = torch.randn(2, 5, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return drawn.to(dtype).contiguous(memory_format=memory).requires_grad_()


def gradients(outputs, inputs):
    drawn = torch.Generator().manual_seed(1)
    changes = [torch.randn(each.shape, dtype=torch.float64, generator=drawn).to(each.dtype) for each in outputs]
    return torch.autograd.grad(outputs, inputs, changes)


@AXES
@MEMORY
def test_mean_and_largest_are_torchs_own(axes, memory):
    given = features(memory)
    ours, plain = mean_and_largest(given, axes), (given.mean(axes), given.amax(axes))
    for mine, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(mine, other)
    torch.testing.assert_close(gradients(ours, [given]), gradients(plain, [given]))
    torch.testing.assert_close(gradients([mean(given, axes)], [given]), gradients([given.mean(axes)], [given]))
    with torch.no_grad():
        assert torch.equal(mean_and_largest(given, axes)[1], plain[1])


@AXES
def test_places_that_share_the_largest_value_share_its_gradient(axes):
    given = torch.zeros(1, 2, 2, 2, requires_grad=True)
    mean_and_largest(given, axes)[1].sum().backward()
    torch.testing.assert_close(given.grad, torch.full_like(given, 0.25 if axes == (2, 3) else 0.5))


@MEMORY
@pytest.mark.parametrize("shape", [(2, 5, 1, 1), (2, 1, 4, 6)])
def test_products_are_torchs_own(shape, memory):
    given = features(memory)
    gates = torch.rand(shape, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(gate_features(given, gates), given * gates)
    wanted = [given, gates]
    torch.testing.assert_close(gradients([gate_features(given, gates)], wanted), gradients([given * gates], wanted))
    assert torch.equal(gate_features(given.detach(), gates), given * gates)


def test_the_choice_is_by_kernel_size_and_order_and_not_by_the_batch():
    with noting() as calls:
        for memory in (torch.contiguous_format, torch.channels_last):
            given = features(memory)
            mean(given, (2, 3)), mean(given[:1].contiguous(memory_format=memory), (2, 3)), mean(given, (1,))
            mean_and_largest(given, (1,)), gate_features(given, torch.rand(2, 5, 1, 1, requires_grad=True).double())
        mean(features().detach(), (2, 3))
    # one example of one channel lies in both orders at once, five channels do not
    assert len({call.choice for call in calls}) == 8
    assert {call.kernel for call in calls} == {"gate-mean", "gate-largest", "gate-product"}


def test_half_precision_keeps_its_means():
    given = torch.full((1, 1, 200, 200), 10.0, dtype=torch.float16, requires_grad=True)  # the sum is beyond float16
    assert mean(given, (2, 3)).item() == 10.0
    mixed = gate_features(given, torch.full((1, 1, 1, 1), 0.5, requires_grad=True))
    assert mixed.dtype is torch.float32
    assert mixed.mean().item() == 5.0
