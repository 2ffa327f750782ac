"""A column of text by its different cells, and which of them stand for what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from numpy.typing import NDArray
from pandas.api import types  # type: ignore[import-untyped]

from jumok.data.cell_texts import DecimalMark, has_decimal_comma

__all__ = ["DistinctCells", "find_distinct", "find_missing_words", "guess_decimal"]

ALWAYS_MISSING = frozenset(("", "?", "nan", "<na>", "#n/a", "#value!", "#div/0!", "#ref!", "#num!", "#null!", "nat"))
OFTEN_MISSING = frozenset(("na", "n/a", "none", "null", "nil", "-", "--", "---", ".", "*", "missing", "unknown"))
"""Missing among numbers and dates; in a column of text they may be a class."""


@dataclass(frozen=True)
class DistinctCells:
    """A column of text by its different cells: their places (rows,), -1 where missing; the cells; how often each is."""

    places: NDArray[np.int64]
    cells: NDArray[Any]
    counts: NDArray[np.int64]
    missing: Counter[str]

    def to_rows(self) -> NDArray[Any]:
        """The cell of each row, None where missing."""
        cells = np.empty(len(self.cells) + 1, dtype=object)
        cells[:-1] = self.cells
        return cells[self.places]

    def keep(self, wanted: NDArray[np.bool_]) -> NDArray[Any]:
        """Some of the cells."""
        return self.cells[wanted]

    def spread(self, values: NDArray[np.float64], wanted: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Values of the wanted cells to all rows, NaN elsewhere."""
        of_cells = np.full(len(self.cells) + 1, np.nan)
        of_cells[np.flatnonzero(wanted)] = values
        return of_cells[self.places]


def find_distinct(column: pd.Series, na: Collection[str]) -> DistinctCells | None:
    """The different cells of a column of text, without spaces around them; None: it holds something else.

    Args:
        column: of a table.
        na: cells that stand for what is missing, beside those that always do.
    """
    if not _is_text(column):
        return None
    places, cells = pd.factorize(column)
    stripped = np.array([str(cell).strip() for cell in cells], dtype=object)
    gone = np.array([cell in na or cell.casefold() in ALWAYS_MISSING for cell in stripped], dtype=bool)
    counts = np.bincount(places[places >= 0], minlength=len(cells))
    missing = Counter(dict(zip(stripped[gone], map(int, counts[gone]), strict=True)))
    kept_cells = stripped.copy()
    kept_cells[gone] = None
    new_places, kept = pd.factorize(kept_cells)
    places = np.append(new_places, -1)[places]
    counts = np.bincount(places[places >= 0], minlength=len(kept))
    return DistinctCells(
        places, np.asarray(kept, dtype=object), counts, Counter({k: n for k, n in missing.items() if k})
    )


def guess_decimal(texts: dict[str, DistinctCells | None]) -> DecimalMark:
    """A comma, where some column cannot be read otherwise: then it holds for the whole table."""
    found = any(has_decimal_comma(each.keep(~find_missing_words(each))) for each in texts.values() if each is not None)
    return "," if found else None


def find_missing_words(texts: DistinctCells) -> NDArray[np.bool_]:
    """Which cells often stand for what is missing."""
    return np.array([cell.casefold() in OFTEN_MISSING for cell in texts.cells], dtype=bool)


def _is_text(column: pd.Series) -> bool:
    if isinstance(column.dtype, pd.CategoricalDtype) or types.is_string_dtype(column):
        return True
    return column.dtype == object and bool(column.dropna().map(lambda cell: isinstance(cell, str | bool | int)).all())
