"""What a run was trained on, by content: a file in its folder, so that judging knows these images wherever they lie."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jumok.data.images.contents import hash_files
from jumok.data.images.image_set import ImageSet
from jumok.data.splits import SPLITS
from jumok.errors import JumokError
from jumok.files import write_atomically
from jumok.tasks.running.figures import Progress

TRAINED_ON = "trained_on.txt"
HEAD = "jumok-trained-on/1 blake2b-128"
LINE = re.compile(r"(train|val|test) ([0-9a-f]{32})")
MOST_BYTES = 1 << 31


@dataclass(frozen=True)
class TrainedOn:
    """The images of a run's parts, each by the hash of its file.

    Args:
        hashes: of train, val and test, sorted.
    """

    hashes: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, sets: Mapping[str, ImageSet], progress: Progress | None = None) -> TrainedOn:
        """Read the images of three parts.

        Raises:
            JumokError: one cannot be read.
        """
        paths = [path for part in SPLITS for path in sets[part].paths]
        every = iter(hash_files(paths, progress))
        return cls({part: tuple(sorted(next(every) for _ in sets[part].paths)) for part in SPLITS})

    def write(self, folder: Path) -> None:
        """Write the record into the run's folder.

        Raises:
            JumokError: it cannot be written.
        """
        lines = [HEAD, *(f"{part} {each}" for part in SPLITS for each in self.hashes[part])]
        write_atomically(folder / TRAINED_ON, "\n".join(lines) + "\n")

    def seen(self, hashes: Sequence[str]) -> dict[str, int]:
        """How many of some images each part of the run has; one that is in several counts for the first."""
        known = {part: frozenset(some) for part, some in self.hashes.items()}
        where = [next((part for part in SPLITS if each in known[part]), "") for each in hashes]
        return {part: where.count(part) for part in SPLITS}


def read_trained_on(folder: Path) -> TrainedOn | None:
    """The record of a run; None of a run that has none.

    Raises:
        JumokError: it is damaged.
    """
    path = folder / TRAINED_ON
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MOST_BYTES:
            raise JumokError(f"{path} is larger than {MOST_BYTES >> 30} GiB: that is no record of images")
        head, *lines = path.read_text("ascii").splitlines()
        found = [LINE.fullmatch(line) for line in lines]
    except (OSError, ValueError) as error:
        raise JumokError(f"{path} cannot be read ({error}): restore it, or remove it") from error
    if head != HEAD or not all(found):
        raise JumokError(f"{path} is damaged: restore it, or remove it")
    hashes: dict[str, list[str]] = {part: [] for part in SPLITS}
    for match in found:
        assert match is not None
        hashes[match[1]].append(match[2])
    return TrainedOn({part: tuple(some) for part, some in hashes.items()})
