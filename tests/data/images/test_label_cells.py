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


@pytest.mark.parametrize("odd", ["n/a", "nan", "inf"])
def test_numbers_among_which_one_is_none_are_refused_with_its_line(odd):
    assert f"a.csv, line 4: the label {odd!r} is not a finite number" in refused(["0.5", "1.5", odd])
    assert f"a.csv, line 3: the label {odd!r} is not a finite number" in refused(["1", odd], "number")


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["87kg", "90.5 kg"], "'87kg' may be a number with a unit, a sign or a space: write it as 87 to"),
        (["12 %"] + [f"{each} %" for each in range(40)], "'12 %' may be a number with a unit"),
        (["0.5", "1.5", "8800g"], "line 4: the label '8800g' may be a number with a unit"),
        (["₩1,234,567", "₩980,000"], "with commas between thousands: write it as 1234567 to"),
        (["1,200", "900"], "with commas between thousands or a decimal comma: write it as 1200 or 1.200 to"),
        (
            ["-", "4.5mm", "3mm"],
            "line 2: the label '-' is not a finite number, and 2 of 3 labels are numbers such as 4.5mm",
        ),
    ],
)
def test_numbers_as_people_write_them_are_no_classes_in_silence(texts, said):
    assert said in refused(texts)
    assert "--labels-are class" in refused(texts)
    assert read(texts, "class").kind == "class"


def test_a_few_whole_measures_and_other_names_with_digits_are_classes():
    assert read(["5mm", "10mm", "2mm"] * 9).classes == ("10mm", "2mm", "5mm")
    assert read(["1.2.3", "1.2.4"]).kind == read([f"class {each}" for each in range(60)]).kind == "class"


def test_a_number_with_a_unit_is_told_how_to_write_it():
    assert "'87kg' is not a finite number: write it as 87" in refused(["87kg"], "number")


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


def test_names_that_look_alike_are_told_of_several_labels_too():
    assert "'A' and 'a' are taken for different classes" in read(["A|b", "a", "b"]).notes[-1]
    assert "'a' and 'a\\u200b' are taken for different" in read(["a", "a\u200b", "b"]).notes[0]
    assert "'007' and '7' are taken for different" in read(["007", "7", "x"]).notes[0]


def test_classes_made_of_others_and_dates_are_told():
    assert "1 class is made of the names of others ('a, b')" in read(["a, b", "a", "b"]).notes[0]
    assert "write a|b if" in read(["a, b", "a", "b"]).notes[0]
    assert read(["salt, pepper", "a", "b"]).notes == ()
    assert "look like dates ('2024-01-02')" in read(["2024-01-02", "2024-01-03"]).notes[0]
    assert read(["1.2.3", "1.2.4"]).notes == ()
