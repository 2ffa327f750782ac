"""Where texts are printed that hold names from anywhere."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from jumok.wording import printable

__all__ = ["Terminal"]


class Terminal(Console):
    """A console that spells out what a terminal would obey, in lines, tables and bars alike.

    Its own colours and movements are no text, and stay.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))
