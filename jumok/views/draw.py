"""One verb for every map: the picture follows from what its queries and keys are."""

from __future__ import annotations

import os

from jumok.attention import AttentionMap, Tokens
from jumok.views.pictures.alignment_matrix import MOST_WORDS, OF_ONE_TEXT, TRANSLATED, draw_alignment
from jumok.views.pictures.colour_scale import PLAIN, Look
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
    look: Look = PLAIN,
) -> None:
    """Draw a map by the one picture that fits its queries and keys; `jumok.draw` says which.

    Args:
        attention: (queries, keys), no leading axes; keys in an image: one row.
        image: uint8 (3, height, width) or a Pillow image; None where the keys lie in no image.
        path: of a .png, .svg or .pdf file; its folder is made if it is missing.
        title: a line above the picture; any text.
        look: bounds and colours.
    Raises:
        JumokError: as `jumok.draw`.
    """
    if not attention.lead and is_text(attention):
        draw_text(attention, path, title=title, look=look)
    elif _is_alignment(attention):
        sides = OF_ONE_TEXT if _is_of_one_text(attention) else TRANSLATED
        draw_alignment(attention, path, title=title, look=look, sides=sides)
    else:
        draw_heatmap(attention, image, path, title=title, look=look)


def _is_of_one_text(attention: AttentionMap) -> bool:
    """Whether words look at the words of their own text: at all of it, or what was written at all before it, too."""
    queries, keys = attention.queries.labels(), attention.keys.labels()
    return queries == keys[len(keys) - len(queries) :]


def _is_alignment(attention: AttentionMap) -> bool:
    """Whether words look at words, few enough to be written beside the matrix."""
    both = isinstance(attention.keys, Tokens) and isinstance(attention.queries, Tokens)
    return both and not attention.lead and max(attention.weights.shape) <= MOST_WORDS
