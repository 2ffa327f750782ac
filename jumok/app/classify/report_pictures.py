"""The picture that `jumok eval` draws of each kind of answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jumok.wording import write_count

if TYPE_CHECKING:
    from jumok.tasks.classify.kinds.class_scores import Evaluation
    from jumok.tasks.classify.kinds.label_scores import LabelReport
    from jumok.tasks.classify.kinds.number_scores import NumberReport

__all__ = ["PICTURES", "Picture"]


class Picture(NamedTuple):
    """What it is called, and how a report is drawn to a path."""

    name: str
    draw: Callable[[Any, Path], None]


def _draw_confusion(report: Evaluation, path: Path) -> None:
    from jumok.views.pictures.charts import draw_confusion

    shown = report.shown
    names = [report.classes[number] for number in shown]
    draw_confusion(report.confusion[shown][:, shown].numpy(), names, path)


def _draw_labels(report: LabelReport, path: Path) -> None:
    from jumok.views.pictures.answer_charts import draw_labels

    rows, mean = report.per_label, report.mean_average_precision
    judged = write_count(report.total, "image")
    title = "no image has a label" if mean is None else f"mean average precision {mean:.0%} on {judged}"
    scores = [row["average_precision"] for row in rows]
    draw_labels(report.names, scores, [row["images"] / report.total for row in rows], path, title=title)


def _draw_numbers(report: NumberReport, path: Path) -> None:
    from jumok.views.pictures.answer_charts import draw_numbers

    title = f"mean absolute error {report.mean_absolute_error.value:.3g} on {write_count(report.total, 'image')}"
    draw_numbers(report.true, report.said, report.median, path, title=title)


PICTURES = {
    "class": Picture("confusion", _draw_confusion),
    "multi": Picture("labels", _draw_labels),
    "number": Picture("numbers", _draw_numbers),
}
"""By the name of the kind."""
