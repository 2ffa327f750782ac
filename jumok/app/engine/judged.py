"""How good the predictions of a data set are, from its rows: they are gone through once, and none is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from jumok.app.classify.report_pictures import PICTURES
from jumok.app.engine.many import DataSet
from jumok.app.engine.opened import About
from jumok.app.engine.reading import Looks
from jumok.app.naming import name_some
from jumok.app.session import write_report
from jumok.errors import JumokError
from jumok.tasks.classify.kinds.class_scores import Evaluation
from jumok.wording import write_count

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["JudgedRows", "check_labels", "judge_rows"]

LEAST_SHARE = 1e-12
"""Probabilities are float32: the loss of one that was rounded to 0 is not infinite."""


@dataclass(frozen=True)
class JudgedRows:
    """A data set, and how good its predictions are.

    Args:
        data_set: that was written.
        report: on its rows.
        remarks: what the user should know.
        written: files, by what they hold.
    """

    data_set: DataSet
    report: Evaluation
    remarks: tuple[str, ...]
    written: Mapping[str, Path]

    @property
    def status(self) -> int:
        """The exit status: 1 if an input could not be used."""
        return self.data_set.status

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**self.data_set.to_dict(), **self.report.to_dict(), "remarks": list(self.remarks)}

    def lines(self) -> Iterator[RenderableType]:
        """For the terminal."""
        from rich.text import Text

        from jumok.app.classify.evaluate import draw_table

        yield from self.data_set.lines()
        yield from map(Text, self.report.lines())
        yield draw_table(self.report.table())
        yield from (f"remark: {remark}" for remark in self.remarks)
        if warning := self.report.warning():
            yield Text(f"warning: {warning}")
        yield f"written: {', '.join(map(str, self.written.values()))}"


def check_labels(labels: set[str], about: About) -> None:
    """Refuse inputs that cannot be judged, before any is looked at.

    Args:
        labels: of the source.
        about: the model's rows.
    Raises:
        JumokError: the source knows no labels, or none that is one of the model's classes.
    """
    if about.answers != "class":
        raise JumokError(f"--engine judges models of classes, and {about.model} gives a number or labels: leave it out")
    if not labels:
        raise JumokError(
            "--engine judges images by what is true of them: give a folder with a folder for each class, or Parquet "
            "files with a column label of names of classes"
        )
    if not labels & set(about.classes):
        raise JumokError(
            f"the labels are {name_some(sorted(labels))}, and none is one of the classes of {about.model}: "
            f"{name_some(about.classes)}"
        )


def judge_rows(data_set: DataSet) -> JudgedRows:
    """Judge the predictions of a data set by the labels beside them, and write the figures into its folder.

    Args:
        data_set: that was written of inputs that `check_labels` has let pass.
    Raises:
        JumokError: no row has a label that is one of the model's classes.
    """
    looks = Looks.open(data_set.folder)
    classes = tuple(looks.about["classes"])
    counts, loss, unknown = _count(looks, classes)
    if not counts.sum():
        raise JumokError(f"no row of {data_set.folder} has a label that is one of the model's {len(classes)} classes")
    report = Evaluation(classes, torch.from_numpy(counts), loss / int(counts.sum()))
    remarks = ["images that a run was trained on are judged too: give a folder of others"]
    if unknown:
        remarks.append(f"not judged: {write_count(unknown, 'image')} whose label is none of the model's classes")
    picture = PICTURES["class"]
    written = {"figures": data_set.folder / "_eval.json", picture.name: data_set.folder / f"_{picture.name}.png"}
    judged = JudgedRows(data_set, report, tuple(remarks), written)
    write_report(written["figures"], judged)
    picture.draw(report, written[picture.name])
    return judged


def _count(looks: Looks, classes: tuple[str, ...]) -> tuple[np.ndarray[Any, Any], float, int]:
    """Rows by true and predicted class, the sum of their losses, and rows whose label is no class."""
    from pyarrow import compute  # type: ignore[import-untyped]

    counts, loss, unknown = np.zeros((len(classes), len(classes)), np.int64), 0.0, 0
    numbers = {name: number for number, name in enumerate(classes)}
    columns = ["label", "prediction", "probabilities"]
    for batch in looks.table.to_batches(columns=columns, filter=compute.field("prediction").is_valid()):
        true = np.array([numbers.get(label, -1) for label in batch.column("label").to_pylist()], np.int64)
        said = np.array([numbers[name] for name in batch.column("prediction").to_pylist()], np.int64)
        shares = batch.column("probabilities").flatten().to_numpy().reshape(-1, len(classes))
        known = true >= 0
        np.add.at(counts, (true[known], said[known]), 1)
        loss -= float(np.log(np.maximum(shares[known, true[known]].astype(np.float64), LEAST_SHARE)).sum())
        unknown += int((~known).sum())
    return counts, loss, unknown
