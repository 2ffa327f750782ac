"""Alignments in Pharaoh's format: which source token belongs to which target token."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jumok.data.texts.normal_form import read_lines
from jumok.errors import JumokError
from jumok.files import write_atomically

Link = tuple[int, int]
LINK = re.compile(r"([0-9]{1,6})([-p?])([0-9]{1,6})")
SURE, POSSIBLE = "-", "p"


@dataclass(frozen=True)
class Links:
    """The alignment of one pair of sentences.

    Args:
        sure: (source, target) indices, from 0, of what surely belongs together.
        possible: of what may; always holds the sure ones too.
    Source: Och & Ney 2003, section 5.1 (S is part of P).
    """

    sure: frozenset[Link] = frozenset()
    possible: frozenset[Link] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "possible", self.possible | self.sure)

    def turn(self) -> Links:
        """The same with source and target swapped."""
        return Links(*(frozenset((target, source) for source, target in links) for links in (self.sure, self.possible)))


def read_links(path: Path, *, one_based: bool = False, turned: bool = False) -> list[Links]:
    """Read a Pharaoh file: on each line a pair's links, separated by spaces; an empty line has none.

    A link is SOURCE-TARGET where it is sure ("0-1"), SOURCEpTARGET or SOURCE?TARGET where it is possible.

    Args:
        path: the file, plain or gzipped.
        one_based: whether tokens are counted from 1 there.
        turned: whether targets stand first there.
    Raises:
        JumokError: a file that cannot be read, or something else in a line.
    """
    found = [
        _parse_line(line, f"{path}, line {number}", int(one_based)) for number, line in enumerate(read_lines(path), 1)
    ]
    return [links.turn() for links in found] if turned else found


def _parse_line(line: str, place: str, first: int) -> Links:
    """The links of one line."""
    kinds: dict[str, set[Link]] = {SURE: set(), POSSIBLE: set()}
    for item in line.split():
        link = LINK.fullmatch(item)
        if not link:
            raise JumokError(
                f"{place}: {item[:40]!r} is not a link; wanted SOURCE-TARGET, or SOURCEpTARGET, as in 0-1 2p3"
            )
        source, target = int(link[1]) - first, int(link[3]) - first
        if min(source, target) < 0:
            raise JumokError(
                f"{place}: {item!r} counts from 0, but the file was said to count from 1: read it as zero-based"
            )
        kinds[SURE if link[2] == SURE else POSSIBLE].add((source, target))
    return Links(frozenset(kinds[SURE]), frozenset(kinds[POSSIBLE]))


def seem_counted_from_one(links: Iterable[Links]) -> bool:
    """Whether links that were read as counted from 0 look like ones counted from 1: none of them has a first token.

    One linked pair alone says too little.

    >>> seem_counted_from_one([Links(frozenset({(1, 1), (2, 3)})), Links(frozenset({(1, 2)}))])
    True
    """
    linked = [own.possible for own in links if own.possible]
    return len(linked) > 1 and all(min(link) > 0 for own in linked for link in own)


def check_links(links: Sequence[Links], lengths: Sequence[tuple[int, int]], name: str = "the alignments") -> None:
    """Make sure that alignments fit the sentences they are of.

    Args:
        links: of each pair.
        lengths: of each pair's source and target, in the tokens that the links count.
        name: what to call the alignments.
    Raises:
        JumokError: not as many, or a link that goes beyond its sentence.
    """
    if len(links) != len(lengths):
        raise JumokError(f"{name} has {len(links)} lines for {len(lengths)} pairs: wanted one for each")
    for line, (own, (sources, targets)) in enumerate(zip(links, lengths, strict=True), 1):
        beyond = [link for link in sorted(own.possible) if link[0] >= sources or link[1] >= targets]
        if beyond:
            source, target = beyond[0]
            raise JumokError(
                f"{name}, line {line}: link {source}-{target} (from 0) goes beyond the pair's {sources} source and "
                f"{targets} target tokens; are tokens counted from 1 there, or targets given first?"
            )


def write_line(links: Links, *, one_based: bool = False) -> str:
    """One pair's line in a Pharaoh file, by source and then by target.

    >>> write_line(Links(frozenset({(1, 0)}), frozenset({(0, 2)})))
    '0p2 1-0'
    """
    first = int(one_based)
    return " ".join(
        f"{source + first}{SURE if (source, target) in links.sure else POSSIBLE}{target + first}"
        for source, target in sorted(links.possible)
    )


def write_links(path: Path, links: Iterable[Links], *, one_based: bool = False) -> None:
    """Write a Pharaoh file (see `read_links`), whole or not at all.

    Raises:
        JumokError: the file cannot be written.
    """
    write_atomically(path, "".join(f"{write_line(own, one_based=one_based)}\n" for own in links))
