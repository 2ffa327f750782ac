"""The library that reads Parquet files: where it is installed, and where a file is not what it reads."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from jumok.errors import JumokError, foreign
from jumok.extras import install_extra

__all__ = ["import_parquet", "reading_parquet"]


def import_parquet() -> Any:
    """`pyarrow.parquet`.

    Raises:
        JumokError: it is not installed.
    """
    try:
        from pyarrow import parquet  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        raise JumokError(f"Parquet files need pyarrow, which is not installed: {install_extra('parquet')}") from None
    return parquet


def reading_parquet(path: Path) -> AbstractContextManager[None]:
    """A block that reads a Parquet file, and whose errors are the file's.

    Raises:
        JumokError: in the block, where the file is damaged or another one.
    """
    return foreign(f"{path} is damaged or not a Parquet file", "write it anew")
