"""Rows with a goal and a limit, and how they are printed."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.measuring import LEAST_PAIRS, LeftOut, Ratio

__all__ = ["COLUMNS", "Part", "Row", "gather", "print_rows", "write_cells"]

COLOURS = {"met": "green", "missed": "red", "undecided": "yellow", "failed": "red", "left out": "yellow"}
"""Of a row, by its verdict."""


@dataclass(frozen=True)
class Row:
    """One claim and what was measured for it.

    Args:
        claim: what the ratio is of.
        ratio: the figure that counts, with the quartiles of its pairs; a plain number where there are none.
        goal: such as ">= 1.1" or "<= 1.15"; empty for a figure that is stated and has no goal.
        ours, peer: the two sides of the ratio, in `unit`; peer None: there is none here.
        unit: such as "images/s", "s", "MiB".
        note: what a reader needs to judge it.
        limit: what `ours` could be at best on this machine, by its measured figures; None: no plain arithmetic tells.
        bound: what the limit is made of.
        spent: where the time of ours goes, for a goal that is missed; see `bench.spent`.
        trouble: "failed" or "left out" where nothing was measured; the note says why.
    """

    claim: str
    ratio: Ratio | float = float("nan")
    goal: str = ""
    ours: float = float("nan")
    peer: float | None = None
    unit: str = ""
    note: str = ""
    limit: float | None = None
    bound: str = ""
    spent: str = ""
    trouble: str = ""

    @property
    def spread(self) -> Ratio:
        """The ratio with its quartiles."""
        return self.ratio if isinstance(self.ratio, Ratio) else Ratio.exact(self.ratio)

    @property
    def verdict(self) -> str:
        """Met, missed, or undecided where the quartiles lie on both sides of the goal; empty without one."""
        if self.trouble or not self.goal:
            return self.trouble
        sign, wanted = self.goal.split()
        reached = {(value >= float(wanted)) if sign == ">=" else (value <= float(wanted)) for value in self.spread[:3]}
        return "undecided" if len(reached) == 2 else "met" if reached == {True} else "missed"

    @property
    def of_limit(self) -> float | None:
        """How many times the least that is possible it takes: 1 is the limit itself."""
        if not self.limit or not self.ours:
            return None
        return self.limit / self.ours if self.unit.endswith("/s") else self.ours / self.limit

    def to_dict(self) -> dict[str, Any]:
        spread = self.spread
        return {
            "claim": self.claim, "ratio": spread.middle, "low": spread.low, "high": spread.high, "pairs": spread.pairs,
            "goal": self.goal, "verdict": self.verdict, "ours": self.ours, "peer": self.peer, "unit": self.unit,
            "limit": self.limit, "of_limit": self.of_limit, "bound": self.bound, "note": self.note,
            "spent": self.spent,
        }  # fmt: skip


OWN = ("jumok", "bench")
"""Packages whose absence is a fault, and not that of a peer."""
Part = tuple[str, Callable[[], Iterable[Row]]]
"""What some rows are of, and what measures them: one that fails leaves the others."""


def gather(parts: Iterable[Part]) -> list[Row]:
    """Measure part by part; what fails is a row that says so."""
    rows: list[Row] = []
    for name, measure in parts:
        try:
            rows += measure()
        except LeftOut as why:
            rows.append(Row(name, note=str(why), trouble="left out"))
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] not in OWN:
                hint = f"{error.name} is not installed: make bench-peers installs the peers"
                rows.append(Row(name, note=hint, trouble="left out"))
                continue
            traceback.print_exc()
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            rows.append(Row(name, note=reason, trouble="failed"))
    return rows


COLUMNS = ("claim", "ratio", "quartiles", "goal", "", "jumok", "peer", "unit", "limit", "x limit", "note")


def print_rows(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows, as `Row.to_dict` gives them, as a table."""
    table = Table(title=title, title_justify="left")
    for heading in COLUMNS:
        numbers = heading in ("ratio", "quartiles", "jumok", "peer", "limit", "x limit")
        table.add_column(heading, justify="right" if numbers else "left")
    for row in rows:
        table.add_row(*map(escape, write_cells(row)), style=COLOURS.get(row["verdict"]))
    Console(width=None if sys.stdout.isatty() else 240).print(table)


def write_cells(row: Mapping[str, Any]) -> list[str]:
    """The text of each of `COLUMNS`."""
    numbers = {name: row[name] for name in ("ratio", "ours", "peer", "limit", "of_limit")}
    said = {name: "" if value is None else f"{value:.4g}" for name, value in numbers.items()}
    spent = row.get("spent") if row["verdict"] in ("missed", "undecided") else ""
    note = "; ".join(filter(None, (row["note"], row["bound"] and f"limit: {row['bound']}", spent and f"time: {spent}")))
    return [
        row["claim"], said["ratio"], _write_quartiles(row), row["goal"], row["verdict"], said["ours"], said["peer"],
        row["unit"], said["limit"], said["of_limit"], note,
    ]  # fmt: skip


def _write_quartiles(row: Mapping[str, Any]) -> str:
    """The quartiles, and over how few pairs where they are fewer than the usual least."""
    if not row["pairs"]:
        return ""
    few = f" ({row['pairs']} pairs)" if row["pairs"] < LEAST_PAIRS else ""
    return f"{row['low']:.2f}-{row['high']:.2f}{few}"
