"""Axes: names, places and the pixels they cover."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jumok.axes import Axis, Channels, Features, Glimpses, One, Patches, Pixels, Steps, Tokens
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
)


@given(axes)
def test_every_axis_has_a_label_per_entry_and_survives_its_dict(axis):
    assert len(axis.labels()) == len(axis) > 0
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


@given(sizes, sizes, st.integers(0, 3), st.integers(1, 5), st.integers(0, 7), st.integers(0, 7))
def test_each_pixel_shows_the_patch_whose_box_holds_it(rows, columns, special, factor, more_h, more_w):
    axis = Patches(rows, columns, tuple(f"s{n}" for n in range(special)))
    height, width = rows * factor + more_h % rows, columns * factor + more_w % columns
    shown = axis.spread(torch.arange(len(axis), dtype=torch.float32), height, width)
    covered = torch.zeros(height, width)
    for index in range(len(axis)):
        box = axis.box(index, height, width)
        if index < special:
            assert box is None
            continue
        top, left, bottom, right = box
        assert bottom > top
        assert right > left
        assert (shown[top:bottom, left:right] == index).all()
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()


@given(sizes, sizes)
def test_places_in_a_grid(rows, columns):
    patches, pixels = Patches(rows, columns, ("cls",)), Pixels(rows, columns)
    for row in range(rows):
        for column in range(columns):
            assert patches.label(patches.index((row, column))) == pixels.label(pixels.index((row, column)))
    with pytest.raises(JumokError, match="outside the grid"):
        patches.index((rows, 0))
    with pytest.raises(JumokError, match="outside the grid"):
        pixels.index((0, -1))


def test_smooth_and_plain_spreading_keep_the_peak_in_its_patch():
    weights = torch.zeros(17)
    weights[1 + 2 * 4 + 3] = 1
    axis = Patches(4, 4, ("cls",))
    for smooth in (False, True):
        image = axis.spread(weights, 32, 32, smooth=smooth)
        row, column = divmod(int(image.argmax()), 32)
        top, left, bottom, right = axis.box(12, 32, 32)
        assert top <= row < bottom
        assert left <= column < right
    assert float(axis.spread(weights, 32, 32).sum()) == 64


def test_glimpses_cover_their_rectangles_and_are_cut_at_the_border():
    axis = Glimpses(((0.0, 0.0), (-1.0, -1.0)), ((0.5, 0.25), (0.5, 0.5)))
    assert axis.box(0, 40, 40) == (10, 15, 30, 25)
    assert axis.box(1, 40, 40) == (0, 0, 10, 10)
    image = axis.spread(torch.tensor([1.0, 2.0]), 40, 40)
    assert image[20, 20] == 1
    assert image[5, 5] == 2
    assert image[35, 35] == 0


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
