"""Where texts are printed that hold names from anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from jumok.wording import printable

__all__ = ["Terminal"]

UNBOUNDED = 100_000
"""Columns of what is not a terminal."""


class Terminal(Console):
    """A console that spells out what a terminal would obey, in lines, tables and bars alike.

    Its own colours and movements are no text, and stay. What is read by a program or from a file has no width: there,
    unless COLUMNS says otherwise, tables are as wide as what they hold.
    """

    def __init__(self, **options: Any) -> None:
        asked = os.environ.get("COLUMNS", "")
        says = asked.isdecimal() and int(asked) > 0  # 0 is what a shell without a terminal may hand on
        known = {name: value for name, value in os.environ.items() if says or name != "COLUMNS"}
        super().__init__(**options, _environ=known)
        if not self.is_terminal and "width" not in options and not says:
            self.width = UNBOUNDED

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))
