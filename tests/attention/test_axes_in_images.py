"""Axes that lie in an image: places and the pixels that they cover."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from jumok.attention import Glimpses, Patches, Pixels, Sampled
from jumok.errors import JumokError

sizes = st.integers(1, 9)


@given(sizes, sizes, st.integers(0, 3), st.integers(1, 5), st.integers(0, 7), st.integers(0, 7))
@example(8, 1, 0, 5, 1, 0)  # a pixel's centre on the border of two patches
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


def region(rows, columns, place=lambda y, x: (y, x)):
    """A grid of samples, each put where `place` says."""
    centres = [[(2 * number + 1) / count - 1 for number in range(count)] for count in (rows, columns)]
    return Sampled(rows, columns, tuple(place(y, x) for y in centres[0] for x in centres[1]))


def even(axis):
    return torch.full((len(axis),), 1 / len(axis))


@pytest.mark.parametrize("size", [(12, 10), (40, 31), (5, 64)])
def test_the_whole_image_sampled_evenly_has_one_density_everywhere(size):
    axis = region(6, 5)
    density = axis.spread(even(axis), *size)
    assert axis.outside == 0
    assert axis.scale == pytest.approx(1)
    assert float(density.sum()) == pytest.approx(1, abs=1e-5)
    mean = 1 / (size[0] * size[1])
    torch.testing.assert_close(density, torch.full(size, mean), atol=1e-6 * mean, rtol=1e-4)


def test_a_region_has_its_density_where_it_lies_and_nowhere_else():
    axis = region(8, 8, lambda y, x: (0.5 + y / 4, -0.5 + x / 2))  # rows 26 to 36 of 40, columns 0 to 20
    assert axis.scale == pytest.approx((1 / 4 * 1 / 2) ** 0.5)
    density = axis.spread(even(axis), 40, 40)
    torch.testing.assert_close(density[26:34, 1:19], torch.full((8, 18), 1 / 200), atol=0, rtol=1e-4)
    assert float(density[:24].sum() + density[37:].sum() + density[:, 22:].sum()) == 0
    outline = torch.tensor(axis.outline())
    torch.testing.assert_close(outline.amin(0), torch.tensor([0.25, -1.0]))
    torch.testing.assert_close(outline.amax(0), torch.tensor([0.75, 0.0]))
    assert len(outline) == 4 * 8


def test_what_is_sampled_outside_is_counted_and_not_drawn():
    axis = region(4, 4, lambda y, x: (y, x + 1))  # the right half lies beyond
    assert axis.outside == 0.5
    density = axis.spread(even(axis), 16, 16)
    assert float(density.sum()) == pytest.approx(0.5, abs=0.01)
    assert float(density[:, :7].sum()) == 0
    assert float(region(4, 4, lambda y, x: (y + 9, x)).spread(torch.ones(16), 8, 8).sum()) == 0


def test_a_folded_region_has_twice_the_density_and_one_point_has_it_all():
    folded = region(8, 8, lambda y, x: (y, abs(x) - 0.5))
    density = folded.spread(even(folded), 24, 24)
    torch.testing.assert_close(density[:, 10:17], torch.full((24, 7), 2 / 24**2), atol=0, rtol=1e-3)
    point = region(3, 3, lambda y, x: (0.3, -0.2))
    assert float(point.spread(even(point), 20, 20).sum()) == pytest.approx(1)
    assert point.scale == 0


def test_a_region_far_larger_than_the_image_takes_no_more_memory_for_it():
    axis = region(64, 64, lambda y, x: (1e6 * y, 1e6 * x))
    assert axis.outside == 1
    assert float(axis.spread(even(axis), 400, 400).sum()) < 1e-3


def test_weights_of_samples_go_where_they_were_taken():
    axis = region(2, 2, lambda y, x: (-x, y))  # turned by a quarter
    weights = torch.tensor([[0.7, 0.1, 0.2, 0.0], [0.0, 0.0, 0.0, 2.0]])
    quarters = torch.nn.functional.avg_pool2d(axis.spread(weights, 8, 8), 4) * 16
    places = {(-0.5, -0.5): (0, 0), (-0.5, 0.5): (0, 1), (0.5, -0.5): (1, 0), (0.5, 0.5): (1, 1)}
    for index, point in enumerate(axis.points):
        got = quarters[(slice(None), *places[point])]
        torch.testing.assert_close(got, weights[:, index], atol=0.15, rtol=0)
    assert axis.index((1, 0)) == 2


def test_a_turned_region_is_as_large_as_before():
    turned = region(7, 7, lambda y, x: (0.6 * y - 0.8 * x, 0.8 * y + 0.6 * x))
    assert turned.scale == pytest.approx(1)
    assert 0.05 < turned.outside < 0.3
