"""How far channels are let through: bars of each block for its mean, and a row of shades for each class."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jumok.attention import AttentionMap, Channels
from jumok.errors import JumokError
from jumok.language import later
from jumok.views.palette import INK, PALE, QUIET, SEQUENTIAL
from jumok.views.pictures.colour_scale import Scaling, draw_colour_bar
from jumok.views.pictures.drawn_texts import translate
from jumok.views.pictures.figures import new_figure, place_axes, save_figure, shorten
from jumok.views.raster import Numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BLOCKS, MOST_CLASSES = 32, 12
BARS_WIDTH, BARS_HEIGHT, BARS_GAP = 7.4, 0.78, 0.46
"""Inches of a block's bars and between two blocks."""
CLASS_HEIGHT, CLASS_GAP = 0.16, 0.08
"""Inches of the row of a class, and between the bars and the rows."""
SHADES = Scaling(
    0, 1, SEQUENTIAL, later("rows: mean gate of each class's images"), later(", linear from 0 (shut) to 1 (open)")
)


def draw_gates(
    gates: Mapping[str, AttentionMap],
    path: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    title: str = "",
) -> None:
    """Draw the gate of each channel of each block, as the mean over images and as the mean of each class.

    Values are shown as they are, from 0 (shut) to 1 (open).

    Args:
        gates: (batch, 1, channels) of each block by its name, as `Seen.gates()` gives them; the batch is the same in
            all.
        path: of a .png, .svg or .pdf file; its folder is made if it is missing.
        classes: the name of each image's class; None: the mean over all images alone.
        title: a line above the picture; any text.
    Raises:
        JumokError: another kind of file, no gates or more than there is room for, maps of another kind, names that do
            not fit the images, or a file that cannot be written.
    """
    values = {name: _take_values(name, found) for name, found in gates.items()}
    _check_room(values)
    groups = _group_images(classes, len(next(iter(values.values()))))
    rows = CLASS_HEIGHT * len(groups)
    block = BARS_HEIGHT + (CLASS_GAP + rows if groups else 0)
    step = block + BARS_GAP
    figure = new_figure(BARS_WIDTH, step * (len(values) - 1) + block + CLASS_HEIGHT)
    for number, (name, of_block) in enumerate(values.items()):
        top = number * step
        axes = place_axes(figure, 0, top, BARS_WIDTH, BARS_HEIGHT)
        _draw_bars(axes, name, of_block)
        if groups:
            axes.set_xticks([])
            axes = place_axes(figure, 0, top + BARS_HEIGHT + CLASS_GAP, BARS_WIDTH, rows)
            _draw_classes(axes, {kind: of_block[chosen].mean(0) for kind, chosen in groups.items()})
        _number_channels(axes, of_block.shape[1])
    if groups:
        what, how = (translate(each) for each in (SHADES.what, SHADES.how))
        draw_colour_bar(figure, replace(SHADES, what=what, how=how))
    save_figure(figure, path, title)


def _take_values(name: str, found: AttentionMap) -> Numbers:
    """(images, channels)."""
    if found.lead != ("batch",) or len(found.queries) != 1 or not isinstance(found.keys, Channels):
        raise JumokError(f"{name} is {found!r}: wanted gates of channels, (batch, 1, channels)")
    values: Numbers = found.weights[:, 0].detach().cpu().numpy()
    return values


def _check_room(values: Mapping[str, Numbers]) -> None:
    if not values:
        raise JumokError("no gates to draw: this model lets no channel through by a gate")
    if len(values) > MOST_BLOCKS:
        raise JumokError(f"there is room for the gates of {MOST_BLOCKS} blocks, got {len(values)}: draw a part of them")
    batches = {len(each) for each in values.values()}
    if len(batches) > 1:
        raise JumokError(f"the gates are of {sorted(batches)} images: wanted the same images in every block")


def _group_images(classes: Sequence[str] | None, images: int) -> dict[str, NDArray[np.bool_]]:
    """The images of each class, in the order in which the classes come."""
    if classes is None:
        return {}
    if isinstance(classes, str) or len(classes) != images:
        raise JumokError(f"wanted the name of a class for each of {images} images, got {classes!r}"[:200])
    names = list(dict.fromkeys(classes))
    if len(names) > MOST_CLASSES:
        raise JumokError(f"there is room for {MOST_CLASSES} classes, got {len(names)}: draw a part of them")
    return {name: np.array([each == name for each in classes]) for name in names}


def _draw_bars(axes: Axes, name: str, values: Numbers) -> None:
    """The mean of each channel over all images."""
    channels = np.arange(values.shape[1])
    axes.bar(channels, values.mean(0), width=0.8 if len(channels) < 200 else 1.0, color=PALE, zorder=1)
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0", "", "1"], size=8, color=QUIET)
    axes.axhline(0.5, color=PALE, linewidth=0.6, zorder=0)
    axes.set_xlim(-0.7, len(channels) - 0.3)
    axes.tick_params(length=0, pad=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(QUIET)
    axes.set_title(shorten(name, 60), loc="left", size=9.5, color=INK, pad=3)
    low, high = (f"{value:.2f}" for value in (values.mean(0).min(), values.mean(0).max()))
    spread = translate("mean of all images {low} to {high}", low=low, high=high)
    axes.set_title(spread, loc="right", size=8.5, color=QUIET, pad=3)


def _draw_classes(axes: Axes, means: Mapping[str, Numbers]) -> None:
    """A row of shades for each class, under the bars: channels have no order that a line could follow."""
    axes.imshow(SHADES.rgb(np.stack([*means.values()])), aspect="auto", interpolation="nearest")
    axes.set_yticks(range(len(means)), [shorten(name) for name in means], size=8, color=QUIET)
    axes.set_xlim(-0.7, len(next(iter(means.values()))) - 0.3)
    axes.tick_params(length=0, pad=3)
    for edge in np.arange(0.5, len(means) - 1):
        axes.axhline(edge, color="white", linewidth=1.2)
    axes.spines[:].set_visible(False)


def _number_channels(axes: Axes, count: int) -> None:
    """The first and the last, under what is lowest."""
    axes.set_xticks([0, count - 1], ["0", str(count - 1)], size=8, color=QUIET)
