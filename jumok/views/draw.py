"""One verb for every map: the picture follows from what its queries and keys are."""

from __future__ import annotations

import os

from jumok.attention import AttentionMap, Tokens
from jumok.views.pictures.alignment_matrix import draw_alignment
from jumok.views.pictures.heatmap import draw as draw_heatmap
from jumok.views.raster import ImageLike

__all__ = ["draw"]


def draw(attention: AttentionMap, image: ImageLike | None, path: str | os.PathLike[str], *, title: str = "") -> None:
    """Draw a map as its keys ask for.

    Patches and pixels: a heatmap over the image; glimpses: the path of the gaze; a sampled window: its outline; words
    that look at words: a matrix with both texts; features and channels: bars.

    Args:
        attention: (queries, keys), no leading axes; keys in an image: one row.
        image: uint8 (3, height, width) or a Pillow image; None where the keys lie in no image.
        path: of a .png or .svg file; its folder is made if it is missing.
        title: a line above the picture; any text.
    Raises:
        JumokError: another kind of file, a map of more than that, no image for keys that lie in one, or a file that
            cannot be written.

    >>> import tempfile, torch
    >>> attention = AttentionMap(torch.eye(2), Tokens(("le", "chat")), Tokens(("the", "cat")))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw(attention, None, f"{folder}/words.png")
    """
    if isinstance(attention.keys, Tokens) and isinstance(attention.queries, Tokens):
        draw_alignment(attention, path, title=title)
        return
    draw_heatmap(attention, image, path, title=title)
