"""What a tour is: commands of the program, one after the other, and what the page shows of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from jumok.views.pages.report_page import Section

__all__ = ["Done", "Step", "Tour"]


class Done(NamedTuple):
    """A step that was taken.

    Args:
        command: as a person would type it.
        seconds: that it took.
    """

    command: str
    seconds: float


class Step(NamedTuple):
    """One command of a tour.

    Args:
        name: of the step.
        words: makes ready what the command needs, and gives it as typed after the program's name.
        say: what came out, in a line.
        show: what the page shows of it.
    """

    name: str
    words: Callable[[], Sequence[object]]
    say: Callable[[], str]
    show: Callable[[Done], list[Section]]


class Tour(ABC):
    """A tour in a folder of its own.

    Args:
        folder: of this tour.
    """

    name: ClassVar[str]
    lead: ClassVar[str]
    """What it is about, for the page."""
    data: ClassVar[str] = "data"
    """Name of the folder with what is generated: it is kept when the tour is taken again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def generated(self) -> Path:
        """Where the generated data is."""
        return self.folder / self.data

    @abstractmethod
    def steps(self) -> list[Step]:
        """The commands, in their order."""
