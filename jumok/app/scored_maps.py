"""Scores of maps as a report: what `jumok measure` prints and writes, whatever the task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from jumok.app.telling import as_cell
from jumok.language import join_later, later

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from jumok.measures.report import Report as MapScores
    from jumok.measures.report import ScoreDifference

__all__ = ["MeasuredMaps", "ScoredMaps", "score_table", "verdicts"]


class Scores(Protocol):
    """What meters report."""

    def summary(self) -> str:
        """One line."""

    def header(self) -> tuple[str, ...]:
        """Of the table."""

    def rows(self) -> list[tuple[str, ...]]:
        """Of the table."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""


@dataclass(frozen=True)
class ScoredMaps:
    """One kind of score of some maps.

    Args:
        scores: with their intervals, beside the baselines.
        verdicts: lines below the table: what is better than which baseline.
        key: under which they stand in JSON; "": at the top.
        title: above them; "": none.
        table: whether the terminal shows the figures, too, or the verdicts alone.
    """

    scores: Scores
    verdicts: Sequence[str]
    key: str = ""
    title: str = ""
    table: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = self.scores.to_dict()
        return {self.key: values} if self.key else values

    def lines(self) -> Iterator[RenderableType]:
        """For the terminal."""
        if self.table:
            yield join_later(": ", [*filter(None, [self.title]), self.scores.summary()])
            yield score_table(self.scores)
        yield from self.verdicts


@dataclass(frozen=True)
class MeasuredMaps:
    """What was measured of maps: whether they point where they should, whether they are faithful to the model.

    Args:
        about: model, data and truth; and what else was found, by name.
        parts: one for each kind of score.
        notes: lines above the tables.
        written: files, by what they hold.
    """

    about: Mapping[str, Any]
    parts: Sequence[ScoredMaps]
    notes: Sequence[str]
    written: Mapping[str, Path]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = dict(self.about)
        for part in self.parts:
            values |= part.to_dict()
        return values

    def lines(self) -> Iterator[RenderableType]:
        """For the terminal."""
        yield from self.notes
        for part in self.parts:
            yield from part.lines()
        yield f"written: {', '.join(map(str, self.written.values()))}"


def verdicts(scores: MapScores) -> list[str]:
    """The baselines that each method beats significantly, by pointing and by AUPRC; methods that beat the same ones
    share a line.
    """
    from jumok.measures.report import TITLES

    lines: list[str] = []
    for score in ("pointing", "auprc"):
        alike: dict[str, list[str]] = {}
        for method in scores.methods:
            gains = [gain for gain in scores.differences if gain.method == method.method]
            alike.setdefault(_judge(gains, score), []).append(method.method)
        lines += [
            join_later("", [f"{', '.join(methods)}, ", TITLES[score], ": ", what]) for what, methods in alike.items()
        ]
    return lines


def _judge(gains: Sequence[ScoreDifference], score: str) -> str:
    """The baselines that one method beats by one score, and the others."""
    beaten = [gain.baseline for gain in gains if gain.scores[score].low > 0]
    rest = [gain.baseline for gain in gains if gain.baseline not in beaten]
    better = [later("better than {names}", names=", ".join(beaten))] if beaten else []
    not_so = [later("not significantly better than {names}", names=", ".join(rest))] if rest else []
    return join_later("; ", [*better, *not_so])


def score_table(scores: Scores) -> Table:
    """Figures with their intervals, a row per map."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for number, name in enumerate(scores.header()):
        shown.add_column(as_cell(name), justify="left" if number == 0 else "right", no_wrap=number == 0)
    for row in scores.rows():
        shown.add_row(*map(as_cell, row))
    return shown
