"""Dealing images out to train, val and test: each class or range of numbers by itself, label by label, or in groups."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from jumok.data.images.image_set import ImageSet, sort_set
from jumok.errors import JumokError

IMAGES_PER_RANGE = 20
"""Numbers are dealt in ranges of so many images, from the least on."""
NONE = -1
"""Stands for a label that an image without any has."""


def split_set(whole: ImageSet, shares: Mapping[str, float], seed: int) -> dict[str, ImageSet]:
    """Deal the images out to the parts named, in proportion to their shares.

    Each class is dealt by itself, by a hash of the seed and each image's name: the outcome does not depend on the order
    of the files, and hardly changes when images are added. So is each range of numbers; of several labels, each in
    turn, the rarest first. Where the set has groups, each goes to one part as a whole.

    Args:
        whole: all images.
        shares: by part, of which "train" is one.
        seed: of the hash.
    Raises:
        JumokError: too few images, or groups, to give each part some.
    """
    packed = whole.packed
    whole = sort_set(replace(whole, packed=False)) if packed else whole
    total = sum(shares.values())
    shares = {part: share / total for part, share in shares.items()}
    deal = _deal_groups if whole.groups else _deal_labels if whole.kind == "multi" else _deal_images
    chosen = deal(whole, shares, seed)
    for part, share in shares.items():
        if share > 0 and not chosen[part]:
            raise JumokError(
                f"{whole.root} has too few {_count_dealt(whole)} to give {part} any: add some, or say yourself which "
                f"images are for {part}, by a folder {part}/ or a column split of their table"
            )
    parts = {part: whole.choose(chosen[part]) for part in shares}
    if packed:
        parts = {part: sort_set(replace(images, packed=True)) for part, images in parts.items()}
    return {
        part: images if part == "train" else replace(images, left_out={}, notes=()) for part, images in parts.items()
    }


def _count_dealt(whole: ImageSet) -> str:
    if whole.groups:
        return f"groups ({len(set(whole.groups)):,})"
    of = f" of {len(whole.classes):,} classes" if whole.kind == "class" else ""
    return f"images ({len(whole):,}{of})"


def _deal_images(whole: ImageSet, shares: Mapping[str, float], seed: int) -> dict[str, list[int]]:
    """The indices that each part gets."""
    chosen: dict[str, list[int]] = {part: [] for part in shares}
    names, strata = whole.names, _find_strata(whole)
    for _, group in itertools.groupby(range(len(whole)), key=strata.__getitem__):
        members = sorted(group, key=lambda index: _draw(seed, names[index]))
        for part, count in deal(len(members), shares).items():
            chosen[part] += members[:count]
            del members[:count]
    return chosen


def _find_strata(whole: ImageSet) -> list[tuple[int, ...]]:
    """Of each image, the classes, labels or range of numbers whose share should be the same in all parts."""
    if whole.kind == "multi":
        return [label or (NONE,) for label in whole.labels]
    if whole.kind == "class":
        return [(label,) for label in whole.labels]
    ranges = max(len(whole) // IMAGES_PER_RANGE, 1)
    return [(index * ranges // len(whole),) for index in range(len(whole))]  # they lie by the size of their numbers


def _deal_labels(whole: ImageSet, shares: Mapping[str, float], seed: int) -> dict[str, list[int]]:
    """The same for images with several labels: those of the rarest label first, each to the part that wants it most.

    Source: Sechidis, Tsoumakas & Vlahavas 2011, ECML PKDD, LNCS 6913, section 4 (iterative stratification). Differs:
        what parts want is rounded as for classes, and ties are settled by a hash.
    """
    strata, names = _find_strata(whole), whole.names
    left = sorted(range(len(whole)), key=lambda index: _draw(seed, names[index]))
    room = deal(len(whole), shares)
    counts = Counter(label for labels in strata for label in labels)
    want = {label: deal(count, shares) for label, count in counts.items()}
    chosen: dict[str, list[int]] = {part: [] for part in shares}
    while left:
        counts = Counter(label for index in left for label in strata[index])
        rarest = min(counts, key=lambda label: (counts[label], label))
        for index in (index for index in left if rarest in strata[index]):
            best = max((part for part in shares if shares[part]), key=lambda part: (want[rarest][part], room[part]))
            chosen[best].append(index)
            room[best] -= 1
            for label in strata[index]:
                want[label][best] -= 1
        left = [index for index in left if rarest not in strata[index]]
    return chosen


def _deal_groups(whole: ImageSet, shares: Mapping[str, float], seed: int) -> dict[str, list[int]]:
    """The same for whole groups: each, by its hash, goes where its classes are most wanted."""
    members: dict[str, list[int]] = {}
    strata = _find_strata(whole)
    for index, group in enumerate(whole.groups):
        members.setdefault(group, []).append(index)
    every = Counter(itertools.chain.from_iterable(strata))
    wanted = {part: every for part, share in shares.items() if share > 0}
    want = {part: {label: count * shares[part] for label, count in counts.items()} for part, counts in wanted.items()}
    chosen: dict[str, list[int]] = {part: [] for part in shares}
    order = sorted(members, key=lambda group: (-len(members[group]), _draw(seed, group)))
    for number, group in enumerate(order):
        empty = [part for part in want if not chosen[part]]
        parts = empty if len(order) - number <= len(empty) else list(want)  # the last groups go where nothing is
        counts = Counter(label for index in members[group] for label in strata[index])
        best = max(parts, key=lambda part: (_relief(want[part], counts), _draw(seed, group + part)))
        for label, count in counts.items():
            want[best][label] -= count
        chosen[best] += members[group]
    return chosen


def _relief(want: Mapping[int, float], counts: Mapping[int, int]) -> float:
    """By how much a group brings a part nearer to what it wants, in squares over its classes."""
    return sum(count * (2 * want[label] - count) for label, count in counts.items())


def deal(count: int, shares: Mapping[str, float]) -> dict[str, int]:
    """How many of `count` each part gets: rounded, at least one each where they go round, train served first.

    >>> deal(20, {"train": 0.7, "val": 0.15, "test": 0.15})
    {'train': 14, 'val': 3, 'test': 3}
    """
    dealt: dict[str, int] = {}
    left = count - 1
    parts = [part for part in shares if part != "train"]
    for number, part in enumerate(parts):
        still_to_come = sum(shares[later] > 0 for later in parts[number + 1 :])
        room = max(left - still_to_come, min(left, 1))  # one for each of those, where there are enough
        dealt[part] = min(max(int(count * shares[part] + 0.5), int(shares[part] > 0)), room)
        left -= dealt[part]
    return {"train": left + 1, **dealt}


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode(errors="surrogateescape")).digest()
