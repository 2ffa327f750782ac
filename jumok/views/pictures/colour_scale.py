"""How weights become colours, and the bar that says so: shared by all pictures of maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from jumok.attention import AttentionMap, Scale
from jumok.attention.colour_range import EVEN, find_colour_end
from jumok.errors import JumokError, suggest
from jumok.language import later
from jumok.views.palette import DIVERGING, INK, PALE, QUIET, SEQUENTIAL, SHADES
from jumok.views.pictures.drawn_texts import translate, wrap
from jumok.views.pictures.figures import place_axes
from jumok.views.raster import Numbers, is_signed

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

ALIGNMENT = "alignment"
"""The name of our own colours for alignments, from white at 0."""
LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""How much red, green and blue add to the brightness."""


@dataclass(frozen=True)
class Look:
    """What a caller wants of a picture; None: as the map asks for.

    Args:
        vmin, vmax: the weights at which the colours begin and end.
        cmap: one of matplotlib's colour maps, by name.
        boxes: (top, left, bottom, right) in shares of the image, outlined on heat that lies over it.
    """

    vmin: float | None = None
    vmax: float | None = None
    cmap: str | None = None
    boxes: Sequence[Sequence[float]] = ()


PLAIN = Look()
"""As the map asks for."""


@dataclass(frozen=True)
class Scaling:
    """From where to where the colours go, and how the picture says it: what was drawn, and how it was scaled."""

    low: float
    high: float
    colours: str
    what: str
    how: str

    @property
    def words(self) -> str:
        """For below the picture."""
        return f"{self.what}{self.how}"

    @staticmethod
    def of(attention: AttentionMap, drawn: Numbers, look: Look = PLAIN) -> Scaling:
        """The scaling for the weights that are drawn, which may be fewer than the map's.

        Raises:
            JumokError: a look that cannot be had.
        """
        noun = name_with_unit(translate(NOUNS[attention.scale]), attention.unit)
        what = f"{attention.source}: {noun}" if attention.source else noun
        return _scale(attention, drawn, what).adapt(look, drawn)

    def adapt(self, look: Look, drawn: Numbers) -> Scaling:
        """The same with the bounds and colours that are asked for.

        Raises:
            JumokError: colours that matplotlib does not know, or bounds the wrong way round.
        """
        if look == PLAIN:
            return self
        colours = self.colours if look.cmap is None else _check_colours(look.cmap)
        if look.vmin is None and look.vmax is None:
            return replace(self, colours=colours)
        low = self.low if look.vmin is None else float(look.vmin)
        high = self.high if look.vmax is None else float(look.vmax)
        if not low < high:
            raise JumokError(f"colours go from {low:g} to {high:g}: give a vmin below vmax")
        beyond = float(((drawn < low) | (drawn > high)).mean())
        share = f"{beyond:.1%}"
        cut = translate("{share} of what is drawn lies beyond", share=share) if beyond else translate(NOTHING_CLIPPED)
        how = translate(", linear from {low} to {high}; {cut}", low=f"{low:.3g}", high=f"{high:.3g}", cut=cut)
        return replace(self, low=low, high=high, colours=colours, how=how)

    def share(self, weights: Numbers) -> Numbers:
        """Weights as shares of the strongest that the colours tell, from -1 to 1."""
        if self.low < 0 < self.high:
            return weights / np.float32(max(-self.low, self.high))
        return np.asarray(((weights - np.float32(self.low)) / np.float32(self.high - self.low)).clip(0, 1))

    def mappable(self) -> ScalarMappable:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LinearSegmentedColormap, Normalize

        shades = LinearSegmentedColormap.from_list(ALIGNMENT, SHADES) if self.colours == ALIGNMENT else self.colours
        return ScalarMappable(Normalize(self.low, self.high), shades)

    def rgb(self, weights: Numbers) -> Numbers:
        """(...) to (..., 3), from 0 to 1."""
        return np.asarray(self.mappable().to_rgba(weights), dtype=np.float32)[..., :3]


def _scale(attention: AttentionMap, drawn: Numbers, what: str) -> Scaling:
    """As the map itself asks for."""
    top = float(np.abs(drawn).max())
    if top == 0:
        return Scaling(0, 1, SEQUENTIAL, what, translate("; all that is drawn is 0"))
    if is_signed(attention):
        return Scaling(-top, top, DIVERGING, what, tell_around_zero(top))
    if attention.scale in (Scale.GATE, Scale.MASK) and top <= 1:
        return Scaling(0, 1, SEQUENTIAL, what, tell_from_zero("1"))
    end, even = find_colour_end(top, float(drawn.mean()), attention.weights.numel())
    if even:
        how = translate(
            ", linear from 0 to {times} times the mean, {end}; the map is nearly even, its largest is {top}",
            times=f"{EVEN:g}",
            end=f"{end:.3g}",
            top=f"{top:.3g}",
        )
        return Scaling(0, end, SEQUENTIAL, what, how)
    return Scaling(0, top, SEQUENTIAL, what, tell_from_zero(translate("the largest, {top}", top=f"{top:.3g}")))


def tell_from_zero(end: str) -> str:
    """How colours go that begin at 0 and leave nothing out."""
    return translate(", linear from 0 to {end}; {cut}", end=end, cut=translate(NOTHING_CLIPPED))


def tell_around_zero(top: float) -> str:
    """How colours go for weights of both signs."""
    return translate(
        ", linear around 0, from {low} to {top}; {cut}",
        low=f"\N{MINUS SIGN}{top:.3g}",
        top=f"{top:.3g}",
        cut=translate(NOTHING_CLIPPED),
    )


def name_with_unit(noun: str, unit: str) -> str:
    """What is drawn, and in what."""
    return translate("{noun} in {unit}", noun=noun, unit=unit) if unit else noun


def _check_colours(name: str) -> str:
    from matplotlib import colormaps

    if name not in colormaps:
        raise JumokError(f"matplotlib has no colour map {name!r}: {suggest(str(name), COMMON_COLOURS)}")
    return name


COMMON_COLOURS = ("inferno", "viridis", "magma", "plasma", "cividis", "turbo", "jet", "gray", "Greys", "Reds", "RdBu_r")

NOUNS = {
    Scale.DISTRIBUTION: later("weight"),
    Scale.GATE: later("gate"),
    Scale.MASK: later("mask"),
    Scale.SCORE: later("score"),
    Scale.RELEVANCE: later("relevance"),
}
NOTHING_CLIPPED = later("nothing clipped")


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
    return "\n".join(wrap(line, max(36, round(width * 15))) for line in lines if line)
