from __future__ import annotations

import numpy as np
import pytest
import torch

from jumok.errors import JumokError
from jumok.measures.baselines import centre_heat, edge_heat, random_heat


def test_random_heat_is_as_coarse_as_its_grid_and_repeatable():
    heat = random_heat(60, 80, np.random.default_rng(0), grid=(3, 4))
    assert heat.shape == (60, 80)
    assert 0 <= heat.min() < heat.max() <= 1
    assert torch.equal(heat, random_heat(60, 80, np.random.default_rng(0), grid=(3, 4)))
    assert not torch.equal(heat, random_heat(60, 80, np.random.default_rng(1), grid=(3, 4)))
    assert len(heat.unique()) == 12
    assert all(len(patch.unique()) == 1 for rows in heat.split(20, 0) for patch in rows.split(20, 1))


def test_random_heat_favours_no_place():
    random = np.random.default_rng(0)
    heats = torch.stack([random_heat(28, 36, random, grid=(7, 9)) for _ in range(4000)])
    assert heats.mean(0).sub(0.5).abs().max() < 0.03
    peaks = (heats == heats.amax((1, 2), keepdim=True)).float().mean(0)
    assert peaks.sub(1 / 63).abs().max() < 0.01, "the largest value lies everywhere alike"


@pytest.mark.parametrize(("height", "width"), [(9, 9), (8, 12), (5, 20)])
def test_centre_heat_peaks_in_the_middle_and_is_symmetric(height, width):
    heat = centre_heat(height, width)
    assert torch.allclose(heat, heat.flip(0), atol=1e-6)
    assert torch.allclose(heat, heat.flip(1), atol=1e-6)
    row, column = divmod(int(heat.argmax()), width)
    assert abs(row + 0.5 - height / 2) <= 0.5
    assert abs(column + 0.5 - width / 2) <= 0.5


def test_centre_heat_falls_by_its_sigma():
    heat = centre_heat(101, 101)
    assert float(heat[50, 75] / heat[50, 50]) == pytest.approx(np.exp(-0.5 * (25 / 101 / 0.25) ** 2), rel=1e-5)


def test_edge_heat_lies_on_the_edge():
    image = torch.zeros(3, 40, 60, dtype=torch.uint8)
    image[:, :, 30:] = 200
    heat = edge_heat(image)
    assert heat.shape == (40, 60)
    assert set(heat.argmax(1).tolist()) <= {29, 30}
    assert heat[:, :24].max() == 0
    assert heat[:, 36:].max() == 0


def test_edge_heat_sees_colours_by_their_lightness():
    red, green = torch.zeros(2, 3, 20, 20, dtype=torch.uint8)
    red[0, :, 10:] = 255
    green[1, :, 10:] = 255
    assert float(edge_heat(green).max() / edge_heat(red).max()) == pytest.approx(0.587 / 0.299, rel=0.02)


@pytest.mark.parametrize("shade", [0, 1, 77, 255])
def test_an_image_of_one_shade_has_exactly_no_edges(shade):
    assert edge_heat(torch.full((3, 33, 47), shade, dtype=torch.uint8)).abs().max() == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2)])
def test_tiny_images_have_edge_heat_too(size):
    assert edge_heat(torch.zeros(3, *size, dtype=torch.uint8)).shape == size


@pytest.mark.parametrize("image", [torch.zeros(3, 8, 8), torch.zeros(8, 8, dtype=torch.uint8)])
def test_edge_heat_wants_a_uint8_image(image):
    with pytest.raises(JumokError, match=r"uint8 image of shape \(3, height, width\)"):
        edge_heat(image)
