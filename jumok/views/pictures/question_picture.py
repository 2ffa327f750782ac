"""An asked question: its words, its answers, and where in the image the model looked; as a value and as a picture.

Colours and shades are linear in the raw weights, reach the largest of their own map, and say so; nothing is clipped.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from jumok.attention import AttentionMap
from jumok.attention.frames import Frame, tell_seen
from jumok.errors import JumokError, suggest
from jumok.views.palette import INK, PALE, PLUS, QUIET, RIGHT_ANSWER
from jumok.views.pictures.colour_scale import Scaling
from jumok.views.pictures.drawn_texts import translate, wrap
from jumok.views.pictures.figures import make_visible, place_axes, save_figure, set_fonts, shorten
from jumok.views.pictures.overlay import (
    LARGEST_PANEL,
    SMALLEST_PANEL,
    is_beside,
    lay_weights,
    note_unseen,
    outline_part,
    overlay,
    place_side_by_side,
)
from jumok.views.pictures.spectrogram import RULER_INCHES, rule_time
from jumok.views.pictures.words import format_weights, make_sheet, measure_text, write_words
from jumok.views.raster import ImageLike, Numbers, as_pillow, fit, is_signed
from jumok.wording import write_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_WORDS, MOST_LOOKS, MOST_ANSWERS = 100, 64, 100
DRAWN_LOOKS, DRAWN_ANSWERS = 11, 5  # of a picture
LARGEST_OF_MANY = 430  # longer side of a panel, in pixels, where there are several looks
NARROWEST_INCHES = 5.0  # inches for lines of words
BAR_INCHES = 2.2  # inches from 0 to 1


@dataclass(frozen=True)
class Asked:
    """A question about an image, its answers, and where the model looked.

    Args:
        question: as it was asked; any text.
        words: the question's words, in order, as they are shown.
        answers: (answer, probability in [0, 1]) pairs, best first.
        looks: by the name each is offered under, such as "hop 1" or "relevance": one row over keys that lie in the
            image; empty for a system that looks at no image.
        by_word: by some of the same names, (words, keys in the image): where each word looked.
        weights: one row over the words, 0 or more: how much each mattered; None: not known.
        truth: the right answer, where it is known.
        note: a line of text.
        generated: whether the words are those of the answer, as a model wrote it; the weights are then how probable
            each was.
        seen: the part of the image that the model was given; None: all of it.
    Raises:
        JumokError: a part that does not fit the others, or a number out of its bounds.
    """

    question: str
    words: Sequence[str]
    answers: Sequence[tuple[str, float]]
    looks: Mapping[str, AttentionMap] = field(default_factory=dict)
    by_word: Mapping[str, AttentionMap] = field(default_factory=dict)
    weights: AttentionMap | None = None
    truth: str = ""
    note: str = ""
    generated: bool = False
    seconds: float | None = None
    seen: Frame | None = None

    def __post_init__(self) -> None:
        _check_words(self.words)
        _check_answers(self.answers)
        if len(self.looks) > MOST_LOOKS:
            raise JumokError(f"a question is shown with up to {MOST_LOOKS} looks, got {len(self.looks)}: choose some")
        for name, each in self.looks.items():
            _check_look(f"the look {name!r}", each, 1)
        for name, each in self.by_word.items():
            if name not in self.looks:
                known = suggest(name, self.looks) if self.looks else "there are no looks"
                raise JumokError(f"by_word has {name!r}, which is not among the looks: {known}")
            _check_look(f"the words' look {name!r}", each, len(self.words))
        if self.weights is not None:
            _check_weights(self.weights, len(self.words))

    def shares(self) -> list[float]:
        """How much each word mattered, as a share of the largest; all 0 where it is not known, or nothing mattered."""
        weights = [0.0] * len(self.words) if self.weights is None else self.weights.weights[0].tolist()
        return [weight / (max(weights) or 1) for weight in weights]

    def weight_labels(self) -> list[str]:
        """The words' weights as text, with as many digits as the largest needs; empty where they are not known."""
        return [] if self.weights is None else format_weights(self.weights.weights[0].tolist())

    def spread(self, look: str, whole: str) -> Asked:
        """The same for a picture, which cannot be pointed at: what each word looked at is a look of its own.

        Args:
            look: whose words are spread; the others are left out.
            whole: what the look of all words is called.
        """
        words, by_word = list(self.words)[: MOST_LOOKS - 1], self.by_word[look]
        looks = {f"{number}: {word}": by_word.row(number - 1) for number, word in enumerate(words, 1)}
        return replace(self, looks={whole: self.looks[look], **looks}, by_word={})

    def is_right(self, answer: str) -> bool | None:
        """Whether an answer is right, by its letters and not their case; None where the right one is not known."""
        return fold_case(answer) == fold_case(self.truth) if self.truth.strip() else None


def fold_case(text: str) -> str:
    """A text by its letters alone, however they were typed."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def _check_words(words: Sequence[str]) -> None:
    if isinstance(words, str):
        raise JumokError(f"a question has a sequence of words, got the one string {words!r}: split it first")
    if not 1 <= len(words) <= MOST_WORDS:
        raise JumokError(f"a question is shown with 1 to {MOST_WORDS} words, got {len(words)}")


def _check_answers(answers: Sequence[tuple[str, float]]) -> None:
    if not 1 <= len(answers) <= MOST_ANSWERS:
        raise JumokError(
            f"a question is shown with 1 to {MOST_ANSWERS} answers, got {len(answers)}: give the best ones"
        )
    before = 1.0
    for answer, probability in answers:
        if not 0 <= probability <= 1:
            raise JumokError(f"the probability of {answer!r} is {probability}: wanted a number from 0 to 1")
        if probability > before:
            raise JumokError(
                f"{answer!r} with {probability:.3g} follows an answer with {before:.3g}: give the best first"
            )
        before = probability


def _check_look(what: str, look: AttentionMap, rows: int) -> None:
    if look.lead:
        raise JumokError(f"{what} also has {look.lead}, and is shown without leading axes: choose with .at or .mean")
    if not look.keys.in_image:
        raise JumokError(f"{what} goes to {type(look.keys).__name__}: wanted keys that lie in the image")
    if len(look.queries) != rows:
        choose = "choose with .row" if rows == 1 else "one for each word of the question"
        raise JumokError(f"{what} has {len(look.queries)} rows, wanted {rows}: {choose}")


def _check_weights(weights: AttentionMap, words: int) -> None:
    if tuple(weights.weights.shape) != (1, words):
        raise JumokError(f"the words' weights are {tuple(weights.weights.shape)}, wanted one row: (1, {words})")
    if is_signed(weights):
        raise JumokError("the words' weights hold scores of both signs: give weights of 0 or more")


# -- the picture ----------------------------------------------------------------------------------


def draw_asked(image: ImageLike, asked: Asked, path: str | os.PathLike[str], *, title: str = "") -> None:
    """Draw a question with each word shaded by its weight, the image with a heatmap of each look, and the best answers.

    Args:
        image: uint8 (3, height, width) or a Pillow image.
        asked: the question; the first 11 looks and 5 answers are drawn.
        path: of a .png, .svg or .pdf file; its folder is made if it is missing.
        title: a line above the picture; any text.
    Raises:
        JumokError: another kind of file, no image, or a file that cannot be written.
    """
    photo = _fit_photo(as_pillow(image), len(asked.looks) if asked.seconds is None else 1)
    figure = _draw_panels(photo, _choose_looks(asked), asked.seconds, asked.seen if tell_seen(asked.seen) else None)
    bottom = _draw_answers(figure, asked, top=float(figure.get_size_inches()[1]) + 0.1)
    _write_notes(figure, _list_notes(asked) + _note_left_out(asked, *photo.shape[:2]), bottom)
    _write_question(figure, asked)
    save_figure(figure, path, title)


def _fit_photo(image: Image.Image, looks: int) -> Numbers:
    """The image at the size of a panel, from 0 to 1."""
    fitting = fit(image, smallest=SMALLEST_PANEL, largest=LARGEST_PANEL if looks < 2 else LARGEST_OF_MANY)
    return np.asarray(fitting, dtype=np.float32) / 255


def _choose_looks(asked: Asked) -> dict[str, AttentionMap]:
    return dict(list(asked.looks.items())[:DRAWN_LOOKS])


def _draw_panels(
    photo: Numbers, looks: Mapping[str, AttentionMap], seconds: float | None, seen: Frame | None
) -> Figure:
    """The image, and beside it the heat of each look over it with a colour bar of its own."""
    height, width = photo.shape[:2]
    panels, scalings = {translate("image") if seconds is None else translate("spectrogram"): photo}, []
    for name, look in looks.items():
        scaling = Scaling.of(look, lay_weights(look, height, width, smooth=False))
        panels[_find_free_name(panels, shorten(name))] = overlay(
            photo, lay_weights(look, height, width, smooth=True), scaling
        )
        scalings.append(scaling)
    columns = 3 if len(panels) in (3, 5, 6, 9) else 4
    ruled = 0.0 if seconds is None else RULER_INCHES
    figure, axes = place_side_by_side(panels, most=columns, below=(0.3 if looks else 0.0) + ruled)
    for each in axes if seconds is not None else ():
        rule_time(each, seconds or 0.0, width)
    for each, scaling in zip(axes[1:], scalings, strict=True):
        _draw_small_bar(figure, each, scaling, ruled)
        if seen is not None:
            outline_part(each, seen, height, width)
    return figure


def _find_free_name(taken: Mapping[str, Any], name: str) -> str:
    """A name that no other panel has: two may be alike once they are shortened."""
    while name in taken:
        name += " "
    return name


def _draw_small_bar(figure: Figure, above: Axes, scaling: Scaling, lower: float) -> None:
    """Colours and their ends, so many inches under a panel."""
    across, down = figure.get_size_inches()
    box = above.get_position()
    axes = place_axes(figure, box.x0 * across, (1 - box.y0) * down + 0.06 + lower, box.width * across, 0.07)
    bar = figure.colorbar(scaling.mappable(), cax=axes, orientation="horizontal")
    bar.set_ticks([scaling.low, scaling.high], labels=[f"{end:.3g}" for end in (scaling.low, scaling.high)])
    bar.outline.set_visible(False)
    axes.tick_params(labelsize=8, labelcolor=QUIET, length=0, pad=3)
    low, high = axes.get_xticklabels()
    low.set_horizontalalignment("left")
    high.set_horizontalalignment("right")


# -- the question ---------------------------------------------------------------------------------


def _write_question(figure: Figure, asked: Asked) -> None:
    """The words in lines above all else, each on a shade for its weight and with its weight beneath."""
    write_words(figure, asked.words, asked.shares(), asked.weight_labels(), width=_choose_width(figure))


def _choose_width(figure: Figure) -> float:
    return max(float(figure.get_size_inches()[0]), NARROWEST_INCHES)


# -- answers and notes ----------------------------------------------------------------------------


def _draw_answers(figure: Figure, asked: Asked, top: float) -> float:
    """Small bars for the best answers, from 0 to 1, the right one marked. Returns where they end, in inches."""
    answers, line = asked.answers[:DRAWN_ANSWERS], 0.24
    height, width = line * len(answers), _choose_width(figure)
    axes = make_sheet(figure, top, height, width)
    looks = [_style_answer(asked, row) for row in range(len(answers))]
    names = [
        axes.text(0, line * (row + 0.5), make_visible(answer), size=9.5, color=ink, va="center")
        for row, ((answer, _), (ink, _, _)) in enumerate(zip(answers, looks, strict=True))
    ]
    set_fonts(figure)
    left = max(measure_text(figure, name) for name in names) + 0.12
    for row, ((_, share), (ink, colour, mark)) in enumerate(zip(answers, looks, strict=True)):
        middle = line * (row + 0.5)
        axes.barh([middle, middle], [BAR_INCHES, BAR_INCHES * share], left=left, height=0.12, color=[PALE, colour])
        axes.text(left + BAR_INCHES + 0.1, middle, f"{write_percent(share, 1)}{mark}", va="center", size=8.5, color=ink)
    axes.set(xlim=(0, width), ylim=(height, 0))
    return top + height


def _style_answer(asked: Asked, row: int) -> tuple[str, str, str]:
    """(colour of the letters, of the bar, and a mark) for an answer."""
    right = asked.is_right(asked.answers[row][0])
    if right:
        return RIGHT_ANSWER, RIGHT_ANSWER, f"  \N{CHECK MARK} {translate('right answer')}"
    return (INK, PLUS, "  \N{BALLOT X}" if right is False else "") if row == 0 else (QUIET, QUIET, "")


def _write_notes(figure: Figure, lines: Sequence[str], top: float) -> None:
    width = _choose_width(figure)
    axes = make_sheet(figure, top + 0.12, 0.01, width)
    text = "\n".join(wrap(line, round(width * 15)) for line in lines)
    axes.text(0, 0, text, size=8.5, color=QUIET, va="top", linespacing=1.5)


def _list_notes(asked: Asked) -> list[str]:
    """What the picture does not show by itself: the right answer elsewhere, and how colours are scaled."""
    lines = [" ".join(asked.note.split())] if asked.note.strip() else []
    if asked.truth.strip() and not any(asked.is_right(answer) for answer, _ in asked.answers[:DRAWN_ANSWERS]):
        lines.append(translate("Right answer: {answer}, not among these.", answer=shorten(asked.truth, 60)))
    lines.append(_say_scale(len(asked.looks)))
    if asked.weights is None:
        return [*lines, translate("How much each word mattered is not known.")]
    if asked.generated:
        return [*lines, translate("A word's shade: its probability, linear from 0 to the largest.")]
    source, top = asked.weights.source, f"{float(asked.weights.weights.max()):.3g}"
    what = translate("how much it mattered")
    what += f" ({shorten(source)})" if source else ""
    return [*lines, translate("A word's shade: {what}, linear from 0 to the largest, {top}.", what=what, top=top)]


def _say_scale(looks: int) -> str:
    """How the looks are coloured."""
    if not looks:
        return translate("No look: this system attends to no part of the image.")
    if looks == 1:
        return translate("The look is coloured linearly in its weights, between the ends under it; nothing clipped.")
    return translate("Each look is coloured linearly in its weights, between the ends under it; nothing clipped.")


def _note_left_out(asked: Asked, height: int, width: int) -> list[str]:
    """What panels of this size cannot show."""
    looks = _choose_looks(asked)
    more = len(asked.looks) - len(looks)
    special = {getattr(look.keys, "special", ()) for look in looks.values()}
    alike = asked.seconds is not None or (len(looks) > 1 and [len(each) for each in special] == [1])
    lines = _note_beside(looks) if alike else []
    if asked.seconds is None:
        notes = [(name, note) for name, look in looks.items() for note in note_unseen(look, height, width)]
        lines[:0] = [f"{shorten(name)}: {note}." for name, note in notes if not (alike and is_beside(note))]
    return lines + ([_say_first(len(looks), len(asked.looks))] if more else [])


def _say_first(drawn: int, every: int) -> str:
    return translate("The first {count} of {all} looks are drawn.", count=drawn, all=every)


def _note_beside(looks: Mapping[str, AttentionMap]) -> list[str]:
    """What fell beside the picture, where each look leaves out the same, so that it is named once."""
    notes: dict[str, list[str]] = {}
    for name, look in looks.items():
        for special, weight in zip(getattr(look.keys, "special", ()), look.weights[0].tolist(), strict=False):
            notes.setdefault(special, []).append(f"{shorten(name)} {weight:.3g}")
    return [
        translate("Not in the picture, {special}: {names}.", special=special, names=", ".join(each))
        for special, each in notes.items()
    ]
