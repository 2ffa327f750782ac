"""Pictures of a model's answers: how well it tells each label, and its numbers beside the true ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from jumok.errors import JumokError
from jumok.views.palette import BASELINE_GREYS, CHART_BLUE, CHART_ORANGE, INK, PALE, QUIET
from jumok.views.pictures.drawn_texts import translate
from jumok.views.pictures.figures import new_figure, place_axes, save_figure, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_labels", "draw_numbers"]

WIDTH, ROW = 4.6, 0.34
"""Inches of the plot of labels, and of each label."""
MOST_LABELS = 60
SIDE = 4.2
"""Inches of the plot of numbers."""


def draw_labels(
    names: Sequence[str],
    scores: Sequence[float | None],
    shares: Sequence[float],
    path: str | os.PathLike[str],
    *,
    title: str,
) -> None:
    """Draw how well each label is told: a bar for each, the best first, and a mark for what chance gives.

    Args:
        names: of the labels.
        scores: from 0 to 1; None where there is none: such labels are left out, as are all after the first 60.
        shares: what chance gives.
        path: of a .png or .svg file.
        title: the heading.
    Raises:
        JumokError: lists that do not fit each other, or a file that cannot be written.
    """
    if not len(names) == len(scores) == len(shares):
        raise JumokError(f"wanted a score and a share for each of {len(names)} labels")
    every = zip(scores, names, shares, strict=True)
    known = [(score, name, share) for score, name, share in every if score is not None]
    rows = sorted(known, key=lambda row: -row[0])[:MOST_LABELS]
    figure = new_figure(WIDTH, ROW * max(len(rows), 1))
    axes = place_axes(figure, 0, 0, WIDTH, ROW * max(len(rows), 1))
    places = np.arange(len(rows))
    axes.barh(places, [score for score, *_ in rows], color=CHART_BLUE, height=0.62)
    axes.scatter([share for *_, share in rows], places, marker="|", s=120, color=CHART_ORANGE, zorder=3)
    for place, (score, *_) in zip(places, rows, strict=True):
        beside: dict[str, Any] = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(f"{score:.0%}", (score, place), size=8.5, color=INK, **beside)
    axes.set_yticks(places, [shorten(name) for _, name, _ in rows], color=INK, size=9.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1.08)
    axes.set_xlabel(translate("average precision; orange: what chance gives"), color=QUIET, size=9)
    _finish(axes)
    save_figure(figure, path, title)


def draw_numbers(true: ArrayLike, said: ArrayLike, median: float, path: str | os.PathLike[str], *, title: str) -> None:
    """Draw a model's numbers over the true ones, with the line of right answers and that of the median.

    Args:
        true, said: (images,).
        median: what the baseline always says.
        path: of a .png or .svg file.
        title: the heading.
    Raises:
        JumokError: a file that cannot be written.
    """
    figure = new_figure(SIDE, SIDE)
    axes = place_axes(figure, 0, 0, SIDE, SIDE)
    every = np.concatenate([np.ravel(true), np.ravel(said)])
    low, high = float(every.min()), float(every.max())
    edge = 0.04 * (high - low) or 1.0
    limits = (low - edge, high + edge)
    axes.plot(limits, limits, color=CHART_ORANGE, linewidth=1.2)
    axes.axhline(median, color=BASELINE_GREYS[0], linewidth=1.2, linestyle="--")
    axes.scatter(true, said, s=14, color=CHART_BLUE, alpha=0.6, linewidths=0)
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    axes.set_xlabel(translate("true number"), color=QUIET, size=9)
    axes.set_ylabel(translate("predicted number; orange: right, dashed: the median"), color=QUIET, size=9)
    _finish(axes)
    save_figure(figure, path, title)


def _finish(axes: Axes) -> None:
    axes.tick_params(length=0, labelsize=9)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(PALE)
