from __future__ import annotations

import numpy as np
import pytest

from jumok import intervals
from jumok.errors import JumokError
from jumok.intervals import Bootstrap, Interval, wilson


def test_interval_agrees_with_the_normal_theory_of_a_mean():
    values = np.random.default_rng(0).normal(0.5, 0.1, 400)
    found = Bootstrap(values, resamples=4000).mean()
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_ninety_five_percent_of_intervals_cover_the_truth():
    random = np.random.default_rng(1)
    found = [Bootstrap(random.random(60) < 0.3, resamples=300, seed=i).mean() for i in range(200)]
    covered = sum(interval.low <= 0.3 <= interval.high for interval in found) / 200
    assert 0.89 <= covered <= 0.99


def test_a_wider_level_gives_a_wider_interval():
    values = np.random.default_rng(2).random(50)
    narrow, wide = Bootstrap(values, level=0.5).mean(), Bootstrap(values, level=0.99).mean()
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_difference_is_paired():
    random = np.random.default_rng(3)
    hardness = random.random(50)
    table = np.stack([hardness + 0.01 + 0.001 * random.random(50), hardness], 1)
    found = Bootstrap(table, bounds=(0, 2))
    gain = found.difference(0, 1)
    assert 0.0100 <= gain.low < gain.value < gain.high <= 0.0111
    assert found.mean(0).low < found.mean(1).high, "unpaired intervals overlap: only pairing shows the gain"
    assert found.difference(1, 0).value == pytest.approx(-gain.value)


def test_same_seed_same_interval_other_seed_another():
    values = np.random.default_rng(4).random(30)
    assert Bootstrap(values, seed=5).mean() == Bootstrap(values, seed=5).mean()
    assert Bootstrap(values, seed=5).mean() != Bootstrap(values, seed=6).mean()


def test_many_samples_are_drawn_in_blocks_of_bounded_size(monkeypatch):
    monkeypatch.setattr(intervals, "BLOCK", 1000)
    values = np.random.default_rng(5).random(300)
    found = Bootstrap(values, resamples=1000).mean()
    half = 1.96 * values.std() / 300**0.5
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


def test_one_sample_tells_nothing_of_the_others():
    found = Bootstrap([[0.4, 0.1]])
    assert found.mean(0) == Interval(0.4, 0.0, 1.0)
    assert (found.difference(0, 1).low, found.difference(0, 1).high) == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, "needs values"),
        (np.zeros((0, 3)), {}, "needs values"),
        ([0.5, float("nan")], {}, "finite"),
        ([0.5, 0.6], {"level": 1.0}, "level"),
        ([0.5, 0.6], {"resamples": 0}, "resamples"),
    ],
)
def test_what_makes_no_interval_is_an_error(values, options, message):
    with pytest.raises(JumokError, match=message):
        Bootstrap(values, **options)


@pytest.mark.parametrize("hits", [0, 10])
def test_hits_that_are_all_alike_have_wilsons_interval(hits):
    found = Bootstrap(np.full(10, hits / 10), of_hits=True).mean()
    assert (found.low, found.high) == pytest.approx(wilson(hits, 10))
    assert Bootstrap(np.full(10, hits / 10)).mean() == Interval(hits / 10, hits / 10, hits / 10)


def test_a_method_that_always_hits_is_not_better_by_all_for_sure():
    hits = Bootstrap([[1, 0, 1]] * 10, of_hits=True)
    unseen = wilson(0, 10)[1]
    assert hits.difference(0, 1) == Interval(1, pytest.approx(1 - 2 * unseen), 1)
    assert hits.difference(0, 2) == Interval(0, 0, 0)  # one and the same
