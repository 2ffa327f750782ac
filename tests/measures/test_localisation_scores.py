from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from drawn_masks import SEEDS, a_mask, fast, tied_heat
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, jaccard_score

from jumok.attention import AttentionMap, One, Patches, Tokens
from jumok.errors import JumokError
from jumok.measures.localisation_meter import Scores, score


def test_scores_of_a_small_example_worked_by_hand():
    heat = torch.tensor([[4.0, 3.0, 2.0], [0.0, 1.0, 0.0]])
    mask = torch.tensor([[True, False, True], [False, False, False]])
    found = score(heat, mask)
    assert found.pointing == 1
    assert found.energy_inside == pytest.approx(6 / 10)
    assert found.iou_best == pytest.approx(2 / 3)  # at or above 2: three pixels, two of them right
    assert found.iou_mean == pytest.approx(2 / 3)  # the mean is 10 / 6
    assert found.auprc == pytest.approx((1 / 1 + 2 / 3) / 2)


@fast
@given(SEEDS, st.integers(2, 400))
def test_auprc_is_scikit_learns_average_precision_ties_or_not(seed, levels):
    random = np.random.default_rng(seed)
    heat, mask = tied_heat(random, levels=levels), a_mask(random)
    wanted = average_precision_score(mask.flatten().numpy(), heat.flatten().numpy())
    assert score(heat, mask).auprc == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64])
def test_auprc_is_scikit_learns_for_every_kind_of_number(dtype):
    random = np.random.default_rng(7)
    heat, mask = torch.from_numpy(random.random((64, 64)) * 1000).to(dtype), a_mask(random, 64, 64)
    wanted = average_precision_score(mask.flatten().numpy(), heat.flatten().double().numpy())
    assert score(heat, mask).auprc == pytest.approx(wanted, abs=1e-12)


@fast
@given(SEEDS, st.integers(2, 40))
def test_iou_at_the_best_threshold_is_the_largest_of_all_thresholds(seed, levels):
    random = np.random.default_rng(seed)
    heat, mask = tied_heat(random, 8, 9, levels), a_mask(random, 8, 9)
    truth = mask.flatten().numpy()
    every = [jaccard_score(truth, (heat >= threshold).flatten().numpy()) for threshold in heat.unique()]
    assert score(heat, mask).iou_best == pytest.approx(max(every))


@fast
@given(SEEDS)
def test_iou_at_the_mean_threshold_is_that_of_the_pixels_above_the_mean(seed):
    random = np.random.default_rng(seed)
    heat, mask = tied_heat(random), a_mask(random)
    marked = (heat > heat.double().mean()).flatten().numpy()
    assert score(heat, mask).iou_mean == pytest.approx(jaccard_score(mask.flatten().numpy(), marked))


@fast
@given(SEEDS)
def test_a_perfect_map_scores_1_on_everything(seed):
    mask = a_mask(np.random.default_rng(seed))
    assert score(mask.float(), mask) == pytest.approx(Scores(1, 1, 1, 1, 1))


@fast
@given(SEEDS)
def test_the_worst_map_scores_0_where_0_can_be_had(seed):
    mask = a_mask(np.random.default_rng(seed))
    found = score((~mask).float(), mask)
    area = float(mask.float().mean())
    assert found == pytest.approx(Scores(pointing=0, energy_inside=0, iou_best=area, iou_mean=0, auprc=area))


@fast
@given(SEEDS, st.sampled_from([lambda x: 3 * x + 7, torch.exp, lambda x: x**3 - 500, lambda x: -1 / (x + 1) + 2]))
def test_scores_of_order_do_not_change_with_a_growing_function(seed, grow):
    random = np.random.default_rng(seed)
    heat, mask = tied_heat(random).double(), a_mask(random)
    before, after = score(heat, mask), score(grow(heat), mask)
    for name in ("pointing", "iou_best", "auprc"):
        assert getattr(after, name) == pytest.approx(getattr(before, name)), name


@fast
@given(SEEDS, st.integers(-20, 20))
def test_no_score_changes_with_the_scale(seed, exponent):
    random = np.random.default_rng(seed)
    heat, mask = tied_heat(random), a_mask(random)
    assert score(heat * 2.0**exponent, mask) == pytest.approx(score(heat, mask))


@fast
@given(SEEDS)
def test_no_score_changes_when_image_and_mask_are_mirrored(seed):
    random = np.random.default_rng(seed)
    heat, mask = tied_heat(random), a_mask(random)
    assert score(heat.flip(1), mask.flip(1), tolerance=2) == pytest.approx(score(heat, mask, tolerance=2))


def test_values_below_0_have_no_energy():
    mask = torch.tensor([[True, False], [False, False]])
    heat = torch.tensor([[1.0, 3.0], [-5.0, -9.0]])
    assert score(heat, mask).energy_inside == pytest.approx(score(heat.clamp(min=0), mask).energy_inside)
    assert score(heat, mask).energy_inside == pytest.approx(0.25)


def test_tied_peaks_share_the_hit():
    mask = torch.zeros(4, 5, dtype=torch.bool)
    mask[0, :2] = True
    heat = torch.zeros(4, 5)
    heat[0] = 1
    assert score(heat, mask).pointing == pytest.approx(2 / 5)


@fast
@given(SEEDS, st.integers(0, 7))
def test_pointing_within_a_tolerance_is_a_distance_to_the_mask(seed, tolerance):
    random = np.random.default_rng(seed)
    mask = a_mask(random)
    row, column = int(random.integers(16)), int(random.integers(20))
    heat = torch.zeros(16, 20)
    heat[row, column] = 1
    distance = min(math.dist((row, column), place) for place in mask.nonzero().tolist())
    assert score(heat, mask, tolerance=tolerance).pointing == float(distance <= tolerance)


def test_a_tolerance_larger_than_the_image_always_hits():
    random = np.random.default_rng(0)
    assert score(tied_heat(random), a_mask(random), tolerance=100).pointing == 1


def test_a_map_is_laid_smoothly_over_the_mask_and_its_cls_token_is_left_out():
    weights = torch.tensor([[0.9, 0.1, 0.2, 0.3, 0.4]])
    heat = AttentionMap(weights, One("cls"), Patches(2, 2, special=("cls",)))
    mask = torch.zeros(12, 8, dtype=torch.bool)
    mask[8:, 5:] = True
    assert score(heat, mask) == score(heat.image(12, 8, smooth=True)[0], mask)
    assert score(heat, mask).pointing == 1


@pytest.mark.parametrize(
    ("heat", "message"),
    [
        (torch.full((4, 4), 0.25), "all values are equal: no place is marked"),
        (torch.zeros(4, 4), "all values are equal"),
        (AttentionMap(torch.full((1, 9), 1 / 9), One("cls"), Patches(3, 3)), "all values are equal"),
        (torch.arange(16.0).view(4, 4) - 20, "no value is above 0"),
        (torch.tensor([[float("nan")] * 4] * 4), "NaN"),
        (torch.arange(20.0).view(4, 5), r"shape \(4, 5\), wanted the mask's \(4, 4\)"),
        (AttentionMap(torch.rand(2, 4), Tokens(("a", "b")), Patches(2, 2)), "one row"),
        (AttentionMap(torch.rand(3, 1, 4), One("cls"), Patches(2, 2), ("head",)), "one row"),
        (AttentionMap(torch.rand(1, 2), One("cls"), Tokens(("a", "b"))), "do not lie in an image"),
    ],
)
def test_a_map_that_cannot_be_scored_is_an_error(heat, message):
    mask = torch.eye(4, dtype=torch.bool)
    with pytest.raises(JumokError, match=message):
        score(heat, mask)


@pytest.mark.parametrize(
    ("mask", "options", "message"),
    [
        (torch.zeros(4, 4, dtype=torch.bool), {}, "empty or covers"),
        (torch.ones(4, 4, dtype=torch.bool), {}, "empty or covers"),
        (torch.eye(4), {}, "bool"),
        (torch.ones(1, 4, 4, dtype=torch.bool), {}, r"\(height, width\)"),
        (torch.eye(4, dtype=torch.bool), {"tolerance": -1}, "tolerance"),
    ],
)
def test_a_mask_that_cannot_be_used_is_an_error(mask, options, message):
    with pytest.raises(JumokError, match=message):
        score(torch.rand(4, 4), mask, **options)
