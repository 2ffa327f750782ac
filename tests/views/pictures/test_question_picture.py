"""A question as a value and as a picture: what is refused, and what stands on the picture."""

import itertools
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text
from PIL import Image
from synthetic_maps import photograph
from synthetic_questions import GRID, KOREAN, a_question, look_at, relevance, shapes

from jumok.attention import AttentionMap, Features, Glimpses, One, Patches, Pixels, Scale, Tokens
from jumok.errors import JumokError
from jumok.views.pictures import question_picture as module
from jumok.views.pictures.figures import BLANK
from jumok.views.pictures.question_picture import DRAWN_LOOKS, Asked, draw_asked

WORDS = ("is", "it", "red")


def weighing(*weights, scale=Scale.RELEVANCE):
    return AttentionMap(torch.tensor([weights]), One("answer"), Tokens(("",) * len(weights)), (), scale, "relevance")


def asked(**changes):
    return Asked(**{"question": "is it red", "words": WORDS, "answers": [("yes", 0.75), ("no", 0.25)], **changes})


# -- the value ------------------------------------------------------------------------------------

HEADS = AttentionMap(torch.ones(2, 1, 64), One("q"), Patches(*GRID), ("head",))
ROWS = AttentionMap(torch.ones(2, 64), Tokens(("a", "b")), Patches(*GRID))
FLAT = AttentionMap(torch.ones(1, 3), One("q"), Features(("a", "b", "c")))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"words": "is it red"}, "split it first"),
        ({"words": ()}, "1 to 100 words, got 0"),
        ({"words": ("w",) * 101}, "1 to 100 words, got 101"),
        ({"answers": []}, "1 to 100 answers, got 0"),
        ({"answers": [("yes", 1.5)]}, "'yes' is 1.5: wanted a number from 0 to 1"),
        ({"answers": [("yes", float("nan"))]}, "'yes' is nan"),
        ({"answers": [("no", 0.25), ("yes", 0.75)]}, "give the best first"),
        ({"looks": {"hop 1": HEADS}}, r"'hop 1' also has \('head',\)"),
        ({"looks": {"hop 1": ROWS}}, "has 2 rows, wanted 1: choose with .row"),
        ({"looks": {"hop 1": FLAT}}, "goes to Features: wanted keys that lie in the image"),
        ({"looks": {str(n): relevance() for n in range(65)}}, "up to 64 looks, got 65"),
        ({"by_word": {"hop 1": ROWS}}, "not among the looks: there are no looks"),
        ({"looks": {"hop 1": relevance()}, "by_word": {"hop 2": ROWS}}, "did you mean 'hop 1'"),
        ({"looks": {"hop 1": relevance()}, "by_word": {"hop 1": ROWS}}, "has 2 rows, wanted 3: one for each word"),
        ({"weights": weighing(0.5, 0.5)}, r"are \(1, 2\), wanted one row: \(1, 3\)"),
        ({"weights": weighing(0.5, -0.1, 0.6)}, "both signs"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(changes, said):
    with pytest.raises(JumokError, match=said) as refused:
        asked(**changes)
    assert "\n" not in str(refused.value)


def test_answers_are_right_by_their_letters():
    question = asked(truth=" Dark  Red")
    assert question.is_right("dark red") is True
    assert question.is_right("dark  RED ") is True
    assert question.is_right("darkred") is False
    assert asked(truth="\u1112\u1161\u11ab").is_right("한") is True
    assert asked().is_right("yes") is None


@pytest.mark.parametrize(
    ("weights", "labels"),
    [
        ((0.25, 0.5, 0.25), ["0.25", "0.50", "0.25"]),
        ((0.001, 0.02, 0.0), ["0.001", "0.020", "0.000"]),
        ((1.0, 0.0, 0.0), ["1.00", "0.00", "0.00"]),
        ((140.0, 2.6, 0.0), ["140", "3", "0"]),
        ((0.0, 0.0, 0.0), ["0.00", "0.00", "0.00"]),
    ],
)
def test_weights_are_written_with_the_digits_that_the_largest_needs(weights, labels):
    question = asked(weights=weighing(*weights))
    assert question.weight_labels() == labels
    assert question.shares() == pytest.approx([weight / (max(weights) or 1) for weight in weights])


def test_without_weights_no_word_has_a_share_or_a_label():
    assert asked().shares() == [0, 0, 0]
    assert asked().weight_labels() == []


# -- the picture ----------------------------------------------------------------------------------


@pytest.fixture
def figure_of(monkeypatch, tmp_path):
    """The figure that a call draws, for its texts and patches; the file is written as always."""
    kept = []

    def keep(figure, path, title):
        write(figure, path, title)
        kept.append(figure)

    write = module.save_figure
    monkeypatch.setattr(module, "save_figure", keep)

    def call(question, image=None, name="a.png", **options):
        draw_asked(shapes() if image is None else image, question, tmp_path / name, **options)
        return kept[-1]

    return call


def texts(figure):
    return [" ".join(text.get_text().split()) for text in figure.findobj(Text) if text.get_text()]


def panels(figure):
    return {axes.get_title(): axes.get_images()[0].get_array() for axes in figure.axes if axes.get_images()}


def alphas(figure):
    return [patch.get_alpha() for patch in figure.findobj(FancyBboxPatch)]


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_the_image_and_each_look_have_a_panel(count, figure_of, tmp_path):
    names = [f"layer {number}" for number in range(count)]
    figure = figure_of(a_question(names=names), title="한국어 제목")
    assert list(panels(figure)) == ["image", *names]
    shown = texts(figure)
    assert "한국어 제목" in shown
    assert any("coloured linearly" in text for text in shown)
    width, height = Image.open(tmp_path / "a.png").size
    assert 700 < width < 2000
    assert 600 < height < 2000


def test_the_heat_is_strongest_where_the_look_is(figure_of):
    question = a_question()
    drawn = panels(figure_of(question))
    (plain,) = (np.asarray(picture) for name, picture in drawn.items() if name not in question.looks)
    for name, look in question.looks.items():
        difference = np.abs(np.asarray(drawn[name]) - plain).max(-1)
        row, column = np.unravel_index(int(look.weights.argmax()), GRID)
        side = drawn[name].shape[0] // GRID[0]
        inside = difference[row * side : (row + 1) * side, column * side : (column + 1) * side]
        assert inside.mean() > difference.mean() + 0.2


@pytest.mark.parametrize(("seen", "outlined"), [((0.0, 0.25, 1.0, 0.75), True), (None, False), ((0, 0, 1, 1), False)])
def test_the_part_that_was_seen_is_outlined_on_each_look(figure_of, seen, outlined):
    question = a_question(names=("look 1", "look 2"))
    figure = figure_of(replace(question, seen=seen))
    lines = {axes.get_title(): [each for each in axes.patches if each.get_linestyle() == "--"] for axes in figure.axes}
    assert [len(lines[name]) for name in ("image", "look 1", "look 2")] == ([0, 1, 1] if outlined else [0, 0, 0])
    if outlined:
        (line,), width = lines["look 1"], panels(figure)["look 1"].shape[1]
        assert line.get_x() == pytest.approx(0.25 * width - 0.5)
        assert line.get_width() == pytest.approx(0.5 * width)


def test_words_are_shaded_linearly_in_their_weights_and_carry_them(figure_of):
    question = asked(weights=weighing(0.2, 0.4, 0.0))
    figure = figure_of(question)
    assert alphas(figure) == pytest.approx([0.25, 0.5, 0.0])
    assert {"is", "it", "red", "0.20", "0.40", "0.00"} <= set(texts(figure))
    assert any("(relevance), linear from 0 to the largest, 0.4" in text for text in texts(figure))


def test_without_weights_nothing_is_shaded_and_that_is_said(figure_of):
    figure = figure_of(asked())
    assert alphas(figure) == [0, 0, 0]
    assert any("How much each word mattered is not known." in text for text in texts(figure))


def test_without_a_look_the_image_stands_alone_and_that_is_said(figure_of):
    figure = figure_of(asked(looks={}))
    assert list(panels(figure)) == ["image"]
    assert any("attends to no part of the image" in text for text in texts(figure))


def test_answers_have_bars_from_0_to_1_and_the_right_one_is_marked(figure_of):
    figure = figure_of(a_question(answers=[("square", 0.5), ("triangle", 0.25)]))
    axes = next(axes for axes in figure.axes if "square" in [text.get_text() for text in axes.texts])
    widths = [bar.get_width() for bar in axes.patches]
    assert widths[1] / widths[0] == pytest.approx(0.5)
    assert widths[3] / widths[2] == pytest.approx(0.25)
    assert [text.get_text() for text in axes.texts][2:] == ["50.0%  ✗", "25.0%  ✓ right answer"]


def test_a_right_answer_that_is_not_among_them_is_told(figure_of):
    assert any("Right answer: ring, not among these." in text for text in texts(figure_of(a_question(truth=" ring"))))
    assert not any("not among these" in text for text in texts(figure_of(a_question(truth="disc"))))


def test_long_questions_run_over_several_lines_inside_the_picture(figure_of):
    words = [f"word{number}" for number in range(60)]
    figure = figure_of(a_question(words, ["red"] * 60))
    drawn = {text.get_text(): text for text in figure.findobj(Text) if text.get_text() in words}
    assert len(drawn) == 60
    boxes = [drawn[word].get_window_extent(figure.canvas.get_renderer()) for word in words]
    assert len({round(box.y0) for box in boxes}) > 3
    assert max(box.x1 for box in boxes) <= figure.get_size_inches()[0] * figure.dpi + 1
    for one, other in itertools.pairwise(boxes):
        assert other.x0 > one.x1 or other.y1 < one.y0, "words do not lie on each other"


def test_korean_hostile_and_empty_words_are_drawn(figure_of):
    words = (*KOREAN["words"], "</script>", "$x^2$", " ")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = figure_of(a_question(words, (None,) * 10, answers=[("삼각형", 1.0)]))
    assert {"빨간", "도형은", "</script>", "$x^2$", BLANK, "삼각형"} <= set(texts(figure))


def test_signed_scores_glimpses_and_fine_pixels_are_drawn_too(figure_of):
    score = AttentionMap(torch.randn(1, 64), One("q"), Patches(*GRID), (), Scale.SCORE)
    glimpses = AttentionMap(torch.tensor([[0.4, 0.6]]), One("q"), Glimpses(((0, 0), (0.5, 0.5)), ((0.5, 0.5),) * 2))
    fine = AttentionMap(torch.rand(1, 500 * 450), One("q"), Pixels(500, 450), (), Scale.RELEVANCE)
    nothing = AttentionMap(torch.zeros(1, 64), One("q"), Patches(*GRID), (), Scale.RELEVANCE)
    special = AttentionMap(
        torch.cat([torch.tensor([[0.5]]), look_at("red")[None] / 2], 1), One("q"), Patches(*GRID, ("cls",))
    )
    looks = {"score": score, "glimpses": glimpses, "fine": fine, "nothing": nothing, "cls": special}
    figure = figure_of(asked(looks=looks), image=photograph())
    shown = "\n".join(texts(figure))
    assert "fine: Averaged down from 500 x 450." in shown
    assert "cls: Not in the picture: cls 0.5." in shown


def test_looks_beyond_the_most_are_counted(figure_of):
    looks = {f"layer {number}": relevance() for number in range(DRAWN_LOOKS + 2)}
    figure = figure_of(asked(looks=looks))
    assert len(panels(figure)) == DRAWN_LOOKS + 1
    assert any(f"The first {DRAWN_LOOKS} of {DRAWN_LOOKS + 2} looks" in text for text in texts(figure))


def test_what_fell_on_the_one_other_token_of_every_look_is_one_line(figure_of):
    keys = Patches(*GRID, special=("other tokens",))
    look = AttentionMap(torch.full((1, len(keys)), 1 / len(keys)), One("answer"), keys)
    shown = texts(figure_of(a_question(names=(), looks={"whole": look, "1: a": look})))
    share = f"{1 / len(keys):.3g}"
    assert sum("Not in the picture" in text for text in shown) == 1
    assert any(f"Not in the picture, other tokens: whole {share}, 1: a {share}." in text for text in shown)


def test_names_that_are_alike_once_shortened_keep_their_panels(figure_of):
    looks = {f"{'a long name ' * 4}{number}": relevance() for number in range(2)}
    assert len(panels(figure_of(asked(looks=looks)))) == 3


def test_an_svg_is_written_and_other_kinds_are_refused(tmp_path):
    draw_asked(shapes(), asked(), tmp_path / "new" / "a.svg")
    assert (tmp_path / "new" / "a.svg").read_text("utf-8").lstrip().startswith("<?xml")
    with pytest.raises(JumokError, match=r"\.svg or \.pdf"):
        draw_asked(shapes(), asked(), tmp_path / "a.jpg")
    with pytest.raises(JumokError, match="an image is"):
        draw_asked(torch.zeros(3, 4), asked(), tmp_path / "a.png")
