import numpy as np
import pandas as pd
import pytest

from jumok.data.ready_tables import make_ready
from jumok.errors import JumokError


def wild():
    return pd.DataFrame(
        {
            "x": [1.0, 2.0, None, 4.0, 10.0, 6.0],
            "yes": [True, False, True, False, True, True],
            "colour": ["red", "blue", None, "red", "red", "blue"],
            "id": list("abcdef"),
            "none": [None] * 6,
            "day": pd.to_datetime(["2026-01-01"] * 6),
            "same": [3] * 6,
            "part": ["good", "bad", "good", None, "bad", "good"],
        }
    )


def test_what_cannot_be_used_is_left_out_and_said():
    ready = make_ready(wild(), "part")
    assert list(ready.table.columns) == ["x", "yes", "day (days)", "same"]
    assert ready.sources == ["x", "yes", "day", "same"]
    assert ready.table["x"].tolist() == [1, 2, 4, 10, 6]  # the median of 1, 2, 10 and 6
    assert ready.table["yes"].tolist() == [1, 0, 1, 1, 1]
    assert ready.constant.tolist() == [False, False, True, True]
    assert ready.target.tolist() == ["good", "bad", "good", "bad", "good"]
    said = "; ".join(ready.notes)
    for what in ("without a target: 1 of 6 rows", "text, which this method cannot use: colour", "nothing in them: none",
                 "text of more than 3 different values: id", "1 missing value in x",
                 "one value only: day (days), same"):  # fmt: skip
        assert what in said


def test_text_as_categories():
    ready = make_ready(wild(), "part", categories=True)
    assert ready.table.columns[ready.discrete].tolist() == ["colour"]
    assert ready.table["colour"].tolist() == [0, 1, 2, 0, 1]


def test_rows_with_missing_values_may_go():
    ready = make_ready(wild(), "part", missing="rows")
    assert ready.table["x"].tolist() == [1, 2, 10, 6]
    assert ready.target.tolist() == ["good", "bad", "bad", "good"]


@pytest.mark.parametrize(
    ("change", "target", "options", "message"),
    [
        ({}, "prat", {}, "did you mean 'part'"),
        ({}, "day", {}, "holds dates: wanted numbers or text"),
        ({}, "none", {}, "missing in every row"),
        ({}, "part", {"missing": "stop"}, "1 missing value in x"),
        ({}, "part", {"missing": "mean"}, "did you mean 'median'"),
        ({"x": [np.inf] + [0.0] * 5}, "part", {}, "'x' holds 1 infinite"),
        ({"part": [np.inf] + [0.0] * 5}, "part", {}, "target 'part' holds infinite"),
        ({"x": list("uvwxyz"), "yes": None, "same": None, "day": None}, "part", {}, "no column but 'part' is left"),
        (
            {"x": [None, 1, None, 1, None, None], "yes": [1, None, 1, None, 1, 1]},
            "part",
            {"missing": "rows"},
            "every row has some",
        ),
    ],
)
def test_tables_that_cannot_be_used(change, target, options, message):
    with pytest.raises(JumokError, match=message) as raised:
        make_ready(wild().assign(**change), target, **options)
    assert "\n" not in str(raised.value)


def test_kinds_of_columns_that_pandas_knows():
    table = pd.DataFrame(
        {
            "whole": pd.array([1, None, 3, 4], dtype="Int64"),
            "maybe": pd.array([True, None, False, True], dtype="boolean"),
            "kind": pd.Categorical(["a", "b", "a", "b"]),
            "mixed": [1, "a", 1, "a"],
            "lists": [[1], [2], [3], [4]],
            "t": [0, 1, 0, 1],
        }
    )
    ready = make_ready(table, "t", categories=True)
    assert list(ready.table.columns) == ["whole", "maybe", "kind", "mixed"]
    assert ready.discrete.tolist() == [False, False, True, True]
    assert np.isfinite(ready.table.to_numpy()).all()
