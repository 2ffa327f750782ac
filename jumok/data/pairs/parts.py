"""Pairs to train on, to validate with and to test with: as they are given, or split off by a seed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from jumok.data.pairs.pair_set import PairSet, overlap, read_pairs, strip_gz
from jumok.data.splits import PAIR_SHARES, SPLITS, Shares, check_shares, count_held_out, split_named
from jumok.errors import JumokError
from jumok.files import list_visible

MOST_HELD_OUT = 2000
"""So many pairs at most go to val, and to test, by default."""
OTHER_ENDINGS = frozenset({"align", "json", "md"})
"""Endings of files that stand beside the sentences and hold none."""


def read_parts(
    paths: Sequence[Path],
    *,
    val: Sequence[Path] = (),
    test: Sequence[Path] = (),
    languages: tuple[str, str] | None = None,
    lowercase: bool = False,
    reverse: bool = False,
    seed: int = 0,
    shares: Shares | None = None,
) -> dict[str, PairSet]:
    """Read the pairs to train on, to validate with and to test with.

    What is not given is split off (see `split_pairs`). Given parts stay as they are; where they hold sentences that
    training holds too, or the same files, their notes say so.

    Args:
        paths: as for `read_pairs`; or one folder, with train.tsv, val.tsv and test.tsv, or with train.SOURCE and
            train.TARGET and so on, each plain or .gz.
        val, test: as for `read_pairs`.
        languages: which two endings, source first, where a folder has more; else both, in the order of the alphabet.
        lowercase, reverse: as for `read_pairs`.
        seed, shares: as for `split_pairs`.
    Returns:
        {"train", "val", "test"}; test may be empty.
    Raises:
        JumokError: as `read_pairs` and `split_pairs`, or a folder that holds no such files.
    """
    given = {"train": tuple(map(Path, paths)), "val": tuple(map(Path, val)), "test": tuple(map(Path, test))}
    if len(paths) == 1 and Path(paths[0]).is_dir():
        given = _find_in_folder(Path(paths[0]), languages) | {
            part: files for part, files in given.items() if part != "train" and files
        }
    given = {part: files for part, files in given.items() if files}
    read = {part: read_pairs(files, lowercase=lowercase, reverse=reverse) for part, files in given.items()}
    for part in read.keys() - {"train"}:
        read[part] = replace(read[part], notes=read[part].notes + tuple(_note_overlap(read["train"], read[part], part)))
    missing = [part for part in SPLITS if part not in read]
    if missing:
        read |= split_pairs(read["train"], seed=seed, shares=shares, parts=missing)
    return {part: read[part] for part in SPLITS}


def _note_overlap(train: PairSet, other: PairSet, part: str) -> Iterator[str]:
    if {path.resolve() for path in train.files} & {path.resolve() for path in other.files}:
        yield f"warning: train and {part} are read from the same file"
    yield from filter(None, (describe_overlap(train, other, part),))


def describe_overlap(train: PairSet, other: PairSet, part: str) -> str:
    """Say how many pairs of another part hold sentences that training holds too; nothing if there are none.

    Args:
        train, other: the pairs.
        part: the other's name.
    """
    seen, name = overlap(train, other), "" if part == "all" else f"{part} "
    return f"{seen} of {len(other)} {name}pairs have a source or target sentence that training has too" if seen else ""


def _find_in_folder(folder: Path, languages: tuple[str, str] | None) -> dict[str, tuple[Path, ...]]:
    """The files of each part in a folder."""
    try:
        files = [path for path in list_visible(folder) if path.is_file()]
    except OSError as error:
        raise JumokError(f"cannot read {folder}: {error.strerror}") from None
    endings = {path: _find_ending(path) for path in files}
    kept = {path: ending for path, ending in endings.items() if ending not in OTHER_ENDINGS}
    tables = not languages and any(ending == "tsv" and _find_part(path) == "train" for path, ending in kept.items())
    chosen = ("tsv",) if tables else languages or _find_two_endings(folder, kept)
    found: dict[str, tuple[Path, ...]] = {}
    for part in SPLITS:
        files_of = tuple(_find_only(folder, part, ending, kept) for ending in chosen)
        if all(files_of):
            found[part] = tuple(path for path in files_of if path)
        elif any(files_of) or part == "train":
            wanted = " and ".join(f"{part}.{ending}" for ending in chosen)
            raise JumokError(f"{folder} lacks {wanted}: wanted train.tsv, or train.SOURCE and train.TARGET")
    return found


def _find_two_endings(folder: Path, kept: dict[Path, str]) -> tuple[str, ...]:
    endings = sorted({ending for path, ending in kept.items() if _find_part(path) == "train"})
    if len(endings) != 2:
        have = f"train files ending in {', '.join(endings)}" if endings else "no train file"
        raise JumokError(f"{folder} holds {have}: wanted train.tsv, or two files such as train.de and train.en")
    return tuple(endings)


def _find_only(folder: Path, part: str, ending: str, kept: dict[Path, str]) -> Path | None:
    """The file of one part and one side, if there is one."""
    found = [path for path, its in kept.items() if its == ending and _find_part(path) == part]
    if len(found) > 1:
        raise JumokError(
            f"{folder} holds both {found[0].name} and {found[1].name} for {part}: keep one, or name the files"
        )
    return found[0] if found else None


def _find_ending(path: Path) -> str:
    return strip_gz(path).suffix.lstrip(".")


def _find_part(path: Path) -> str | None:
    """Which part a file's name says it is of: its first word."""
    return split_named(re.split(r"[._-]", path.name)[0])


# -- splitting ----------------------------------------------------------------------------------


def split_pairs(
    pairs: PairSet,
    *,
    seed: int = 0,
    shares: Shares | None = None,
    parts: Sequence[str] = SPLITS,
) -> dict[str, PairSet]:
    """Split pairs so that no source sentence and no target sentence is in two parts.

    Pairs that have a sentence in common belong to one group, so do pairs that are connected through others, and a
    group is never torn. Groups are dealt by a hash of the seed and their text, so the outcome hardly changes when
    pairs are added, and not at all when they are read in another order. Those that are too large for val and test go
    to train.

    Args:
        pairs: to split.
        seed: another seed, another split.
        shares: of train, val and test, that sum to 1. None: 0.9, 0.05 and 0.05, but at most 2,000 pairs each for the
            latter two.
        parts: which are wanted; train always is.
    Returns:
        the parts wanted and train; test may be empty, the others are not.
    Raises:
        JumokError: shares that are none, or nothing left for train or val.
    """
    wanted = [part for part in SPLITS if part in parts and part != "train"]
    room = _count_room(len(pairs), shares, wanted)
    indices: dict[str, list[int]] = {part: [] for part in ("train", *wanted)}
    for group in sorted(_group_pairs(pairs), key=_make_hash_key(pairs, seed)):
        part = next((part for part in wanted if len(group) <= room[part]), "train")
        indices[part] += group
        if part != "train":
            room[part] -= len(group)
    for part in indices.keys() - {"test"}:
        if not indices[part]:
            why = (
                f"{len(pairs):,} pairs are connected in groups too large to split"
                if len(pairs) > 1
                else "there is one pair"
            )
            raise JumokError(f"no pair for {part}: {why}; give files for val and test, or more pairs")
    parted = replace(pairs, notes=(), empty=0, long=0, lines=())
    chosen = {part: parted.select(sorted(found)) for part, found in indices.items()}
    chosen["train"] = replace(chosen["train"], notes=pairs.notes, empty=pairs.empty, long=pairs.long, lines=pairs.lines)
    return chosen


def _count_room(pairs: int, shares: Shares | None, wanted: Sequence[str]) -> dict[str, int]:
    """How many pairs each part but train may have."""
    most = MOST_HELD_OUT if shares is None else pairs
    given = PAIR_SHARES if shares is None else shares
    check_shares(given, PAIR_SHARES)
    return {part: min(count, most) for part, count in count_held_out(pairs, given, wanted).items()}


def _group_pairs(pairs: PairSet) -> list[list[int]]:
    """Indices of pairs that are connected through equal sources or equal targets."""
    root = list(range(len(pairs)))

    def find(index: int) -> int:
        while root[index] != index:
            root[index] = root[root[index]]
            index = root[index]
        return index

    for sentences in (pairs.sources, pairs.targets):
        first: dict[str, int] = {}
        for index, sentence in enumerate(sentences):
            other = first.setdefault(sentence, index)
            if other != index:
                root[find(index)] = find(other)
    groups: dict[int, list[int]] = {}
    for index in range(len(pairs)):
        groups.setdefault(find(index), []).append(index)
    return list(groups.values())


def _make_hash_key(pairs: PairSet, seed: int) -> Callable[[list[int]], bytes]:
    """A key to sort groups by that depends on the seed and the sentences in the group only."""
    start = hashlib.blake2b(f"{seed}/".encode(), digest_size=16)

    def key_of(index: int) -> bytes:
        digest = start.copy()
        digest.update(f"{pairs.sources[index]}\t{pairs.targets[index]}".encode())
        return digest.digest()

    return lambda group: min(map(key_of, group))
