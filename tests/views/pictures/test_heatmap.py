import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from kornia.color import rgb_to_lab
from matplotlib import colormaps
from matplotlib.text import Text
from PIL import Image

from jumok.attention import AttentionMap, Axis, Channels, Features, Glimpses, One, Patches, Pixels, Scale, Steps, Tokens
from jumok.errors import JumokError
from jumok.views.pictures import heatmap
from jumok.views.pictures.colour_scale import Look, Scaling
from jumok.views.pictures.heatmap import draw

GREEN = (17, 201, 83)


def patches(values, rows=2, columns=2, special=(), scale=Scale.RELEVANCE, source="heat"):
    return AttentionMap(torch.tensor([values]), One("image"), Patches(rows, columns, special), (), scale, source)


def plain(height, width):
    return torch.tensor(GREEN, dtype=torch.uint8)[:, None, None].expand(3, height, width)


def drawn(path):
    """(height, width, 3) of what was written."""
    return np.asarray(Image.open(path).convert("RGB"))


def panel(pixels, colour):
    """The smallest box around one colour: (height, width)."""
    rows, columns = np.nonzero((pixels == colour).all(-1))
    return np.ptp(rows) + 1, np.ptp(columns) + 1


def count(pixels, colour):
    return int((np.abs(pixels.astype(int) - colour).max(-1) <= 1).sum())


def colour_of(share, table="inferno"):
    return np.array(colormaps[table](share, bytes=True)[:3], dtype=int)


def words(figure):
    return " ".join(" ".join(text.get_text() for text in figure.findobj(Text)).split())


# -- over an image --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(32, 32), (224, 224), (3000, 4000), (4000, 300), (300, 4000), (1, 50)])
def test_any_size_of_image_gives_a_sensible_size_of_picture(tmp_path, size):
    draw(patches([0.1, 0.2, 0.3, 0.4]), plain(*size), tmp_path / "a.png", title="T")
    pixels = drawn(tmp_path / "a.png")
    assert 150 < pixels.shape[0] < 1500
    assert 300 < pixels.shape[1] < 2200
    height, width = panel(pixels, GREEN)
    assert 330 <= max(height, width) <= 1240
    shorter, longer = sorted(size)
    assert min(height, width) == pytest.approx(max(height, width) * shorter / longer, abs=1.01)


def test_each_patch_has_the_colour_of_its_share_of_the_largest(tmp_path):
    draw(patches([0.0, 0.1, 0.2, 0.4]), plain(400, 400), tmp_path / "a.png")
    pixels = drawn(tmp_path / "a.png")
    for share in (0.0, 0.25, 0.5, 1.0):
        assert count(pixels, colour_of(share)) >= 0.98 * 200 * 200


def test_scores_are_coloured_around_zero(tmp_path):
    draw(patches([-1.0, 0.0, 0.5, 2.0], scale=Scale.SCORE), plain(400, 400), tmp_path / "a.png")
    pixels = drawn(tmp_path / "a.png")
    for share in (0.25, 0.5, 0.625, 1.0):
        assert count(pixels, colour_of(share, "RdBu_r")) >= 0.98 * 200 * 200


def test_the_overlay_is_strongest_where_the_weight_is_largest():
    figure = heatmap.draw_heat(patches([0.0, 0.0, 0.0, 1.0]), Image.new("RGB", (400, 400), "white"))
    over = np.asarray(figure.axes[2].images[0].get_array())
    assert over[:100, :100].mean() == pytest.approx(1.0, abs=0.01), "no veil where the weight is 0"
    peak = 0.9 * colour_of(1.0) / 255 + 0.1
    assert over[-50:, -50:].mean((0, 1)) == pytest.approx(peak, abs=0.01)


def test_a_mask_is_not_smoothed_into_weights_between_0_and_1():
    figure = heatmap.draw_heat(patches([0.0, 1.0, 1.0, 0.0], scale=Scale.MASK), Image.new("RGB", (400, 400), "white"))
    over = np.asarray(figure.axes[2].images[0].get_array())
    assert len(np.unique(over.reshape(-1, 3).round(3), axis=0)) == 2
    assert [axes.get_title() for axes in figure.axes[:3]] == ["image", "heat", "heat over image"]


def test_a_photograph_keeps_its_colours_under_the_heat():
    """Differences of colour, CIE 1976, which are larger than those of CIEDE2000 for strong colours."""
    chance = np.random.default_rng(0)
    photo = Image.fromarray(chance.integers(40, 255, (12, 12, 3), dtype=np.uint8)).resize((400, 400), Image.BICUBIC)
    weights = chance.gamma(0.4, size=14 * 14)
    figure = heatmap.draw_heat(patches(weights.tolist(), rows=14, columns=14), photo)
    shown, over = (np.asarray(figure.axes[place].images[0].get_array(), dtype=np.float32) for place in (0, 2))
    pair = torch.from_numpy(np.stack([shown, over])).movedim(-1, 1)
    difference = (rgb_to_lab(pair)[0] - rgb_to_lab(pair)[1]).norm(dim=0).numpy()
    heat = np.asarray(Image.fromarray(weights.reshape(14, 14).astype(np.float32)).resize(shown.shape[1::-1]))
    faint = heat < np.quantile(heat, 0.8)
    assert difference[faint].mean() < 8
    top = np.unravel_index(difference.argmax(), difference.shape)
    assert heat[top] > np.quantile(heat, 0.95), "and the strongest place is the one that is changed most"


def test_the_picture_says_how_it_was_scaled_and_what_it_leaves_out():
    heat = patches([0.7, 0.1, 0.1, 0.05, 0.05], special=("cls",), scale=Scale.DISTRIBUTION, source="rollout(cls)")
    figure = heatmap.draw_heat(heat, Image.new("RGB", (64, 64)))
    assert "rollout(cls): weight, linear from 0 to the largest, 0.1; nothing clipped" in words(figure)
    assert "Not in the picture: cls 0.7" in words(figure)


def test_pixels_finer_than_the_panel_are_averaged_and_the_picture_says_so():
    side = 1240
    weights = torch.zeros(1, side, side)
    weights[:, ::2, ::2] = 4.0
    heat = AttentionMap(weights.flatten(1), One("image"), Pixels(side, side), (), Scale.RELEVANCE)
    figure = heatmap.draw_heat(heat, Image.new("RGB", (side, side)))
    assert "linear from 0 to 2 times the mean, 2; the map is nearly even, its largest is 1" in words(figure)
    assert "Averaged down from 1240 x 1240" in words(figure)


def test_glimpses_are_numbered_boxes():
    glimpses = Glimpses(((0.0, 0.0), (0.5, 0.5), (-0.5, 0.5)), ((0.5, 0.25),) * 3)
    seen = AttentionMap(torch.tensor([[0.2, 0.3, 0.5]]), One("image"), glimpses, (), source="ram")
    figure = heatmap.draw_scanpath(seen, Image.new("RGB", (400, 400)))
    boxes = figure.axes[1].patches
    assert boxes[0].get_bbox().bounds == (150, 100, 100, 200)
    assert [text.get_text() for text in figure.axes[1].texts] == ["0", "1", "2"]
    assert np.array(boxes[2].get_edgecolor()[:3]) * 255 == pytest.approx(colour_of(1.0), abs=1)
    assert figure.axes[1].get_xlim() == (-0.5, 399.5)
    assert len(figure.axes) == 4


# -- named keys -----------------------------------------------------------------------------------


def test_several_rows_of_tokens_are_a_matrix_of_raw_weights(tmp_path):
    weights = torch.rand(5, 7).softmax(-1)
    source = Tokens(("나는", "$x$", "$_{", "를", "샀다"))
    alignment = AttentionMap(weights, source, Tokens(tuple("abcdefg")))
    figure = heatmap.draw_table(alignment, None)
    axes = figure.axes[0]
    assert np.array_equal(axes.images[0].get_array(), weights.numpy())
    assert axes.images[0].get_clim() == (0, pytest.approx(max(float(weights.max()), 2 / 7))), (
        "nearly even: twice the mean"
    )
    assert [label.get_text() for label in axes.get_yticklabels()] == list(source.names)
    draw(alignment, None, tmp_path / "a.png")
    assert min(drawn(tmp_path / "a.png").shape[:2]) > 200


def test_a_matrix_of_thousands_is_no_larger_than_a_page(tmp_path):
    tokens = Tokens.numbered(2305)
    draw(AttentionMap(torch.rand(2305, 2305), tokens, tokens, (), Scale.GATE), None, tmp_path / "a.png")
    assert max(drawn(tmp_path / "a.png").shape) < 2000


@pytest.mark.parametrize("axis", [Features, Channels, Tokens])
def test_one_row_of_names_is_bars_as_long_as_the_weights(axis):
    weights = torch.tensor([[0.5, -1.5, 0.25]])
    figure = heatmap.draw_table(AttentionMap(weights, One("row"), axis(("a", "b", "c")), (), Scale.SCORE), None)
    assert [bar.get_width() for bar in figure.axes[0].patches] == weights[0].tolist()
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b", "c"]
    assert figure.axes[0].get_xlim()[0] < -1.5
    assert "linear around 0" in words(figure)


def test_of_many_bars_the_largest_are_drawn_and_the_picture_says_so():
    weights = torch.arange(300.0)[None] / 300
    figure = heatmap.draw_table(AttentionMap(weights, One("se"), Channels.numbered(300), (), Scale.GATE), None)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][:2] == ["299", "298"]
    assert len(figure.axes[0].patches) == heatmap.MOST_BARS
    assert "The 40 largest of 300 keys" in words(figure)


def test_kinds_of_axis_that_are_not_listed_are_drawn_by_where_they_lie():
    @dataclass(frozen=True)
    class Rings(Axis):
        in_image: ClassVar[bool] = True

    del Axis.kinds["Rings"]
    assert heatmap._find_drawer(Rings()) is heatmap.draw_heat
    assert heatmap._find_drawer(Steps(3)) is heatmap.draw_table


# -- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "values", "low", "high", "text"),
    [
        (Scale.DISTRIBUTION, [0.5, 0.3, 0.1, 0.1], 0, 0.5, "weight, linear from 0 to the largest, 0.5"),
        (Scale.GATE, [0.5, 0.3, 0.1, 0.1], 0, 1, "gate, linear from 0 to 1"),
        (Scale.MASK, [1.0, 0.0, 0.0, 1.0], 0, 1, "mask, linear from 0 to 1"),
        (Scale.SCORE, [0.5, 0.3, 0.1, 2.0], -2, 2, "score, linear around 0, from −2 to 2"),
        (Scale.RELEVANCE, [7.0, 0.3, 0.1, 2.0], 0, 7, "relevance, linear from 0 to the largest, 7"),
        (Scale.RELEVANCE, [-7.0, 0.3, 0.1, 2.0], -7, 7, "relevance, linear around 0, from −7 to 7"),
        (Scale.GATE, [0.5, 3.0, 0.1, 0.1], 0, 3, "gate, linear from 0 to the largest, 3"),
        (Scale.RELEVANCE, [0.0, 0.0, 0.0, 0.0], 0, 1, "relevance; all that is drawn is 0"),
    ],
)
def test_every_scale_reaches_its_largest_weight_and_says_so(scale, values, low, high, text):
    heat = patches(values, scale=scale, source="")
    scaling = Scaling.of(heat, heat.weights.numpy())
    assert (scaling.low, scaling.high) == (low, high)
    assert scaling.words.startswith(text)


def test_a_map_that_prefers_nothing_has_no_strong_colour_anywhere():
    even = AttentionMap(torch.full((1, 36), 1 / 36), One("cls"), Patches(6, 6), source="rollout")
    figure = heatmap.draw_heat(even, Image.new("RGB", (400, 400), "white"))
    heat, over = (np.asarray(figure.axes[place].images[0].get_array()) for place in (1, 2))
    assert heat[200, 200] * 255 == pytest.approx(colour_of(0.5), abs=1)
    assert np.ptp(over, axis=(0, 1)).max() < 0.01, "but for one step of the colour table"
    assert over.mean() > 0.75, "the image shines through"
    assert "the map is nearly even, its largest is 0.0278" in words(figure)


@pytest.mark.parametrize("title", ["a$_{$b", "연꽃 \u1112\u1161\u11ab.jpg", "two\nlines", "x" * 500, " ", "<b>&amp;"])
def test_any_title_can_be_drawn(tmp_path, title):
    draw(patches([0.1, 0.2, 0.3, 0.4]), plain(64, 64), tmp_path / "a.png", title=title)
    assert drawn(tmp_path / "a.png").shape[1] < 2000


def test_korean_is_drawn_and_not_as_boxes(tmp_path):
    from jumok.views.pictures.fonts import choose_families

    if len(choose_families(["긁힘"])) < 2:
        pytest.skip("no Korean font is installed")
    pictures = []
    for title in ("긁힘", "얼룩"):
        draw(patches([0.1, 0.2, 0.3, 0.4]), plain(64, 64), tmp_path / "a.png", title=title)
        pictures.append(drawn(tmp_path / "a.png"))
    assert pictures[0].shape != pictures[1].shape or (pictures[0] != pictures[1]).any(), "boxes would look the same"


# -- files ----------------------------------------------------------------------------------------


def test_svg_is_chosen_by_suffix(tmp_path):
    draw(patches([0.1, 0.2, 0.3, 0.4]), plain(64, 64), tmp_path / "new" / "a.SVG", title="T")
    root = ElementTree.parse(tmp_path / "new" / "a.SVG").getroot()
    assert root.tag.endswith("svg")
    assert sum(element.tag.endswith("image") for element in root.iter()) >= 3


def test_a_pillow_image_gives_the_same_picture(tmp_path):
    image = torch.randint(0, 256, (3, 40, 60), dtype=torch.uint8)
    draw(patches([0.1, 0.2, 0.3, 0.4]), image, tmp_path / "a.png")
    draw(patches([0.1, 0.2, 0.3, 0.4]), Image.fromarray(image.permute(1, 2, 0).numpy()), str(tmp_path / "b.png"))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_pictures_can_be_drawn_in_threads(tmp_path):
    def one(number):
        draw(patches([0.1, 0.2, 0.3, 0.4]), plain(64, 64), tmp_path / f"{number}.png", title="T")
        return (tmp_path / f"{number}.png").read_bytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(one, range(8)))) == 1


def test_a_failed_picture_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_text("old")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(JumokError, match="No space left"):
        draw(patches([0.1, 0.2, 0.3, 0.4]), plain(64, 64), tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_text() == "old"


def test_pyplot_is_not_touched(tmp_path):
    code = (
        "import sys, torch; from jumok.attention import *; from jumok.views.pictures.heatmap import draw\n"
        "assert 'matplotlib' not in sys.modules\n"
        "draw(AttentionMap(torch.ones(1, 1), One('a'), Features(('b',))), None, sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.png")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("heat", "image", "name", "message"),
    [
        (patches([0.1, 0.2, 0.3, 0.4]), None, "a.png", "pass the image"),
        (patches([0.1, 0.2, 0.3, 0.4]), plain(8, 8).float(), "a.png", "uint8"),
        (patches([0.1, 0.2, 0.3, 0.4]), plain(8, 8)[0], "a.png", "shape"),
        (patches([0.1, 0.2, 0.3, 0.4]), plain(8, 8), "a.jpg", ".png, .svg or .pdf"),
        (patches([0.1, 0.2, 0.3, 0.4]), plain(8, 8), "a", ".png, .svg or .pdf"),
        (AttentionMap(torch.ones(2, 4), Steps(2), Patches(2, 2)), plain(8, 8), "a.png", "one row"),
        (AttentionMap(torch.ones(3, 1, 4), One("x"), Patches(2, 2), ("head",)), plain(8, 8), "a.png", "head"),
    ],
)
def test_what_cannot_be_drawn_is_said_and_nothing_written(tmp_path, heat, image, name, message):
    with pytest.raises(JumokError, match=message):
        draw(heat, image, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_scanpath_shows_scales_nested_arrows_between_and_what_was_seen():
    here, there = (-0.5, -0.5), (0.5, 0.5)
    glimpses = Glimpses((here, here, there, there), ((0.125, 0.125), (0.25, 0.25)) * 2)
    seen = AttentionMap(torch.full((1, 4), 0.25), One("image"), glimpses, (), source="ram")
    figure = heatmap.draw_scanpath(seen, Image.new("RGB", (400, 400), "white"))
    path, shown = figure.axes[1], figure.axes[2]
    boxes, arrows = path.patches[:4], path.patches[4:]
    assert [box.get_bbox().bounds for box in boxes[:2]] == [(75, 75, 50, 50), (50, 50, 100, 100)]
    assert boxes[0].get_linestyle() in ("-", "solid")
    assert boxes[1].get_linestyle() not in ("-", "solid")
    assert [text.get_text() for text in path.texts] == ["0", "1"], "one number for all scales of a glimpse"
    assert len(arrows) == 1
    bright = np.asarray(shown.images[0].get_array())[..., 0]
    assert bright[100, 100] == 1
    assert 0.3 < bright[60, 60] < 0.6, "seen at the coarser scale only"
    assert bright[200, 200] < 0.1
    assert len(figure.axes) == 3, "weights that are all the same need no bar of colours"


def test_glimpses_of_one_place_share_a_label():
    glimpses = Glimpses(((0.0, 0.0), (0.0, 0.0), (0.5, 0.5)), ((0.2, 0.2),) * 3)
    seen = AttentionMap(torch.full((1, 3), 1 / 3), One("image"), glimpses)
    figure = heatmap.draw_scanpath(seen, Image.new("RGB", (400, 400)))
    assert [text.get_text() for text in figure.axes[1].texts] == ["0, 1", "2"]


def coloured(figure, number):
    """The share of a panel that is clearly not as its corner."""
    pixels = np.asarray(figure.axes[number].images[0].get_array())
    return (np.abs(pixels - pixels[0, 0]).max(-1) > 0.2).mean()


def test_single_pixels_are_blurred_over_the_image_until_they_can_be_seen_and_the_picture_says_so():
    weights = torch.zeros(1, 64, 64)
    weights[0, 20, 30] = -3.0
    heat = AttentionMap(weights.flatten(1), One("image"), Pixels(64, 64), (), Scale.SCORE)
    figure = heatmap.draw_heat(heat, Image.new("RGB", (64, 64), GREEN))
    bounded = heatmap.draw_heat(heat, Image.new("RGB", (64, 64), GREEN), Look(vmin=-3, vmax=3))
    assert coloured(figure, 1) == pytest.approx(1 / 64**2, rel=0.2), "alone, each pixel has its own value"
    assert coloured(figure, 2) > 3 * coloured(bounded, 2) > 0
    assert "Over the image, blurred by 2% of its longer side; colours reach the largest of that" in words(figure)
    assert "blurred" not in words(bounded), "bounds that were asked for hold for what is drawn"


def test_heat_that_can_be_seen_is_not_blurred():
    weights = torch.zeros(1, 64, 64)
    weights[0, 10:40, 10:40] = 1.0
    heat = AttentionMap(weights.flatten(1), One("image"), Pixels(64, 64), (), Scale.RELEVANCE)
    assert "blurred" not in words(heatmap.draw_heat(heat, Image.new("RGB", (64, 64))))
