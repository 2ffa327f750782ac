import pytest

from jumok.data.images.label_cells import Cell, read_cells
from jumok.errors import JumokError


def read(texts, kind="auto"):
    return read_cells([Cell(f"a.csv, line {at}", text) for at, text in enumerate(texts, 2)], kind)


def refused(texts, kind="auto"):
    with pytest.raises(JumokError) as caught:
        read(texts, kind)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["a", "b", "a"], "class"),
        (["0", "1", "9"] * 4, "class"),
        (["1", "2"], "class"),
        (["a", "b|a"], "multi"),
        (["a|b", ""], "multi"),
        (["0.5", "1", "2"], "number"),
        (["1e3", "-2.5"], "number"),
        ([str(each) for each in range(60)], "number"),
        ([str(each % 21) for each in range(210)], "class"),
        (["2.5", "v1.5"], "class"),
        (["1", "2", "unknown"], "class"),
    ],
)
def test_the_labels_tell_what_they_are(texts, kind):
    assert read(texts).kind == kind


def test_each_kind_is_read_as_it_is_meant():
    assert read(["b", "", "a"])[1:3] == (("a", "b"), [1, None, 0])
    assert read(["b|a", "", "b|b", "c"])[1:3] == (("a", "b", "c"), [(0, 1), (), (1,), (2,)])
    assert read(["2.5", "", "1e3"])[1:3] == (("number",), [2.5, None, 1000.0])
    assert read(["1", "2", "10"], "number").labels == [1.0, 2.0, 10.0]
    assert read(["10", "9", "10"], "class").classes == ("9", "10")
    assert read(["a|b", "c"], "class").classes == ("a|b", "c")
    assert read(["a", "b"], "multi").labels == [(0,), (1,)]


def test_what_was_chosen_and_what_is_empty_is_told():
    assert read(["a", "", "b"]).notes == ("left out: 1 line without a label",)
    assert "1 line with an empty label: taken for images that have none of the labels" in read(["a|b", ""]).notes[1]
    assert "--labels-are class takes each for a class" in read(["0.5", "1"]).notes[-1]
    assert "--labels-are number learns to give a number" in read(["0", "1"]).notes[-1]
    assert read(["0", "1"], "class").notes == read(["0.5", "1"], "number").notes == ()


@pytest.mark.parametrize("odd", ["n/a", "nan", "inf", "1,5"])
def test_numbers_among_which_one_is_none_are_refused_with_its_line(odd):
    assert f"a.csv, line 4: the label {odd!r} is not a finite number" in refused(["0.5", "1.5", odd])
    assert f"a.csv, line 3: the label {odd!r} is not a finite number" in refused(["1", odd], "number")


def test_an_empty_label_beside_a_bar_is_refused():
    for text in ("a|", "a||b", "|"):
        assert f"line 2: {text!r} has an empty label beside a bar" in refused([text])


def test_whole_numbers_written_in_two_ways_are_one_class():
    assert read(["1", "1.0", "0", "0."], "class")[1:3] == (("0", "1"), [1, 1, 0, 0])
    assert read(["1.0", "0.0"] * 5, "class").classes == ("0", "1")
    assert read(["1.0", "beta"]).classes == ("1.0", "beta")
    assert read(["1", "1.5"], "class").classes == ("1", "1.5")


def test_labels_that_may_be_none_and_names_that_are_alike_are_told():
    doubtful, alike = read(["OK", "ok", "NaN", "NaN", "dent"]).notes
    assert doubtful.startswith("the label 'NaN' of 2 images often stands for a missing one")
    assert alike == "'OK' and 'ok' are taken for different classes: spell them alike if they are one"
    assert read(["a", "b", "none"]).notes == ()
