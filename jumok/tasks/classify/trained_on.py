"""What a run was trained on, by content: a file in its folder, so that judging knows these images wherever they lie."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jumok.data.images.contents import hash_files
from jumok.data.images.image_set import ImageSet
from jumok.data.splits import SPLITS
from jumok.errors import JumokError
from jumok.files import write_atomically
from jumok.tasks.running.figures import Progress

TRAINED_ON = "trained_on.txt"
HEAD = "jumok-trained-on/1 blake2b-128"
LINE = re.compile(r"(train|val|test|before) ([0-9a-f]{32})")
BEFORE = "before"
"""Stands for what the weights had seen that a run began with."""
MOST_BYTES = 1 << 31


@dataclass(frozen=True)
class TrainedOn:
    """The images of a run's parts, each by the hash of its file.

    Args:
        hashes: of train, val and test, sorted.
        before: of what the weights that the run began with (`--init`) were trained or validated on, sorted.
    """

    hashes: Mapping[str, tuple[str, ...]]
    before: tuple[str, ...] = ()

    @classmethod
    def of(cls, sets: Mapping[str, ImageSet], progress: Progress | None = None) -> TrainedOn:
        """Read the images of three parts.

        Raises:
            JumokError: one cannot be read.
        """
        return cls.of_hashes(hash_parts(sets, progress))

    @classmethod
    def of_hashes(cls, hashes: Mapping[str, Sequence[str]]) -> TrainedOn:
        """The same of images whose hashes are known, in any order."""
        return cls({part: tuple(sorted(hashes[part])) for part in SPLITS})

    @property
    def learnt(self) -> frozenset[str]:
        """All that the weights have been trained or validated on."""
        return frozenset((*self.hashes["train"], *self.hashes["val"], *self.before))

    def after(self, first: TrainedOn | None) -> TrainedOn:
        """The same of a run that begins with the weights of another one."""
        return self if first is None else replace(self, before=tuple(sorted(first.learnt)))

    def describe_first(self, first: TrainedOn | None, noun: str) -> list[str]:
        """What to say of held-out images or texts that the weights had learnt which a run begins with.

        Args:
            first: the record of the run that they come from.
            noun: what they are.

        >>> own = TrainedOn({"train": (), "val": ("a", "b"), "test": ("c",)})
        >>> own.describe_first(TrainedOn({"train": ("a", "x"), "val": ("b",), "test": ()}), "images")
        ['the weights that this run begins with were trained on 1 of 2 val images: figures on them flatter']
        """
        if first is None:
            return []
        chose = frozenset(first.hashes["val"]).difference(first.hashes["train"], first.before)
        known = {"val": first.learnt - chose, "test": first.learnt}
        counts = {part: sum(each in some for each in self.hashes[part]) for part, some in known.items()}
        return [
            f"the weights that this run begins with were trained on {count:,} of {len(self.hashes[part]):,} {part} "
            f"{noun}: figures on them flatter"
            for part, count in counts.items()
            if count
        ]

    def write(self, folder: Path) -> None:
        """Write the record into the run's folder.

        Raises:
            JumokError: it cannot be written.
        """
        parts = {**self.hashes, BEFORE: self.before}
        lines = [HEAD, *(f"{part} {each}" for part in (*SPLITS, BEFORE) for each in parts[part])]
        write_atomically(folder / TRAINED_ON, "\n".join(lines) + "\n")

    def seen(self, hashes: Sequence[str]) -> dict[str, int]:
        """How many of some images each part of the run has, and its first weights had seen before.

        One that is in several counts for the first of train, val, before and test.
        """
        known = {part: frozenset(some) for part, some in {**self.hashes, BEFORE: self.before}.items()}
        order = ("train", "val", BEFORE, "test")
        where = [next((part for part in order if each in known[part]), "") for each in hashes]
        return {part: where.count(part) for part in order}


def hash_parts(sets: Mapping[str, ImageSet], progress: Progress | None = None) -> dict[str, list[str]]:
    """The hash of each image of three parts, in their order.

    Raises:
        JumokError: one cannot be read.
    """
    every = iter(hash_files([path for part in SPLITS for path in sets[part].paths], progress))
    return {part: [next(every) for _ in sets[part].paths] for part in SPLITS}


def read_first(init: str | None) -> TrainedOn | None:
    """The record of the run whose weights another one begins with; None where it begins with no run's.

    Raises:
        JumokError: it is damaged.
    """
    return None if init is None else read_trained_on(Path(init))


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
    hashes: dict[str, list[str]] = {part: [] for part in (*SPLITS, BEFORE)}
    for match in found:
        assert match is not None
        hashes[match[1]].append(match[2])
    return TrainedOn({part: tuple(hashes[part]) for part in SPLITS}, tuple(hashes[BEFORE]))
