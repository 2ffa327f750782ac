"""How the answer falls as parts of the input are taken away: a curve for each map, beside those of the baselines."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from jumok.errors import JumokError
from jumok.language import later
from jumok.views.curve_styles import choose_styles
from jumok.views.palette import INK, PALE, QUIET
from jumok.views.pictures.colour_scale import wrap_lines
from jumok.views.pictures.drawn_texts import translate
from jumok.views.pictures.figures import new_figure, place_axes, save_figure, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_curves"]

MOST_BANDS = 2  # methods that are drawn with their intervals: the best ones, as more bands hide each other
WIDTH, HEIGHT = 3.7, 2.5  # inches of one plot
GAP = 0.65  # inches between plots
SIDES = (
    ("most_first", later("most important first (lower is better)")),
    ("least_first", later("least important first (higher is better)")),
)

MARKED = later("Does the answer depend on what the maps mark?")


class SupportsDict(Protocol):
    """A report of faithfulness, known here by its plain values alone."""

    def to_dict(self) -> Mapping[str, Any]:
        """As `jumok.measures.faithfulness_report.FaithfulnessReport.to_dict`."""


def draw_curves(
    report: SupportsDict,
    path: str | os.PathLike[str],
    *,
    title: str = MARKED,
) -> None:
    """Draw the mean answer while the most, and while the least important parts go first.

    A row of two plots for each filling. Methods are in colour, the best ones with bands for their intervals, baselines
    in grey; the area between the two curves of a map is its SRG, which stands in the legend.

    Args:
        report: of a `FaithfulnessMeter`, or of `jumok.faithfulness`.
        path: of a .png, .svg or .pdf file; its folder is made if it is missing.
        title: the heading.
    Raises:
        JumokError: a report without curves, or a file that cannot be written.
    """
    values = report.to_dict()
    if not values.get("curves"):
        raise JumokError("this report has no curves: wanted that of a faithfulness measurement")
    names = [*values["methods"], *values["baselines"]]
    rows = len(values["curves"])
    figure = new_figure(2 * WIDTH + GAP, rows * HEIGHT + (rows - 1) * GAP)
    styles = _choose_styles(values)
    for row, (filling, curves) in enumerate(values["curves"].items()):
        top = row * (HEIGHT + GAP)
        for column, (side, caption) in enumerate(SIDES):
            axes = place_axes(figure, column * (WIDTH + GAP), top, WIDTH, HEIGHT)
            for name in reversed(names):
                _draw_curve(axes, curves[name]["shares"], curves[name][side], styles[name])
            answer = values.get("answer", later("its probability")) if column == 0 else ""
            _finish(axes, caption, bottom=row == rows - 1, answer=answer)
        _write_legend(axes, values, filling, styles)
    _write_note(axes, translate(values["summary"]))
    save_figure(figure, path, translate(title))


def _choose_styles(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """As matplotlib names them; the best methods lie in front."""
    best = values["ranking"][:MOST_BANDS]
    return {
        name: {
            "color": style.colour,
            "linestyle": (0, style.dash) if style.dash else "solid",
            "linewidth": style.width,
            **({"zorder": 3 if name in best else 2} if name in values["methods"] else {}),
        }
        for name, style in choose_styles([*values["methods"]], [*values["baselines"]]).items()
    }


def _draw_curve(axes: Axes, shares: Sequence[float], points: Sequence[Mapping[str, float]], style: Any) -> None:
    low, high, value = ([point[key] for point in points] for key in ("low", "high", "value"))
    if style.get("zorder") == 3:
        axes.fill_between(shares, low, high, color=style["color"], alpha=0.13, linewidth=0)
    axes.plot(shares, value, **style)


def _finish(axes: Axes, caption: str, *, bottom: bool, answer: str) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.set_title(translate(caption), size=9.5, color=INK, loc="left", pad=6)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
    axes.tick_params(colors=QUIET, labelsize=8, length=3)
    axes.grid(axis="y", color=PALE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    if bottom:
        axes.set_xlabel(translate("taken away"), size=8.5, color=QUIET)
    if answer:
        axes.set_ylabel(translate("answer ({what})", what=translate(answer)), size=8.5, color=QUIET)


def _write_legend(axes: Axes, values: Mapping[str, Any], filling: str, styles: Mapping[str, Any]) -> None:
    """To the right of both plots, with each map's SRG."""
    from matplotlib.lines import Line2D

    scores = {**values["methods"], **values["baselines"]}
    lines = [
        Line2D([], [], **styles[name], label=f"{shorten(name)}  {scores[name][f'srg, {filling}']['value']:+z.2f}")
        for name in scores
    ]
    legend = axes.legend(
        handles=lines,
        title=translate("filling {filling}; SRG", filling=filling),
        loc="upper left",
        bbox_to_anchor=(1.04, 1.06),
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
        handlelength=2.4,
        alignment="left",
    )
    legend.get_title().set(size=8.5, color=QUIET)


def _write_note(axes: Axes, note: str) -> None:
    words = wrap_lines(note, width=2 * WIDTH + GAP)
    place: Any = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top"}
    axes.annotate(words, (0, 0), (-(WIDTH + GAP) * 72, -36), size=8, color=QUIET, **place)
