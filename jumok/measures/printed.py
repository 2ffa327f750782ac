"""How reports show themselves where they are typed or printed."""

from __future__ import annotations

from collections.abc import Sequence

from jumok.language import Later, translate
from jumok.wording import count_columns

__all__ = ["Printed"]

GAP = 3
"""Blanks between two columns of a table."""


class Printed:
    """A report that is read where it is typed: its repr is one line, its text a table and what follows from it.

    Its dataclass has `repr=False`.
    """

    def summary(self) -> str:
        """One line that says what the figures are of."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its figures are of")

    def header(self) -> tuple[str, ...]:
        """The heads of the columns of `rows`; none without a table."""
        return ()

    def rows(self) -> Sequence[tuple[str, ...]]:
        """The table."""
        return ()

    def conclusions(self) -> Sequence[str]:
        """What follows from the figures, a line each."""
        return ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({translate(self.summary())})"

    def __str__(self) -> str:
        table = [self.header(), *self.rows()] if self.header() else []
        parts = [[self.summary()], _align([[_say(cell) for cell in row] for row in table]), self.conclusions()]
        return "\n\n".join("\n".join(map(translate, lines)) for lines in parts if lines)


def _say(cell: str) -> str:
    """A cell in the language of now; a name that someone gave stays as it is, also where it is a word of ours."""
    return translate(cell) if isinstance(cell, Later) else cell


def _align(table: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines, the names on the left and the figures on the right."""
    widths = [max(map(count_columns, column)) for column in zip(*table, strict=True)]
    lines = []
    for name, *cells in table:
        padded = [name + " " * (widths[0] - count_columns(name))]
        padded += [" " * (width - count_columns(cell)) + cell for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append((" " * GAP).join(padded).rstrip())
    return lines
