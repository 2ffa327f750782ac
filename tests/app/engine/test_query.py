"""Queries over rows: what they hold for, and what is no query."""

import pytest

from jumok.app.engine.query import to_expression
from jumok.errors import JumokError

pa = pytest.importorskip("pyarrow")

TABLE = pa.table(
    {
        "index": [0, 1, 2, 3, 4],
        "prediction": ["cat", "dog", "cat", None, "dog"],
        "label": ["cat", "cat", None, "dog", "dog"],
        "probability": pa.array([0.9, 0.5, 0.75, None, 1.0], pa.float32()),
        "error": [None, None, None, "it is empty", None],
        "map": pa.array([[0.0, 1.0]] * 5, pa.list_(pa.float16(), 2)),
    }
)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("prediction != label", [1]),
        ("not prediction == label", [1]),
        ("prediction == 'dog' and probability > 0.7", [4]),
        ("prediction == 'dog' or index == 0", [0, 1, 4]),
        ("0.5 < probability <= 0.9", [0, 2]),
        ("error is not None", [3]),
        ("label is None or index in (0, 1)", [0, 1, 2]),
        ("prediction not in ('cat',)", [1, 4]),
        ("index > -1 and not (prediction == 'cat')", [1, 4]),
        (" index == 3 ", [3]),
    ],
)
def test_rows_for_which_a_query_holds(query, found):
    assert TABLE.filter(to_expression(query, TABLE.schema)).column("index").to_pylist() == found


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "cannot be read"),
        ("prediction = label", "cannot be read"),
        ("prediction", "is true or false of no row"),
        ("__import__('os').system('true') == 0", "is no text or number"),
        ("[x for x in (1,)] == 1", "is no text or number"),
        ("(lambda: 1) == index", "is no text or number"),
        ("predicton == 'dog'", "did you mean 'prediction'"),
        ("map == 1", "no column 'map' to compare"),
        ("prediction == 3", "prediction is a text and 3 is a number"),
        ("probability > 'high'", "texts stand in quotes, numbers do not"),
        ("index in 3", "wanted values in brackets"),
        ("index in ('a',)", "is a text"),
        ("label is 'dog'", "nothing but None follows 'is'"),
        ("index == -'a'", "is no text or number"),
        ("(" * 500 + "index == 1" + ")" * 500, "cannot be read"),
        ("not " * 400 + "index == 1 " * 2, "cannot be read"),
        ("index == 1 and " * 200 + "index == 1", "at most 2,000 are read"),
    ],
)
def test_what_is_no_query_is_told_in_one_line(query, said):
    with pytest.raises(JumokError, match=said) as caught:
        to_expression(query, TABLE.schema)
    assert "\n" not in str(caught.value)
