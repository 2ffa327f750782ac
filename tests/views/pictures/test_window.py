"""The picture of a region: where it lies, the crop of it, and how densely the image was sampled."""

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image

from jumok.attention import AttentionMap, One, Pixels, Sampled
from jumok.errors import JumokError
from jumok.views.pictures.heatmap import draw
from jumok.views.pictures.window import OUTSIDE_GREY, _choose_lines, draw_window, frame_crop, take_crop


def region(rows=4, columns=4, place=lambda y, x: (y, x)):
    centres = [[(2 * number + 1) / count - 1 for number in range(count)] for count in (rows, columns)]
    return Sampled(rows, columns, tuple(place(y, x) for y in centres[0] for x in centres[1]))


def seen(keys):
    return AttentionMap(torch.full((1, len(keys)), 1 / len(keys)), One("image"), keys, source="look")


def quarters():
    """A photo of four colours."""
    photo = np.zeros((40, 40, 3), dtype=np.float32)
    photo[:20, :20], photo[:20, 20:], photo[20:, :20], photo[20:, 20:] = (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)
    return photo


def words(figure):
    return " ".join(" ".join(text.get_text() for text in figure.findobj(Text)).split())


def test_the_crop_shows_what_lies_where_it_was_sampled():
    lower_left = region(6, 8, lambda y, x: (0.5 + 0.3 * y, -0.5 + 0.3 * x))
    crop = take_crop(quarters(), lower_left)
    assert crop.shape == (6, 8, 3)
    np.testing.assert_allclose(crop, np.broadcast_to([0, 0, 1], crop.shape), atol=1e-6)
    turned = take_crop(quarters(), region(4, 4, lambda y, x: (x, -y)))
    np.testing.assert_allclose(turned[0, 0], [0, 1, 0], atol=1e-6)  # the first sample lies in the upper right


def test_the_crop_is_grey_outside_the_image():
    crop = take_crop(quarters(), region(4, 4, lambda y, x: (y + 1, x)))
    np.testing.assert_allclose(crop[2:], OUTSIDE_GREY, atol=1e-6)
    assert np.abs(crop[:2] - OUTSIDE_GREY).min(-1).max() > 0.1


def test_what_lies_between_far_samples_is_averaged_not_missed():
    stripes = np.zeros((64, 64, 3), dtype=np.float32)
    stripes[:, ::2] = 1
    crop = take_crop(stripes, region(8, 8))
    np.testing.assert_allclose(crop, 0.5, atol=0.01)


def test_a_wide_crop_stands_in_the_middle_of_its_panel():
    panel = frame_crop(np.zeros((2, 4, 3), dtype=np.float32), 100, 100)
    assert (panel[:25] == 1).all()
    assert (panel[25:75] == 0).all()
    assert (panel[75:] == 1).all()


def test_the_picture_names_how_large_the_region_is_and_what_lies_outside():
    figure = draw_window(seen(region(4, 4, lambda y, x: (y, x + 0.5))), Image.new("RGB", (64, 64)))
    assert "Region: 1.00 of the image's side, 25.0% of the samples outside the image" in words(figure)
    assert "crop, 4 x 4 samples" in words(figure)
    assert "look: samples per pixel" in words(figure)
    beyond = draw_window(seen(region(4, 4, lambda y, x: (y + 5, x))), Image.new("RGB", (64, 64)))
    assert "no sample lies in the image" in words(beyond)


def test_the_density_of_the_whole_image_is_one_and_of_its_half_two():
    for place, wanted in ((lambda y, x: (y, x), 1.0), (lambda y, x: (y / 2 - 0.5, x), 2.0)):
        figure = draw_window(seen(region(16, 16, place)), Image.new("RGB", (400, 400)))
        high = figure.axes[-1].get_xlim()[1]
        assert high == pytest.approx(wanted, rel=0.2)


def test_the_outline_lies_on_the_regions_border():
    figure = draw_window(seen(region(4, 4, lambda y, x: (0.5 * y, 0.25 * x))), Image.new("RGB", (400, 400)))
    lines = [
        line.get_xydata() for line in figure.axes[0].lines if line.get_linewidth() > 2 and len(line.get_xdata()) > 1
    ]
    points = np.concatenate(lines)
    np.testing.assert_allclose(points.min(0), [149.5, 99.5], atol=0.01)
    np.testing.assert_allclose(points.max(0), [249.5, 299.5], atol=0.01)
    assert figure.axes[0].get_xlim() == (-0.5, 399.5)


@pytest.mark.parametrize(("away", "shown"), [(0.2, 0.12), (9.0, 0.4)])
def test_a_region_that_leaves_the_image_is_followed_a_part_of_the_way(away, shown):
    figure = draw_window(seen(region(4, 4, lambda y, x: (y, x + away))), Image.new("RGB", (400, 400)))
    assert figure.axes[0].get_xlim() == pytest.approx((-0.5 - 400 * shown, 399.5 + 400 * shown))
    assert figure.axes[0].get_ylim()[::-1] == pytest.approx(figure.axes[0].get_xlim())


@pytest.mark.parametrize("size", [(64, 64), (300, 900), (900, 100)])
def test_draw_takes_it_for_regions(tmp_path, size):
    image = torch.zeros(3, *size, dtype=torch.uint8)
    draw(seen(region(5, 7, lambda y, x: (0.7 * y - 0.4 * x, 0.4 * y + 0.7 * x))), image, tmp_path / "a.png", title="T")
    assert np.asarray(Image.open(tmp_path / "a.png")).std() > 10


def test_lines_are_evenly_spread_where_the_samples_can_be_parted_so():
    assert _choose_lines(16) == [0, 4, 8, 12, 16]
    assert _choose_lines(48) == [0, 8, 16, 24, 32, 40, 48]
    assert _choose_lines(2) == [0, 1, 2]
    assert (len(_choose_lines(17)), _choose_lines(17)[-1]) == (7, 17)


def test_what_it_refuses():
    with pytest.raises(JumokError, match="pass the image"):
        draw_window(seen(region()), None)
    with pytest.raises(JumokError, match="keys that are Sampled, got Pixels"):
        draw_window(AttentionMap(torch.ones(1, 4), One("image"), Pixels(2, 2)), Image.new("RGB", (8, 8)))
