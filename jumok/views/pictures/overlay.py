"""Panels side by side that show one image: as it is, under heat, or what was seen of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from torch.nn import functional as F

from jumok.attention import AttentionMap, Patches
from jumok.attention.frames import Frame, tell_seen
from jumok.errors import JumokError
from jumok.views.palette import QUIET
from jumok.views.pictures.colour_scale import Scaling
from jumok.views.pictures.drawn_texts import translate
from jumok.views.pictures.figures import DPI, new_figure, place_axes
from jumok.views.raster import Numbers, find_opacity, find_whole_cells, fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALLEST_PANEL, LARGEST_PANEL, LONGEST_PANEL = 330, 620, 1240  # longer side, in pixels; the last if panels are stacked
STACKED_ASPECT = 2.4  # images wider than this, in heights, are stacked
MOST_SPECIAL_TOKENS = 5


def fit_to_panel(attention: AttentionMap, image: Image.Image | None) -> Image.Image:
    """The image at the size of a panel."""
    if len(attention.queries) != 1:
        raise JumokError(
            f"a picture over an image shows one row, got {len(attention.queries)} queries: choose with .row"
        )
    if image is None:
        raise JumokError(
            f"keys of kind {type(attention.keys).__name__} lie in an image: pass the image to draw them over"
        )
    wide = image.width > STACKED_ASPECT * image.height
    return fit(image, smallest=SMALLEST_PANEL, largest=LONGEST_PANEL if wide else LARGEST_PANEL)


def lay_weights(attention: AttentionMap, height: int, width: int, *, smooth: bool) -> Numbers:
    """The row's weights on the pixels of a panel; keys finer than the panel are averaged, not skipped."""
    rows, columns = find_whole_cells(attention.keys) or (1, 1)
    if rows <= height and columns <= width:
        return np.asarray(attention.image(height, width, smooth=smooth)[0].numpy(force=True))
    heat = attention.image(rows, columns)
    return np.asarray(F.interpolate(heat[None], (height, width), mode="area")[0, 0].numpy(force=True))


def overlay(photo: Numbers, heat: Numbers, scaling: Scaling) -> Numbers:
    """The heat over the image, which keeps its colours where the weights are small."""
    share = find_opacity(scaling.share(heat))[..., None]
    return photo * (1 - share) + scaling.rgb(heat) * share


def note_unseen(attention: AttentionMap, height: int, width: int) -> list[str]:
    """What a panel of this size cannot show: keys finer than its pixels, and special tokens, with their weights."""
    rows, columns = find_whole_cells(attention.keys) or (1, 1)
    size = f"{rows} x {columns}"
    notes = [translate("Averaged down from {size}", size=size)] if rows > height or columns > width else []
    seen = tell_seen(getattr(attention.keys, "frame", None))
    notes += [f"{seen[0].upper()}{seen[1:]}"] if seen else []
    special = attention.keys.special if isinstance(attention.keys, Patches) else ()
    weights = attention.weights[0, : len(special)].tolist()
    named = [f"{name} {weight:.3g}" for name, weight in zip(special, weights, strict=True)]
    if named:
        names, more = ", ".join(named[:MOST_SPECIAL_TOKENS]), len(named) - MOST_SPECIAL_TOKENS
        names = translate("{names} and {count} more", names=names, count=more) if more > 0 else names
        notes.append(translate("Not in the picture: {names}", names=names))
    return notes


def is_beside(note: str) -> bool:
    """Whether a note of `note_unseen` is of tokens that cover no pixels."""
    return note.startswith(translate("Not in the picture: {names}", names=""))


def outline_seen(axes: Axes, attention: AttentionMap, height: int, width: int) -> None:
    """Draw a line around the part of a panel that the map covers, where that is not all of it."""
    frame = getattr(attention.keys, "frame", None)
    if frame is not None:
        outline_part(axes, frame, height, width)


def outline_part(axes: Axes, part: Frame, height: int, width: int) -> None:
    """Draw a line around a part of a panel."""
    from matplotlib.patches import Rectangle

    top, left, bottom, right = (min(max(edge, 0), 1) for edge in part)
    corner, sides = (left * width - 0.5, top * height - 0.5), ((right - left) * width, (bottom - top) * height)
    axes.add_patch(Rectangle(corner, *sides, fill=False, edgecolor="white", linestyle="--", linewidth=0.9))


def place_side_by_side(panels: dict[str, Numbers], *, most: int = 3, below: float = 0) -> tuple[Figure, list[Axes]]:
    """Pictures of one size, pixel by pixel, `most` side by side; one above the other if they are wide.

    Args:
        panels: by the names that stand above them.
        most: in a row.
        below: inches to leave free under each.
    """
    height, width = next(iter(panels.values())).shape[:2]
    gap, head = 24 / DPI, 34 / DPI
    columns = 1 if width > STACKED_ASPECT * height else min(len(panels), most)
    rows = -(-len(panels) // columns)
    across, down = max(width, 240) / DPI + gap, height / DPI + head + below
    figure = new_figure(columns * across - gap, rows * down)
    axes = []
    for number, (name, picture) in enumerate(panels.items()):
        row, column = divmod(number, columns)
        indent = column * across + (across - gap - width / DPI) / 2
        axes.append(place_axes(figure, indent, row * down + head, width / DPI, height / DPI))
        axes[-1].imshow(picture, interpolation="nearest")
        axes[-1].set(xticks=(), yticks=())
        axes[-1].set_axis_off()
        axes[-1].set_title(name, size=9, color=QUIET, pad=5, y=1.0)  # at a height of its own, none is looked for
    return figure, axes
