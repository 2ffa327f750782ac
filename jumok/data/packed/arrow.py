"""The library that reads Parquet files, where it is installed."""

from __future__ import annotations

from typing import Any

from jumok.errors import JumokError
from jumok.extras import install_extra

__all__ = ["import_parquet"]


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
