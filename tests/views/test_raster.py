"""Heat of single pixels over an image, by what drawing alone needs."""

import sys

import numpy as np
import pytest
import torch

from jumok.attention import AttentionMap, One, Pixels, Scale
from jumok.views.palette import GRAIN
from jumok.views.raster import find_grain


@pytest.mark.parametrize("shape", [(64, 96), (5, 200), (3, 3), (1, 1), (224, 224)])
def test_single_pixels_are_blurred_as_scipy_does(shape):
    ndimage = pytest.importorskip("scipy.ndimage")
    heat = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    wanted = ndimage.gaussian_filter(heat.astype(np.float64), GRAIN * max(shape), mode="constant")
    found = find_grain(heat)
    if 2 * np.abs(wanted).max() < np.abs(heat).max():
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    else:
        assert found is None


def test_a_map_of_pixels_is_drawn_without_scipy(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "scipy"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "scipy", None)  # as where it is not installed
    weights = torch.randn(1, 64 * 64, generator=torch.Generator().manual_seed(0))
    heat = AttentionMap(weights, One("image"), Pixels(64, 64), (), Scale.RELEVANCE, "lrp")
    heat.draw(torch.zeros(3, 64, 64, dtype=torch.uint8), tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 1000
