"""Dealing images out to train, val and test: each class by itself, or whole groups."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from jumok.data.images.image_set import ImageSet
from jumok.errors import JumokError


def split_set(whole: ImageSet, shares: Mapping[str, float], seed: int) -> dict[str, ImageSet]:
    """Deal the images out to the parts named, in proportion to their shares.

    Each class is dealt by itself, by a hash of the seed and each image's name: the outcome does not depend on the order
    of the files, and hardly changes when images are added. Where the set has groups, each goes to one part as a whole.

    Args:
        whole: all images.
        shares: by part, of which "train" is one.
        seed: of the hash.
    Raises:
        JumokError: too few images, or groups, to give each part some.
    """
    total = sum(shares.values())
    shares = {part: share / total for part, share in shares.items()}
    deal = _deal_groups if whole.groups else _deal_images
    chosen = deal(whole, shares, seed)
    for part, share in shares.items():
        if share > 0 and not chosen[part]:
            raise JumokError(
                f"{whole.root} has too few {'groups' if whole.groups else 'images'} "
                f"({len(set(whole.groups)) or len(whole)}) to give {part} any: add some, make {part}/ yourself, "
                f"or give {part} a fraction of 0"
            )
    parts = {part: whole.choose(chosen[part]) for part in shares}
    return {
        part: images if part == "train" else replace(images, left_out={}, notes=()) for part, images in parts.items()
    }


def _deal_images(whole: ImageSet, shares: Mapping[str, float], seed: int) -> dict[str, list[int]]:
    """The indices that each part gets."""
    chosen: dict[str, list[int]] = {part: [] for part in shares}
    names = whole.names
    for _, group in itertools.groupby(range(len(whole)), key=lambda index: whole.labels[index]):
        members = sorted(group, key=lambda index: _draw(seed, names[index]))
        for part, count in deal(len(members), shares).items():
            chosen[part] += members[:count]
            del members[:count]
    return chosen


def _deal_groups(whole: ImageSet, shares: Mapping[str, float], seed: int) -> dict[str, list[int]]:
    """The same for whole groups: each, by its hash, goes where its classes are most wanted."""
    members: dict[str, list[int]] = {}
    for index, group in enumerate(whole.groups):
        members.setdefault(group, []).append(index)
    wanted = {part: Counter(whole.labels) for part, share in shares.items() if share > 0}
    want = {part: {label: count * shares[part] for label, count in counts.items()} for part, counts in wanted.items()}
    chosen: dict[str, list[int]] = {part: [] for part in shares}
    order = sorted(members, key=lambda group: (-len(members[group]), _draw(seed, group)))
    for number, group in enumerate(order):
        empty = [part for part in want if not chosen[part]]
        parts = empty if len(order) - number <= len(empty) else list(want)  # the last groups go where nothing is
        counts = Counter(whole.labels[index] for index in members[group])
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
