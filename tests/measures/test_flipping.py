from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jumok.errors import JumokError
from jumok.measures.flipping import count_removed, flip, weigh_consistency

SEEDS = st.integers(0, 10_000)
fast = settings(deadline=None, max_examples=40)


def rng(seed=0):
    return np.random.default_rng(seed)


def linear(weight):
    """Each unit adds its weight: what taking units away costs is known."""
    return lambda kept: kept.to(weight.dtype) @ weight


def nonlinear(units, seed):
    """An answer in which units depend on each other."""
    mix = torch.from_numpy(rng(seed).normal(size=(units, 5)))
    return lambda kept: torch.tanh(kept.double() @ mix).prod(1)


def slow(answer, values, steps):
    """One input at a time, as the definitions are read."""
    order = (-values).argsort(stable=True).tolist()
    units = len(order)
    shares, most, least = [], [], []
    for step in range(steps + 1):
        gone = int(np.floor(step * units / steps + 0.5))
        shares.append(gone / units)
        for curve, first in ((most, order), (least, order[::-1])):
            kept = torch.ones(units, dtype=torch.bool)
            kept[first[:gone]] = False
            curve.append(float(answer(kept[None])[0]))
    return [np.trapezoid(curve, shares) for curve in (most, least)]


@fast
@given(SEEDS, st.integers(4, 30), st.integers(2, 12))
def test_shared_batches_give_what_one_input_at_a_time_gives(seed, units, steps):
    values = torch.from_numpy(rng(seed).permutation(units).astype(float))
    answer = nonlinear(units, seed)
    found = flip(answer, {"map": values, "other": -values}, random=rng(), steps=steps, batch=7).scores
    deletion, insertion = slow(answer, values, min(steps, units))
    assert found["map"].deletion == pytest.approx(deletion, abs=1e-12)
    assert found["map"].insertion == pytest.approx(insertion, abs=1e-12)
    assert found["map"].srg == pytest.approx(insertion - deletion, abs=1e-12)


@fast
@given(SEEDS, st.integers(2, 30))
def test_srg_of_a_linear_model_is_the_closed_form(seed, units):
    weight = torch.from_numpy(rng(seed).random(units))
    values = torch.from_numpy(rng(seed + 1).permutation(units).astype(float))
    found = flip(linear(weight), {"map": values}, random=rng(), steps=units).scores["map"]
    ranked = weight[(-values).argsort()]  # the unit of rank i is there in i + 1/2 of n parts, and in n - i - 1/2
    here = torch.arange(units).double() + 0.5
    assert found.deletion == pytest.approx(float(ranked @ here) / units)
    assert found.insertion == pytest.approx(float(ranked @ (units - here)) / units)
    assert found.srg == pytest.approx(float(ranked @ (units - 2 * here)) / units)


@fast
@given(SEEDS)
def test_the_true_map_is_best_and_its_reverse_the_opposite(seed):
    weight = torch.from_numpy(rng(seed).random(12))
    maps = {"true": weight, "reverse": -weight, "some": torch.from_numpy(rng(seed + 1).random(12))}
    found = flip(linear(weight), maps, random=rng(), steps=12).scores
    assert found["true"].srg > 0
    assert found["reverse"].srg == pytest.approx(-found["true"].srg)
    assert found["true"].srg >= found["some"].srg
    assert found["random"].srg == 0


def test_random_maps_have_no_gain_on_average():
    weight = torch.linspace(0, 1, 16) ** 3
    found = [flip(linear(weight), {"map": torch.from_numpy(rng(n).random(16))}, random=rng()) for n in range(400)]
    gains = np.array([each.scores["map"].srg for each in found])
    assert abs(gains.mean()) < 3 * gains.std() / 20


def test_a_constant_map_is_chance_and_ties_are_broken_by_chance():
    weight = torch.linspace(0, 1, 10).double()
    maps = {"constant": torch.full((10,), 0.3), "halves": (torch.arange(10) >= 5).float()}
    found = [flip(linear(weight), maps, random=rng(n), steps=10, saco=True).scores for n in range(300)]
    assert all(each["constant"] == each["random"] for each in found)
    wanted = (weight[5:].sum() - weight[:5].sum()) * 0.5  # halves in order, within them by chance
    assert np.mean([each["halves"].srg for each in found]) == pytest.approx(float(wanted), rel=0.02)
    assert np.std([each["halves"].srg for each in found]) > 0


def test_equal_inputs_are_asked_for_once():
    asked = []

    def answer(kept):
        asked.extend(map(tuple, kept.tolist()))
        return kept.float().mean(1)

    values = torch.arange(12.0)
    found = flip(answer, {"one": values, "same": 2 * values, "reverse": -values}, random=rng(), steps=6)
    assert len(asked) == len(set(asked)) == found.passes
    assert found.passes <= 2 + 2 * 5 + 2 * 5  # all, none, one map's (its reverse asks for the same), and random's


def test_batches_are_no_larger_than_allowed():
    sizes = []

    def answer(kept):
        sizes.append(len(kept))
        return kept.float().mean(1)

    flip(answer, {"one": torch.arange(40.0)}, random=rng(), steps=20, batch=16)
    assert max(sizes) <= 16


def test_saco_worked_by_hand():
    assert weigh_consistency(np.array([3.0, 2.0, 0.0]), np.array([0.5, 0.1, 0.2])) == pytest.approx(2 / 6)


@fast
@given(SEEDS)
def test_saco_of_a_linear_models_own_weights_is_1_and_of_their_reverse_minus_1(seed):
    weight = torch.from_numpy(rng(seed).random(12))
    found = flip(linear(weight), {"true": weight, "reverse": -weight}, random=rng(), steps=4, saco=True).scores
    assert found["true"].saco == pytest.approx(1)
    assert found["reverse"].saco == pytest.approx(-1)
    assert -1 <= found["random"].saco <= 1


@given(st.integers(2, 400), st.integers(2, 60))
def test_steps_take_all_away_in_almost_equal_parts(units, steps):
    counts = count_removed(units, min(steps, units))
    assert counts[0] == 0
    assert counts[-1] == units
    assert np.ptp(np.diff(counts)) <= 1
    assert np.diff(counts).min() >= 1


def test_curves_have_as_many_points_for_short_inputs_as_for_long_ones():
    found = flip(linear(torch.ones(3)), {"map": torch.arange(3.0)}, random=rng(), steps=12)
    assert found.most_first["map"].tolist() == pytest.approx(np.linspace(3, 0, 13).tolist())


@pytest.mark.parametrize(
    ("maps", "said"),
    [
        ({}, "no map"),
        ({"a": torch.zeros(3), "b": torch.zeros(4)}, "wanted the same"),
        ({"a": torch.zeros(1)}, "2 units or more"),
        ({"a": torch.tensor([1.0, float("nan")])}, "NaN"),
        ({"random": torch.zeros(3)}, "choose another"),
    ],
)
def test_wrong_maps_are_refused(maps, said):
    with pytest.raises(JumokError, match=said):
        flip(lambda kept: kept.float().mean(1), maps, random=rng())


def test_answers_that_are_no_numbers_are_refused():
    with pytest.raises(JumokError, match="NaN"):
        flip(lambda kept: kept.float().mean(1) / 0, {"a": torch.arange(3.0)}, random=rng())
    with pytest.raises(JumokError, match="one answer for each"):
        flip(lambda kept: kept.float(), {"a": torch.arange(3.0)}, random=rng())


def test_what_was_taken_away_is_told_step_by_step():
    weight = torch.tensor([0.1, 0.4, 0.2, 0.3])
    found = flip(linear(weight), {"map": weight, "flat": torch.ones(4)}, random=rng(), steps=2)
    taken = found.taken["map"]
    assert taken.order.tolist() == [1, 3, 2, 0]
    assert taken.counts.tolist() == [0, 2, 4]
    assert taken.answers == pytest.approx([1, 0.3, 0])
    assert taken.kept().tolist() == [[True] * 4, [True, False, True, False], [False] * 4]
    assert found.taken["flat"] is found.taken["random"], "a map that is constant is chance"
    one = found.taken["random"]
    assert one.answers == pytest.approx([float(weight[mask].sum()) for mask in torch.from_numpy(one.kept())])
