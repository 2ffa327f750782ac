"""A small picture of weights for a notebook: one SVG of square cells under a line of words, with no script."""

from __future__ import annotations

import html
from collections.abc import Sequence

from torch import Tensor

from jumok.attention.colour_range import find_colour_end

__all__ = ["MOST_CELLS", "build_picture"]

MOST_CELLS = 48
"""A picture shows at most so many rows and columns."""
MOST_LABELS = 24
"""Up to so many rows or columns are named."""
CELL, LETTER, LONGEST = 14, 6.2, 16
"""Sides of a cell and about the width of a letter, in pixels; letters of a label."""
BROWN, BLUE = (176, 68, 10), (43, 92, 138)
"""The strongest colours, of weights above and below 0, as on pages."""


def build_picture(
    grid: Tensor, words: str, rows: Sequence[str] = (), columns: Sequence[str] = (), *, signed: bool = False
) -> str:
    """Draw weights as squares, white at 0.

    Args:
        grid: (rows, columns), on the CPU; what lies beyond 48 either way is left out, and the words say so.
        words: what the picture shows, in a line.
        rows, columns: their names; none for places of an image.
        signed: whether the weights have both signs.
    """
    whole = grid.shape
    grid = grid[:MOST_CELLS, :MOST_CELLS]
    top, mean = float(grid.abs().max()), float(grid.mean())
    end = top if signed else find_colour_end(top, mean, grid.numel()).value
    low = f"blue \N{MINUS SIGN}{end:.3g}, white 0, brown {end:.3g}" if signed else f"white 0, brown {end:.3g}"
    cut = "" if grid.shape == whole else f" The first {grid.shape[0]} x {grid.shape[1]} of {whole[0]} x {whole[1]}."
    said = html.escape(f"{words} Colours: {low}.{cut}")
    svg = _draw(grid, end or 1.0, _name(rows, len(grid)), _name(columns, grid.shape[1]))
    return f'<div style="font:12px sans-serif"><div style="margin-bottom:4px">{said}</div>{svg}</div>'


def _name(labels: Sequence[str], count: int) -> list[str]:
    """Labels short enough for a picture; none where there are too many."""
    if not labels or count > MOST_LABELS:
        return []
    named = (label if label.strip() else "\N{OPEN BOX}" for label in labels[:count])
    return [label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}" for label in named]


def _draw(grid: Tensor, end: float, rows: list[str], columns: list[str]) -> str:
    left = LETTER * max(map(len, rows), default=0) + (6 if rows else 0)
    top = 0.75 * LETTER * max(map(len, columns), default=0) + (12 if columns else 0)
    width, height = left + CELL * grid.shape[1] + (40 if columns else 0), top + CELL * grid.shape[0]
    parts = [
        f'<rect x="{left + CELL * column:.0f}" y="{top + CELL * row:.0f}" width="{CELL}" height="{CELL}" '
        f'fill="{_colour(value / end)}"><title>{value:.4g}</title></rect>'
        for row, values in enumerate(grid.tolist())
        for column, value in enumerate(values)
    ]
    parts += [
        f'<text x="{left - 4:.0f}" y="{top + CELL * row + 11:.0f}" text-anchor="end">{html.escape(label)}</text>'
        for row, label in enumerate(rows)
    ]
    parts += [
        f'<text transform="translate({left + CELL * column + 10:.0f},{top - 4:.0f}) rotate(-50)">'
        f"{html.escape(label)}</text>"
        for column, label in enumerate(columns)
    ]
    style = 'font-family="sans-serif" font-size="11" fill="currentColor"'
    size = f'width="{width:.0f}" height="{height:.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{"".join(parts)}</svg>'


def _colour(share: float) -> str:
    full = BLUE if share < 0 else BROWN
    depth = min(abs(share), 1.0)
    return "#" + "".join(f"{round(255 - depth * (255 - channel)):02x}" for channel in full)
