"""Ranks and their correlation, as scipy has them."""

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from jumok.measures.ranks import correlate_ranks, rank


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["apart", "many alike", "all alike", "turned round"])
def test_ranks_are_those_of_scipy(kind, dtype):
    values = np.random.default_rng(0).normal(size=(5, 40)).astype(dtype)
    values = {"many alike": values.round(), "all alike": values * 0, "turned round": values[:, ::-1]}.get(kind, values)
    assert np.array_equal(rank(values), rankdata(values, axis=1))


def test_correlations_are_those_of_scipy_and_none_of_what_is_constant():
    draw = np.random.default_rng(1)
    one, other = draw.normal(size=(4, 30)), draw.normal(size=(4, 30)).round()
    wanted = [spearmanr(*pair).statistic for pair in zip(one, other, strict=True)]
    assert correlate_ranks(one, other) == pytest.approx(wanted, abs=1e-12)
    one[2] = 1.0
    assert np.isnan(correlate_ranks(one, other)).tolist() == [False, False, True, False]
