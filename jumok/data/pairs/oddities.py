"""What is odd about sentence pairs: repeated ones, targets that contradict, copies, and sides that are swapped."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from jumok.data.pairs.pair_set import PairSet
from jumok.data.texts.vocabulary import pick_evenly
from jumok.language import later, later_count
from jumok.wording import readable

__all__ = ["describe_oddities", "find_swapped"]

WORTH_TELLING = 0.005
"""Share of the pairs from which on copies and contradictions, of which every large collection has some, are told."""
MOST_PAIRS, MOST_READ = 1_000_000, 5_000
"""Evenly spaced pairs that are compared, and whose signs are counted for swapped sides."""
SURELY = 10.0
"""Nats by which each side of a pair must be likelier as the other side of the rest."""
EACH_SIGN = 0.2
"""Nats that this comes to at least for each pair of signs, so that much text of the same kind proves nothing."""
SMOOTHING = 0.5
LONGEST_NAMED = 40

Signs = Counter[str]


def describe_oddities(pairs: PairSet) -> Iterator[str]:
    """What whoever supplied the pairs should know of them, a line each.

    Args:
        pairs: all that were given; of very many, evenly spaced ones are looked at.
    """
    if len(pairs) > MOST_PAIRS:
        pairs = pairs.select(pick_evenly(range(len(pairs)), MOST_PAIRS))
    total = f"{len(pairs):,}"
    targets: defaultdict[str, set[str]] = defaultdict(set)
    for source, target in zip(pairs.sources, pairs.targets, strict=True):
        targets[source].add(target)
    if again := len(pairs) - sum(map(len, targets.values())):
        yield later_count(
            again,
            "{count} of {all} pairs looked at is the same as another one and counts more than once in training",
            "{count} of {all} pairs looked at are the same as another one and count more than once in training",
            all=total,
        )
    torn = [source for source, own in targets.items() if len(own) > 1]
    if len(torn) > WORTH_TELLING * len(pairs):
        yield later_count(
            len(torn),
            "{count} source sentence has several targets ({source}): the model learns to give one of them",
            "{count} source sentences have several targets (such as {source}): the model learns to give one of them",
            source=_quote(torn[0]),
        )
    copies = [source for source, target in zip(pairs.sources, pairs.targets, strict=True) if source == target]
    if len(copies) > WORTH_TELLING * len(pairs):
        yield later(
            "{count} of {all} pairs looked at have the same sentence on both sides (such as {source}): remove them if "
            "they are not translated, for they teach to copy",
            count=f"{len(copies):,}",
            all=total,
            source=_quote(copies[0]),
        )
    yield from _describe_swapped(pairs)


def _describe_swapped(pairs: PairSet) -> Iterator[str]:
    some = pick_evenly(range(len(pairs)), MOST_READ)
    sources, targets = ([side[number] for number in some] for side in (pairs.sources, pairs.targets))
    if found := find_swapped(sources, targets):
        yield later(
            "{count} of {all} pairs looked at seem to have source and target swapped (such as {source} to "
            "{target}): look at them, and swap them back or remove them",
            count=f"{len(found):,}",
            all=f"{len(some):,}",
            source=_quote(sources[found[0]]),
            target=_quote(targets[found[0]]),
        )


def find_swapped(sources: Sequence[str], targets: Sequence[str]) -> list[int]:
    """Pairs whose source looks like the other targets and whose target looks like the other sources.

    A side is known by its pairs of neighbouring signs: each pair's own are left out of what it is held against. Sides
    that are written alike, as where words are put in another order, tell nothing.

    Args:
        sources, targets: as many of each.
    Returns:
        their numbers.
    """
    own = [(_count_signs(source), _count_signs(target)) for source, target in zip(sources, targets, strict=True)]
    whole: tuple[Signs, Signs] = (Counter(), Counter())
    for pair in own:
        for counts, signs in zip(whole, pair, strict=True):
            counts.update(signs)
    kinds = len(whole[0].keys() | whole[1].keys())
    totals = [counts.total() for counts in whole]

    def gain(signs: Signs, side: int, rest: tuple[Signs, Signs], sizes: Sequence[int]) -> float:
        """By how many nats signs are likelier on the other side."""
        here, there = (SMOOTHING * kinds + sizes[at] for at in (side, 1 - side))
        return sum(
            count
            * (
                math.log((whole[1 - side][sign] - rest[1 - side][sign] + SMOOTHING) / there)
                - math.log((whole[side][sign] - rest[side][sign] + SMOOTHING) / here)
            )
            for sign, count in signs.items()
        )

    found = []
    for number, pair in enumerate(own):
        sizes = [total - signs.total() for total, signs in zip(totals, pair, strict=True)]
        gains = [gain(signs, side, pair, sizes) for side, signs in enumerate(pair)]
        if all(each > max(SURELY, EACH_SIGN * signs.total()) for each, signs in zip(gains, pair, strict=True)):
            found.append(number)
    return found


def _count_signs(text: str) -> Signs:
    """Each sign with the one after it; the text begins and ends with a space."""
    padded = f" {text.lower()} "
    return Counter(padded[at : at + 2] for at in range(len(padded) - 1))


def _quote(text: str) -> str:
    """A sentence in quotes, cut off where it is long."""
    cut = text if len(text) <= LONGEST_NAMED else f"{text[: LONGEST_NAMED - 1]}…"
    return repr(readable(cut))
