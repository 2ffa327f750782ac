"""One map as a picture: heat beside the image it lies over, a matrix, bars, or the path of glimpses.

Colours and bars are linear in the raw weights, reach their largest, and say so under the picture; nothing is clipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image

from jumok.attention import AttentionMap, Axis, Glimpses, Patches, Pixels, Sampled, Scale
from jumok.errors import JumokError
from jumok.views.palette import GRAIN, INK, MINUS, PLUS, QUIET
from jumok.views.pictures.boxes import outline_boxes
from jumok.views.pictures.colour_scale import LUMINANCE, PLAIN, Look, Scaling, draw_colour_bar, wrap_lines
from jumok.views.pictures.drawn_texts import translate
from jumok.views.pictures.figures import (
    CENTRED,
    check_picture_path,
    make_visible,
    new_figure,
    place_axes,
    save_figure,
    shorten,
)
from jumok.views.pictures.overlay import (
    fit_to_panel,
    lay_weights,
    note_unseen,
    outline_seen,
    overlay,
    place_side_by_side,
)
from jumok.views.pictures.scanpath import draw_scanpath
from jumok.views.pictures.window import draw_window
from jumok.views.raster import ImageLike, Numbers, as_pillow, find_grain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_BARS, MOST_LABELS, MOST_NUMBERS = 40, 48, 12


def draw(
    attention: AttentionMap,
    image: ImageLike | None,
    path: str | os.PathLike[str],
    *,
    title: str = "",
    look: Look = PLAIN,
) -> None:
    """Draw a map as its keys ask for: over the image they lie in, as a matrix, or as bars.

    Args:
        attention: (queries, keys), no leading axes; keys in an image: one row.
        image: uint8 (3, height, width) or a Pillow image; None where the keys lie in no image.
        path: of a .png, .svg or .pdf file; its folder is made if it is missing.
        title: a line above the picture; any text.
        look: bounds and colours.
    Raises:
        JumokError: another kind of file, a map of more than that, no image for keys that lie in one,
            a look that cannot be had, or a file that cannot be written.
    """
    if attention.lead:
        raise JumokError(
            f"a picture shows (queries, keys), but this map also has {attention.lead}: choose with .at or .mean"
        )
    check_picture_path(path)
    photo = None if image is None else as_pillow(image)
    figure = _find_drawer(attention.keys)(attention, photo, look)
    save_figure(figure, path, title)


Drawer: TypeAlias = "Callable[[AttentionMap, Image.Image | None, Look], Figure]"


def _find_drawer(keys: Axis) -> Drawer:
    """The one way to draw these keys; kinds of axis that the table doesn't know go by where they lie."""
    known = next((kind for kind in type(keys).__mro__ if kind in DRAWERS), None)
    if known is not None:
        return DRAWERS[known]
    return draw_heat if keys.in_image else draw_table


# -- keys in an image -----------------------------------------------------------------------------


def draw_heat(attention: AttentionMap, image: Image.Image | None, look: Look = PLAIN) -> Figure:
    """The image, the heat alone with each entry's own value, and the heat over the image, smoothed but of a mask."""
    image = fit_to_panel(attention, image)
    width, height = image.size
    raw = lay_weights(attention, height, width, smooth=False)
    scaling = Scaling.of(attention, raw, look)
    photo = np.asarray(image, dtype=np.float32) / 255
    over, note = _lay_over(photo, attention, scaling, look)
    plain = attention.scale is Scale.MASK
    how = translate("heat over image") if plain else translate("heat over image, smoothed")
    panels = {translate("image"): photo, translate("heat"): scaling.rgb(raw), how: over}
    figure, axes = place_side_by_side(panels)
    for each in axes[1:]:
        outline_seen(each, attention, height, width)
    for each in axes:
        outline_boxes(each, [_find_edges(box, height, width) for box in look.boxes], [""] * len(look.boxes))
    draw_colour_bar(figure, scaling, *note, *note_unseen(attention, height, width))
    return figure


def _lay_over(photo: Numbers, attention: AttentionMap, scaling: Scaling, look: Look) -> tuple[Numbers, list[str]]:
    """The heat over the image; of single pixels it is blurred until it can be seen, which is said.

    Args:
        photo: (height, width, 3), from 0 to 1.
        attention: one row over keys that lie in it.
        scaling: of the raw weights.
        look: bounds that were asked for are kept, and nothing is blurred.
    Returns:
        the picture, and lines on it.
    """
    heat = lay_weights(
        attention, *photo.shape[:2], smooth=attention.scale is not Scale.MASK
    )  # whose values are 0 and 1
    asked = look.vmin is not None or look.vmax is not None
    grain = find_grain(heat) if isinstance(attention.keys, Pixels) and not asked else None
    if grain is None:
        return overlay(photo, heat, scaling), []
    top = float(np.abs(grain).max())
    blurred = replace(scaling, low=-top if scaling.low < 0 else 0.0, high=top)
    note = translate(
        "Over the image, blurred by {share} of its longer side; colours reach the largest of that, {top}",
        share=f"{GRAIN:.0%}",
        top=f"{top:.3g}",
    )
    return overlay(photo, grain, blurred), [note]


def _find_edges(box: Sequence[float], height: int, width: int) -> tuple[float, float, float, float]:
    """A box in shares of a panel, where the panel's axes count its pixels from their centres."""
    top, left, bottom, right = (share * side - 0.5 for share, side in zip(box, (height, width) * 2, strict=True))
    return top, left, bottom, right


# -- keys with names ------------------------------------------------------------------------------


def draw_table(attention: AttentionMap, image: Image.Image | None, look: Look = PLAIN) -> Figure:
    """Bars for one row, else a matrix; an image has no part in it."""
    return draw_bars(attention, look) if len(attention.queries) == 1 else draw_matrix(attention, look)


def draw_bars(attention: AttentionMap, look: Look = PLAIN) -> Figure:
    """One bar for each key in order, or for the largest ones, largest first."""
    weights = attention.weights[0].numpy(force=True)
    chosen: Sequence[int] = range(len(weights))
    note = ""
    if len(weights) > MOST_BARS:
        chosen = np.argsort(-np.abs(weights), kind="stable")[:MOST_BARS].tolist()
        note = translate("The {count} largest of {all} keys, largest first", count=MOST_BARS, all=len(weights))
    scaling, values = Scaling.of(attention, weights, look), weights[chosen]
    figure = new_figure(4.6, 0.24 * len(values) + 0.1)
    axes = place_axes(figure, 0, 0, *figure.get_size_inches())
    axes.barh(range(len(values)), values, height=0.7, color=_colour_bars(values, scaling, look))
    for place, value in enumerate(values):
        side = 4 if value >= 0 else -4
        axes.annotate(f"{value:.3g}", (value, place), (side, 0), ha="left" if value >= 0 else "right", **BESIDE_BAR)
    margin = 0.13 * (scaling.high - scaling.low)
    axes.set_xlim(scaling.low - margin * (scaling.low < 0), scaling.high + margin)
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.axvline(0, color=QUIET, linewidth=0.8)
    axes.set_yticks(range(len(values)), _write_labels(attention.keys, chosen))
    axes.set_xlabel(wrap_lines(scaling.words, note, width=4.6), size=9, color=INK, labelpad=6)
    axes.set_title(shorten(attention.queries.label(0)), size=9, color=QUIET)
    axes.spines[["top", "right", "left"]].set_visible(False)
    _quieten_ticks(axes)
    return figure


def _colour_bars(values: Numbers, scaling: Scaling, look: Look) -> Any:
    """One colour for each sign, or those of the colour map that was asked for."""
    return [PLUS if value >= 0 else MINUS for value in values] if look.cmap is None else scaling.rgb(values)


def draw_matrix(attention: AttentionMap, look: Look = PLAIN) -> Figure:
    """Queries down, keys across; the numbers stand in the cells where there are few."""
    weights = attention.weights.numpy(force=True)
    scaling = Scaling.of(attention, weights, look)
    height, width = (_choose_extent(count, max(weights.shape)) for count in weights.shape)
    figure = new_figure(width, height)
    axes = place_axes(figure, 0, 0, width, height)
    axes.imshow(weights, aspect="auto", cmap=scaling.colours, vmin=scaling.low, vmax=scaling.high)
    if max(weights.shape) <= MOST_NUMBERS:
        _write_numbers(axes, weights, scaling)
    rows, columns = (_choose_labels(count) for count in weights.shape)
    axes.set_yticks(rows, _write_labels(attention.queries, rows))
    axes.set_xticks(columns, _write_labels(attention.keys, columns), rotation=90 if len(columns) > 8 else 0)
    axes.xaxis.tick_top()
    axes.spines[:].set_visible(False)
    _quieten_ticks(axes)
    queries, keys = len(attention.queries), len(attention.keys)
    draw_colour_bar(
        figure, scaling, translate("{queries} queries down, {keys} keys across", queries=queries, keys=keys)
    )
    return figure


def _choose_extent(count: int, most: int) -> float:
    """Inches for one side of a matrix whose longer side has `most` cells."""
    cell = min(max(6.4 / most, 0.02), 0.62)
    return float(np.clip(cell * count, 0.5, 9))


def _choose_labels(count: int) -> list[int]:
    return list(range(0, count, -(-count // MOST_LABELS)))


def _write_numbers(axes: Axes, weights: Numbers, scaling: Scaling) -> None:
    brightness = scaling.rgb(weights) @ LUMINANCE
    for (row, column), weight in np.ndenumerate(weights):
        colour = INK if brightness[row, column] > 0.5 else "white"
        axes.text(column, row, f"{weight:.2g}", color=colour, size=8, **CENTRED)


# -- all pictures ---------------------------------------------------------------------------------

DRAWERS: dict[type[Axis], Drawer] = {
    Patches: draw_heat,
    Pixels: draw_heat,
    Glimpses: draw_scanpath,
    Sampled: draw_window,
}
BESIDE_BAR: dict[str, Any] = {"textcoords": "offset points", "va": "center", "size": 8, "color": QUIET}


def _quieten_ticks(axes: Axes) -> None:
    axes.tick_params(length=0, labelsize=8, labelcolor=INK)


def _write_labels(axis: Axis, indices: Iterable[int]) -> list[str]:
    return [make_visible(axis.label(index)) for index in indices]
