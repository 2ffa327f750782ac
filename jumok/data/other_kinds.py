"""Files that hold no data to train on, whatever the task: told by what they are, with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jumok.data.images.formats import is_image_name
from jumok.data.texts.normal_form import GZIP
from jumok.errors import JumokError

__all__ = ["refuse_binary", "refuse_other_kinds"]

SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers")
ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".7z", ".rar")
PACKED_TABLES = tuple(
    f"{table}{packed}" for table in (".csv", ".jsonl", ".parquet") for packed in (".gz", ".bz2", ".xz", ".zst")
)
MARKS = (b"\xff\xfe", b"\xfe\xff")
"""With which UTF-16 begins: it is text, though it holds zero bytes."""
HEAD_BYTES = 1 << 13
WANTED = (
    "wanted a folder of images, a table (.csv, .tsv, .jsonl or .parquet) of images, questions or texts, or sentence "
    "pairs (.tsv, or two text files)"
)


def refuse_other_kinds(paths: Sequence[Path]) -> None:
    """Refuse files that are data of no task, by their names.

    Raises:
        JumokError: a spreadsheet, a single image, an archive or a packed table is among them.
    """
    for path in paths:
        name = path.name.lower()
        if not path.is_file():
            continue
        if name.endswith(SPREADSHEETS):
            raise JumokError(f"{path} is a spreadsheet: save it as CSV; {WANTED}")
        if name.endswith(ARCHIVES):
            raise JumokError(f"{path} is an archive: unpack it, and give the folder; {WANTED}")
        if name.endswith(PACKED_TABLES):
            raise JumokError(f"{path} is a packed table: unpack it, and give the table; {WANTED}")
        if is_image_name(name):
            raise JumokError(f"{path} is a single image: give the folder of all images; {WANTED}")


def refuse_binary(paths: Sequence[Path]) -> None:
    """Refuse files that would be read as text and are none, by how they begin.

    Raises:
        JumokError: there is one among them.
    """
    for path in filter(Path.is_file, paths):
        try:
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
        except OSError:  # whoever reads it says so
            continue
        if b"\0" in head and not head.startswith((GZIP, *MARKS)):
            raise JumokError(f"{path} is not text: {WANTED}")
