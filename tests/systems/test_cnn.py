"""The plain convolutional network."""

import pytest
import torch

from jumok.errors import JumokError
from jumok.systems import build, configure
from jumok.systems.cnn import CNN, CNNConfig
from jumok.tasks.classify.fitting import find_fitting
from jumok.watching.watch import watch


def model(**options):
    torch.manual_seed(0)
    return CNN(CNNConfig(**{"classes": 4, "image_size": 32, **options}))


def pixels(batch=3, height=32, width=48):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("size", "places"), [(32, 8), (64, 8), (100, 12), (224, 14), (8, 8), (4, 4)])
def test_the_last_map_keeps_eight_places_or_more(size, places):
    network = model(image_size=size).eval()
    assert network.blocks(pixels(1, size, size)).shape[2:] == (places, places)
    assert network(pixels(2, size, size)).shape == (2, 4)


def test_it_has_about_a_hundred_thousand_weights():
    network = build("cnn", configure("cnn", classes=10, image_size=64))
    assert 90_000 < sum(value.numel() for value in network.parameters()) < 300_000


def test_every_parameter_learns_and_images_do_not_touch_in_eval():
    network, images = model().train(), pixels()
    network(images).logsumexp(1).sum().backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in network.parameters())
    network.eval()
    torch.testing.assert_close(network(images), torch.cat([network(image[None]) for image in images]))


def test_it_attends_to_nothing_and_grad_cam_tells_where_it_looked():
    network = model().eval()
    with watch(network) as seen:
        network(pixels().requires_grad_())
    assert seen.names == []
    assert find_fitting(seen) == ("grad-cam",)


def test_other_pixels_and_widths_are_refused():
    with pytest.raises(JumokError, match=r"\(2, 3, 2, 9\), wanted sides of 4 or more"):
        model()(pixels(2, 2, 9))
    with pytest.raises(JumokError, match=r"wanted \(batch, 3, height, width\)"):
        model()(torch.zeros(2, 4, 8, 8))
    with pytest.raises(JumokError, match="1 to 16 blocks, got 0"):
        configure("cnn", classes=2, image_size=8, widths=())
