"""Places that are no folder of this machine, such as s3://bucket/photos: listed and read by fsspec."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

from jumok.data.images.formats import is_image_name
from jumok.errors import JumokError, foreign
from jumok.extras import install_extra

__all__ = ["is_address", "list_address", "open_bytes", "read_address", "restore_address"]

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
FLATTENED = re.compile(r"([a-z][a-z0-9+.-]+):/(?=[^/])", re.IGNORECASE)
ADVICE = "check the address, and that this machine may read it"


def is_address(name: str) -> bool:
    """Whether a name begins as an address does."""
    return ADDRESS.match(name) is not None


def restore_address(path: Path) -> str:
    """A name as it was given: a path makes one slash of two.

    >>> restore_address(Path("s3://bucket/a")), restore_address(Path("photos/a"))
    ('s3://bucket/a', 'photos/a')
    """
    return FLATTENED.sub(r"\1://", str(path), count=1)


def open_bytes(name: str) -> AbstractContextManager[BinaryIO]:
    """A file to read, on this machine or elsewhere."""
    if not is_address(name):
        return Path(name).open("rb")
    opened: AbstractContextManager[BinaryIO] = _import_fsspec().open(name, "rb")
    return opened


def read_address(name: str) -> bytes:
    """The bytes of a file elsewhere.

    Raises:
        JumokError: it cannot be read.
    """
    with foreign(f"cannot read {name}", ADVICE), open_bytes(name) as file:
        return file.read()


def list_address(name: str, wanted: Callable[[str], bool] | None = None) -> list[str]:
    """The files that an address, a folder there or a pattern stands for, sorted.

    Args:
        name: the address.
        wanted: which files are taken where there are several; None: images, and files that hold many.
    Raises:
        JumokError: it cannot be reached, or nothing is there.
    """
    with foreign(f"cannot reach {name}", ADVICE):
        system, path = _import_fsspec().core.url_to_fs(name)
        if any(sign in path for sign in "*?["):
            found = system.glob(path)
        else:
            found = system.find(path) if system.isdir(path) else [path] if system.exists(path) else []
        files = sorted(str(system.unstrip_protocol(each)) for each in found)
    if not files:
        raise JumokError(f"nothing is at {name}: {ADVICE}")
    if len(files) == 1:
        return files
    return [each for each in files if _is_visible(each) and (wanted or _holds_images)(each)]


def _is_visible(name: str) -> bool:
    return not name.rpartition("/")[2].startswith(".")


def _holds_images(name: str) -> bool:
    return is_image_name(name) or name.lower().endswith((".parquet", ".tar"))


def _import_fsspec() -> Any:
    try:
        import fsspec  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        raise JumokError(f"addresses need fsspec, which is not installed: {install_extra('datasets')}") from None
    return fsspec
