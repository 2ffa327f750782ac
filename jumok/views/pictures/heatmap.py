"""One map as a picture: heat beside the image it lies over, a matrix, bars, or the path of glimpses.

Colours and bars are linear in the raw weights, reach their largest, and say so under the picture; nothing is clipped.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

from jumok.attention import AttentionMap, Axis, Glimpses, Patches, Pixels, Sampled, Scale
from jumok.errors import JumokError, suggest
from jumok.views.pictures.figures import DPI, INK, PALE, QUIET, new_figure, place_axes, save_figure, shortened
from jumok.views.raster import DIVERGING, SEQUENTIAL, Picture, as_pillow, cells, fit, opacity, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

SMALLEST_PANEL, LARGEST_PANEL, LONGEST_PANEL = 330, 620, 1240  # longer side, in pixels; the last if panels are stacked
WIDE = 2.4  # images wider than this, in heights, are stacked
MOST_BARS, MOST_LABELS, MOST_NUMBERS, MOST_SPECIAL = 40, 48, 12, 5
PLUS, MINUS = "#b0440a", "#2b5c8a"

Numbers: TypeAlias = "NDArray[np.floating[Any]]"
GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # brightness of red, green, blue


def draw(map: AttentionMap, image: Picture | None, path: str | os.PathLike[str], *, title: str = "") -> None:  # noqa: A002
    """Draw a map as its keys ask for: over the image they lie in, as a matrix, or as bars.

    Args:
        map: (queries, keys), no leading axes; keys in an image: one row.
        image: uint8 (3, height, width) or a Pillow image; None where the keys lie in no image.
        path: of a .png or .svg file; its folder is made if it is missing.
        title: a line above the picture; any text.
    Raises:
        JumokError: another kind of file, a map of more than that, no image for keys that lie in one,
            or a file that cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".png", ".svg"):
        raise JumokError(
            f"pictures are .png or .svg files, got {path.name!r}: {suggest(path.suffix, ['.png', '.svg'])}"
        )
    if map.lead:
        raise JumokError(f"a picture shows (queries, keys), and this map also has {map.lead}: choose with .at or .mean")
    figure = _drawer(map.keys)(map, None if image is None else as_pillow(image))
    save_figure(figure, path, title)


Drawer: TypeAlias = "Callable[[AttentionMap, Image.Image | None], Figure]"


def _drawer(keys: Axis) -> Drawer:
    """The one way to draw these keys; kinds of axis that the table doesn't know go by where they lie."""
    known = next((kind for kind in type(keys).__mro__ if kind in DRAWERS), None)
    if known is not None:
        return DRAWERS[known]
    return draw_heat if keys.in_image else draw_table


# -- how weights become colours -------------------------------------------------------------------


@dataclass(frozen=True)
class Scaling:
    """From where to where the colours go, and how the picture says it."""

    low: float
    high: float
    colours: str
    words: str

    @staticmethod
    def of(map: AttentionMap, drawn: Numbers) -> Scaling:  # noqa: A002
        """The scaling for the weights that are drawn, which may be fewer than the map's."""
        top = float(np.abs(drawn).max())
        what = f"{map.source}: {NOUNS[map.scale]}" if map.source else NOUNS[map.scale]
        if top == 0:
            return Scaling(0, 1, SEQUENTIAL, f"{what}; all that is drawn is 0")
        if signed(map):
            words = f"{what}, linear around 0, from \N{MINUS SIGN}{top:.3g} to {top:.3g}; nothing clipped"
            return Scaling(-top, top, DIVERGING, words)
        if map.scale in (Scale.GATE, Scale.MASK) and top <= 1:
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


# -- keys in an image -----------------------------------------------------------------------------


def draw_heat(map: AttentionMap, image: Image.Image | None) -> Figure:  # noqa: A002
    """The image, the heat alone with each entry's own value, and the heat over the image, smoothed."""
    image = one_row_over(map, image)
    width, height = image.size
    raw = laid(map, height, width, smooth=False)
    scaling = Scaling.of(map, raw)
    photo = np.asarray(image, dtype=np.float32) / 255
    over = overlay(photo, laid(map, height, width, smooth=True), scaling)
    panels = {"image": photo, "heat": scaling.rgb(raw), "heat over image, smoothed": over}
    figure, _ = side_by_side(panels)
    colour_bar(figure, scaling, *unseen(map, height, width))
    return figure


def draw_glimpses(map: AttentionMap, image: Image.Image | None) -> Figure:  # noqa: A002
    """The image, the path of the glimpses on it at their true size and scale, and the pixels seen."""
    from jumok.views.pictures.scanpath import draw_scanpath  # it draws by what is here

    return draw_scanpath(map, image)


def draw_sampled(map: AttentionMap, image: Image.Image | None) -> Figure:  # noqa: A002
    """A region on the image, the crop that came of it, and how densely it was sampled."""
    from jumok.views.pictures.window import draw_window  # it draws by what is here

    return draw_window(map, image)


def one_row_over(map: AttentionMap, image: Image.Image | None) -> Image.Image:  # noqa: A002
    """The image at the size of a panel."""
    if len(map.queries) != 1:
        raise JumokError(f"a picture over an image shows one row, got {len(map.queries)} queries: choose with .row")
    if image is None:
        raise JumokError(f"keys of kind {type(map.keys).__name__} lie in an image: pass the image to draw them over")
    wide = image.width > WIDE * image.height
    return fit(image, smallest=SMALLEST_PANEL, largest=LONGEST_PANEL if wide else LARGEST_PANEL)


def laid(map: AttentionMap, height: int, width: int, *, smooth: bool) -> Numbers:  # noqa: A002
    """The row's weights on the pixels of a panel; keys finer than the panel are averaged, not skipped."""
    rows, columns = cells(map.keys) or (1, 1)
    if rows <= height and columns <= width:
        return np.asarray(map.image(height, width, smooth=smooth)[0].numpy(force=True))
    heat = map.image(rows, columns)
    return np.asarray(F.interpolate(heat[None], (height, width), mode="area")[0, 0].numpy(force=True))


def overlay(photo: Numbers, heat: Numbers, scaling: Scaling) -> Numbers:
    """The heat over the image without its colours, which could be taken for heat."""
    grey = photo @ GREY
    faded = 0.15 * photo + 0.85 * grey[..., None]
    share = opacity(heat / np.float32(scaling.high))[..., None]
    return faded * (1 - share) + scaling.rgb(heat) * share


def unseen(map: AttentionMap, height: int, width: int) -> list[str]:  # noqa: A002
    """What a panel of this size cannot show: keys finer than its pixels, and special tokens, with their weights."""
    rows, columns = cells(map.keys) or (1, 1)
    notes = [f"Averaged down from {rows} x {columns}"] if rows > height or columns > width else []
    special = map.keys.special if isinstance(map.keys, Patches) else ()
    weights = map.weights[0, : len(special)].tolist()
    named = [f"{name} {weight:.3g}" for name, weight in zip(special, weights, strict=True)]
    if named:
        more = f" and {len(named) - MOST_SPECIAL} more" if len(named) > MOST_SPECIAL else ""
        notes.append(f"Not in the picture: {', '.join(named[:MOST_SPECIAL])}{more}")
    return notes


def side_by_side(panels: dict[str, Numbers], *, most: int = 3, below: float = 0) -> tuple[Figure, list[Axes]]:
    """Pictures of one size, pixel by pixel, `most` side by side; one above the other if they are wide.

    Args:
        panels: by the names that stand above them.
        most: in a row.
        below: inches to leave free under each.
    """
    height, width = next(iter(panels.values())).shape[:2]
    gap, head = 24 / DPI, 34 / DPI
    columns = 1 if width > WIDE * height else min(len(panels), most)
    rows = -(-len(panels) // columns)
    across, down = max(width, 240) / DPI + gap, height / DPI + head + below
    figure = new_figure(columns * across - gap, rows * down)
    axes = []
    for number, (name, picture) in enumerate(panels.items()):
        row, column = divmod(number, columns)
        indent = column * across + (across - gap - width / DPI) / 2
        axes.append(place_axes(figure, indent, row * down + head, width / DPI, height / DPI))
        axes[-1].imshow(picture, interpolation="nearest")
        axes[-1].set_axis_off()
        axes[-1].set_title(name, size=9, color=QUIET, pad=5)
    return figure, axes


def colour_bar(figure: Figure, scaling: Scaling, *notes: str) -> None:
    """A bar below everything, that says how it was scaled."""
    width, height = figure.get_size_inches()
    axes = place_axes(figure, 0, height + 0.16, width, 0.09)
    bar = figure.colorbar(scaling.mappable(), cax=axes, orientation="horizontal")
    ends = np.linspace(scaling.low, scaling.high, 5)
    bar.set_ticks(ends.tolist(), labels=[f"{value:.3g}" for value in ends])
    bar.outline.set_visible(False)
    axes.tick_params(labelsize=8, color=PALE, labelcolor=QUIET, length=3)
    axes.set_xlabel(_wrapped(scaling.words, *notes, width=width), size=9, color=INK, labelpad=5)


# -- keys with names ------------------------------------------------------------------------------


def draw_table(map: AttentionMap, image: Image.Image | None) -> Figure:  # noqa: A002
    """Bars for one row, else a matrix; an image has no part in it."""
    return draw_bars(map) if len(map.queries) == 1 else draw_matrix(map)


def draw_bars(map: AttentionMap) -> Figure:  # noqa: A002
    """One bar for each key in order, or for the largest ones, largest first."""
    weights = map.weights[0].numpy(force=True)
    chosen: Sequence[int] = range(len(weights))
    note = ""
    if len(weights) > MOST_BARS:
        chosen = np.argsort(-np.abs(weights), kind="stable")[:MOST_BARS].tolist()
        note = f"The {MOST_BARS} largest of {len(weights)} keys, largest first"
    scaling, values = Scaling.of(map, weights), weights[chosen]
    figure = new_figure(4.6, 0.24 * len(values) + 0.1)
    axes = place_axes(figure, 0, 0, *figure.get_size_inches())
    axes.barh(range(len(values)), values, height=0.7, color=[PLUS if value >= 0 else MINUS for value in values])
    for place, value in enumerate(values):
        side = 4 if value >= 0 else -4
        axes.annotate(f"{value:.3g}", (value, place), (side, 0), ha="left" if value >= 0 else "right", **BESIDE)
    margin = 0.13 * (scaling.high - scaling.low)
    axes.set_xlim(scaling.low - margin * (scaling.low < 0), scaling.high + margin)
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.axvline(0, color=QUIET, linewidth=0.8)
    axes.set_yticks(range(len(values)), _labels(map.keys, chosen))
    axes.set_xlabel(_wrapped(scaling.words, note, width=4.6), size=9, color=INK, labelpad=6)
    axes.set_title(shortened(map.queries.label(0)), size=9, color=QUIET)
    axes.spines[["top", "right", "left"]].set_visible(False)
    _plain_ticks(axes)
    return figure


def draw_matrix(map: AttentionMap) -> Figure:  # noqa: A002
    """Queries down, keys across; the numbers stand in the cells where there are few."""
    weights = map.weights.numpy(force=True)
    scaling = Scaling.of(map, weights)
    height, width = (_extent(count, max(weights.shape)) for count in weights.shape)
    figure = new_figure(width, height)
    axes = place_axes(figure, 0, 0, width, height)
    axes.imshow(weights, aspect="auto", cmap=scaling.colours, vmin=scaling.low, vmax=scaling.high)
    if max(weights.shape) <= MOST_NUMBERS:
        _write_numbers(axes, weights, scaling)
    rows, columns = (_shown_labels(count) for count in weights.shape)
    axes.set_yticks(rows, _labels(map.queries, rows))
    axes.set_xticks(columns, _labels(map.keys, columns), rotation=90 if len(columns) > 8 else 0)
    axes.xaxis.tick_top()
    axes.spines[:].set_visible(False)
    _plain_ticks(axes)
    colour_bar(figure, scaling, f"{len(map.queries)} queries down, {len(map.keys)} keys across")
    return figure


def _extent(count: int, most: int) -> float:
    """Inches for one side of a matrix whose longer side has `most` cells."""
    cell = min(max(6.4 / most, 0.02), 0.62)
    return float(np.clip(cell * count, 0.5, 9))


def _shown_labels(count: int) -> list[int]:
    return list(range(0, count, -(-count // MOST_LABELS)))


def _write_numbers(axes: Axes, weights: Numbers, scaling: Scaling) -> None:
    brightness = scaling.rgb(weights) @ GREY
    for (row, column), weight in np.ndenumerate(weights):
        colour = INK if brightness[row, column] > 0.5 else "white"
        axes.text(column, row, f"{weight:.2g}", color=colour, size=8, **CENTRED)


# -- all pictures ---------------------------------------------------------------------------------

DRAWERS: dict[type[Axis], Drawer] = {
    Patches: draw_heat,
    Pixels: draw_heat,
    Glimpses: draw_glimpses,
    Sampled: draw_sampled,
}
CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}
BESIDE: dict[str, Any] = {"textcoords": "offset points", "va": "center", "size": 8, "color": QUIET}


def _plain_ticks(axes: Axes) -> None:
    axes.tick_params(length=0, labelsize=8, labelcolor=INK)


def _wrapped(*lines: str, width: float) -> str:
    """Lines that fit so many inches of small text."""
    return "\n".join(textwrap.fill(line, max(36, round(width * 15))) for line in lines if line)


def _labels(axis: Axis, indices: Iterable[int]) -> list[str]:
    return [shortened(axis.label(index)) for index in indices]
