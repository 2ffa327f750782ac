"""Objects in an image: what a mask keeps, and a numbered box around each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jumok.attention import AttentionMap, Pixels, Scale
from jumok.errors import JumokError
from jumok.files import replacing
from jumok.views.palette import INK, OBJECT_BOX
from jumok.views.pictures.figures import DPI, new_figure, place_axes, save_figure
from jumok.views.raster import ImageLike, as_pillow, fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_objects", "save_mask"]

SMALLEST_PICTURE, LARGEST_PICTURE = 420, 820  # longer side, in pixels
FADING = 0.78  # how far the background goes towards white


def draw_objects(
    mask: AttentionMap,
    image: ImageLike,
    boxes: Sequence[tuple[int, int, int, int]],
    path: str | os.PathLike[str],
    *,
    title: str = "",
) -> None:
    """Draw the image with its background faded, and a box around each object, numbered in their order.

    Args:
        mask: 0/1, one row over `Pixels` of the image's size.
        image: uint8 (3, height, width) or a Pillow image.
        boxes: (top, left, bottom, right) in pixels, the last two just outside.
        path: of a .png, .svg or .pdf file; its folder is made if it is missing.
        title: a line above the picture; any text.
    Raises:
        JumokError: not a mask over this image's pixels, another kind of file, or one that cannot be written.
    """
    photo = as_pillow(image)
    if mask.scale is not Scale.MASK or mask.lead or mask.keys != Pixels(photo.height, photo.width):
        raise JumokError(
            f"objects need a mask over the {photo.width} x {photo.height} pixels of the image, got {mask!r}"
        )
    kept = mask.image(photo.height, photo.width)[0].bool().numpy(force=True)
    shown = fit(_fade(photo, kept), smallest=SMALLEST_PICTURE, largest=LARGEST_PICTURE)
    figure = new_figure(shown.width / DPI, shown.height / DPI)
    axes = place_axes(figure, 0, 0, shown.width / DPI, shown.height / DPI)
    axes.imshow(np.asarray(shown), interpolation="nearest", extent=(0, photo.width, photo.height, 0), aspect="auto")
    axes.set_axis_off()
    _draw_boxes(axes, boxes)
    found = f"{len(boxes)} object{'' if len(boxes) == 1 else 's'}"
    note = f"{mask.source}: {found} on {kept.mean():.1%} of the pixels"
    figure.text(0, -0.12 / figure.get_size_inches()[1], note, size=9, color=INK, va="top")
    save_figure(figure, path, title)


def save_mask(mask: AttentionMap, path: str | os.PathLike[str]) -> None:
    """Write a mask as a PNG of its own size, 255 where it is 1 and 0 elsewhere, whole or not at all.

    Args:
        mask: 0/1, one row over `Pixels`.
        path: of the file; its folder is made if it is missing.
    Raises:
        JumokError: another kind of map, or a file that cannot be written.
    """
    if mask.scale is not Scale.MASK or mask.lead or not isinstance(mask.keys, Pixels):
        raise JumokError(f"a mask file needs a mask over Pixels, got {mask!r}")
    kept = mask.image(mask.keys.height, mask.keys.width)[0].numpy(force=True)
    with replacing(Path(path)) as fresh:
        Image.fromarray(np.where(kept > 0, np.uint8(255), np.uint8(0))).save(fresh, "PNG")


def _fade(photo: Image.Image, kept: NDArray[np.bool_]) -> Image.Image:
    """What is not kept goes towards white."""
    pixels, faded = np.asarray(photo), np.arange(256, dtype=np.float32)
    table = (faded * (1 - FADING) + 255 * FADING).round().astype(np.uint8)  # a large photo in floats would be too large
    return Image.fromarray(np.where(kept[..., None], pixels, table[pixels]))


def _draw_boxes(axes: Axes, boxes: Sequence[tuple[int, int, int, int]]) -> None:
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    edge = [withStroke(linewidth=3.4, foreground="white")]
    for number, (top, left, bottom, right) in enumerate(boxes, 1):
        box = Rectangle((left, top), right - left, bottom - top, fill=False, path_effects=edge)
        box.set(edgecolor=OBJECT_BOX, linewidth=1.8)
        axes.add_patch(box)
        axes.annotate(
            str(number), (left, top), (3, -3), textcoords="offset points", ha="left", va="top", size=9,
            weight="bold", color=OBJECT_BOX, path_effects=edge,
        )  # fmt: skip
