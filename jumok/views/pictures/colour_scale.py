"""How weights become colours, and the bar that says so: shared by all pictures of maps."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jumok.attention import AttentionMap, Scale
from jumok.views.palette import DIVERGING, INK, PALE, QUIET, SEQUENTIAL
from jumok.views.pictures.figures import place_axes
from jumok.views.raster import Numbers, is_signed

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""How much red, green and blue add to the brightness."""


@dataclass(frozen=True)
class Scaling:
    """From where to where the colours go, and how the picture says it."""

    low: float
    high: float
    colours: str
    words: str

    @staticmethod
    def of(attention: AttentionMap, drawn: Numbers) -> Scaling:
        """The scaling for the weights that are drawn, which may be fewer than the map's."""
        top = float(np.abs(drawn).max())
        what = f"{attention.source}: {NOUNS[attention.scale]}" if attention.source else NOUNS[attention.scale]
        if top == 0:
            return Scaling(0, 1, SEQUENTIAL, f"{what}; all that is drawn is 0")
        if is_signed(attention):
            words = f"{what}, linear around 0, from \N{MINUS SIGN}{top:.3g} to {top:.3g}; nothing clipped"
            return Scaling(-top, top, DIVERGING, words)
        if attention.scale in (Scale.GATE, Scale.MASK) and top <= 1:
            return Scaling(0, 1, SEQUENTIAL, f"{what}, linear from 0 to 1; nothing clipped")
        return Scaling(0, top, SEQUENTIAL, f"{what}, linear from 0 to the largest, {top:.3g}; nothing clipped")

    def mappable(self) -> ScalarMappable:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        return ScalarMappable(Normalize(self.low, self.high), self.colours)

    def rgb(self, weights: Numbers) -> Numbers:
        """(...) to (..., 3), from 0 to 1."""
        return np.asarray(self.mappable().to_rgba(weights), dtype=np.float32)[..., :3]


NOUNS = {
    Scale.DISTRIBUTION: "weight",
    Scale.GATE: "gate",
    Scale.MASK: "mask",
    Scale.SCORE: "score",
    Scale.RELEVANCE: "relevance",
}


def draw_colour_bar(figure: Figure, scaling: Scaling, *notes: str) -> None:
    """A bar below everything, that says how it was scaled."""
    width, height = figure.get_size_inches()
    axes = place_axes(figure, 0, height + 0.16, width, 0.09)
    bar = figure.colorbar(scaling.mappable(), cax=axes, orientation="horizontal")
    ends = np.linspace(scaling.low, scaling.high, 5)
    bar.set_ticks(ends.tolist(), labels=[f"{value:.3g}" for value in ends])
    bar.outline.set_visible(False)
    axes.tick_params(labelsize=8, color=PALE, labelcolor=QUIET, length=3)
    axes.set_xlabel(wrap_lines(scaling.words, *notes, width=width), size=9, color=INK, labelpad=5)


def wrap_lines(*lines: str, width: float) -> str:
    """Lines that fit so many inches of small text."""
    return "\n".join(textwrap.fill(line, max(36, round(width * 15))) for line in lines if line)
