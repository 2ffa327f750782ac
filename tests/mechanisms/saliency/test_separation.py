"""Objects apart from the background: thresholds, masks and boxes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jumok.attention import AttentionMap, One, Patches, Pixels, Scale
from jumok.errors import JumokError
from jumok.mechanisms.saliency.separation import THRESHOLDS, find_adaptive_threshold, find_otsu_threshold, separate


def over_pixels(heat):
    return AttentionMap(heat.float().reshape(1, -1), One("image"), Pixels(*heat.shape), (), Scale.RELEVANCE, "saliency")


def two_objects():
    heat = torch.full((20, 30), 0.1)
    heat[2:6, 3:9] = 0.8
    heat[10:18, 20:29] = 0.9
    heat[12, 2] = 1.0
    return heat


@pytest.mark.parametrize("how", THRESHOLDS)
def test_mask_and_boxes_of_two_objects(how):
    found = separate(over_pixels(two_objects()), how, smallest=0.005)
    assert found.boxes == ((10, 20, 18, 29), (2, 3, 6, 9))  # what holds most saliency comes first
    mask = found.mask.image(20, 30)[0]
    assert found.mask.scale is Scale.MASK
    assert mask.sum() == 4 * 6 + 8 * 9
    assert mask[12, 2] == 0  # one pixel of 600 is less than 0.5%
    assert 0.1 <= found.threshold < 0.8
    assert len(separate(over_pixels(two_objects()), how, smallest=0).boxes) == 3


@given(st.integers(0, 2**32 - 1))
def test_no_other_threshold_parts_the_classes_better(seed):
    chance = np.random.default_rng(seed)
    heat = chance.choice([0.2, 0.7], (12, 14)) + chance.normal(0, chance.uniform(0.01, 0.2), (12, 14))
    chosen = find_otsu_threshold(torch.from_numpy(heat))

    def within(threshold):
        upper = heat > threshold
        return sum(part.size * part.var() for part in (heat[upper], heat[~upper]) if part.size)

    step = (heat.max() - heat.min()) / 256
    best = min(within(threshold) for threshold in heat.ravel())
    assert within(chosen) <= best * 1.05 + step**2 * heat.size


def test_otsu_is_that_of_scikit_image():
    filters = pytest.importorskip("skimage.filters")
    for seed in range(5):
        heat = np.random.default_rng(seed).gamma(2, size=(40, 50))
        bin_ = np.ptp(heat) / 256  # theirs is the middle of the bin in which ours is the largest value
        assert find_otsu_threshold(torch.from_numpy(heat)) == pytest.approx(filters.threshold_otsu(heat), abs=bin_)


def test_adaptive_is_twice_the_mean():
    assert find_adaptive_threshold(two_objects()) == pytest.approx(2 * float(two_objects().mean()))


@pytest.mark.parametrize("how", THRESHOLDS)
@pytest.mark.parametrize("value", [0.0, 0.3])
def test_where_all_is_alike_there_is_no_object(how, value):
    found = separate(over_pixels(torch.full((5, 7), value)), how)
    assert found.boxes == ()
    assert found.mask.weights.sum() == 0


def test_pixels_that_touch_by_a_corner_are_one_object():
    assert len(separate(over_pixels(torch.eye(6)), smallest=0).boxes) == 1


@pytest.mark.parametrize(
    ("heat", "options", "message"),
    [
        (over_pixels(torch.eye(3)), {"how": "otzu"}, "did you mean 'otsu'"),
        (over_pixels(torch.eye(3)), {"smallest": 2}, "from 0 to 1, got 2"),
        (AttentionMap(torch.ones(1, 9), One("cls"), Patches(3, 3)), {}, "one row over Pixels"),
        (AttentionMap(torch.ones(2, 1, 9), One("image"), Pixels(3, 3), ("batch",)), {}, "choose with .at"),
    ],
)
def test_what_cannot_be_separated(heat, options, message):
    with pytest.raises(JumokError, match=message):
        separate(heat, **options)
