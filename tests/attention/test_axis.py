"""Axes of every kind: entries, names and what is refused."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jumok.attention import Axis, Channels, Features, Glimpses, One, Patches, Pixels, Sampled, Steps, Tokens
from jumok.errors import JumokError

sizes = st.integers(1, 9)
names = st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=6).map(tuple)
axes = st.one_of(
    st.builds(Tokens, names),
    st.builds(Features, names),
    st.builds(Channels, names),
    st.builds(Pixels, sizes, sizes),
    st.builds(Patches, sizes, sizes, st.lists(st.sampled_from(["cls", "dist", "reg1"]), unique=True).map(tuple)),
    st.builds(Steps, sizes),
    st.builds(One, st.text(max_size=5)),
    st.integers(1, 4).map(lambda n: Glimpses(((0.0, 0.5),) * n, ((0.25, 0.25),) * n)),
    st.builds(lambda n, m: Sampled(n + 1, m + 1, ((0.0, 0.5),) * ((n + 1) * (m + 1))), sizes, sizes),
)


@given(axes)
def test_every_axis_has_a_label_per_entry_and_survives_its_dict(axis):
    assert axis.labels() == [axis.label(number) for number in range(len(axis))] != []
    assert Axis.from_dict(axis.to_dict()) == axis
    assert [axis.index(i) for i in range(len(axis))] == list(range(len(axis)))
    assert axis.index(-1) == len(axis) - 1
    with pytest.raises(JumokError, match="outside"):
        axis.index(len(axis))


@given(axes)
def test_a_name_that_stands_for_one_entry_finds_it(axis):
    labels = axis.labels()
    for number, label in enumerate(labels):
        if labels.count(label) == 1:
            assert axis.index(label) == number
        else:
            with pytest.raises(JumokError, match="give an index"):
                axis.index(label)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Patches(0, 3), "rows of at least 1"),
        (lambda: Pixels(2, -1), "width of at least 1"),
        (lambda: Patches(2, True), "columns of at least 1"),
        (lambda: Tokens("words"), "the one string"),
        (lambda: Tokens(()), "entries of at least 1"),
        (lambda: Patches(2, 2, "cls"), "the one string"),
        (lambda: Glimpses(((0.0, 0.0),), ()), "one size per centre"),
        (lambda: Sampled(1, 4, ((0.0, 0.0),) * 4), "2 rows and columns or more"),
        (lambda: Sampled(2, 2, ((0.0, 0.0),) * 3), "one point per sample, got 3"),
        (lambda: Sampled(2, 2, ((0.0, 0.0),) * 4).index((2, 0)), "outside the grid"),
        (lambda: Axis.from_dict({"kind": "Patchs"}), "did you mean 'Patches'"),
        (lambda: Axis.from_dict({"kind": "Pixels", "depth": 2}), "do not make a Pixels"),
        (lambda: Tokens(("a", "b")).index("c"), "no entry 'c'"),
        (lambda: Tokens(("a", "b")).index((0, 1)), r"has no \(row, column\)"),
        (lambda: Tokens(("a",)).spread(torch.ones(1), 2, 2), "do not lie in an image"),
        (lambda: Patches(2, 2).index((1, 2, 3)), r"is \(row, column\)"),
    ],
)
def test_what_an_axis_refuses(make, message):
    with pytest.raises(JumokError, match=message):
        make()
