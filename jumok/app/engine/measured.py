"""Whether maps are faithful, from the rows of a data set: means with intervals, beside the baselines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jumok.app.engine.many import DataSet
from jumok.app.engine.measurer import MeasureAbout
from jumok.app.engine.reading import Looks
from jumok.app.faithful import show_faithfulness
from jumok.app.measuring import FEWEST
from jumok.app.scored_maps import MeasuredMaps
from jumok.app.session import write_report
from jumok.measures.faithfulness_meter import FaithfulnessMeter
from jumok.measures.flipping import UnitScores
from jumok.views.pictures.faithfulness_curves import draw_curves
from jumok.wording import write_count

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["MeasuredRows", "measure_rows"]

ENOUGH = 10_000
"""Rows that figures are made of: intervals of more are not narrower than figures are printed."""


@dataclass(frozen=True)
class MeasuredRows:
    """A data set, and what its rows say of the maps.

    Args:
        data_set: that was written.
        figures: means over its rows, with intervals.
    """

    data_set: DataSet
    figures: MeasuredMaps

    @property
    def status(self) -> int:
        """The exit status: 1 if an input could not be used."""
        return self.data_set.status

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**self.data_set.to_dict(), **self.figures.to_dict()}

    def lines(self) -> Iterator[RenderableType]:
        """For the terminal."""
        yield from self.data_set.lines()
        yield from self.figures.lines()


def measure_rows(data_set: DataSet) -> MeasuredRows:
    """Average what was measured of each image, and write the figures into the data set's folder.

    Raises:
        JumokError: every map is constant.
    """
    looks, folder = Looks.open(data_set.folder), data_set.folder
    about = _read_about(looks.about)
    numbers, count = looks.choose("passes is not None", ENOUGH)
    notes = [f"remark: figures of {ENOUGH:,} of {count:,} images, drawn by chance"] if count > len(numbers) else []
    parts, written = [], {"figures": folder / "_measure.json"}
    if len(numbers) < FEWEST:
        notes.append(f"remark: {write_count(count, 'image')} measured: figures need {FEWEST} or more")
    else:
        report = _fill(about, looks, numbers).report()
        parts, written["faithfulness"] = [show_faithfulness(report)], folder / "_faithfulness.png"
        draw_curves(report, written["faithfulness"])
    key = {"model": about.model, "data": [looks.key["source"]], "split": "all", "masks": None, "health": None}
    found = MeasuredRows(data_set, MeasuredMaps(key, parts, notes, written))
    write_report(written["figures"], found)
    return found


def _read_about(values: Any) -> MeasureAbout:
    """What all rows have in common, from the schema's metadata."""
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return MeasureAbout(**plain)


def _fill(about: MeasureAbout, looks: Looks, numbers: list[int]) -> FaithfulnessMeter:
    """A meter that has measured these rows."""
    meter = FaithfulnessMeter(steps=about.steps, saco=about.saco, seed=about.seed, answer=about.answer)
    fillings, maps = len(about.fillings), len(about.maps)
    columns = [*about.score_columns(), "curves", "constant", "passes"]
    rows = [[row[name] for name in columns] for row in looks.rows(numbers)]
    *scores, curves, constant, passes = zip(*rows, strict=True)
    named = np.array(scores, np.float64).T.reshape(len(rows), fillings, maps, len(about.scores))
    full = np.zeros((*named.shape[:-1], len(UnitScores._fields)))
    full[..., : named.shape[-1]] = named
    meter.load_state(
        {
            **meter.state(),
            "fillings": np.array(about.fillings),
            "methods": np.array(about.methods),
            "baselines": np.array(about.baselines),
            "group": np.array([f"{number + 1}th alone" for number in range(len(rows))]),
            "scores": full,
            "curves": np.array(curves, np.float64).reshape(len(rows), fillings, maps, 2, about.steps + 1),
            "passes": np.array(passes),
            "constant": np.array(constant, np.bool_),
        }
    )
    return meter
