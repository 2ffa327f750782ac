"""How the curves of several maps are told apart: methods in colour, baselines in grey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jumok.views.palette import BASELINE_GREYS, METHOD_COLOURS

__all__ = ["CurveStyle", "choose_styles"]

DASHES: Sequence[tuple[float, ...]] = ((), (5, 2), (1.5, 1.5), (5, 2, 1, 2))


class CurveStyle(NamedTuple):
    """A line.

    Args:
        colour: of it.
        dash: lengths of dashes and gaps, in widths of the line; empty: solid.
        width: of it, in points.
    """

    colour: str
    dash: tuple[float, ...]
    width: float


def choose_styles(methods: Sequence[str], baselines: Sequence[str]) -> dict[str, CurveStyle]:
    """A style for each, so that colours and dashes repeat as late as can be.

    >>> choose_styles(["rollout"], ["random"])["random"].dash
    ()
    """
    styles = {}
    for number, name in enumerate(methods):
        dash = DASHES[number // len(METHOD_COLOURS) % len(DASHES)]
        styles[name] = CurveStyle(METHOD_COLOURS[number % len(METHOD_COLOURS)], dash, 2.0)
    for number, name in enumerate(baselines):
        shade = BASELINE_GREYS[number % len(BASELINE_GREYS)]
        styles[name] = CurveStyle(shade, DASHES[number % len(DASHES)], 1.3)
    return styles
