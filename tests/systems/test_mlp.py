"""The multi-layer perceptron."""

import pytest
import torch

from jumok.errors import JumokError
from jumok.systems import build, configure
from jumok.systems.mlp import MLP, MLPConfig
from jumok.tasks.classify.fitting import find_fitting
from jumok.watching.watch import watch


def pixels(batch=3, height=32, width=48):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


def test_small_images_are_seen_pixel_by_pixel_and_large_ones_averaged_down():
    assert MLPConfig(classes=2, image_size=64).grid == (64, 64)
    assert MLPConfig(classes=2, image_size=(32, 48)).grid == (32, 48)
    rows, columns = MLPConfig(classes=2, image_size=(224, 448)).grid
    assert rows * columns <= 4096
    assert (rows, columns) == (44, 89)
    assert MLP(MLPConfig(classes=2, image_size=224))(pixels(2, 224, 224)).shape == (2, 2)


def test_every_parameter_learns_and_images_do_not_touch():
    torch.manual_seed(0)
    network, images = MLP(MLPConfig(classes=4, image_size=(32, 48), hidden=(16, 8))), pixels()
    network(images).logsumexp(1).sum().backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in network.parameters())
    torch.testing.assert_close(network(images), torch.cat([network(image[None]) for image in images]))


def test_a_move_by_one_pixel_is_another_image_to_it():
    torch.manual_seed(0)
    network, images = build("mlp", configure("mlp", classes=4, image_size=(32, 48))).eval(), pixels()
    assert (network(images) - network(images.roll(1, 3))).abs().max() > 0.01


def test_nothing_tells_where_it_looked():
    network = MLP(MLPConfig(classes=4, image_size=(32, 48))).eval()
    with watch(network) as seen:
        network(pixels().requires_grad_())
    with pytest.raises(JumokError, match="no attention call was seen, and no feature map"):
        find_fitting(seen)


def test_other_sizes_are_refused():
    with pytest.raises(JumokError, match=r"\(2, 3, 16, 48\), wanted \(batch, 3, 32, 48\): an MLP takes one size"):
        MLP(MLPConfig(classes=4, image_size=(32, 48)))(pixels(2, 16, 48))
    with pytest.raises(JumokError, match="at most 16 layers, got 17"):
        configure("mlp", classes=2, image_size=8, hidden=(4,) * 17)
