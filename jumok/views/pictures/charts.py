"""Pictures of figures: how well maps mark the right places, and which classes a classifier confuses."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jumok.errors import JumokError
from jumok.files import replacing
from jumok.language import later
from jumok.views.palette import BASELINE_GREYS, CHART_BLUE, CHART_ORANGE, CHART_ZERO, INK, METHOD_COLOURS, PALE, QUIET
from jumok.views.pictures.drawn_texts import translate, wrap
from jumok.views.pictures.figures import set_fonts
from jumok.wording import count_columns, shorten_names, write_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS = ("o", "D", "s", "^", "v", "P")
"""Shapes of the baselines' dots: more than there are greys, so that no pair comes twice soon."""
DPI = 160
LONGEST_NAME = 26  # letters of a name that there is room for
CELLS_WITH_TEXT = 20  # a larger matrix is shades alone
LABEL_INCHES = 0.13  # inches that a label needs to be read
LETTER_INCHES = 0.078  # inches, of a label at 10 points
RIGHT_PLACES = later("Do the maps mark the right places?")


class SupportsDict(Protocol):
    """A measurement's report, known here by its plain values alone."""

    def to_dict(self) -> Mapping[str, Any]:
        """As `jumok.measures.report.Report.to_dict`."""


# -- how well maps mark the right places ----------------------------------------------------------


class _Line(NamedTuple):
    """One row of the plot: a method's or baseline's score."""

    y: float
    name: str
    ours: bool
    colour: str
    dot: str
    interval: Mapping[str, float]
    leads: bool = False


def draw_scores(report: SupportsDict, path: Path, *, title: str = RIGHT_PLACES) -> None:
    """Draw each score with its interval, the methods in colour above the grey baselines, chance as a dashed line.

    The figure of a method is bold where it is better than that of every baseline.

    Args:
        report: of `jumok.measures`.
        path: of the PNG file.
        title: the heading.
    Raises:
        JumokError: the file cannot be written.
    """
    values = report.to_dict()
    titles: Mapping[str, str] = values["titles"]
    names = [*values["methods"], *values["baselines"]]
    step = len(names) + 1.6
    figure, axes = _make_axes(5.2, 0.235 * step * len(titles))
    for number, (score, name) in enumerate(titles.items()):
        top = number * step
        axes.annotate(translate(name), (0, top), (-112, 0), **_place_beside(axes), weight="bold", color=INK, size=10)
        for line in _list_lines(values, score, top + 1):
            _draw_line(axes, line)
        if score in values.get("chance", {}):
            axes.vlines(values["chance"][score], top + 0.5, top + len(names) + 0.5, **_style_chance(), zorder=1)
    _finish(axes, step * len(titles), chance=bool(values.get("chance")))
    _write_head(axes, translate(title), wrap(translate(values["summary"]), 126), left=-112)
    _save(figure, path)


def _list_lines(values: Mapping[str, Any], score: str, top: float) -> Iterator[_Line]:
    sign = -1 if "lower is better" in values["titles"][score] else 1
    hardest = max((sign * _round(scores[score]) for scores in values["baselines"].values()), default=-math.inf)
    rows = [(True, index, item) for index, item in enumerate(values["methods"].items())]
    rows += [(False, index, item) for index, item in enumerate(values["baselines"].items())]
    for row, (ours, index, (name, scores)) in enumerate(rows):
        colours, dots = (METHOD_COLOURS, "o") if ours else (BASELINE_GREYS, DOTS)
        colour, dot = colours[index % len(colours)], dots[index % len(dots)]
        leads = ours and sign * _round(scores[score]) > hardest
        yield _Line(top + row, name, ours, colour, dot, scores[score], leads)


def _round(interval: Mapping[str, float]) -> float:
    """A score as it is shown: figures that read the same are equal."""
    return round(interval["value"], 2)


def _draw_line(axes: Axes, line: _Line) -> None:
    value, low, high = (line.interval[key] for key in ("value", "low", "high"))
    axes.hlines(line.y, 0, 1, color=PALE, linewidth=0.8, zorder=0)
    axes.hlines(line.y, low, high, color=line.colour, linewidth=3.4 if line.ours else 2, alpha=0.5, zorder=2)
    size = 8 if line.ours else 5.5
    axes.plot(value, line.y, line.dot, color=line.colour, markersize=size, zorder=3, markeredgecolor="white")
    text = _place_beside(axes) | {"color": line.colour if line.ours else QUIET, "size": 9}
    axes.annotate(_shorten(line.name), (0, line.y), (-10, 0), ha="right", **text)
    axes.annotate(f"{value:.2f}", (1, line.y), (12, 0), weight="bold" if line.leads else "normal", **text)
    span = f"{low:.2f} \N{EN DASH} {high:.2f}"
    axes.annotate(span, (1, line.y), (42, 0), **text | {"color": QUIET, "size": 8})


def _place_beside(axes: Axes) -> dict[str, Any]:
    """Where a text stands: x in widths of the axes, y in rows, then moved by points."""
    return {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points", "va": "center"}


def _style_chance() -> dict[str, Any]:
    return {"color": CHART_ORANGE, "linewidth": 1.3, "linestyle": (0, (4, 2))}


def _finish(axes: Axes, bottom: float, *, chance: bool) -> None:
    from matplotlib.lines import Line2D

    axes.set_ylim(bottom - 0.9, -0.5)
    axes.set_xlim(-0.012, 1.012)
    axes.set_yticks([])
    axes.set_xticks(np.linspace(0, 1, 6).tolist())
    axes.tick_params(axis="x", colors=QUIET, labelsize=8.5, length=3)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    if chance:
        line = Line2D([], [], **_style_chance(), label=translate("chance"))
        style: dict[str, Any] = {"frameon": False, "fontsize": 8.5, "labelcolor": QUIET, "borderaxespad": 0}
        axes.legend(handles=[line], loc="upper left", bbox_to_anchor=(1.022, -0.004), **style)


# -- what a classifier takes for what -------------------------------------------------------------


def draw_confusion(matrix: ArrayLike, classes: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix: counts, and shares of the row; mistakes in orange.

    Args:
        matrix: (classes, classes) counts, 0 or more; row: true class, column: predicted class.
        classes: their names, in order.
        path: of the PNG file.
    Raises:
        JumokError: a matrix that does not fit the classes, or the file cannot be written.
    """
    counts = _check_counts(matrix, classes)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    cell = _choose_cell(len(counts))
    figure, axes = _make_axes(cell * len(counts), cell * len(counts))
    depths = _choose_depths(shares)
    axes.imshow(_choose_shades(depths), interpolation="nearest", aspect="auto")
    written = len(counts) <= CELLS_WITH_TEXT
    if written:
        _write_cells(axes, counts, shares, depths, cell)
    _name_cells(axes, classes, cell)
    shade = translate("shade: share of the row; of mistakes, its square root")
    note = f"{translate('count and share of the row')}\n{shade}" if written else shade
    _write_head(axes, _write_verdict(counts), note)
    _save(figure, path)


def _check_counts(matrix: ArrayLike, classes: Sequence[str]) -> NDArray[np.int64]:
    counts = np.asarray(matrix)
    if counts.shape != (len(classes), len(classes)) or not classes:
        raise JumokError(
            f"a confusion matrix of {len(classes)} classes is {len(classes)} x {len(classes)}, got {counts.shape}"
        )
    if not np.issubdtype(counts.dtype, np.integer) or (counts < 0).any():
        raise JumokError("a confusion matrix holds counts: whole numbers, 0 or more")
    return counts.astype(np.int64)


def _choose_cell(classes: int) -> float:
    """Side of a cell, so that a few classes are not tiny and many stay on a page."""
    if classes <= CELLS_WITH_TEXT:
        return max(0.55, min(0.9, 6.4 / classes))
    return min(LABEL_INCHES, 16 / classes) if classes > 50 else 7 / classes


def _write_verdict(counts: NDArray[np.int64]) -> str:
    total, right = int(counts.sum()), int(np.trace(counts))
    share, count = write_percent(right / max(total, 1), 1), f"{total:,}"
    return translate("{share} of {count} images correct", share=share, count=count) if total else translate("no images")


def _choose_depths(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """How strong each cell's colour is; a mistake is never too rare to be seen."""
    mistakes = np.where(shares > 0, 0.06 + 0.84 * np.sqrt(shares), 0.0)
    return np.where(np.eye(len(shares), dtype=bool), 0.9 * shares, mistakes)


def _choose_shades(depths: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows, columns, 3): white to blue on the diagonal, white to orange off it."""
    from matplotlib.colors import to_rgb

    right = np.eye(len(depths), dtype=bool)[..., None]
    return np.asarray(1 - depths[..., None] * (1 - np.where(right, to_rgb(CHART_BLUE), to_rgb(CHART_ORANGE))))


def _write_cells(
    axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64], depths: NDArray[np.float64], cell: float
) -> None:
    scale = cell / 0.9
    for row, column in np.ndindex(counts.shape):
        count = int(counts[row, column])
        style: dict[str, Any] = {"ha": "center", "va": "center"}
        if not count:
            axes.text(column, row, "0", color=CHART_ZERO, size=10 * scale, **style)
            continue
        style["color"] = "white" if depths[row, column] > (0.5 if row == column else 0.7) else INK
        size = min(13.0, 72 / len(f"{count:,}")) * scale
        axes.text(column, row - 0.09, f"{count:,}", size=size, weight="bold", **style)
        axes.text(column, row + 0.2, write_percent(float(shares[row, column])), size=9 * scale, **style)


def _name_cells(axes: Axes, classes: Sequence[str], cell: float) -> None:
    from jumok.views.pictures.fonts import compose

    every = max(1, math.ceil(LABEL_INCHES / cell - 1e-9))
    places = range(0, len(classes), every)
    room = cell * every
    size = min(10.0, 62 * room)
    names = shorten_names([compose(classes[index]) for index in places], LONGEST_NAME)
    style: dict[str, Any] = {"color": INK, "size": size}
    long = max(map(_measure_label, names)) * size / 10 > 0.95 * room
    turn: dict[str, Any] = {}
    if long:
        steep = room < 0.3
        turn = {"rotation": 90 if steep else 45, "rotation_mode": "anchor", "ha": "right"}
        turn["va"] = "center" if steep else "top"
    axes.set_xticks(places, names, **style, **turn)
    axes.set_yticks(places, names, **style)
    axes.set_xlabel(translate("predicted class"), color=QUIET, labelpad=8, size=10)
    axes.set_ylabel(translate("true class"), color=QUIET, labelpad=8, size=10)
    edges = np.arange(len(classes) + 1) - 0.5
    axes.set_xticks(edges, minor=True)
    axes.set_yticks(edges, minor=True)
    axes.grid(which="minor", color=PALE, linewidth=min(1.0, 2 * cell))
    axes.tick_params(which="both", length=0)
    for spine in axes.spines.values():
        spine.set_color(PALE)


def _measure_label(name: str) -> float:
    """About how wide a label is at 10 points; Korean letters are twice as wide."""
    return LETTER_INCHES * count_columns(name)


# -- both -----------------------------------------------------------------------------------------


def _make_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """Axes of a size in inches; what stands around them is added on saving, however wide it is.

    The figure is its own: pyplot's shared state would make drawing in threads unsafe.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure, figure.add_axes((0, 0, 1, 1))


def _write_head(axes: Axes, title: str, note: str, left: float = 0) -> None:
    """A title and a line of small print above the axes, from `left` points of their edge on."""
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
    lift = 16 + 11 * note.count("\n")
    axes.annotate(title, (0, 1), (left, lift + 16), color=INK, size=13, weight="bold", **place)
    axes.annotate(note, (0, 1), (left, 10), color=QUIET, size=8.5, linespacing=1.4, **place)


def _shorten(name: str) -> str:
    from jumok.views.pictures.fonts import compose

    name = compose(name)
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as fresh, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # said before, in one line, with what to do
        set_fonts(figure)
        figure.savefig(fresh, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.22)
