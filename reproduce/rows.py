"""What every table shares: rows that say how they were made, a file that keeps them, and the table on the screen.

A table's file grows row by row: a row replaces the one before it of the same case, model and measure, and leaves the
others. So a table whose long rows take hours can be made in several runs, and a run that is killed loses one row.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import operator
from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.machine import machine_kind
from jumok.errors import JumokError
from jumok.files import write_atomically

RESULTS = Path(__file__).parent / "results"
MOST_BYTES = 4 << 20
SIGNS: dict[str, Callable[[float, float], bool]] = {">=": operator.ge, "<=": operator.le}
HEADINGS = ("case", "model", "measure", "ours", "goal", "published", "set-up", "steps", "seed", "wall time")
RIGHT = frozenset({"ours", "published", "steps", "seed", "wall time"})


@dataclass(frozen=True)
class Row:
    """One figure, and how it was come by.

    Args:
        case: which part of the table, such as "T = 200".
        model: what was trained, such as "lstm".
        measure: what the figure is, with its unit.
        ours: the figure.
        goal: such as ">= 0.95"; empty where there is none.
        published: the paper's figure for this very case and measure; None where it has none.
        source: where that stands.
        setup: sizes, optimiser and data, and what differs from the paper's.
        steps: of the optimiser.
        seconds: wall time of training and testing; where several rows came of one training, that of all of it.
    """

    case: str
    model: str
    measure: str
    ours: float
    goal: str = ""
    published: float | None = None
    source: str = ""
    setup: str = ""
    steps: int = 0
    seconds: float = 0.0

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if not self.goal:
            return None
        sign, limit = self.goal.split()
        return SIGNS[sign](self.ours, float(limit))


@dataclass(frozen=True)
class How:
    """What all rows of one run have in common.

    Args:
        command: that makes these rows again.
        seed, threads: as given to it.
        quick: whether it only tried the table at small sizes.
    """

    command: str
    seed: int
    threads: int
    quick: bool = False


class Paper:
    """A paper's table as far as it has been made again.

    Args:
        name: of the table's file.
        title: one line.
        about: what the figures are, and by whom.
        how: the run that adds to it.
        out: where the rows are kept; the table as Markdown stands beside it. None: nowhere.
    Raises:
        JumokError: `out` holds something else.
    """

    def __init__(self, name: str, title: str, about: str, how: How, out: Path | None) -> None:
        self.name, self.title, self.about, self.how, self._out = name, title, about, how, out
        self._added: list[Row] = []
        self._kept = _read(out, name) if out else []
        self._machine = machine_kind()

    def add(self, row: Row) -> None:
        """Keep a row, on disk too."""
        self._added.append(row)
        fresh = {
            **dataclasses.asdict(row),
            "met": row.met,
            **dataclasses.asdict(self.how),
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "machine": self._machine,
        }
        at = next((number for number, old in enumerate(self._kept) if _key(old) == _key(fresh)), len(self._kept))
        self._kept[at : at + 1] = [fresh]
        if self._out:
            self._write(self._out)

    @property
    def reached(self) -> bool:
        """Whether every goal of this run's rows is met."""
        return all(row.met is not False for row in self._added)

    def show(self, console: Console) -> None:
        """Print the rows of this run."""
        table = Table(title=f"{self.title} ({', '.join(self._machine.values())})", title_justify="left")
        for heading in HEADINGS:
            table.add_column(heading, justify="right" if heading in RIGHT else "left")
        for row in self._added:
            table.add_row(*_cells({**dataclasses.asdict(row), "met": row.met, "seed": self.how.seed}))
        console.print(table)
        console.print(self.about, highlight=False)

    def _write(self, out: Path) -> None:
        kept = {"name": self.name, "title": self.title, "about": self.about, "rows": self._kept}
        write_atomically(out, json.dumps(kept, indent=2, ensure_ascii=False) + "\n")
        write_atomically(out.with_suffix(".md"), self._markdown())

    def _markdown(self) -> str:
        lines = [_line(HEADINGS), _line(["---:" if heading in RIGHT else "---" for heading in HEADINGS])]
        lines += [_line(_cells(row)) for row in self._kept]
        sources = _each(row["source"] for row in self._kept)
        made = _each(f"`{row['command']}` ({', '.join(row['machine'].values())})" for row in self._kept)
        parts = [f"# {self.title}", self.about, "\n".join(lines)]
        parts += [f"Published: {'; '.join(sources)}."] if sources else []
        parts += ["Made by:\n\n" + "\n".join(f"- {command}" for command in made)]
        return "\n\n".join(parts) + "\n"


def positive(text: str) -> int:
    """Take a whole number from 1 off the command line."""
    number = int(text)
    if number < 1:
        raise ArgumentTypeError(f"wanted 1 or more, got {number}")
    return number


def _each(texts: Any) -> list[str]:
    """The different ones that are not empty, in their order."""
    return [text for text in dict.fromkeys(texts) if text]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cells(row: dict[str, Any]) -> list[str]:
    mark = {True: " (met)", False: " (missed)", None: ""}[row["met"]]
    published = "" if row["published"] is None else f"{row['published']:.4g}"
    return [
        *(row["case"], row["model"], row["measure"], f"{row['ours']:.4g}", f"{row['goal']}{mark}", published),
        *(row["setup"], f"{row['steps']:,}" if row["steps"] else "", str(row["seed"]), _duration(row["seconds"])),
    ]


def _duration(seconds: float) -> str:
    if not seconds:
        return ""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _key(row: dict[str, Any]) -> tuple[str, ...]:
    return row["case"], row["model"], row["measure"]


def _read(path: Path, name: str) -> list[dict[str, Any]]:
    """The rows that a table has so far."""
    if not path.exists():
        return []
    if path.stat().st_size > MOST_BYTES:
        raise JumokError(f"{path} has more than {MOST_BYTES} bytes, a table has not: name another file by --out")
    wanted = {"met", "seed", "command", "machine", *(field.name for field in dataclasses.fields(Row))}
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        rows = list(kept["rows"])
        whole = kept["name"] == name and all(wanted <= set(row) for row in rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JumokError(f"{path} is no table of rows ({error}): name another file by --out") from error
    if not whole:
        raise JumokError(f"{path} is another table than {name}: name another file by --out")
    return rows
