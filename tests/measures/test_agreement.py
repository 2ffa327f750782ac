from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jumok.attention import AttentionMap, One, Patches, Scale, Tokens
from jumok.errors import JumokError
from jumok.measures.agreement import Agreement, rank_correlation
from jumok.measures.localisation_scores import BlankError


def a_map(values, rows=2, columns=3, special=()):
    keys = Patches(rows, columns, special=special)
    return AttentionMap(torch.tensor([values]).float(), One("question"), keys, scale=Scale.RELEVANCE)


def by_hand(one, other):
    """Pearson's correlation of the ranks, where equal values share the mean of their ranks."""
    ranks = [[np.mean([sum(u < v for u in x) + 1, sum(u <= v for u in x)]) for v in x] for x in (one, other)]
    return np.corrcoef(*ranks)[0, 1]


# -- two maps ---------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=12))
def test_it_is_the_correlation_of_ranks_ties_or_not(pairs):
    one, other = zip(*pairs, strict=True)
    if len(set(one)) == 1 or len(set(other)) == 1:
        return
    found = rank_correlation(torch.tensor(one).float(), torch.tensor(other).float())
    assert found == pytest.approx(by_hand(one, other))


def test_only_the_order_matters():
    first = torch.rand(6, 7, generator=torch.Generator().manual_seed(0))
    assert rank_correlation(first, first.exp() * 100) == pytest.approx(1)
    assert rank_correlation(first, -first) == pytest.approx(-1)
    other = torch.rand(6, 7, generator=torch.Generator().manual_seed(1))
    assert rank_correlation(first, other) == pytest.approx(rank_correlation(other, first))
    assert abs(rank_correlation(first, other)) < 0.5


def test_tokens_that_cover_no_pixels_are_left_out():
    one, other = a_map([9, 1, 2, 3, 4, 5, 6], special=("cls",)), a_map([0, 1, 2, 3, 4, 5, 6], special=("cls",))
    assert rank_correlation(one, other) == pytest.approx(1)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (a_map([1, 2, 3, 4, 5, 6]), a_map([1, 2, 3, 4, 5, 6], 3, 2), "different places"),
        (torch.rand(4, 5), torch.rand(5, 4), r"\(4, 5\) and \(5, 4\) values"),
        (AttentionMap(torch.rand(2, 2), Tokens(("a", "b")), Patches(1, 2)), torch.rand(2), "one row"),
        (torch.tensor([1.0, float("nan")]), torch.rand(2), "finite values"),
        (torch.ones(1), torch.ones(1), "two places or more"),
        (torch.rand(4), torch.full((4,), 0.3), "no order to compare"),
    ],
)
def test_what_has_no_correlation_is_an_error(first, second, message):
    with pytest.raises(JumokError, match=message):
        rank_correlation(first, second)


def test_rounding_is_no_order():
    flat = torch.full((4,), 0.25) + torch.tensor([0, 1, -1, 0]) * 3e-8
    assert flat.unique().numel() > 1
    with pytest.raises(BlankError):
        rank_correlation(flat, torch.rand(4))


# -- many images --------------------------------------------------------------------------------------


def random_agreement(images=30, alike=0.0, seed=0):
    random = torch.Generator().manual_seed(seed)
    agreement = Agreement(seed=seed)
    for number in range(images):
        first, noise = torch.rand(2, 49, generator=random)
        agreement.add(f"{number}.png", first, alike * first + (1 - alike) * noise)
    return agreement.report()


def test_an_image_counts_once_however_many_pairs_it_has():
    up, down = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([3.0, 2.0, 1.0])
    agreement = Agreement()
    assert agreement.add("a", up, up) == pytest.approx(1)
    for _ in range(3):
        assert agreement.add("b", up, down) == pytest.approx(-1)
    report = agreement.report()
    assert report.correlation.value == pytest.approx(0)
    assert (report.images, report.pairs, report.blank) == (2, 4, 0)
    assert (report.correlation.low, report.correlation.high) == (-1, 1)


def test_maps_of_two_questions_differ_or_agree_beyond_chance():
    differ, agree = random_agreement(), random_agreement(alike=0.7)
    assert differ.correlation.low < 0 < differ.correlation.high
    assert agree.correlation.low > 0.8
    assert random_agreement().to_dict() == differ.to_dict()


def test_one_image_alone_has_the_widest_interval():
    report = random_agreement(1)
    assert (report.correlation.low, report.correlation.high) == (-1, 1)


def test_a_pair_with_a_blank_map_is_counted_and_left_out():
    agreement = Agreement()
    assert agreement.add("a", torch.zeros(4), torch.rand(4)) is None
    with pytest.raises(JumokError, match="all 1 had a blank map"):
        agreement.report()
    agreement.add("a", torch.arange(4.0), torch.arange(4.0))
    values = json.loads(json.dumps(agreement.report(resamples=100, level=0.9).to_dict()))
    assert values["left_out"] == {"blank": 1}
    assert values["rank_correlation"]["value"] == pytest.approx(1)
    assert values["bootstrap"] == {"level": 0.9, "resamples": 100, "seed": 0}
    assert "1 pair with a blank map left out" in values["summary"]


def test_errors_name_the_image_and_add_nothing():
    agreement = Agreement()
    with pytest.raises(JumokError, match=r"red/1\.png: the maps have"):
        agreement.add("red/1.png", torch.rand(3), torch.rand(4))
    with pytest.raises(JumokError, match="add two maps of one image"):
        agreement.report()
