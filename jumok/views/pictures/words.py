"""Words in lines, each on a shade for its weight: of a question, or of a map whose keys are a text."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jumok.attention import AttentionMap, Tokens
from jumok.errors import JumokError
from jumok.views.palette import INK, MINUS, PLUS, QUIET
from jumok.views.pictures.colour_scale import PLAIN, Look, Scaling, draw_colour_bar
from jumok.views.pictures.drawn_texts import translate
from jumok.views.pictures.figures import CENTRED, make_visible, new_figure, place_axes, save_figure, set_fonts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

__all__ = ["MOST_WORDS", "draw_text", "is_text", "make_sheet", "measure_text", "write_words"]

MOST_WORDS = 300
WIDTH_INCHES = 7.0
STRONGEST_SHADE = 0.5  # opacity under the letters, which stay legible


def is_text(attention: AttentionMap) -> bool:
    """Whether the map is one row over words that are known, few enough to be read."""
    keys = attention.keys
    numbered = isinstance(keys, Tokens) and (keys.why or keys.labels() == Tokens.numbered(len(keys)).labels())
    return len(attention.queries) == 1 and isinstance(keys, Tokens) and not numbered and len(keys) <= MOST_WORDS


def draw_text(attention: AttentionMap, path: str | os.PathLike[str], *, title: str = "", look: Look = PLAIN) -> None:
    """Draw a text, each word on a shade for its weight and with its weight beneath.

    Args:
        attention: one row over at most 300 words, no leading axes.
        path: of a .png, .svg or .pdf file; its folder is made if it is missing.
        title: a line above the picture; any text.
        look: bounds and colours.
    Raises:
        JumokError: another map or kind of file, a look that cannot be had, or a file that cannot be written.
    """
    if attention.lead or not is_text(attention):
        raise JumokError(f"a text is one row over 1 to {MOST_WORDS} words, got {attention!r}: choose with .at and .row")
    weights = attention.weights[0].numpy(force=True)
    scaling = Scaling.of(attention, weights, look)
    colours = [tuple(rgb) for rgb in scaling.rgb(weights)] if look.cmap else None
    figure = new_figure(WIDTH_INCHES, 0.05)
    shares = scaling.share(weights).tolist()
    write_words(figure, attention.keys.labels(), shares, format_weights(weights.tolist()), WIDTH_INCHES, colours)
    if look.cmap:
        draw_colour_bar(figure, scaling)
    else:
        _write_scale(figure, attention, scaling)
    save_figure(figure, path, title)


def _write_scale(figure: Figure, attention: AttentionMap, scaling: Scaling) -> None:
    """Who looks, and how the shades are scaled."""
    from jumok.views.pictures.colour_scale import wrap_lines

    axes = make_sheet(figure, 0.16, 0.01, WIDTH_INCHES)
    signs = translate("brown: above 0, blue: below 0") if scaling.low < 0 else ""
    lines = wrap_lines(
        translate("query: {name}", name=attention.queries.label(0)), scaling.words, signs, width=WIDTH_INCHES
    )
    axes.text(0, 0, lines, size=8.5, color=QUIET, va="top", linespacing=1.5)


def format_weights(weights: Sequence[float]) -> list[str]:
    """Weights as text, with as many digits as the largest needs.

    >>> format_weights([0.5, 0.25]), format_weights([0.001, 0.0125])
    (['0.50', '0.25'], ['0.001', '0.013'])
    """
    top = max(map(abs, weights), default=0) or 1
    digits = max(2 if top <= 1 else 0, min(1 - math.floor(math.log10(top)), 6))
    return [f"{weight:.{digits}f}".replace("-", "\N{MINUS SIGN}") for weight in weights]


def write_words(
    figure: Figure,
    words: Sequence[str],
    shares: Sequence[float],
    weights: Sequence[str],
    width: float,
    colours: Sequence[Any] | None = None,
) -> None:
    """Write words in lines above all else, each on a shade for its share.

    Args:
        words: any text; blanks are made visible.
        shares: of the strongest shade, from -1 to 1.
        weights: written beneath the words; empty: nothing is.
        width: of a line, in inches.
        colours: of the shades; None: one for each sign.
    """
    size = 16.0 if len(words) <= 14 else 13.0 if len(words) <= 30 else 11.0
    letter = size / 72
    line = letter * (2.45 if weights else 1.7)
    axes = make_sheet(figure, 0, 1, width)
    texts = [axes.text(0, 0, make_visible(word), size=size, color=INK, **CENTRED) for word in words]
    set_fonts(figure)
    least = 0.075 * len(weights[0]) if weights else 0.0  # so that weights stand beside each other, too
    places = _place_words([max(measure_text(figure, text), least) for text in texts], width, weights)
    _resize(axes, figure, -line * (places[-1][0] + 1) - 0.02, width)
    shades = colours or [PLUS if share >= 0 else MINUS for share in shares]
    for text, (row, left, wide), share, shade in zip(texts, places, shares, shades, strict=True):
        text.set_position((left + wide / 2, row * line + 0.64 * letter))
        box = (left, row * line - 0.14 * letter, wide, 1.56 * letter)
        _draw_shade(axes, box, STRONGEST_SHADE if colours else STRONGEST_SHADE * min(abs(share), 1), shade)
    for weight, (row, left, wide) in zip(weights, places[: len(weights)], strict=True):
        axes.text(left + wide / 2, row * line + 1.76 * letter, weight, size=7.5, color=QUIET, **CENTRED)


def make_sheet(figure: Figure, top: float, height: float, width: float) -> Axes:
    """Empty axes whose units are inches, from their upper left corner."""
    axes = place_axes(figure, 0, top, width, height)
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return axes


def measure_text(figure: Figure, text: Text) -> float:
    """How wide a text is, in inches."""
    return float(text.get_window_extent().width / figure.dpi)


def _resize(axes: Axes, figure: Figure, top: float, width: float) -> None:
    """Let a sheet reach from `top` to the figure's upper edge."""
    across, down = figure.get_size_inches()
    axes.set_position((0, 1, width / across, -top / down))
    axes.set(ylim=(-top, 0))


def _place_words(widths: Sequence[float], room: float, weights: Sequence[str]) -> list[tuple[int, float, float]]:
    """(line, left, width) of each word's box, in lines no longer than the room."""
    pad, gap = (0.09, 0.03) if weights else (0.0, 0.08)
    places, row, left = [], 0, 0.0
    for width in (each + 2 * pad for each in widths):
        if left and left + width > room:
            row, left = row + 1, 0.0
        places.append((row, left, width))
        left += width + gap
    return places


def _draw_shade(axes: Axes, box: tuple[float, float, float, float], opacity: float, colour: Any) -> None:
    from matplotlib.patches import FancyBboxPatch

    left, top, width, height = box
    style: dict[str, Any] = {"boxstyle": "round,pad=0,rounding_size=0.05", "facecolor": colour, "linewidth": 0}
    axes.add_patch(FancyBboxPatch((left, top), width, height, alpha=opacity, clip_on=False, zorder=0, **style))
