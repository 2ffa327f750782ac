"""What was written about the images, texts or sounds of a call: a row for each, in a table, and one page for all."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from jumok.files import write_atomically
from jumok.wording import defuse

__all__ = ["LookedAt", "write_rows"]


@dataclass
class LookedAt:
    """What was written about some inputs.

    A class for each kind of input names and counts it.

    Args:
        folder: for everything that is written.
        rows: one for each input; of one that was left out, with its "error".
        remarks: what the user should know.
        page: that was written; None: none.
    Attributes:
        noun: what one input is called.
        results: name of the file that holds the rows.
    """

    folder: Path
    rows: list[dict[str, Any]] = field(default_factory=list, kw_only=True)
    remarks: list[str] = field(default_factory=list, kw_only=True)
    page: Path | None = field(default=None, kw_only=True)

    noun: ClassVar[str]
    results: ClassVar[str]

    @property
    def failed(self) -> int:
        """How many inputs were left out."""
        return sum("error" in row for row in self.rows)

    @property
    def status(self) -> int:
        """The exit status: 1 if an input was left out."""
        return 1 if self.failed else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        about = {"folder": str(self.folder), "page": self.page, **self.describe()}
        return {**about, f"{self.noun}s": self.rows, "remarks": self.remarks}

    def describe(self) -> dict[str, Any]:
        """What else JSON says of the whole call."""
        return {}

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        yield from (f"remark: {remark}" for remark in self.remarks)
        yield f"written: {self.folder / self.results} ({self.tell_count()})"
        if self.page is not None:
            yield f"page: {self.page}"

    def tell_count(self) -> str:
        """How many inputs there were, in words."""
        raise NotImplementedError


def write_rows(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Write rows as a table of CSV that no spreadsheet takes for formulas.

    Args:
        path: of the file.
        columns: in their order; other values of the rows are left out.
        rows: by column; a value that a row lacks is an empty cell.
    Raises:
        JumokError: the file cannot be written.
    """
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({name: _format_cell(value) for name, value in row.items()} for row in rows)
    write_atomically(path, table.getvalue())


def _format_cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return str(defuse("; ".join(" ".join(map(str, each)) for each in value)))
    return str(defuse(str(value)))
