"""Boxes over an image, each with its number or its name; and a picture of nothing but those."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from jumok.views.palette import OBJECT_BOX
from jumok.views.pictures.figures import DPI, make_visible, new_figure, place_axes, save_figure
from jumok.views.raster import ImageLike, as_pillow, fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Box", "draw_boxes", "new_photo", "outline_boxes"]

Box = tuple[float, float, float, float]
"""(top, left, bottom, right) in pixels."""
LATE, LOW = 0.75, 0.93
"""Shares of an image's width and height, from where a name would leave it."""
LINE, MOST_LINES = 12, 20
"""Points from a line of names to the next, and how many are tried."""
SMALLEST_PICTURE, LARGEST_PICTURE = 420, 820  # longer side, in pixels


def draw_boxes(
    image: ImageLike, boxes: Sequence[Box], names: Sequence[str], path: str | os.PathLike[str], *, title: str = ""
) -> None:
    """Draw an image with boxes and their names.

    Args:
        image: uint8 (3, height, width) or a Pillow image.
        boxes: in it.
        names: one each.
        path: of a .png, .svg or .pdf file; its folder is made if it is missing.
        title: a line above the picture; any text.
    Raises:
        JumokError: another kind of file, or one that cannot be written.
    """
    photo = as_pillow(image)
    figure, axes = new_photo(photo, photo)
    outline_boxes(axes, boxes, names)
    save_figure(figure, path, title)


def new_photo(shown: Image.Image, photo: Image.Image) -> tuple[Figure, Axes]:
    """A figure of one picture, whose axes count in pixels of the photograph."""
    fitted = fit(shown, smallest=SMALLEST_PICTURE, largest=LARGEST_PICTURE)
    figure = new_figure(fitted.width / DPI, fitted.height / DPI)
    axes = place_axes(figure, 0, 0, fitted.width / DPI, fitted.height / DPI)
    axes.imshow(np.asarray(fitted), interpolation="nearest", extent=(0, photo.width, photo.height, 0), aspect="auto")
    axes.set_axis_off()
    return figure, axes


def outline_boxes(axes: Axes, boxes: Sequence[Box], names: Sequence[str] | None = None) -> None:
    """Draw boxes, each with a name in a corner of it, or a line or more away where other names stand in all of them.

    Args:
        axes: that count in pixels of the image.
        boxes: in it.
        names: one each, empty for none; None: numbered from 1.
    """
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    edge, taken = [withStroke(linewidth=3.4, foreground="white")], list[Any]()
    for (top, left, bottom, right), name in zip(boxes, names or map(str, range(1, len(boxes) + 1)), strict=True):
        box = Rectangle((left, top), right - left, bottom - top, fill=False, path_effects=edge)
        box.set(edgecolor=OBJECT_BOX, linewidth=1.8)
        axes.add_patch(box)
        if name:
            taken.append(_write(axes, name, (top, left, bottom, right), edge, taken))


def _write(axes: Axes, name: str, box: Box, edge: Sequence[Any], taken: Sequence[Any]) -> Any:
    """A name where no other stands. Returns what it covers."""
    for x, y, right, up, away in _list_spots(axes, box):
        text = axes.annotate(
            make_visible(name), (x, y), (-3 if right else 3, away if up else -away), textcoords="offset points",
            ha="right" if right else "left", va="bottom" if up else "top", size=9, weight="bold", color=OBJECT_BOX,
            path_effects=edge,
        )  # fmt: skip
        covered, frame = text.get_window_extent(), axes.bbox
        inside = frame.x0 <= covered.x0 and covered.x1 <= frame.x1 and frame.y0 <= covered.y0
        if inside and not any(covered.overlaps(each) for each in taken):
            return covered
        text.remove()
    axes.add_artist(text)  # there is no room left: over others, or over the border
    return covered


def _list_spots(axes: Axes, box: Box) -> Iterator[tuple[float, float, bool, bool, float]]:
    """Where a name may stand, best first: the upper left corner; near the right or the lower border, where there is
    room for it; the other corners; then lines away from the first.

    Yields:
        x, y, whether it ends there and not begins, whether it stands above, and points between.
    """
    top, left, bottom, right = box
    (_, width), (height, _) = axes.get_xlim(), axes.get_ylim()
    late, low = left > LATE * width, top > LOW * height
    yield right if late else left, top, late, low, 3
    if not low:
        yield left if late else right, top, not late, False, 3
        yield right if late else left, bottom, late, True, 3
        yield left if late else right, bottom, not late, True, 3
    for line in range(1, MOST_LINES):
        yield right if late else left, top, late, low, 3 + LINE * line
