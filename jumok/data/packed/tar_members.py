"""Images in tar files: where each one's bytes lie, and what is true of it, found by one pass over the heads.

Source: WebDataset's layout of shards: members of one sample follow each other, with one name up to the first dot.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from jumok.data.images.formats import is_image_name
from jumok.data.images.recognition import column_for
from jumok.data.packed.stamps import Stamp
from jumok.data.table_rows import BETWEEN
from jumok.errors import JumokError, first_line
from jumok.language import later

__all__ = ["TarImages", "index_tar", "read_tar_member"]

CLASS, FIELDS = "cls", "json"
"""Endings of members that say what is true of a sample."""
LARGEST_LABEL = 1 << 20
COMPRESSED = {b"\x1f\x8b": "gunzip", b"\x28\xb5\x2f\xfd": "unzstd", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz"}
"""With what compressed files begin, and what undoes it."""


@dataclass(frozen=True)
class TarImages:
    """The images of a tar file.

    Args:
        places: where the bytes of each lie and how many there are, by name, in the file's order.
        labels: what is true of each, where members say it; else of each the folder that it lies in.
        told: whether members say it.
    """

    places: Mapping[str, tuple[int, int]]
    labels: Mapping[str, str]
    told: bool


@cache
def index_tar(stamp: Stamp) -> TarImages:
    """Find the images of a tar file.

    Raises:
        JumokError: it is damaged, compressed or no tar file, or has two members of one name.
    """
    path = Path(stamp.path)
    _refuse_compressed(path)
    try:
        with tarfile.open(path, "r:") as members:
            places, told = _read_heads(members)
            end = members.offset
    except JumokError:
        raise
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise JumokError(f"{path} is damaged or not a tar file ({first_line(error)}): replace it") from error
    if stamp.size - end < tarfile.BLOCKSIZE:
        raise JumokError(f"{path} ends too early (the mark of its end is missing): replace it")
    if told:
        places = {name: place for name, place in places.items() if "." not in _split(name)[1]}
    labels = {name: told.get(_split(name)[0], "") if told else PurePosixPath(name).parent.name for name in places}
    return TarImages(places, labels, bool(told))


def read_tar_member(stamp: Stamp, name: str) -> bytes:
    """The bytes of an image.

    Raises:
        FileNotFoundError: there is no member of that name.
        JumokError: the file is damaged.
    """
    place = index_tar(stamp).places.get(name)
    if place is None:
        raise FileNotFoundError(f"no {name} in {stamp.path}")
    with Path(stamp.path).open("rb") as file:
        file.seek(place[0])
        return file.read(place[1])


def _refuse_compressed(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(8)
    for mark, undo in COMPRESSED.items():
        if head.startswith(mark):
            raise JumokError(
                f"{path} is compressed, so that its images cannot be reached one by one: {undo} it, and give the .tar"
            )


def _read_heads(members: tarfile.TarFile) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    """The places of images by name, and what members say of samples by the part of their names before the first dot."""
    places: dict[str, tuple[int, int]] = {}
    told: dict[str, str] = {}
    for member in members:
        members.members = []  # type: ignore[attr-defined]  # else it keeps all that it has passed
        if not member.isfile():
            continue
        name = PurePosixPath(member.name.lstrip("/")).as_posix()
        if is_image_name(name):
            if name in places:
                raise JumokError(f"{members.name!s} has two members {name}: keep one")
            places[name] = (member.offset_data, member.size)
            continue
        key, ending = _split(name)
        if ending in (CLASS, FIELDS) and member.size <= LARGEST_LABEL:
            label = _read_label(members, member, ending)
            if label is not None and (ending == CLASS or key not in told):
                told[key] = label
    return places, told


def _split(name: str) -> tuple[str, str]:
    """A name up to the first dot behind its folders, and what follows.

    >>> _split("a.b/0001.seg.png")
    ('a.b/0001', 'seg.png')
    """
    place = PurePosixPath(name)
    stem, _, ending = place.name.partition(".")
    return (place.parent / stem).as_posix(), ending.lower()


def _read_label(members: tarfile.TarFile, member: tarfile.TarInfo, ending: str) -> str | None:
    """What a member says of its sample; None where it says nothing of a class.

    Raises:
        JumokError: it is no text, or no JSON.
    """
    file = members.extractfile(member)
    try:
        text = "" if file is None else file.read().decode().strip()
        return text if ending == CLASS else _find_label(json.loads(text))
    except (ValueError, RecursionError) as error:
        what = later("a class as text") if ending == CLASS else "JSON"
        raise JumokError(f"{members.name!s}: {member.name} is not {what} ({first_line(error)}): correct it") from error


def _find_label(fields: Any) -> str | None:
    if not isinstance(fields, dict):
        return None
    names = {str(name).lower(): value for name, value in fields.items()}
    column = column_for("label", list(names))
    if column is None or names[column] is None:
        return None
    value = names[column]
    return BETWEEN.join(map(str, value)) if isinstance(value, list) else str(value)
