"""Whether images that are judged are a run's own that were saved anew: other files, nearly the same pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jumok.errors import JumokError
from jumok.wording import one_line, write_count

if TYPE_CHECKING:
    from jumok.data.images.image_set import ImageSet
    from jumok.tasks.classify.settings import ImageData
    from jumok.tasks.running.trained_on import TrainedOn

__all__ = ["describe_saved_anew"]

MOST_LOOKED_AT = 4_000
"""Images, the run's and those to judge, that are opened to be compared: more would take longer than the judging."""


def describe_saved_anew(
    record: TrainedOn, data: ImageData | None, seed: int, chosen: ImageSet, hashes: Mapping[Path, str]
) -> list[str]:
    """Say how many images that the run does not know by their bytes look nearly the same as one it was trained on.

    Nothing is said where that cannot be told: the run's own images lie elsewhere now, or there are too many.

    Args:
        record: what the run was trained on.
        data, seed: of the run; None: not known.
        chosen: the images to judge.
        hashes: of their files.
    """
    from jumok.data.images.near_duplicates import find_near_pairs
    from jumok.data.images.survey import make_thumbs

    if data is None:
        return []
    known = frozenset().union(*record.hashes.values())
    strange = [path for path in chosen.paths if hashes[path] not in known]
    if not strange:
        return []
    own = _find_own(record, data, seed)
    if not own or len(own) + len(strange) > MOST_LOOKED_AT:
        return []
    try:
        thumbs = make_thumbs([*own, *strange])
    except JumokError:
        return []
    alike = {second: first for first, second in find_near_pairs(thumbs, first_part=len(own))}
    if not alike:
        return []
    second, first = next(iter(alike.items()))
    names = f"{_name(strange[second - len(own)])} and {_name(own[first])}"
    count = write_count(len(alike), "image looks", "images look")
    return [
        f"{count} nearly the same as one that was trained on or chose the epoch, as copies that were saved anew do, of "
        f"{len(chosen):,} ({names}): figures on them flatter"
    ]


def _find_own(record: TrainedOn, data: ImageData, seed: int) -> Sequence[Path]:
    """The images that the run was trained and validated on, where they still lie where they lay."""
    from jumok.data.images.contents import hash_files
    from jumok.tasks.classify.prepare import find_parts

    if data.images is None or not Path(data.images).exists():
        return ()
    try:
        parts = find_parts(data, seed)
    except JumokError:
        return ()
    paths = [path for images in parts.values() for path in images.paths]
    known = {*record.hashes["train"], *record.hashes["val"]}
    if len(paths) > MOST_LOOKED_AT:
        return ()
    return [path for path, each in zip(paths, hash_files(paths), strict=True) if each in known]


def _name(path: Path) -> str:
    return one_line(f"{path.parent.name}/{path.name}")
