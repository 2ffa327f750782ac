"""What a command that looks at images writes: files for each image, one page, and results.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.errors import JumokError

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.views.pages.look_page import Entry, Page

SMALL_PAGE, LARGE_PAGE = 8_000_000, 30_000_000
"""Bytes: 8 MB suffice for every head of a ViT-B at 224 x 224; a folder may take more in all."""


def find(path: Path) -> list[Path]:
    """The image itself, or all images below a folder, sorted.

    Raises:
        JumokError: nothing there, or no image in the folder.
    """
    from jumok.data.images.reading import find_images

    if path.is_dir():
        return list(find_images(path))
    if not path.exists():
        raise JumokError(f"no image or folder at {path}")
    return [path]


def name_of(path: Path, root: Path) -> Path:
    """How an image is called in the results: its place below the folder, or its own name."""
    return path.relative_to(root) if root.is_dir() else Path(path.name)


def new_page(title: str, images: int) -> Page:
    """A page whose size fits one image or many."""
    from jumok.views.pages.look_page import Page

    return Page(title, budget=SMALL_PAGE if images == 1 else LARGE_PAGE)


@dataclass
class ImageResults:
    """Rows and pages as they come; both are written at the end.

    Args:
        folder: for everything that is written.
        columns: of results.csv, among them "image" and "error".
        page: for all images; None: no page.
    """

    folder: Path
    columns: Sequence[str]
    page: Page | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: int = 0

    def readable(self, paths: Sequence[Path], console: Any) -> Iterator[tuple[Path, Tensor]]:
        """Each image with its pixels; one that cannot be read is reported and left out."""
        from jumok.data.images.reading import read_image

        for path in paths:
            try:
                yield path, read_image(path)
            except JumokError as error:
                self.failures += 1
                self.rows.append({"image": str(path), "error": str(error)})
                console.print(f"left out: {error}", style="yellow", markup=False)

    def file(self, name: Path, ending: str) -> Path:
        """Where a file about an image goes."""
        return self.folder / name.parent / f"{name.name}.{ending}"

    def add(self, row: dict[str, Any], entry: Entry | None = None) -> None:
        """One image's row, and its entry on the page."""
        self.rows.append(row)
        if self.page is not None and entry is not None:
            self.page.add(entry)

    def close(self, console: Any) -> int:
        """Write the page and results.csv. Returns the exit status: 1 if an image was left out.

        Raises:
            JumokError: no image could be read.
        """
        from jumok.files import write_atomically

        if self.failures == len(self.rows):
            raise JumokError(f"none of the {self.failures} images could be read: {self.rows[0]['error']}")
        table = io.StringIO()
        writer = csv.DictWriter(table, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.folder / "results.csv", table.getvalue())
        console.print(f"written: {self.folder / 'results.csv'} and {len(self.rows) - self.failures} pictures with maps")
        if self.page is not None:
            self.page.write(self.folder / "index.html")
            console.print(f"page: {self.folder / 'index.html'}")
        return 1 if self.failures else 0
