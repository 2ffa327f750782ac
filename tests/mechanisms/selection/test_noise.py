import numpy as np
import pytest
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from jumok.mechanisms.selection import METHODS, MutualInformation, noise
from jumok.mechanisms.selection.mutual_information import expected_by_chance, mutual_information
from jumok.mechanisms.selection.noise import judge_noise

EVERY = pytest.mark.parametrize("method", METHODS)


def table_of(rows, seed=0, shift=1.2):
    """One column that tells, two of noise, a category of many values that tells nothing."""
    chance = np.random.default_rng(seed)
    target = np.arange(rows) % 2
    columns = [target * shift + chance.normal(size=rows), chance.normal(size=rows), chance.exponential(size=rows),
               chance.integers(0, rows // 3, rows)]  # fmt: skip
    return np.column_stack(columns), target


def prepare(method, table, target, k=1):
    selector = METHODS[method](k=k)
    if "discrete" in selector.get_params():
        selector.set_params(discrete=np.array([False, False, False, True]), corrected=True)
    return selector.fit(table, target)


@EVERY
def test_what_tells_is_surely_better_than_noise_and_nothing_else_is(method):
    table, target = table_of(200)
    found = judge_noise(prepare(method, table, target), table, target)
    assert found.better.tolist() == [True, False, False, False]
    assert found.p[0] == pytest.approx(1 / 201)
    assert (found.low <= found.alone).all()
    assert (found.alone <= found.high).all()
    assert found.low[0] > 0


def test_what_is_called_better_has_an_interval_without_0_where_the_effect_is_weak():
    both = 0
    for seed in range(20):
        table, target = table_of(80, seed, shift=0.65)  # t near 3
        found = judge_noise(prepare("anova", table, target), table, target, seed=seed)
        assert (found.low[found.better] > 0).all()
        both += found.better[0]
    assert both >= 10


def test_of_tables_of_noise_about_one_in_twenty_has_a_column_called_better():
    wrong = 0
    for seed in range(60):
        table, target = table_of(60, seed, shift=0)
        found = judge_noise(prepare("anova", table, target), table, target, seed=seed)
        wrong += found.better.any()
    assert wrong <= 8  # expected 3; more than 8 has a chance of 0.006


def test_intervals_cover_the_true_score():
    large = table_of(200_000)
    true = prepare("anova", *large).score_alone(*large, True)[0] / 200_000  # F grows with the rows
    hits = 0
    for seed in range(40):
        table, target = table_of(400, seed + 1)
        found = judge_noise(prepare("anova", table, target), table, target)
        hits += found.low[0] / 400 <= true <= found.high[0] / 400
    assert hits >= 33  # expected 38


def test_numbers_as_target():
    table, _ = table_of(200)
    target = table[:, 0] ** 2 + 0.1 * table[:, 1]
    selector = MutualInformation(discrete=np.array([False, False, False, True]), corrected=True).fit(table, target)
    assert judge_noise(selector, table, target).better.tolist() == [True, False, False, False]


def test_the_same_seed_gives_the_same_and_large_tables_are_judged_by_some_rows(monkeypatch):
    monkeypatch.setattr(noise, "MOST_CELLS", 100_000)
    monkeypatch.setattr(noise, "FEWEST_ROWS_DRAWN", 100)
    table, target = table_of(1000)
    selector = prepare("fisher", table, target)
    first, again = judge_noise(selector, table, target, seed=3), judge_noise(selector, table, target, seed=3)
    assert (first.rows, first.shuffles) == (113, 200)
    np.testing.assert_array_equal(first.p, again.p)
    assert first.better[0]
    whole = prepare("fisher", table, target).scores_
    np.testing.assert_array_equal(first.alone, whole)  # scored by all rows


def test_too_few_rows_tell_nothing():
    table, target = table_of(8)
    assert judge_noise(prepare("fisher", table, target), table, target) is None
    table, _ = table_of(12)
    target = np.array([0, *range(11)])  # without one row of the only pair nothing varies within classes
    assert judge_noise(prepare("anova", table, target), table, target) is None


# -- what chance gives --------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [2, 7, 60, 120])
def test_what_chance_gives_is_that_of_scikit_learn(levels):
    chance = np.random.default_rng(levels)
    x, y = chance.integers(0, levels, 120), chance.integers(0, 3, 120)
    exact = expected_mutual_information(contingency_matrix(x, y, sparse=True), 120)
    assert expected_by_chance(np.bincount(x), np.bincount(y)) == pytest.approx(exact, rel=0.06)
    corrected = mutual_information(x[:, None], y, discrete_target=True, discrete=True, corrected=True)[0]
    assert corrected == pytest.approx(max(0, mutual_info_score(x, y) - exact), abs=0.002)


def test_a_column_that_is_the_class_keeps_nearly_all_of_its_information():
    y = np.arange(400) % 4
    found = mutual_information(y[:, None], y, discrete_target=True, discrete=True, corrected=True)[0]
    assert found == pytest.approx(mutual_info_score(y, y) - 9 / 800)
