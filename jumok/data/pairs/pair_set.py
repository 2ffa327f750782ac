"""Pairs of sentences: read from files, and split so that no sentence stands on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, zip_longest
from pathlib import Path

from jumok.data.pairs.headings import are_headings
from jumok.data.texts.normal_form import count_lines, read_lines
from jumok.errors import JumokError

SIDES = ("source", "target")
MOST_PAIRS = 20_000_000


@dataclass(frozen=True)
class PairSet:
    """Sentences and their counterparts.

    Args:
        sources, targets: as many of each, cleaned (see `jumok.data.texts.normal_form.clean`), none empty.
        names: of the two sides: the endings of line-aligned files ("de", "en"), else ("source", "target").
        files: that were read.
        empty: pairs that were skipped because a side was empty; `lines`: which lines they are, from 1.
        long: pairs that were skipped because a side had too many tokens.
        notes: remarks for whoever supplied the files, one line each.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    names: tuple[str, str] = SIDES
    files: tuple[Path, ...] = ()
    empty: int = 0
    long: int = 0
    notes: tuple[str, ...] = ()
    lines: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.sources) != len(self.targets):
            raise JumokError(f"{len(self.sources)} source and {len(self.targets)} target sentences make no pairs")

    def __len__(self) -> int:
        return len(self.sources)

    def select(self, indices: Sequence[int]) -> PairSet:
        """These pairs only, in this order."""
        return replace(
            self,
            sources=tuple(map(self.sources.__getitem__, indices)),
            targets=tuple(map(self.targets.__getitem__, indices)),
        )

    def hashes(self) -> list[str]:
        """By which each pair is known again wherever it stands: 32 hexadecimal digits."""
        return list(map(_hash_pair, self.sources, self.targets))

    def fingerprint(self) -> str:
        """What changes when a pair is added, removed, changed or moved."""
        digest = hashlib.sha256()
        lines = (f"{source}\t{target}\n" for source, target in zip(self.sources, self.targets, strict=True))
        while some := "".join(islice(lines, 1000)):
            digest.update(some.encode())
        return digest.hexdigest()[:32]


def join_sets(sets: Sequence[PairSet]) -> PairSet:
    """The pairs of several sets, in their order, without what is noted of each."""
    return PairSet(
        tuple(chain.from_iterable(pairs.sources for pairs in sets)),
        tuple(chain.from_iterable(pairs.targets for pairs in sets)),
    )


def _hash_pair(source: str, target: str) -> str:
    return hashlib.blake2b(f"{source}\t{target}".encode(), digest_size=16).hexdigest()


def overlap(train: PairSet, other: PairSet) -> int:
    """How many pairs of `other` have a source or a target that is one of `train`'s too."""
    sources, targets = set(train.sources), set(train.targets)
    both = zip(other.sources, other.targets, strict=True)
    return sum(source in sources or target in targets for source, target in both)


# -- files --------------------------------------------------------------------------------------


def read_pairs(paths: Sequence[Path], *, lowercase: bool = False, reverse: bool = False) -> PairSet:
    """Read one file of source TAB target lines (further columns are ignored), or two line-aligned files.

    Files are UTF-8, plain or gzipped. Pairs with an empty side are skipped and counted.

    Args:
        paths: one file, or the source's and the target's.
        lowercase: lower the case of both sides.
        reverse: swap source and target.
    Raises:
        JumokError: not one or two files; a file that cannot be read (see `normal_form.read_lines`); line counts
            that differ; a line without a TAB; no pair at all.
    """
    files = tuple(Path(path) for path in paths)
    if len(files) not in (1, 2):
        raise JumokError(f"got {len(files)} files of pairs: wanted one file of source TAB target, or two aligned ones")
    rows = _read_columns(files[0], lowercase) if len(files) == 1 else _read_aligned(files[0], files[1], lowercase)
    sources: list[str] = []
    targets: list[str] = []
    empty: list[int] = []
    for number, (one, other) in enumerate(rows, 1):
        source, target = " ".join(one.split()), " ".join(other.split())
        if source and target:
            sources.append(source)
            targets.append(target)
            if len(sources) > MOST_PAIRS:
                raise JumokError(f"more than {MOST_PAIRS:,} pairs in {_join_names(files)}: give a part of them")
        else:
            empty.append(number)
    if not sources:
        raise JumokError(f"no pair of sentences in {_join_names(files)} ({len(empty)} lines with an empty side)")
    found = PairSet(
        tuple(sources),
        tuple(targets),
        _name_sides(files),
        files,
        len(empty),
        notes=(*_warn_of_same_file(files), *_warn_of_headings(files, sources[0], targets[0], first=1 not in empty[:1])),
        lines=tuple(empty),
    )
    return _swap_sides(found) if reverse else found


def _read_columns(path: Path, lowercase: bool) -> Iterator[tuple[str, str]]:
    """The first two columns of each line."""
    for number, line in enumerate(read_lines(path, lowercase=lowercase), 1):
        columns = line.split("\t", 2)
        if len(columns) > 1:
            yield columns[0], columns[1]
        elif line.strip():
            raise JumokError(
                f"{path}, line {number}: no TAB; wanted source TAB target (or give two files, with a sentence per line)"
            )
        else:
            yield "", ""


def _read_aligned(first: Path, second: Path, lowercase: bool) -> Iterator[tuple[str, str]]:
    """Line by line from two files; both are read to their ends, so that both counts can be told."""
    ones, others = read_lines(first, lowercase=lowercase), read_lines(second, lowercase=lowercase)
    for number, (one, other) in enumerate(zip_longest(ones, others)):
        if one is None or other is None:
            longer = number + 1 + count_lines(chain(ones, others))
            counts = (number, longer) if one is None else (longer, number)
            raise JumokError(
                f"{first} has {counts[0]} lines and {second} has {counts[1]}: "
                "line-aligned files must have the same number of lines"
            )
        yield one, other


def _name_sides(files: Sequence[Path]) -> tuple[str, str]:
    """Names of the two sides: the files' endings where they tell them apart."""
    if len(files) == 2:
        first, second = (strip_gz(path).suffix.lstrip(".") for path in files)
        if first and second and first != second:
            return first, second
    return SIDES


def strip_gz(path: Path) -> Path:
    """The name that a file has when it is unpacked."""
    return path.with_suffix("") if path.suffix.lower() == ".gz" else path


def _warn_of_same_file(files: Sequence[Path]) -> tuple[str, ...]:
    """Warn when source and target are one and the same file."""
    if len(files) == 2 and files[0].samefile(files[1]):
        return (f"warning: {files[0]} is given as source and as target, so there is nothing to learn but to copy",)
    return ()


def _warn_of_headings(files: Sequence[Path], source: str, target: str, *, first: bool) -> tuple[str, ...]:
    """Warn when the first line holds names of columns."""
    if not first or not are_headings(source, target):
        return ()
    names = _join_names(files)
    return (
        f"{names}, line 1: {source!r} and {target!r} are taken for a pair of sentences and look like "
        "headings: delete the line if they are",
    )


def _swap_sides(pairs: PairSet) -> PairSet:
    names = pairs.names if pairs.names == SIDES else pairs.names[::-1]
    return replace(pairs, sources=pairs.targets, targets=pairs.sources, names=names)


def _join_names(files: Sequence[Path]) -> str:
    return " and ".join(map(str, files))
