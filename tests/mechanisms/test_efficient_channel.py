"""Efficient channel attention: against the paper's equation, and how far a gate reaches."""

import pytest
import torch

from jumok.attention import Channels, Scale
from jumok.errors import JumokError
from jumok.mechanisms.efficient_channel import EfficientChannel, choose_reach
from jumok.watching.watch import watch


def features(batch=2, channels=12, rows=5, columns=7):
    return torch.randn(batch, channels, rows, columns, generator=torch.Generator().manual_seed(0))


def test_equals_the_papers_equation():
    gate, given = EfficientChannel(12, 5), features()
    means = given.mean((2, 3))
    w = gate.neighbours.weight[0, 0]
    for image in range(2):
        for channel in range(12):
            near = [(k, channel + k - 2) for k in range(5) if 0 <= channel + k - 2 < 12]
            s = torch.sigmoid(sum(w[k] * means[image, other] for k, other in near))
            torch.testing.assert_close(gate(given)[image, channel], given[image, channel] * s)


def test_a_channel_tells_its_neighbours_gates_only():
    gate, given = EfficientChannel(12, 3), features()
    changed = given.clone()
    changed[:, 6] += 1
    moved = (gate.gates(changed) - gate.gates(given)).abs() > 1e-7
    assert moved.any(0).nonzero()[:, 0].tolist() == [5, 6, 7]


def test_the_reach_grows_with_the_channels_and_is_odd():
    sizes = [choose_reach(1 << number) for number in range(1, 12)]
    assert sizes == sorted(sizes)
    assert all(size % 2 == 1 for size in sizes)
    assert EfficientChannel(256).neighbours.kernel_size == (5,)


def test_watchers_hear_one_gate_per_image_and_channel():
    gate, given = EfficientChannel(12), features()
    with watch(gate) as seen:
        gate(given)
    assert len(seen) == 1
    assert (seen[0].keys, seen[0].scale) == (Channels.numbered(12), Scale.GATE)
    torch.testing.assert_close(seen[0].weights[:, 0], gate.gates(given))


def test_bad_sizes_are_refused():
    with pytest.raises(JumokError, match="odd number of channels, 1 or more, got 2"):
        EfficientChannel(12, 2)
    with pytest.raises(JumokError, match="channels are 1 or more, got 0"):
        EfficientChannel(0)
    with pytest.raises(JumokError, match=r"\(2, 11, 5, 5\), wanted \(batch, 12, rows, columns\)"):
        EfficientChannel(12)(torch.zeros(2, 11, 5, 5))
