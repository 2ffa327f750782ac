"""A table that is still read where it does not fit: on narrow terminals each row is a paragraph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

__all__ = ["RecordTable"]

BETWEEN = " · "


class RecordTable(Table):
    """Rows side by side where every word has room, else one below the other, each value behind its heading."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Drawn, or written out."""
        if self.__rich_measure__(console, options.update(max_width=10_000)).minimum <= options.max_width:
            return super().__rich_console__(console, options)
        return self._write_out()

    def _write_out(self) -> Iterator[RenderableType]:
        yield Text(str(self.title or ""))
        (_, *headings), (names, *columns) = (
            [each.header for each in self.columns],
            [each._cells for each in self.columns],
        )
        for name, *cells in zip(names, *columns, strict=True):
            yield Text(str(name), style="bold")
            said = [f"{heading} {cell}" for heading, cell in zip(headings, cells, strict=True) if str(cell)]
            yield Padding(Text(BETWEEN.join(said), no_wrap=False, overflow="fold"), (0, 0, 0, 2))
