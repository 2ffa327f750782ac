"""Rows of a data set, with the images that they are of, for another program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from jumok.app.engine.addresses import is_address
from jumok.app.engine.images import unwrap
from jumok.app.engine.pages import to_finding
from jumok.app.engine.reading import Looks
from jumok.app.engine.settings import PageSettings
from jumok.app.engine.shards import Item
from jumok.app.fiftyone_folder import ERROR, FiftyOneFolder, Sample
from jumok.app.image_results import to_sample
from jumok.app.progress import show_progress
from jumok.app.session import Session
from jumok.data.images.formats import is_image_name, read_formats, suffix_of
from jumok.errors import JumokError

__all__ = ["ExportedRows", "export_rows"]


@dataclass(frozen=True)
class ExportedRows:
    """What was written."""

    folder: FiftyOneFolder
    rows: int
    status: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "export": str(self.folder.folder),
            "rows": self.rows,
            "samples": self.folder.written,
            "left_out": self.folder.left_out,
        }

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        yield from self.folder.lines()


def export_rows(folder: Path, out: Path, wanted: PageSettings, session: Session) -> ExportedRows:
    """Write rows of a data set as FiftyOne imports them: all, those that a query holds for, or some drawn by chance.

    Images that are files stay where they are. Others, such as those in Parquet and tar files, are written beside.

    Args:
        folder: of the data set.
        out: that is written.
        wanted: which rows.
        session: of the command.
    Raises:
        JumokError: a data set of something else, a query that cannot be read or that no row meets, or inputs that are
            gone.
    """
    looks = Looks.open(folder)
    about = looks.about
    if "questions" in about or not ({"classes", "keys"} & set(about)):
        raise JumokError(f"{folder} holds no looks at images: write a data set by jumok look or jumok predict")
    numbers, _ = looks.choose(wanted.where, wanted.pages)
    name = Path(str(about.get("model") or about.get("method"))).name
    export = FiftyOneFolder(out, name, str(about.get("answers", "class")), about.get("classes", ()))
    pairs = zip(looks.rows(numbers), looks.inputs(numbers, session.remark), strict=True)
    with export, show_progress(session.console, "exporting") as progress:
        for done, (row, item) in enumerate(pairs, 1):
            sample = _to_sample(row, item, about)
            if sample is None:
                export.left_out += 1
            else:
                export.add(sample)
            progress(done, len(numbers))
    return ExportedRows(export, len(numbers))


def _to_sample(row: Mapping[str, Any], item: Item, about: Mapping[str, Any]) -> Sample | None:
    """A row with its image; None where there is no image."""
    image = _find_image(row, item)
    if image is None:
        return None
    path, content = image
    truth, error = row.get("label") or "", row.get("error") or ""
    if row.get("map") is None:
        shares = dict(zip(about.get("classes", ()), row.get("probabilities") or (), strict=False))
        return Sample(path, content, row.get("prediction"), shares, truth, texts={ERROR: error})
    found = to_sample(path, to_finding(row, about), truth)
    return Sample(path, content, found.answer, found.shares, truth, found.heats, {**found.texts, ERROR: error})


def _find_image(row: Mapping[str, Any], item: Item) -> tuple[Path, bytes | None] | None:
    """The path of an image that is a file here, or a name and the bytes of one that is none."""
    try:
        image = unwrap(item.content)
    except JumokError:
        return None
    if isinstance(image, bytes):
        return Path(f"{row['index']:08}{_find_suffix(item.name, image)}"), image
    return None if is_address(str(image)) else (Path(str(image)), None)


def _find_suffix(name: str, content: bytes) -> str:
    """The ending of an image's name; where that has none, the name of its format, if it can be told."""
    if is_image_name(name):
        return suffix_of(name)
    try:
        with Image.open(BytesIO(content), formats=read_formats()) as image:
            return f".{str(image.format).lower()}"
    except Exception:  # on damaged files Pillow raises nearly anything
        return ""
