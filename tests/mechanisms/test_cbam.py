"""CBAM: both gates against the paper's equations, and what each tells watchers."""

import pytest
import torch
from torch.nn import functional as F

from jumok.attention import Channels, Patches, Scale
from jumok.errors import JumokError
from jumok.mechanisms.cbam import CBAM, ChannelGate, SpatialGate
from jumok.watching.watch import watch


def features(batch=2, channels=12, rows=5, columns=7):
    return torch.randn(batch, channels, rows, columns, generator=torch.Generator().manual_seed(0))


def channels_by_the_paper(gate, given):
    """Equation 2: one MLP, applied to the mean and to the largest value, and added up."""

    def mlp(pooled):
        hidden = F.relu(F.linear(pooled, gate.reduce.weight, gate.reduce.bias))
        return F.linear(hidden, gate.expand.weight, gate.expand.bias)

    return torch.sigmoid(
        mlp(F.adaptive_avg_pool2d(given, 1).flatten(1)) + mlp(F.adaptive_max_pool2d(given, 1).flatten(1))
    )


def places_by_the_paper(gate, given):
    """Equation 3."""
    pooled = torch.stack([given.mean(1), given.amax(1)], 1)
    weight, bias = gate.around.weight, gate.around.bias
    return torch.sigmoid(F.conv2d(pooled, weight, bias, padding=weight.shape[-1] // 2))


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_equals_the_papers_equations_and_their_gradients(memory):
    gate = CBAM(12, 2, 3).double()
    given = features().double().contiguous(memory_format=memory).requires_grad_()
    refined = given * channels_by_the_paper(gate.channel, given)[:, :, None, None]
    plain = refined * places_by_the_paper(gate.spatial, refined)
    torch.testing.assert_close(gate(given), plain)
    change = torch.randn(given.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wanted = [given, *gate.parameters()]
    ours, theirs = (torch.autograd.grad(output, wanted, change) for output in (gate(given), plain))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_watchers_hear_the_channels_then_the_places():
    gate, given = CBAM(12, 2), features()
    with watch(gate) as seen:
        gate(given)
    assert seen.names == ["channel", "spatial"]
    channels, places = seen["channel"], seen["spatial"]
    assert (channels.keys, channels.scale) == (Channels.numbered(12), Scale.GATE)
    assert (places.keys, places.scale) == (Patches(5, 7), Scale.GATE)
    assert seen.in_image() == ["spatial"]
    torch.testing.assert_close(channels.weights[:, 0], gate.channel.gates(given))
    after = gate.channel(given)
    torch.testing.assert_close(places.weights[:, 0].unflatten(1, (5, 7)), gate.spatial.gates(after)[:, 0])


def test_a_place_that_stands_out_gets_another_gate_than_the_rest():
    gate = SpatialGate(3)
    with torch.no_grad():
        gate.around.weight.fill_(0.5)
    given = torch.zeros(1, 4, 9, 9)
    given[..., 4, 4] = 3.0
    gates = gate.gates(given)[0, 0]
    assert gates[4, 4] > gates[0, 0] + 0.1
    assert gates[3, 3] == gates[5, 5]  # the neighbours, by symmetry


@pytest.mark.parametrize("module", [ChannelGate(12), CBAM(12)])
def test_other_numbers_of_channels_are_refused(module):
    with pytest.raises(JumokError, match=r"\(2, 11, 5, 5\), wanted \(batch, 12, rows, columns\)"):
        module(torch.zeros(2, 11, 5, 5))


def test_sizes_that_make_no_gate_are_refused():
    with pytest.raises(JumokError, match="odd number of places, 1 or more, got 4"):
        CBAM(12, size=4)
    with pytest.raises(JumokError, match="got 12 and 0"):
        CBAM(12, 0)
    with pytest.raises(JumokError, match=r"features have shape \(2, 3\)"):
        SpatialGate()(torch.zeros(2, 3))
