"""What pages share that draw packed maps with a script of their own: title, budget, and how their file is written."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from jumok.errors import JumokError
from jumok.files import write_atomically
from jumok.language import later, translate
from jumok.views.pages.html_file import (
    BUDGET_BYTES,
    as_json,
    check_budget,
    fill_page,
    make_encodable,
    make_text_block,
    name_program,
)

Item = TypeVar("Item")
"""What a page packs at a time, as it goes into the file."""


class DrawnPage(ABC, Generic[Item]):
    """A page that items are added to one by one; each is packed at once, so that its tensors can go.

    Args:
        title: the heading; any text.
        budget: bytes that the file should not exceed.
    Raises:
        JumokError: a budget of less than 1 byte.
    """

    template: ClassVar[str]
    """The file of what stands between the heading and the footer."""
    styles: ClassVar[Sequence[str]]
    scripts: ClassVar[Sequence[str]]
    unit: ClassVar[str]
    """What is added, as a message calls it."""
    drawn: ClassVar[str] = later("maps")
    """What the script draws, as the page calls it."""

    def __init__(self, title: str, *, budget: int = BUDGET_BYTES) -> None:
        check_budget(budget)
        self.title, self.budget = make_encodable(title), budget
        self._items: list[Item] = []

    def __len__(self) -> int:
        return len(self._items)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the page, whole or not at all.

        Raises:
            JumokError: nothing was added, or the file cannot be written.
        """
        if not self._items:
            raise JumokError(f"a page needs at least one {self.unit}: add one before writing")
        about, blocks = self._describe()
        about = {"title": self.title, "made": name_program(), "budget": self.budget, **about}
        templates = ("page_top.html", self.template, "page_foot.html")
        data = make_text_block("page-data", as_json(about))
        parts = {"drawn": translate(self.drawn), "data": data, "blocks": "\n".join(blocks), **self._write_parts()}
        write_atomically(Path(path), fill_page(templates, self.styles, self.scripts, self.title, **parts))

    def _write_parts(self) -> dict[str, str]:
        """What else the template names, as HTML."""
        return {}

    @abstractmethod
    def _describe(self) -> tuple[dict[str, Any], list[str]]:
        """What the page knows before it unpacks anything, and the elements that hold what is packed.

        Those stand behind the script, which draws while the browser still reads them: page_blocks.js waits for each.
        """
