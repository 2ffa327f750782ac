"""In which units a translator reads and writes: words, characters or sub-words, chosen by what the texts are like."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jumok.data.pairs.pair_set import PairSet
from jumok.data.texts.survey import TextSurvey
from jumok.data.texts.vocabulary_builder import KINDS
from jumok.language import later, list_later
from jumok.machine import World
from jumok.special_tokens import SYMBOLS
from jumok.tasks.translate.settings import PairData
from jumok.tasks.translate.unit_trial import try_units
from jumok.wording import write_count

__all__ = ["choose_units", "is_closed"]

MOST_NEW_WORDS, LEAST_REPEATS = 0.002, 20
"""Texts are of a closed set of words if no more of those held out are new, and each comes so often on average."""
LONG_SENTENCE = 60
"""Characters of a sentence, on average, from which on they are too many to write one by one."""
SHORT_TARGET = 20
"""Characters of a target, on average, up to which it is written by characters where nothing is tried out."""
SUBWORD_SIZES = ((100_000, 8_000), (20_000, 4_000), (5_000, 2_000), (1_500, 1_000), (0, 500))
"""From so many pairs on, so many sub-words: the fewer pairs there are, the oftener each piece must come."""
SUBWORDS, WORDS, CHARACTERS = "unigram", "words", "characters"
NAMES = {name: later("sub-words") for name in ("unigram", "bpe")}
UNITS = {**NAMES, WORDS: later("words"), CHARACTERS: later("characters")}


class _Choice(NamedTuple):
    kind: str
    why: str


def is_closed(sides: Sequence[TextSurvey]) -> bool:
    """Whether all words of the texts are known once some were read, so that what is new is how they stand together."""
    return all(side.new <= MOST_NEW_WORDS and side.repeats >= LEAST_REPEATS for side in sides)


def choose_units(
    data: PairData,
    parts: Mapping[str, PairSet],
    sides: Sequence[TextSurvey],
    seed: int,
    seconds: float = math.inf,
) -> tuple[PairData, list[str]]:
    """Settle the kind and the size of the vocabularies; what was given stays.

    Args:
        data: the settings.
        parts: "train" to learn from, "val" to judge a trial on, where one is needed.
        sides: what source and target are like.
        seed: of a trial.
        seconds: that the trial may take.
    Returns:
        the settings with a vocabulary and, for sub-words, its size; and what was chosen, with the reason.
    """
    train, val = parts["train"], parts["val"]
    size = data.vocabulary_size or _choose_size(len(train), sides)
    if data.vocabulary is None:
        kind, why = _choose_kind(sides) or _choose_by_trial(data, train, val, size, seed, seconds)
        data = data.model_copy(update={"vocabulary": kind})
        said: list[str] = [later("units: {kind}: {why}", kind=UNITS.get(kind, kind), why=why)]
    else:
        kind, said = data.vocabulary, []
    if kind not in NAMES or data.vocabulary_size is not None:
        return data, said
    largest = max(side.alphabet for side in sides)
    reason = f"{write_count(len(train), 'training pair')}, {write_count(largest, 'different character')}"
    return data.model_copy(update={"vocabulary_size": size}), [*said, f"at most {size:,} sub-words a side: {reason}"]


def _choose_size(pairs: int, sides: Sequence[TextSurvey]) -> int:
    """How many sub-words: by the number of pairs, with room for all characters and as many pieces as half of that."""
    size = next(size for least, size in SUBWORD_SIZES if pairs >= least)
    return max(size, max(side.alphabet for side in sides) + len(SYMBOLS) + size // 2)


def _choose_kind(sides: Sequence[TextSurvey]) -> _Choice | None:
    """What the texts are clearly best cut into; None where that is not clear."""
    if is_closed(sides):
        types = list_later([f"{side.types:,}" for side in sides])
        text = later("only {types} different ones, and the validation pairs have hardly a new one")
        return _Choice(WORDS, later(text, types=types))
    longest, new = max(side.characters for side in sides), max(side.new for side in sides)
    if longest > LONG_SENTENCE:
        text = later("{new} of the validation words are new, and sentences have {longest} characters")
        return _Choice(SUBWORDS, later(text, new=f"{new:.1%}", longest=f"{longest:.0f}"))
    return None


def _choose_by_trial(data: PairData, train: PairSet, val: PairSet, size: int, seed: int, seconds: float) -> _Choice:
    """Learn a little with each, and take what tells the held-out targets best."""
    if World.found().size > 1:  # what is tried on several machines might differ
        return _choose_by_length(train)
    sizes = {CHARACTERS: KINDS[CHARACTERS].size, SUBWORDS: size}
    found = try_units(sizes, train, val, seed=seed, shared=data.shared, seconds=seconds)
    if found is None:
        kind, why = _choose_by_length(train)
        return _Choice(kind, later("{why}; there is no time to try others", why=why))
    best, other = sorted(found, key=found.__getitem__)
    return _Choice(
        best,
        later(
            "after a short trial the loss per validation character is {loss}, with {other} {more}",
            loss=f"{found[best]:.2f}",
            other=UNITS.get(other, other),
            more=f"{found[other]:.2f}",
        ),
    )


def _choose_by_length(train: PairSet) -> _Choice:
    """What suits targets as long as these, where nothing is tried out."""
    characters = sum(map(len, train.targets)) / len(train)
    kind = CHARACTERS if characters <= SHORT_TARGET else SUBWORDS
    text = later("targets have {count} characters on average")
    return _Choice(kind, later(text, count=f"{characters:.0f}"))
