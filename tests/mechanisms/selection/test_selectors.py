import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits, load_iris
from sklearn.feature_selection import f_classif, f_regression, mutual_info_classif, mutual_info_regression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from jumok.attention import AttentionMap, Features, One, Pixels, Scale
from jumok.errors import JumokError
from jumok.mechanisms.selection import (
    JMI,
    METHODS,
    MRMR,
    AnovaF,
    FisherScore,
    MutualInformation,
    guess_kind,
    masks,
    redundancy,
    select,
)
from jumok.mechanisms.selection.mutual_information import mutual_information
from jumok.views.pictures.heatmap import draw

EVERY = pytest.mark.parametrize("method", METHODS)
BY_CLASSES_ONLY = {"fisher"}
TELLING = set(METHODS) - {"mrmr-miq"}  # it takes what x2 and x3 both tell of the class for redundancy


def parts(seed=0, each=200):
    """Four measures of normal and defective parts: x1 tells nothing, x2 and x3 nearly all, x4 something."""
    chance = np.random.default_rng(seed)
    defective = np.repeat([0, 1], each)
    shifts = {"x1": 0, "x2": 4, "x3": -4, "x4": 1.5}
    table = pd.DataFrame({name: chance.normal(size=2 * each) + by * defective for name, by in shifts.items()})
    return table, pd.Series(np.where(defective, "defective", "normal"), name="part")


def mixture(rows=600, columns=12, seed=0):
    """Columns that depend on hidden factors in many ways, two of them with many equal numbers, one with outliers."""
    chance = np.random.default_rng(seed)
    hidden = chance.normal(size=(rows, 3))
    table = np.tanh(hidden @ chance.normal(size=(3, columns))) + chance.normal(size=(rows, columns))
    table[:, 3], table[:, 4], table[:, 5] = np.round(table[:, 3]), table[:, 4] > 0, np.exp(3 * table[:, 5])
    return table, hidden


# -- scikit-learn's contract --------------------------------------------------------------------


@parametrize_with_checks([FisherScore(), AnovaF(), MutualInformation(), *(MRMR(criterion=c) for c in ("FCQ", "MID")),
                          JMI(k=2)])  # fmt: skip
def test_estimators_pass_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@EVERY
def test_it_works_in_a_pipeline_with_names_and_pandas(method):
    table, target = parts()
    pipeline = make_pipeline(StandardScaler(), METHODS[method](k=2), LogisticRegression()).set_output(
        transform="pandas"
    )
    assert pipeline.fit(table, target).score(table, target) > 0.8
    selector = METHODS[method](k=2).set_output(transform="pandas").fit(table, target)
    kept = selector.transform(table)
    assert isinstance(kept, pd.DataFrame)
    assert list(kept.columns) == list(selector.get_feature_names_out()) == list(table.columns[selector.get_support()])
    pd.testing.assert_frame_equal(kept, table[list(kept.columns)])
    assert sorted(selector.order_) == list(np.flatnonzero(selector.get_support()))


# -- what they choose ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", sorted(TELLING))
@pytest.mark.parametrize("seed", range(5))
def test_of_four_measures_the_two_that_tell_normal_from_defective_are_kept(method, seed):
    table, target = parts(seed)
    selector = METHODS[method](k=2).fit(table, target)
    assert set(selector.get_feature_names_out()) == {"x2", "x3"}


def test_a_repeated_column_is_redundant():
    table, target = parts()
    table["again"] = table["x3"]
    assert "again" in AnovaF(k=2).fit(table, target).get_feature_names_out()
    for method in ("mrmr-fcq", "mrmr-mid", "mrmr-miq", "jmi"):
        kept = set(METHODS[method](k=2).fit(table, target).get_feature_names_out())
        assert len(kept & {"x3", "again"}) == 1, method


def test_joint_information_sees_an_exclusive_or():
    chance = np.random.default_rng(0)
    table = chance.integers(0, 2, (4000, 2))
    target = table[:, 0] ^ table[:, 1] ^ (chance.random(4000) < 0.02)
    scores = JMI(k=2, discrete=True).fit(table, target).scores_
    assert scores.min() < 0.01  # the first, alone
    assert scores.max() > 0.5  # the second, beside it


@EVERY
def test_constant_columns_come_after_all_others(method):
    table, target = parts()
    table.insert(0, "same", 7.0)
    selector = METHODS[method](k=4).fit(table, target)
    assert "same" not in selector.get_feature_names_out()
    assert selector.scores_[0] == 0
    assert METHODS[method](k=5).fit(table, target).get_support().all()


@pytest.mark.parametrize("method", sorted(set(METHODS) - BY_CLASSES_ONLY))
def test_numbers_as_target(method):
    table, hidden = mixture()
    target = hidden[:, 0] + 0.1 * table[:, 7]
    table = np.column_stack([table, target + 0.2 * hidden[:, 1]])
    selector = METHODS[method](k=1).fit(table, target)
    assert selector.target_kind_ == "numbers"
    assert selector.order_.tolist() == [12]


def test_a_column_that_is_the_class_scores_most_and_finitely():
    table, target = parts()
    table["told"] = (target == "normal").astype(float)
    for method in METHODS:
        selector = METHODS[method](k=1).fit(table, target)
        assert selector.get_feature_names_out().tolist() == ["told"], method
        assert np.isfinite(selector.attention_map(scores=True).weights).all()


# -- what they score ----------------------------------------------------------------------------


def test_f_statistics_are_those_of_scikit_learn():
    table, hidden = mixture()
    classes = np.digitize(hidden[:, 0], [-1, 0, 1])
    np.testing.assert_allclose(AnovaF().fit(table, classes).scores_, f_classif(table, classes)[0], rtol=1e-9)
    numbers = hidden[:, 0] + hidden[:, 1]
    np.testing.assert_allclose(AnovaF().fit(table, numbers).scores_, f_regression(table, numbers)[0], rtol=1e-9)
    rows, count = len(classes), 4
    fisher = FisherScore().fit(table, classes).scores_
    np.testing.assert_allclose(fisher * (rows - count) / (count - 1), f_classif(table, classes)[0], rtol=1e-9)


def compare(table, target, *, discrete_target, discrete=False, atol=1e-10, **options):
    ours = mutual_information(table, target, discrete_target=discrete_target, discrete=discrete, **options)
    theirs = mutual_info_classif if discrete_target else mutual_info_regression
    others = theirs(
        table, target, discrete_features=discrete, n_neighbors=options.get("neighbours", 3),
        random_state=options.get("seed", 0),
    )  # fmt: skip
    assert others.max() > 0.05
    assert np.corrcoef(ours, others)[0, 1] >= 0.99
    np.testing.assert_allclose(ours, others, atol=atol)


@pytest.mark.parametrize("neighbours", [1, 3, 8])
@pytest.mark.parametrize("threads", [1, 3])
def test_mutual_information_is_that_of_scikit_learn(neighbours, threads):
    table, hidden = mixture()
    options = {"neighbours": neighbours, "threads": threads, "seed": 5}
    compare(table, np.digitize(hidden[:, 0], [-1, 0, 1]), discrete_target=True, **options)
    compare(table, hidden[:, 0] + hidden[:, 1] ** 2, discrete_target=False, **options)


@pytest.mark.parametrize("target", ["rounded", "two values", "heavy tails"])
def test_mutual_information_with_equal_and_extreme_targets(target):
    table, hidden = mixture()
    y = {"rounded": np.round(hidden[:, 0]), "two values": (hidden[:, 0] > 1) * 1.0, "heavy tails": hidden[:, 0] ** 9}
    compare(table, y[target], discrete_target=False)
    compare(np.round(table), y[target], discrete_target=False)


def test_mutual_information_of_columns_in_classes():
    table, hidden = mixture()
    levels = np.round(1.5 * table).astype(int)
    kinds = np.arange(12) % 3 == 0
    mixed = np.where(kinds, levels, table)
    classes, numbers = np.digitize(hidden[:, 0], [-1, 0, 1]), hidden[:, 0]
    compare(levels, classes, discrete_target=True, discrete=True)
    compare(mixed, classes, discrete_target=True, discrete=kinds)
    # classes of a few rows: scikit-learn takes distances of these from products, and loses digits by it
    compare(levels, numbers, discrete_target=False, discrete=True, atol=2e-3)
    compare(mixed, numbers, discrete_target=False, discrete=kinds, atol=2e-3)


def test_mutual_information_with_rare_classes():
    table, hidden = mixture()
    classes = np.digitize(hidden[:, 0], [-1, 0, 1])
    classes[0], classes[1:3] = 8, 9
    compare(table, classes, discrete_target=True, atol=2e-3)


@given(st.integers(4, 60), st.integers(0, 10_000), st.sampled_from([0, 1, 3]), st.booleans())
def test_mutual_information_of_small_tables(rows, seed, digits, discrete_target):
    chance = np.random.default_rng(seed)
    table = np.round(chance.normal(size=(rows, 3)), digits)
    target = chance.integers(0, 2, rows) if discrete_target else np.round(chance.normal(size=rows), digits)
    found = mutual_information(table, target, discrete_target=discrete_target, neighbours=2)
    theirs = mutual_info_classif if discrete_target else mutual_info_regression
    assert (found >= 0).all()
    if rows > 24:  # from there on scikit-learn takes its distances from a tree
        np.testing.assert_allclose(found, theirs(table, target, n_neighbors=2, random_state=0), atol=1e-9)


def test_scaling_a_column_or_repeating_the_call_changes_nothing():
    table, hidden = mixture()
    target = hidden[:, 0]
    first = mutual_information(table, target, discrete_target=False)
    np.testing.assert_array_equal(first, mutual_information(table, target, discrete_target=False))
    scaled = mutual_information(1024 * table, target, discrete_target=False)
    np.testing.assert_allclose(scaled, first, atol=1e-9)


@given(st.lists(st.integers(0, 3), min_size=6, max_size=40), st.integers(0, 1000))
def test_joint_information_counts_as_scikit_learn_does(levels, seed):
    chance = np.random.default_rng(seed)
    table = np.column_stack([levels, chance.integers(0, 3, len(levels))])
    target = chance.integers(0, 3, len(levels))
    coded = redundancy.code_columns(table, np.array([True, True]), 5)
    alone = redundancy.joint_information(coded, target)
    np.testing.assert_allclose(alone, [mutual_info_score(column, target) for column in table.T], atol=1e-9)
    beside = redundancy.joint_information(coded, target, beside=1)
    np.testing.assert_allclose(beside[0], mutual_info_score(table[:, 0] * 4 + table[:, 1], target), atol=1e-9)


def test_bins_hold_about_as_many_rows_and_part_no_equal_numbers():
    counts = np.bincount(redundancy.cut_into_bins(np.random.default_rng(0).normal(size=1000), 5))
    assert counts.tolist() == [200] * 5
    zeros = np.concatenate([np.zeros(950), np.linspace(1, 2, 50)])
    codes = redundancy.cut_into_bins(zeros, 5)
    assert set(codes[:950]).isdisjoint(codes[950:])


def test_mrmr_chooses_by_its_definition():
    table, hidden = mixture(columns=8)
    target = np.digitize(hidden[:, 0], [-1, 0, 1])
    relevance, correlation = (
        f_classif(table, target)[0],
        np.maximum(np.abs(np.corrcoef(table.T)), redundancy.LEAST_REDUNDANCY),
    )
    for criterion, judge in (("FCQ", np.divide), ("FCD", np.subtract)):
        chosen = [int(relevance.argmax())]
        while len(chosen) < 5:
            scores = judge(relevance, correlation[:, chosen].mean(1))
            scores[chosen] = -np.inf
            chosen.append(int(scores.argmax()))
        assert MRMR(k=5, criterion=criterion).fit(table, target).order_.tolist() == chosen


# -- maps ---------------------------------------------------------------------------------------


@EVERY
def test_the_target_looks_at_the_columns_kept(method):
    table, target = parts()
    selector = METHODS[method](k=2).fit(table, target)
    found = selector.attention_map()
    assert found.queries == One("target")
    assert found.keys == Features(("x1", "x2", "x3", "x4"))
    assert found.scale is Scale.MASK
    assert found.weights[0].bool().tolist() == selector.get_support().tolist()
    assert found.source == f"feature-selection/{method}"
    scores = selector.attention_map(scores=True)
    assert scores.scale is Scale.SCORE
    torch.testing.assert_close(scores.weights[0], torch.tensor(selector.scores_, dtype=torch.float32))


def test_a_map_survives_the_disk(tmp_path):
    found = FisherScore(k=2).fit(*parts()).attention_map()
    found.save(tmp_path / "map.safetensors")
    assert AttentionMap.load(tmp_path / "map.safetensors").keys == found.keys


def test_pixels_of_digits_are_kept_where_digits_differ_and_drawn(tmp_path):
    digits = load_digits()
    selector = JMI(k=16).fit(digits.data, digits.target)
    found = selector.attention_map(image=(8, 8))
    assert found.keys == Pixels(8, 8)
    kept = found.image(8, 8)[0]
    assert kept.sum() == 16
    assert kept[:, [0, 7]].sum() == 0  # nothing is written at the border
    plain = LogisticRegression(max_iter=3000)
    score = plain.fit(selector.transform(digits.data) / 16, digits.target).score(
        selector.transform(digits.data) / 16, digits.target
    )
    assert score > 0.85
    mean = torch.from_numpy(digits.images.mean(0) * 255 / 16).to(torch.uint8).expand(3, 8, 8)
    draw(found, mean, tmp_path / "digits.png")
    assert (tmp_path / "digits.png").stat().st_size > 2000
    with pytest.raises(JumokError, match=r"8 x 9 has 72 pixels, and the table 64 columns"):
        selector.attention_map(image=(8, 9))


def test_names_that_nobody_gave():
    iris = load_iris()
    assert FisherScore(k=2).fit(iris.data, iris.target).attention_map().top(2) == [("x2", 1.0), ("x3", 1.0)]


def test_a_batch_of_tables_each_with_its_own_mask():
    tables, target = torch.zeros(2, 8, 3), torch.arange(8).expand(2, 8) % 2
    tables += torch.rand(2, 8, 3, generator=torch.Generator().manual_seed(0))
    tables[0, :, 1] += 5 * target[0]
    tables[1, :, 2] += 5 * target[1]
    assert masks(tables, target, FisherScore(k=1)).tolist() == [[[0, 1, 0]], [[0, 0, 1]]]
    kept = select(tables, target, FisherScore(k=1))
    torch.testing.assert_close(kept, torch.stack([tables[0, :, 1:2], tables[1, :, 2:3]]))


# -- what they refuse ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        (FisherScore(k=5), "n_features=4"),
        (FisherScore(k=0), "got 0"),
        (FisherScore(k=1.5), r"got 1\.5"),
        (AnovaF(k=1, target="number"), "did you mean 'numbers'"),
        (AnovaF(k=1, target="numbers"), "said to be numbers, but holds|convert"),
        (MRMR(k=1, criterion="FCX"), "no criterion 'FCX'"),
        (JMI(k=1, bins=1), "bins are from 2 to 256, got 1"),
        (JMI(k=1, discrete=[True]), "4 columns"),
        (JMI(k=1, discrete=True), "wanted at most 256"),
        (MutualInformation(k=1, neighbours=0), "neighbours is 1 or more"),
    ],
)
def test_options_that_do_not_fit(selector, message):
    with pytest.raises(ValueError, match=message):
        selector.fit(*parts())


@EVERY
def test_a_target_of_one_class_or_number(method):
    table, _ = parts()
    with pytest.raises(JumokError, match="one class only, 'normal'"):
        METHODS[method]().fit(table, ["normal"] * 400)
    if method not in BY_CLASSES_ONLY:
        with pytest.raises(JumokError, match=r"one value only, 0\.5"):
            METHODS[method](target="numbers").fit(table, np.full(400, 0.5))


def test_numbers_where_classes_are_wanted():
    with pytest.raises(JumokError, match="put them into classes"):
        FisherScore().fit(parts()[0], np.linspace(0, 1, 400))


def test_kinds_of_target():
    assert guess_kind(np.array([True, False])) == "classes"
    assert guess_kind(np.arange(20)) == "classes"
    assert guess_kind(np.arange(21)) == "numbers"
    assert guess_kind(np.array([1.0, 2.0])) == "classes"


def test_tables_that_do_not_fit_their_target():
    with pytest.raises(JumokError, match=r"\(4, 2\) and a target of \(3,\)"):
        mutual_information(np.zeros((4, 2)), np.zeros(3), discrete_target=False)
    with pytest.raises(JumokError, match="need more rows"):
        mutual_information(np.zeros((3, 2)), np.zeros(3), discrete_target=False)


@pytest.mark.parametrize("threads", [1, 3])
def test_columns_are_summed_together_as_one_by_one(monkeypatch, threads):
    draw = np.random.default_rng(0)
    codes = np.repeat(np.arange(3), 7)
    columns = redundancy.centre_columns(draw.normal(size=(len(codes), 10)) + codes[:, None])
    between = [sum(7 * column[codes == each].mean() ** 2 for each in range(3)) for column in columns]
    monkeypatch.setattr(redundancy, "VALUES_AT_ONCE", 4 * len(codes))  # blocks of 4, 4 and 2 columns
    found = redundancy.variances(columns, codes, threads)
    np.testing.assert_allclose(found[0], between, rtol=1e-12)
    np.testing.assert_allclose(found[0] + found[1], (columns**2).sum(1), rtol=1e-12)
