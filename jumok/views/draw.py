"""One verb for every map: the picture follows from what its queries and keys are."""

from __future__ import annotations

import os

from jumok.attention import AttentionMap, Tokens
from jumok.views.pictures.alignment_matrix import MOST_WORDS, draw_alignment
from jumok.views.pictures.colour_scale import Look
from jumok.views.pictures.heatmap import draw as draw_heatmap
from jumok.views.pictures.words import draw_text, is_text
from jumok.views.raster import ImageLike

__all__ = ["draw"]


def draw(
    attention: AttentionMap,
    image: ImageLike | None,
    path: str | os.PathLike[str],
    *,
    title: str = "",
    vmin: float | None = None,
    vmax: float | None = None,
    cmap: str | None = None,
) -> None:
    """Draw a map as its keys ask for.

    Patches and pixels: a heatmap over the image; glimpses: the path of the gaze; a sampled window: its outline; one row
    over words: the text, shaded; words that look at words: a matrix with both texts; all others: bars or a matrix.

    Args:
        attention: (queries, keys), no leading axes; keys in an image: one row.
        image: uint8 (3, height, width) or a Pillow image; None where the keys lie in no image.
        path: of a .png, .svg or .pdf file; its folder is made if it is missing.
        title: a line above the picture; any text.
        vmin, vmax: the weights where the colours begin and end; None: 0, or as far below 0 as above it, and the largest
            weight. Of a map that is nearly even the colours end at twice its mean. The picture says which it was.
        cmap: one of matplotlib's colour maps, by name.
    Raises:
        JumokError: another kind of file, a map of more than that, no image for keys that lie in one, bounds or colours
            that do not exist, or a file that cannot be written.

    >>> import tempfile, torch
    >>> attention = AttentionMap(torch.eye(2), Tokens(("le", "chat")), Tokens(("the", "cat")))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw(attention, None, f"{folder}/words.png")
    """
    look = Look(vmin, vmax, cmap)
    if not attention.lead and is_text(attention):
        draw_text(attention, path, title=title, look=look)
    elif _is_alignment(attention):
        draw_alignment(attention, path, title=title, look=look)
    else:
        draw_heatmap(attention, image, path, title=title, look=look)


def _is_alignment(attention: AttentionMap) -> bool:
    """Whether words look at words, few enough to be written beside the matrix."""
    both = isinstance(attention.keys, Tokens) and isinstance(attention.queries, Tokens)
    return both and not attention.lead and max(attention.weights.shape) <= MOST_WORDS
