"""The scores of a selection as bars, best first: strong for what was kept, pale for what was not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from jumok.attention import AttentionMap
from jumok.errors import JumokError
from jumok.views.palette import INK, PALE, PLUS, QUIET
from jumok.views.pictures.colour_scale import name_with_unit
from jumok.views.pictures.drawn_texts import translate
from jumok.views.pictures.figures import LONGEST_LABEL, new_figure, place_axes, save_figure, shorten
from jumok.wording import shorten_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_selection"]

MOST_BARS = 40
WIDTH_INCHES = 4.6  # inches


def draw_selection(
    scores: AttentionMap, order: Sequence[int], kept: int, path: str | os.PathLike[str], *, title: str = ""
) -> None:
    """Draw a bar for each key, best first; the 40 best if there are more.

    Args:
        scores: one row, no leading axes.
        order: of the keys, as they rank; those that were kept stand first.
        kept: how many were kept.
        path: of a .png, .svg or .pdf file.
        title: a line above the picture.
    Raises:
        JumokError: not one row, an order that does not name each key once, or a file that cannot be written.
    """
    if scores.weights.numel() != len(scores.keys) or sorted(order) != list(range(len(scores.keys))):
        raise JumokError(
            f"bars of a selection show one row, each key once: got weights of {tuple(scores.weights.shape)} and "
            f"{len(order)} ranks for {len(scores.keys)} keys"
        )
    shown = list(order[:MOST_BARS])
    values = scores.weights.flatten().numpy(force=True)[shown]
    figure = new_figure(WIDTH_INCHES, 0.24 * len(shown) + 0.1)
    axes = place_axes(figure, 0, 0, *figure.get_size_inches())
    axes.barh(range(len(shown)), values, height=0.7, color=[PLUS if i < kept else PALE for i in range(len(shown))])
    _write_values(axes, values, kept)
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    high = high if high > low else 1.0  # nothing but zeros
    margin = 0.15 * (high - low)
    axes.set_xlim(low - margin * (low < 0), high + margin * (high > 0))
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.axvline(0, color=QUIET, linewidth=0.8)
    names = [scores.keys.label(i) for i in shown]
    names = shorten_names([shorten(name, len(name)) for name in names], LONGEST_LABEL)
    axes.set_yticks(range(len(shown)), names)
    for rank, label in enumerate(axes.get_yticklabels()):
        label.set_color(INK if rank < kept else QUIET)
    axes.tick_params(length=0, labelsize=8)
    axes.tick_params(axis="x", labelcolor=QUIET)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(PALE)
    axes.set_xlabel(_describe_selection(scores, values, kept), size=9, color=INK, labelpad=6)
    save_figure(figure, Path(path), title)


def _write_values(axes: Axes, values: NDArray[Any], kept: int) -> None:
    """Each at the end of its bar."""
    for rank, value in enumerate(values.tolist()):
        text, side = f"{value:.3g}".replace("-", "\N{MINUS SIGN}"), 1 if value >= 0 else -1
        style: dict[str, Any] = {"ha": "left" if side > 0 else "right", "color": INK if rank < kept else QUIET}
        axes.annotate(text, (value, rank), (4 * side, 0), textcoords="offset points", va="center", size=8, **style)


def _describe_selection(scores: AttentionMap, values: NDArray[Any], kept: int) -> str:
    few = len(values) < len(scores.keys)
    best = translate("the {count} best of {all}", count=len(values), all=len(scores.keys))
    what = best if few else translate("all {count}", count=len(values))
    score = name_with_unit(translate("score"), scores.unit)
    how = translate("{what}, best first; dark: the {count} kept; linear, nothing clipped", what=what, count=kept)
    return f"{scores.source}: {score}\n{how}"
