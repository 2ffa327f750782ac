import numpy as np
import pytest
import torch
from PIL import Image
from synthetic_maps import attention, photograph

from jumok.attention import AttentionMap, One, Patches, Pixels, Scale, Tokens
from jumok.errors import JumokError
from jumok.views.palette import LINE_COLOURS
from jumok.views.pictures import lines
from jumok.views.pictures.lines import _find_lines, _PlaceLines, _say_held, draw_lines

GREY = torch.full((3, 240, 320), 128, dtype=torch.uint8)


def two_ends(first=0.6, second=0.3):
    """The upper left place of 4 x 4 looks at its own cell, a lot at the lower left and less at the upper right."""
    weights = torch.zeros(16, 16)
    weights[0, 0], weights[0, 12], weights[0, 3] = 1 - first - second, first, second
    weights[1:, 0] = 1
    return AttentionMap(weights, Patches(4, 4), Patches(4, 4), source="stages.1.2")


def pixels(path):
    """The part of the picture that the grey image takes: (height, width, 3)."""
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    down, across = np.nonzero((picture == 128).all(-1))
    return picture[down.min() : down.max() + 1, across.min() : across.max() + 1]


def colourful(picture):
    """Which pixels are not grey: (height, width)."""
    return picture.max(-1) - picture.min(-1) > 60


def test_lines_are_as_thick_as_the_weights(tmp_path):
    draw_lines(two_ends(), GREY, tmp_path / "a.png", places=[(0, 0)])
    drawn = colourful(pixels(tmp_path / "a.png"))
    down, across = drawn[180, :160].sum(), drawn[:140, 240].sum()
    assert down == pytest.approx(lines.THICKEST_LINE / 72 * 150, abs=3)
    assert across == pytest.approx(down / 2, abs=3)
    assert drawn[180, 160:].sum() == drawn[300, 160:].sum() == 0, "nothing where it doesn't look"


def test_the_dark_edge_of_a_thin_line_is_no_wider_than_the_line(tmp_path):
    draw_lines(two_ends(0.8, 0.008), GREY, tmp_path / "a.png", places=[(0, 0)])
    across = pixels(tmp_path / "a.png")[:140, 240]
    assert (across < 118).all(-1).sum() <= 1, "what weighs next to nothing leaves no black line"


def test_what_the_lines_hold_is_said_as_people_say_it():
    def say(*held):
        return _say_held([_PlaceLines((0, 0), [(1, 1)] * count, [0.1] * count, share) for count, share in held])

    assert say((1, 0.5)) == "1 line holds 50% of the place's weight in the image"
    assert say((3, 0.999), (3, 0.999)) == "the 3 lines of each place hold 99% of its weight in the image"
    assert say((3, 0.98), (3, 0.73)) == "the 3 lines of each place hold 98% and 73% of its weight in the image"
    assert say((6, 0.54), (5, 0.5)) == "6 and 5 lines hold 54% and 50% of their place's weight in the image"


@pytest.mark.parametrize("image_size", [(240, 320), (30, 60), (900, 500)])
def test_any_size_of_image(tmp_path, image_size):
    image = torch.full((3, *image_size), 90, dtype=torch.uint8)
    draw_lines(two_ends(), image, tmp_path / "new" / "a.png", places=[(0, 0), 12])
    assert colourful(np.asarray(Image.open(tmp_path / "new" / "a.png").convert("RGB")).astype(int)).sum() > 500


def test_the_strongest_but_for_its_own_that_hold_half():
    row = torch.tensor([[0.4, 0.2, 0.1, 0.1, 0.05, 0.05, 0.05, 0.03, 0.02]])
    map_ = AttentionMap(row.repeat(9, 1), Patches(3, 3), Patches(3, 3))
    found = _find_lines(map_, (0, 0), None)
    assert found.weights == pytest.approx([0.2, 0.1, 0.1])
    assert found.held == pytest.approx(0.4)
    assert found.start == pytest.approx((1 / 6, 1 / 6))
    assert found.ends[0] == pytest.approx((1 / 6, 3 / 6))
    assert len(_find_lines(map_, (0, 0), 7).ends) == 7
    assert len(_find_lines(map_, (0, 0), 50).ends) == 8


def test_grids_may_differ_and_special_tokens_get_no_line():
    queries, keys = Patches(4, 4, ("cls",)), Patches(2, 2, ("cls",))
    weights = torch.tensor([[0.9, 0.04, 0.03, 0.02, 0.01]]).repeat(17, 1)
    found = _find_lines(AttentionMap(weights, queries, keys), (1, 3), None)
    assert found.ends == [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75)]
    assert found.held == pytest.approx(0.7), "of the weight in the image"


def test_scores_below_zero_are_blue(tmp_path):
    weights = torch.zeros(16, 16)
    weights[0, 12] = -3
    draw_lines(
        AttentionMap(weights, Patches(4, 4), Patches(4, 4), (), Scale.SCORE), GREY, tmp_path / "a.png", places=[0]
    )
    red, _, blue = pixels(tmp_path / "a.png")[180, 60]
    assert blue > red + 60


def test_a_row_of_nothing_and_pixels_and_svg(tmp_path):
    nothing = AttentionMap(torch.zeros(4, 4), Pixels(2, 2), Pixels(2, 2), (), Scale.RELEVANCE)
    draw_lines(nothing, GREY, tmp_path / "a.svg", places=[(0, 1)], title="아무것도 $x$")
    assert "<svg" in (tmp_path / "a.svg").read_text("utf-8")


def test_a_photograph_with_three_places(tmp_path):
    layer = attention(photograph(), (14, 14), layers=2, heads=2)[1].mean("head")
    draw_lines(layer, photograph(), tmp_path / "a.png", places=[(3, 4), (8, 8), (12, 2)], title="three")
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    for colour in LINE_COLOURS[:3]:
        shade = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
        assert (picture == shade).all(-1).sum() > 100


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"map": AttentionMap(torch.ones(1, 4), One("x"), Patches(2, 2))}, "queries One"),
        ({"map": AttentionMap(torch.ones(4, 2), Patches(2, 2), Tokens(("a", "b")))}, "keys Tokens"),
        ({"map": AttentionMap(torch.ones(1, 4, 4), Patches(2, 2), Patches(2, 2), ("head",))}, "head"),
        ({"map": AttentionMap(torch.ones(5, 4), Patches(2, 2, ("cls",)), Patches(2, 2)), "places": ["cls"]}, "'cls'"),
        ({"places": []}, "1 to 6 places"),
        ({"places": [(0, 0)] * 7}, "1 to 6 places"),
        ({"lines": 0}, "1 or more"),
        ({"places": [(9, 9)]}, "outside the grid"),
        ({"path": "a.jpg"}, "svg or .pdf"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, changes, message):
    given = {"map": two_ends(), "places": [(0, 0)], "path": "a.png", "lines": None, **changes}
    with pytest.raises(JumokError, match=message):
        draw_lines(given["map"], GREY, tmp_path / given["path"], places=given["places"], lines=given["lines"])
    assert list(tmp_path.iterdir()) == []
