"""Squeeze and excitation: against the paper's formula step by step, and what it tells watchers."""

import pytest
import torch
from torch.nn import functional as F

from jumok.attention import Channels, One, Scale
from jumok.errors import JumokError
from jumok.mechanisms.layers.channel_gates import scale, squeeze
from jumok.mechanisms.squeeze_excitation import SqueezeExcitation
from jumok.watching.watch import watch


def features(batch=2, channels=12, rows=5, columns=7):
    return torch.randn(batch, channels, rows, columns, generator=torch.Generator().manual_seed(0))


def by_the_paper(gate, given):
    """Equations 2 to 4, one image and one channel at a time."""
    gated = torch.empty_like(given)
    for image, maps in enumerate(given):
        z = torch.stack([channel.sum() / channel.numel() for channel in maps])
        hidden = torch.clamp(gate.reduce.weight @ z + gate.reduce.bias, min=0)
        s = 1 / (1 + torch.exp(-(gate.expand.weight @ hidden + gate.expand.bias)))
        for number, channel in enumerate(maps):
            gated[image, number] = channel * s[number]
    return gated


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_equals_the_papers_formula_and_its_gradients(memory):
    gate = SqueezeExcitation(12, 2).double()
    given = features().double().contiguous(memory_format=memory).requires_grad_()
    change = torch.randn(given.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wanted = [given, *gate.parameters()]
    plain = by_the_paper(gate, given)
    torch.testing.assert_close(gate(given), plain)
    ours, theirs = (torch.autograd.grad(output, wanted, change) for output in (gate(given), plain))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_channels_are_let_through_by_their_gates_alone():
    gate, given = SqueezeExcitation(12, 2), features()
    torch.testing.assert_close(gate(given) / given, gate.gates(given)[:, :, None, None].expand_as(given))
    assert torch.equal(scale(given, torch.zeros(2, 12)), torch.zeros_like(given))
    assert torch.equal(squeeze(torch.full((1, 2, 3, 4), 5.0)), torch.full((1, 2), 5.0))


def test_watchers_hear_one_gate_per_image_and_channel_and_nothing_else():
    gate, given = SqueezeExcitation(12, 2), features()
    with watch(gate) as seen:
        gate(given)
    assert len(seen) == 1
    assert (seen[0].queries, seen[0].keys, seen[0].scale) == (One("image"), Channels.numbered(12), Scale.GATE)
    torch.testing.assert_close(seen[0].weights[:, 0], gate.gates(given))
    assert seen.in_image() == []


def test_the_middle_layer_keeps_units():
    assert SqueezeExcitation(16, 16).reduce.out_features == 4
    assert SqueezeExcitation(256, 16).reduce.out_features == 16


def test_half_precision_keeps_its_type():
    gate = SqueezeExcitation(12, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.isfinite(gate(features())).all()
    assert F.relu(gate.bfloat16()(features().bfloat16())).dtype is torch.bfloat16


@pytest.mark.parametrize(("shape", "wanted"), [((2, 11, 5, 5), "(batch, 12, rows, columns)"), ((2, 12), "rows")])
def test_other_shapes_are_refused(shape, wanted):
    with pytest.raises(JumokError) as raised:
        SqueezeExcitation(12)(torch.zeros(shape))
    assert str(shape) in str(raised.value)
    assert wanted in str(raised.value)


def test_sizes_below_one_are_refused():
    with pytest.raises(JumokError, match="got 0 and 16"):
        SqueezeExcitation(0)
