"""Where places of an image look, as lines over it whose thickness is the weight."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from jumok.attention import AttentionMap, Axis, Patches, Pixels, Place
from jumok.errors import JumokError
from jumok.language import later
from jumok.views.palette import BELOW_ZERO, INK, LINE_COLOURS, LINE_WEDGE
from jumok.views.pictures.colour_scale import wrap_lines
from jumok.views.pictures.drawn_texts import translate
from jumok.views.pictures.figures import DPI, new_figure, place_axes, save_figure
from jumok.views.raster import ImageLike, as_pillow, find_cells, fit
from jumok.wording import write_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_lines"]

SMALLEST_PICTURE, LARGEST_PICTURE = 480, 760  # longer side, in pixels
THICKEST_LINE = 11.0  # points, of a line whose weight is the largest that is drawn
DARK_EDGE = 2.2  # points that the dark edge adds to a line, at most its own thickness
FEWEST_LINES, MOST_LINES, HELD_SHARE = 3, 16, 0.5
"""Lines from a place, if their number is not given: those that hold half of the weight."""
MOST_PLACES = len(LINE_COLOURS)
EACH_HOLDS = later("the {count} lines of each place hold {share} of its weight in the image")


@dataclass(frozen=True)
class _PlaceLines:
    """Where one place looks: the strongest keys but for its own, and the share of the row's weight they hold."""

    start: tuple[float, float]
    ends: list[tuple[float, float]]
    weights: list[float]
    held: float


def draw_lines(
    attention: AttentionMap,
    image: ImageLike,
    path: str | os.PathLike[str],
    *,
    places: Sequence[Place],
    lines: int | None = None,
    title: str = "",
) -> None:
    """Draw lines from chosen places of an image to where each of them looks.

    Thickness is linear in the weight, with one scale for all places; the picture says it. A place's own cell gets no
    line. Weights below 0 are drawn blue where there is one place, and dashed where there are several.

    Args:
        attention: (queries, keys), no leading axes; queries and keys are `Patches` or `Pixels`, of grids that may
            differ.
        image: uint8 (3, height, width) or a Pillow image.
        path: of a .png, .svg or .pdf file; its folder is made if it is missing.
        places: one to six queries, such as (row, column).
        lines: how many from each place; None: those that hold half of its weight, 3 to 16.
        title: a line above the picture; any text.
    Raises:
        JumokError: a map of another kind, no such place, too many of them, or a file that cannot be written.
    """
    if not 1 <= len(places) <= MOST_PLACES or (lines is not None and lines < 1):
        raise JumokError(
            f"lines are drawn from 1 to {MOST_PLACES} places, 1 or more each, got {len(places)} and {lines}"
        )
    _check_grids(attention)
    looks = [_find_lines(attention, place, lines) for place in places]
    figure = _make_figure(looks, fit(as_pillow(image), smallest=SMALLEST_PICTURE, largest=LARGEST_PICTURE), attention)
    save_figure(figure, path, title)


def _check_grids(attention: AttentionMap) -> None:
    if attention.lead:
        raise JumokError(
            f"lines show (queries, keys), but this map also has {attention.lead}: choose with .at or .mean"
        )
    for side, axis in (("queries", attention.queries), ("keys", attention.keys)):
        if not isinstance(axis, Patches | Pixels):
            raise JumokError(f"lines go from places to places of an image, got {side} {type(axis).__name__}")


def _find_lines(attention: AttentionMap, place: Place, count: int | None) -> _PlaceLines:
    index = attention.queries.index(place)
    special = _count_special(attention.queries)
    if index < special:
        raise JumokError(f"{attention.queries.label(index)!r} is not a place in the image, so no line can start there")
    start = _find_centre(attention.queries, index)
    row = attention.weights[index].detach().cpu().double().numpy()
    keys = _count_special(attention.keys)
    inside = np.abs(row[keys:])
    others = inside.copy()
    others[_find_cell(attention.keys, start)] = 0
    order = np.argsort(-others, kind="stable")
    order = order[others[order] > 0]
    chosen = order[: _count_enough(others[order]) if count is None else count]
    held = float(inside[chosen].sum() / inside.sum()) if len(chosen) else 0.0
    ends = [_find_centre(attention.keys, keys + int(key)) for key in chosen]
    return _PlaceLines(start, ends, [float(row[keys + key]) for key in chosen], held)


def _count_enough(falling: np.ndarray) -> int:
    """How many of the strongest hold half of the weight, within bounds."""
    needed = int((falling.cumsum() < HELD_SHARE * falling.sum()).sum()) + 1
    return min(max(needed, FEWEST_LINES), MOST_LINES)


def _count_special(axis: Axis) -> int:
    return len(axis.special) if isinstance(axis, Patches) else 0


def _find_centre(axis: Axis, index: int) -> tuple[float, float]:
    """(y, x) of an entry's centre, in shares of the image."""
    rows, columns = find_cells(axis) or (1, 1)
    row, column = divmod(index - _count_special(axis), columns)
    return (row + 0.5) / rows, (column + 0.5) / columns


def _find_cell(axis: Axis, point: tuple[float, float]) -> int:
    """The cell that a point lies in, counted without special tokens."""
    rows, columns = find_cells(axis) or (1, 1)
    return min(int(point[0] * rows), rows - 1) * columns + min(int(point[1] * columns), columns - 1)


# -- the figure -----------------------------------------------------------------------------------


def _make_figure(looks: Sequence[_PlaceLines], photo: Image.Image, attention: AttentionMap) -> Figure:
    width, height = (side / DPI for side in photo.size)
    figure = new_figure(width, height)
    axes = place_axes(figure, 0, 0, width, height)
    axes.imshow(np.asarray(photo), extent=(0, 1, 1, 0), aspect="auto", interpolation="nearest")
    axes.set(xlim=(0, 1), ylim=(1, 0))
    axes.set_axis_off()
    thickest = max((abs(weight) for look in looks for weight in look.weights), default=0.0)
    for number, look in enumerate(looks):
        _draw_place(axes, look, LINE_COLOURS[number], thickest, alone=len(looks) == 1)
    for number, look in enumerate(looks):
        _draw_start(axes, look, LINE_COLOURS[number])
    _draw_legend(figure, looks, thickest, attention)
    return figure


def _draw_place(axes: Axes, look: _PlaceLines, colour: str, thickest: float, *, alone: bool) -> None:
    """The lines of one place; thick ones lie below."""
    from matplotlib.patheffects import Normal, withStroke

    y, x = look.start
    for (end_y, end_x), weight in zip(look.ends, look.weights, strict=True):
        width = THICKEST_LINE * abs(weight) / thickest
        below = weight < 0
        shade = BELOW_ZERO if below and alone else colour
        effects = [withStroke(linewidth=width + min(width, DARK_EDGE), foreground="#000000aa"), Normal()]
        style = {"linestyle": (0, (1.5, 1))} if below and not alone else {"solid_capstyle": "round"}
        axes.plot([x, end_x], [y, end_y], color=shade, linewidth=width, path_effects=effects, **style)
        size = (3 + 1.3 * width) ** 2
        axes.scatter([end_x], [end_y], s=size, c=[shade], edgecolors="#000000aa", linewidths=DARK_EDGE / 2, zorder=3)


def _draw_start(axes: Axes, look: _PlaceLines, colour: str) -> None:
    y, x = look.start
    axes.scatter([x], [y], s=210, marker="s", c=["none"], edgecolors="#000000cc", linewidths=4.4, zorder=4)
    axes.scatter([x], [y], s=210, marker="s", c=["none"], edgecolors=[colour], linewidths=2.4, zorder=5)


def _draw_legend(figure: Figure, looks: Sequence[_PlaceLines], thickest: float, attention: AttentionMap) -> None:
    """A wedge that grows to the thickest line, and what it means."""
    width, height = figure.get_size_inches()
    tall = THICKEST_LINE / 72
    axes = place_axes(figure, 0, height + 0.14, width, tall)
    axes.fill([0, 1, 1], [0.5, 0, 1], color=LINE_WEDGE, linewidth=0)
    axes.set(xlim=(0, 1), ylim=(0, 1), yticks=[])
    axes.set_xticks([0, 0.5, 1], ["0", f"{thickest / 2:.3g}", f"{thickest:.3g}"])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8, labelcolor=INK)
    source = f"{attention.source}: " if attention.source else ""
    words = source + translate("thickness linear in the weight; {held}", held=_say_held(looks))
    axes.set_xlabel(wrap_lines(words, width=width), size=9, color=INK, labelpad=5)


def _say_held(looks: Sequence[_PlaceLines]) -> str:
    """How much of the weight the lines hold, place by place."""
    counts, shares = [len(look.ends) for look in looks], [write_percent(look.held) for look in looks]
    if len(looks) == 1:
        if counts[0] == 1:
            return translate("1 line holds {share} of the place's weight in the image", share=shares[0])
        text = later("{count} lines hold {share} of the place's weight in the image")
        return translate(text, count=f"{counts[0]:,}", share=shares[0])
    if len({*zip(counts, shares, strict=True)}) == 1:
        return translate(EACH_HOLDS, count=counts[0], share=shares[0])
    if len({*counts}) == 1:
        return translate(EACH_HOLDS, count=counts[0], share=_list(shares))
    drawn = _list([*map(str, counts)])
    text = later("{drawn} lines hold {held} of their place's weight in the image")
    return translate(text, drawn=drawn, held=_list(shares))


def _list(names: Sequence[str]) -> str:
    """As they are listed in a sentence."""
    *others, last = names
    return translate("{others} and {last}", others=", ".join(others), last=last) if others else last
