from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from jumok.data.column_types import Corrections, recognise_columns
from jumok.errors import JumokError

ROWS = 40
TARGET = {"t": ["a", "b"] * (ROWS // 2)}


def recognise(values, name="x", target="t", **corrections):
    table = pd.DataFrame({name: values, **({} if name == "t" else TARGET)})
    return recognise_columns(table, target, Corrections(**corrections))[name]


CHANCE = np.random.default_rng(0)
WHOLE = CHANCE.choice(10**6, ROWS, replace=False)


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("x", CHANCE.normal(size=ROWS), "number"),
        ("x", [True, False] * 20, "number"),
        ("x", ["1", "2", "?", "4"] * 10, "number"),
        ("x", ["1.5", "N/A", "-", "None"] * 10, "number"),
        ("x", ["a", "b"] * 20, "category"),
        ("x", ["a", "None"] * 20, "category"),
        ("x", pd.Categorical(["1", "2"] * 20), "category"),
        ("x", [f"2024-01-0{n % 9 + 1}" for n in range(ROWS)], "date"),
        ("x", [20240101 + n % 9 for n in range(ROWS)], "date"),
        ("x", pd.date_range("2024-01-01", periods=ROWS, tz="Asia/Seoul"), "date"),
        ("x", [date(2024, 1, 1) + timedelta(n) for n in range(ROWS)], "date"),
        ("x", pd.to_timedelta(np.arange(ROWS) * 1.5, unit="s"), "number"),
        ("x", [Decimal("1.5"), Decimal("2.5")] * 20, "number"),
        ("x", [f"P{n}" for n in range(ROWS)], "id"),
        ("x", CHANCE.permutation(ROWS) + 7, "id"),
        ("part_id", WHOLE, "id"),
        ("partId", WHOLE, "id"),
        ("Unnamed: 0", [1, 1] * 20, "id"),
        ("width", WHOLE, "number"),
        ("paid", WHOLE, "number"),
        ("x", [f"the part number {n} was scratched" for n in range(ROWS)], "text"),
        ("x", [f"P{n // 2 * (n < 30) + n}" for n in range(ROWS - 1)] + ["P0"], "text"),
        ("x", [None, "?"] * 20, "empty"),
        ("x", [[1], [2]] * 20, "other"),
    ],
)
def test_what_a_column_is(name, values, kind):
    assert recognise(values, name).kind == kind


def test_what_means_missing_is_counted():
    numbers = recognise(["1", "?", "NA", "4"] * 10)
    assert numbers.missing == {"?": 10, "NA": 10}
    assert numbers.values.isna().sum() == 20
    words = recognise(["a", "?", "NA", "a"] * 10)
    assert (words.missing, words.kept) == ({"?": 10}, {"NA": 10})
    assert recognise(["a", "?", "NA", "a"] * 10, na=("NA", "a")).kind == "empty"
    assert recognise([1, -9, 2, 3] * 10, na=("-9",)).missing == {"-9": 10}


def test_a_few_words_of_any_kind_do_not_make_categories_of_numbers():
    spoilt = recognise([*(f"{n / 7:.2f}" for n in range(37)), "below limit", "n.d.", "n.d."])
    assert spoilt.kind == "number"
    assert spoilt.missing == {"below limit": 1, "n.d.": 2}
    assert recognise([*(f"{n / 7:.2f}" for n in range(20)), *["sunny", "rainy"] * 10]).kind != "number"
    assert recognise(["1", "2", "3", "x"] * 10).kind == "category"


def test_none_may_be_a_class_beside_a_few_whole_numbers_and_not_beside_measures():
    assert recognise(["1", "2", "None", "2"] * 10, "t").kind == "category"
    assert recognise(["1", "2", "None", "2"] * 10, "x").kind == "number"
    assert recognise([str(n / 7) for n in range(30)] + ["None"] * 10, "t").kind == "number"


def test_one_column_with_a_decimal_comma_tells_of_the_others():
    table = pd.DataFrame({"x": ["1,5", "2,25"] * 20, "y": ["1,234", "2,345"] * 20, **TARGET})
    assert recognise_columns(table, "t", Corrections())["y"].values.iloc[0] == 1.234
    del table["x"]
    assert recognise_columns(table, "t", Corrections())["y"].values.iloc[0] == 1234


@pytest.mark.parametrize("read", [list, lambda numbers: list(map(str, numbers))], ids=["numbers", "texts"])
def test_whole_numbers_that_fall_together_are_told(read):
    close = [10**18 + number for number in range(40)]
    assert "40 whole numbers beyond 2^53 are rounded to 1: " in recognise(read(close)).doubt
    apart = [10**18 + 1024 * number for number in range(40)]
    assert not recognise(read(apart)).doubt
    assert not recognise(read([2**53 - number for number in range(40)])).doubt


def test_a_number_far_from_all_others_is_doubted():
    assert "hold -999" in recognise([-999, -999, *range(38)]).doubt
    assert not recognise([99, 99, *range(38)]).doubt.count("hold -")
    assert not recognise([-999, *range(39)]).doubt  # once may be an accident


def test_what_a_person_knows_better():
    assert recognise(["1", "x", "2", "y"] * 10, numeric=("x",)).missing == {"x": 10, "y": 10}
    assert recognise([1, 2] * 20, categorical=("x",)).kind == "category"
    assert recognise([f"P{n}" for n in range(ROWS)], categorical=("x",)).kind == "category"
    assert recognise(WHOLE, "part_id", numeric=("part_id",)).kind == "number"
    with pytest.raises(JumokError, match="300 different values"):
        table = pd.DataFrame({"x": range(300), "t": ["a", "b"] * 150})
        recognise_columns(table, "t", Corrections(categorical=("x",)))
    with pytest.raises(JumokError, match="not numbers or text"):
        recognise([[1], [2]] * 20, numeric=("x",))


def test_two_decimal_marks_in_a_column_are_told():
    found = recognise(["1,5", "2.25", "0,125", "7.5"] * 10)
    assert found.kind == "category"
    assert found.doubt.startswith("numbers with a decimal comma ('1,5') and with a decimal point ('2.25'): write")
    assert not recognise(["1.5", "v2,3"] * 20).doubt
