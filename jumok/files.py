"""Files that are written whole or not at all, and paths that stay where they belong."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from jumok.errors import JumokError
from jumok.wording import readable

LONGEST_NAME = 255
"""Bytes of a file's name, on all file systems that are common."""
RESULTS_MARK = ".jumok-results"
"""A hidden file in folders of results, so that their pictures are not taken for images that someone gave."""
LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}(\.[a-z]+)?|\.tmp\w{6}")
"""Names that `replacing` and safetensors give to files that are not complete yet."""
LONGEST_SHOWN = 60
"""Characters of a name that an error shows."""
NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
"""Errors at which more space would not help."""


def list_visible(folder: Path) -> list[Path]:
    """What lies directly in a folder, by name, without the hidden `._NAME` that macOS leaves beside each file.

    Raises:
        OSError: no such folder, or one that may not be read.
    """
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader, or a machine that dies, sees the old content or the new one.

    Raises:
        JumokError: the folder cannot be written, or the disk is full; the old file is then untouched.
    """
    with replacing(path) as fresh:
        fresh.write_bytes(readable(content).encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a fresh file beside `path` to write to; it takes that name, on disk for sure, when the block ends well.

    Raises:
        JumokError: as `write_atomically`.
    """
    fresh: Path | None = None
    try:
        make_folder(path.parent)
        fresh = path.with_name(f".{fit_name(path.stem, f'.{secrets.token_hex(4)}{path.suffix}', LONGEST_NAME - 1)}")
        yield fresh
        _flush(fresh)
        fresh.replace(path)
        fresh = None
        _flush(path.parent)
    except OSError as error:
        advice = advise_on_writing(error)
        raise JumokError(f"cannot write {path}: {error.strerror or error}; {advice}") from error
    finally:
        if fresh is not None:
            with suppress(OSError):  # what went wrong before is what the user should know
                fresh.unlink(missing_ok=True)


def advise_on_writing(error: OSError) -> str:
    """What to do where something could not be written."""
    if error.errno in NOT_ALLOWED:
        return "choose a place that you may write to"
    return "free some space or choose another place"


def fit_name(name: str, ending: str, longest: int = LONGEST_NAME) -> str:
    """Name a file after another; where that gets too long it is cut, and told apart by a hash of the whole name.

    >>> fit_name("scratch.png", ".map.png"), fit_name("x" * 300, ".map.png", 30)
    ('scratch.png.map.png', 'xxxxxxxxxxxxx~0d4e2ca9.map.png')
    """
    whole, end = os.fsencode(name), os.fsencode(ending)
    if len(whole) + len(end) <= longest:
        return name + ending
    digest = hashlib.sha256(whole).hexdigest()[:8]
    room = max(longest - len(end) - len(digest) - 1, 0)
    return f"{whole[:room].decode('utf-8', 'ignore')}~{digest}{ending}"


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, on disk for sure.

    Raises:
        JumokError: it cannot be made.
    """
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for place in missing:
            _flush(place.parent)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise JumokError(f"cannot make the folder {folder}: {reason}; choose another place") from error


def write_header(name: str, kind: str, shape: Sequence[int], size: int, metadata: Mapping[str, str]) -> bytes:
    """What stands before the values of the one tensor of a safetensors file, as the library writes it.

    Args:
        name, kind, shape: of the tensor; kind such as "F32".
        size: of its values, in bytes.
        metadata: in the order in which it is written.
    """
    about = {"dtype": kind, "shape": list(shape), "data_offsets": [0, size]}
    text = json.dumps({"__metadata__": metadata, name: about}, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    return len(text).to_bytes(8, "little") + text


def order_header(header: bytes) -> bytes:
    """A safetensors file's header with its metadata in order, as long as before: the library writes it in any.

    Args:
        header: the JSON between the file's first eight bytes and its tensors.
    """
    values = json.loads(header)
    values["__metadata__"] = dict(sorted(values.get("__metadata__", {}).items()))
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode()
    return text.ljust(len(header)) if len(text) <= len(header) else header


def _flush(path: Path) -> None:
    """Make what was written survive a power cut (fsync of a file or folder)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def regular_file(path: str | os.PathLike[str]) -> Path:
    """Make sure that a path leads to a file that ends: a pipe or a device would be waited for, perhaps for ever.

    Raises:
        JumokError: it leads to something else, to a file that may not be read, or no file can have that name.
        FileNotFoundError: it leads nowhere.
    """
    try:
        kind = Path(path).stat().st_mode
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # too long, with a NUL, a link to itself, a folder that may not be entered
        raise JumokError(
            f"cannot read {shorten(os.fspath(path))}: {getattr(error, 'strerror', None) or error}"
        ) from error
    if stat.S_ISDIR(kind):
        raise JumokError(f"{path} is a folder: wanted a file")
    if not stat.S_ISREG(kind):
        raise JumokError(f"{path} is a pipe or a device: wanted a file; copy what it gives into one")
    if not os.access(path, os.R_OK):  # of such a file some readers say that it is not there
        raise JumokError(f"cannot read {path}: {os.strerror(errno.EACCES)}; check its permissions")
    return Path(path)


def shorten(name: str) -> str:
    """A name as an error shows it."""
    return name if len(name) <= LONGEST_SHOWN else f"{name[:LONGEST_SHOWN]}..."


def inside(folder: Path, name: str) -> Path:
    """Join a name that came from outside to the folder it must stay in.

    Raises:
        JumokError: the name lies outside the folder, or no file can have it.
    """
    try:
        path = (folder / name).resolve()
        path.exists()
    except (OSError, ValueError, RuntimeError) as error:  # too long, with a NUL, or a link to itself
        raise JumokError(f"{shorten(name)!r} is no name of a file in {folder}: correct it") from error
    if not path.is_relative_to(folder.resolve()):
        raise JumokError(f"{name!r} lies outside {folder}: give a name inside it")
    return path
