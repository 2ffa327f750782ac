"""Alignments drawn with matplotlib: what is on the picture, not only that there is one."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from jumok.attention import AttentionMap, Scale, Tokens
from jumok.errors import JumokError
from jumok.views.draw import draw as draw_fitting
from jumok.views.palette import GOLD_LINK
from jumok.views.pictures import alignment_matrix as module
from jumok.views.pictures.alignment_matrix import LONGEST_WORD, draw_alignment, draw_alignments
from jumok.wording import count_columns


@dataclass(frozen=True)
class Drawn:
    sure: frozenset = frozenset()
    possible: frozenset = frozenset()


def an_alignment(targets, sources, seed=0, scale=Scale.DISTRIBUTION, source_words=None, target_words=None):
    generator = torch.Generator().manual_seed(seed)
    weights = (4 * torch.randn(targets, sources, generator=generator)).softmax(-1)
    target_words = target_words or [f"t{number}" for number in range(targets)]
    source_words = source_words or [f"s{number}" for number in range(sources)]
    return AttentionMap(weights, Tokens(tuple(target_words)), Tokens(tuple(source_words)), (), scale, "cross")


@pytest.fixture
def figure_of(monkeypatch, tmp_path):
    """The figure that a call draws, for its texts and patches; the file is written as always."""
    kept = []

    def keep(figure, path, title):
        kept.append(figure)
        write(figure, path, title)

    write = module.save_figure
    monkeypatch.setattr(module, "save_figure", keep)

    def call(map_, name="a.png", **options):
        (draw_alignments if isinstance(map_, dict) else draw_alignment)(map_, tmp_path / name, **options)
        return kept[-1]

    return call


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"), dtype=float) / 255


def outlines(figure):
    """(source, target, solid) of each outlined cell."""
    wanted = to_rgb(GOLD_LINK)
    found = [patch for patch in figure.axes[0].findobj(Rectangle) if patch.get_edgecolor()[:3] == wanted]
    return {
        (*(round(corner + side / 2) for corner, side in zip(p.get_xy(), (p.get_width(), p.get_height()), strict=True)),
         p.get_linestyle() in ("-", "solid"))
        for p in found
    }  # fmt: skip


@pytest.mark.parametrize("size", [(1, 1), (1, 12), (12, 1), (7, 9), (33, 28), (80, 80)])
def test_every_size_is_drawn_with_every_word_legibly(size, figure_of, tmp_path):
    figure = figure_of(an_alignment(*size))
    shown = texts(figure)
    assert {f"t{number}" for number in range(size[0])} <= set(shown)
    assert {f"s{number}" for number in range(size[1])} <= set(shown)
    labels = [text for text in figure.axes[0].findobj(Text) if text.get_text()[:1] in ("s", "t")]
    assert min(text.get_size() for text in labels) >= 7
    assert max(Image.open(tmp_path / "a.png").size) < 2600


@pytest.mark.parametrize("size", [(80, 80), (40, 40), (12, 14)])
def test_words_do_not_overlap_each_other(size, figure_of):
    words = [f"Straßenbahn{number}" for number in range(80)]
    map_ = an_alignment(*size, source_words=words[: size[1]], target_words=words[: size[0]])
    axes = figure_of(map_).axes[0]
    top = axes.get_xticklabels()[0]
    thickness = top.get_size() * axes.figure.dpi / 72  # of a line of letters, across their direction
    downs = sorted(label.get_window_extent().y0 for label in axes.get_yticklabels())
    assert min(np.diff(downs)) >= thickness
    across = min(np.diff([label.get_window_extent().x0 for label in axes.get_xticklabels()]))
    turned = math.sin(math.radians(top.get_rotation()))
    assert turned > 0, "words this long are turned"
    assert across * turned >= 0.9 * thickness


def test_short_words_stay_level(figure_of):
    labels = figure_of(an_alignment(3, 4, source_words=["a", "b", "c", "d"])).axes[0].get_xticklabels()
    assert {label.get_rotation() for label in labels} == {0}


def test_cells_have_the_colours_of_their_raw_weights(figure_of, tmp_path):
    """Twice the weight is twice as far along the colours, whatever the largest in the map is."""
    map_ = AttentionMap(torch.tensor([[0.0, 0.25, 0.5]]), Tokens(("t",)), Tokens(("a", "b", "c")), (), Scale.GATE)
    figure = figure_of(map_)
    drawn = figure.axes[0].images[0].get_array()[0, :, :3]
    table = figure.axes[1].collections[0] if figure.axes[1].collections else None
    assert table is not None, "a colour bar stands below"
    wanted = module.Scaling(0, 1, module.ALIGNMENT, "", "").mappable().to_rgba(np.array([0.0, 0.25, 0.5]))[:, :3]
    assert np.allclose(drawn, wanted)
    assert np.allclose(drawn[0], 1), "0 is white"
    assert any("raw weights, linear from 0 to 1; nothing clipped" in text for text in texts(figure))
    colours = pixels(tmp_path / "a.png").reshape(-1, 3)
    assert (np.abs(colours - wanted[2]).max(-1) < 0.01).any(), "and they reach the file"


@pytest.mark.parametrize(
    ("weights", "scale", "said"),
    [
        ([[0.0, 3.0]], Scale.RELEVANCE, "from 0 to the largest, 3"),
        ([[-2.0, 1.0]], Scale.SCORE, "linear around 0, from −2 to 2"),
        ([[0.0, 0.0]], Scale.GATE, "from 0 to 1"),
    ],
)
def test_the_picture_says_its_scale(weights, scale, said, figure_of):
    figure = figure_of(AttentionMap(torch.tensor(weights), Tokens(("t",)), Tokens(("a", "b")), (), scale))
    assert any(said in text for text in texts(figure))


def test_few_words_have_their_weights_written_and_many_have_not(figure_of):
    small, large = an_alignment(4, 5), an_alignment(15, 15)
    wanted = [f"{weight:.2f}" for weight in small.weights.flatten().tolist() if weight >= 0.005]
    assert [text.get_text() for text in figure_of(small).axes[0].texts] == wanted
    assert not figure_of(large).axes[0].texts


def test_gold_links_are_outlined_sure_solid_possible_dashed(figure_of):
    gold = Drawn(frozenset({(0, 0), (2, 1)}), frozenset({(2, 1), (3, 2)}))
    figure = figure_of(an_alignment(3, 4), gold=gold)
    assert outlines(figure) == {(0, 0, True), (2, 1, True), (3, 2, False)}
    assert {"sure gold link", "possible gold link"} <= set(texts(figure))
    assert outlines(figure_of(an_alignment(3, 4))) == set()


def test_long_words_are_cut_by_their_width_and_short_ones_are_whole(figure_of):
    words = ["Donaudampfschifffahrtsgesellschaft", "학수고대하고있었습니다만", "한국어를", "x"]
    shown = texts(figure_of(an_alignment(2, 4, source_words=words)))
    assert "Donaudampfschifff…" in shown
    assert "학수고대하고있었…" in shown
    assert {"한국어를", "x"} <= set(shown)
    assert all(count_columns(module._clip_word(word)) <= LONGEST_WORD for word in words)


def test_korean_has_a_font_or_a_warning_that_names_one(figure_of):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        figure = figure_of(an_alignment(1, 1, source_words=["안녕하세요"], target_words=["Hello"]), title="주목")
    families = next(text for text in figure.findobj(Text) if text.get_text() == "안녕하세요").get_fontfamily()
    assert len(families) > 1 or any("fonts-nanum" in str(each.message) for each in said)


def test_words_with_dollars_and_line_breaks_are_words(figure_of):
    shown = texts(figure_of(an_alignment(1, 2, source_words=["$x$", "a\nb"]), title="$100 & <b>", subtitle="x\n y"))
    assert {"$x$", "a b", "$100 & <b>", "x y"} <= set(shown)


def test_small_multiples_share_scale_and_words(figure_of):
    maps = {f"head {number}": an_alignment(6, 7, seed=number) for number in range(6)}
    figure = figure_of(maps, title="Layer 3", gold=Drawn(frozenset({(1, 1)})))
    panels = [axes for axes in figure.axes if axes.images]
    assert [axes.get_xlabel() for axes in panels] == list(maps)
    for axes, map_ in zip(panels, maps.values(), strict=True):
        wanted = module.Scaling(0, 1, module.ALIGNMENT, "", "").mappable().to_rgba(map_.weights.numpy())
        assert np.allclose(axes.images[0].get_array(), wanted)
    assert [bool(axes.get_yticklabels()) for axes in panels] == [True, False, False, False, True, False]
    assert [bool(axes.get_xticklabels()) for axes in panels] == [True] * 4 + [False] * 2


def test_small_multiples_too_small_for_words_say_so(figure_of):
    shown = texts(figure_of({f"head {number}": an_alignment(60, 60, seed=number) for number in range(4)}))
    assert "t0" not in shown
    assert any("Too small for words" in text for text in shown)


def test_svg_is_written_too(tmp_path):
    draw_alignment(an_alignment(2, 2), tmp_path / "new" / "a.svg", title="a")
    assert "<svg" in (tmp_path / "new" / "a.svg").read_text()


LEAD = AttentionMap(torch.ones(2, 1, 1), Tokens(("t",)), Tokens(("s",)), ("head",))


@pytest.mark.parametrize(
    ("map_", "options", "said"),
    [
        (LEAD, {}, "choose with .at"),
        (an_alignment(2, 301), {}, "up to 300 words a side, got 2 x 301"),
        (an_alignment(2, 2), {"gold": Drawn(frozenset({(2, 0)}))}, "source word 2 and target word 0, outside the 2"),
        (an_alignment(2, 2), {"name": "a.jpg"}, "svg or .pdf"),
        ({}, {}, "1 to 64 maps, got 0"),
        ({"a": an_alignment(2, 2), "b": an_alignment(2, 3)}, {}, "b has other words"),
    ],
)
def test_what_cannot_be_drawn_is_said(map_, options, said, figure_of):
    with pytest.raises(JumokError, match=said):
        figure_of(map_, **options)


@pytest.mark.parametrize(
    ("queries", "keys", "said"),
    [
        (("a", "b"), ("a", "b"), "query words down, key words across, both of one text"),
        (("b", "c"), ("a", "b", "c"), "query words down, key words across, both of one text"),
        (("x", "b"), ("a", "b"), "target words down, source words across"),
    ],
)
def test_the_caption_tells_self_attention_from_that_on_another_text(tmp_path, monkeypatch, queries, keys, said):
    figures = []
    monkeypatch.setattr(module, "save_figure", lambda figure, path, title: figures.append(figure))
    weights = torch.full((len(queries), len(keys)), 1 / len(keys))
    attention = AttentionMap(weights, Tokens(queries), Tokens(keys), (), Scale.DISTRIBUTION, "test")
    draw_fitting(attention, None, tmp_path / "a.png")
    assert said in " ".join(texts(figures[-1]))
