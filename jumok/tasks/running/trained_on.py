"""What a run was trained on, by content: a file in its folder, so that judging knows this data wherever it lies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jumok.data.splits import SPLITS
from jumok.errors import JumokError
from jumok.files import write_atomically
from jumok.language import later

TRAINED_ON = "trained_on.txt"
HEAD = "jumok-trained-on/1 blake2b-128"
LINE = re.compile(r"(train|val|test|before) ([0-9a-f]{32})")
BEFORE = "before"
"""Stands for what the weights had seen that a run began with."""
MOST_BYTES = 1 << 31


@dataclass(frozen=True)
class TrainedOn:
    """What is in a run's parts: images, texts, pairs or questions, each by a hash of its content.

    Args:
        hashes: of train, val and test, sorted.
        before: of what the weights that the run began with (`--init`) were trained or validated on, sorted.
    """

    hashes: Mapping[str, tuple[str, ...]]
    before: tuple[str, ...] = ()

    @classmethod
    def of_hashes(cls, hashes: Mapping[str, Sequence[str]]) -> TrainedOn:
        """The same of hashes in any order."""
        return cls({part: tuple(sorted(hashes[part])) for part in SPLITS})

    @property
    def learnt(self) -> frozenset[str]:
        """All that the weights have been trained or validated on."""
        return frozenset((*self.hashes["train"], *self.hashes["val"], *self.before))

    def after(self, first: TrainedOn | None) -> TrainedOn:
        """The same of a run that begins with the weights of another one."""
        return self if first is None else replace(self, before=tuple(sorted(first.learnt)))

    def describe_first(self, first: TrainedOn, noun: str) -> list[str]:
        """What to say of what is held out and the weights had learnt which a run begins with.

        Args:
            first: the record of the run that they come from.
            noun: what they are.

        >>> own = TrainedOn({"train": (), "val": ("a", "b"), "test": ("c",)})
        >>> own.describe_first(TrainedOn({"train": ("a", "x"), "val": ("b",), "test": ()}), "images")
        ['the weights that this run begins with were trained on 1 of 2 val images: figures on them flatter']
        """
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
        """How many of what has these hashes each part of the run holds, and its first weights had seen before.

        One that is in several counts for the first of train, val, before and test.
        """
        known = {part: frozenset(some) for part, some in {**self.hashes, BEFORE: self.before}.items()}
        order = ("train", "val", BEFORE, "test")
        where = [next((part for part in order if each in known[part]), "") for each in hashes]
        return {part: where.count(part) for part in order}


def add_before(own: TrainedOn, init: str | None) -> TrainedOn:
    """Add to a run's record what the weights had seen that it begins with.

    Args:
        own: what the run itself is trained on.
        init: the run whose weights it begins with; None where it begins with no run's.
    Raises:
        JumokError: the record of the other run is damaged.
    """
    return own.after(None if init is None else read_trained_on(Path(init)))


def describe_before(own: TrainedOn, init: str | None, noun: str) -> list[str]:
    """Say how much of what is held out the weights had learnt which a run begins with.

    Args:
        own, init: as for `add_before`.
        noun: what the run is trained on.
    Raises:
        JumokError: the record of the other run is damaged.
    """
    if init is None:
        return []
    first = read_trained_on(Path(init))
    if first is not None:
        return own.describe_first(first, noun)
    return [
        later(
            "{run} keeps no record of what it was trained on: whether held-out {noun} are among that is not known",
            run=init,
            noun=noun,
        )
    ]


def describe_learnt(folder: Path, hashes: Sequence[str], noun: str) -> list[str]:
    """What to say of held-out data, of which some was trained on.

    Args:
        folder: of the run.
        hashes: of the data.
        noun: what it is.
    Raises:
        JumokError: the run's record is damaged.
    """
    record = read_trained_on(folder)
    seen = {} if record is None else record.seen(hashes)
    count = sum(seen.get(part, 0) for part in ("train", "val", BEFORE))
    if not count:
        return []
    return [f"{count:,} of {len(hashes):,} {noun} are among those that the run was trained or validated on"]


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
            raise JumokError(f"{path} is larger than {MOST_BYTES >> 30} GiB: that is no such record")
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
