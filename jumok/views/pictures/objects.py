"""Objects in an image: what a mask keeps, and a numbered box around each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from jumok.attention import AttentionMap, Pixels, Scale
from jumok.errors import JumokError
from jumok.files import replacing
from jumok.views.palette import INK
from jumok.views.pictures.boxes import Box, new_photo, outline_boxes
from jumok.views.pictures.drawn_texts import translate
from jumok.views.pictures.figures import save_figure
from jumok.views.raster import ROWS_AT_ONCE, ImageLike, as_pillow

__all__ = ["draw_objects", "save_mask"]

FADING = 0.78  # how far the background goes towards white


def draw_objects(
    mask: AttentionMap,
    image: ImageLike,
    boxes: Sequence[Box],
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
    _fade(photo, mask.image(photo.height, photo.width)[0])
    figure, axes = new_photo(photo, photo)
    outline_boxes(axes, boxes)
    share, count = f"{float(mask.weights.mean()):.1%}", len(boxes)
    one = translate("1 object on {share} of the pixels", share=share)
    found = one if count == 1 else translate("{count} objects on {share} of the pixels", count=count, share=share)
    note = f"{mask.source}: {found}"
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


def _fade(photo: Image.Image, kept: Tensor) -> None:
    """What is not kept goes towards white, in place: a large photo would be held once more."""
    table = (np.arange(256, dtype=np.float32) * (1 - FADING) + 255 * FADING).round().astype(np.uint8)
    for top in range(0, photo.height, ROWS_AT_ONCE):
        rows = kept[top : top + ROWS_AT_ONCE].numpy(force=True) > 0
        pixels = np.asarray(photo.crop((0, top, photo.width, top + len(rows))))
        photo.paste(Image.fromarray(np.where(rows[..., None], pixels, table[pixels])), (0, top))
