"""Generated pairs whose right alignment is known: reversed sequences, and word-by-word translations."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

from jumok.data.pairs.alignment_files import Links
from jumok.data.samples.pair_folder import SamplePair, check_counts, write_sample
from jumok.errors import JumokError

ONSETS, VOWELS = "bdfgklmnprstvz", "aeiou"
MOST_WORDS = (len(ONSETS) * len(VOWELS)) ** 2 // 2
MOST_LONG = 1000
TRIES = 50
"""So often per pair, at most, a sentence is drawn that was not there before."""
MOVING = 3
"""One word in so many goes behind the one after it in the other language."""

REVERSAL_README = """# Sequences and their reversal

Random sequences of made-up words; the target is the source from its end to its beginning. Made by `jumok sample`.

`train.tsv` ({train} pairs), `val.tsv` ({val}) and `test.tsv` ({test}): source TAB target, of {shortest} to {longest}
words out of {words}. No sequence is in two parts.

`train.align`, `val.align` and `test.align`: the alignment by words, `SOURCE-TARGET`, counted from 0.

Made with seed {seed}; the same numbers give the same files.

Licence: CC0 1.0 (https://creativecommons.org/publicdomain/zero/1.0/), no rights reserved.
"""
SUBSTITUTION_README = """# Sentences and their translation word by word

Random sequences of made-up words; the target has, for each word, the one that a dictionary gives. One source word in
three is of a kind that goes behind the word after it, unless that is of the same kind. Made by `jumok sample`.

`train.tsv` ({train} pairs), `val.tsv` ({val}) and `test.tsv` ({test}): source TAB target, of {shortest} to {longest}
words out of {words}. No sentence of either language is in two parts.

`train.align`, `val.align` and `test.align`: the alignment by words, `SOURCE-TARGET`, counted from 0.

Made with seed {seed}; the same numbers give the same files.

Licence: CC0 1.0 (https://creativecommons.org/publicdomain/zero/1.0/), no rights reserved.
"""


class Sizes(NamedTuple):
    """How long sentences are, and how many words there are."""

    shortest: int
    longest: int
    words: int

    def check(self) -> None:
        """Raise a JumokError where these numbers cannot be."""
        if not 1 <= self.shortest <= self.longest <= MOST_LONG:
            raise JumokError(
                f"sentences have 1 to {MOST_LONG} words, the shortest no more than the longest: "
                f"got {self.shortest} to {self.longest}"
            )
        if not 2 <= self.words <= MOST_WORDS:
            raise JumokError(f"wanted 2 to {MOST_WORDS} different words, got {self.words}")


Pairing = Callable[[list[str]], SamplePair]
"""From a source sentence to the pair."""


@dataclass(frozen=True)
class ToyLanguage:
    """A way of making up pairs of sentences, and the sample that is written of them.

    Args:
        name: of the sample.
        readme: the text of its README.md, with places for its numbers.
        words: how many different ones there are where nothing else is said.
        make_up: makes up so many words, and says what becomes of sentences of them.
    """

    name: str
    readme: str
    words: int
    make_up: Callable[[random.Random, int], tuple[list[str], Pairing]]

    def write(
        self,
        folder: Path,
        *,
        seed: int = 0,
        train: int = 10_000,
        val: int = 500,
        test: int = 500,
        shortest: int = 3,
        longest: int = 12,
        words: int | None = None,
    ) -> None:
        """Write random sentences and what the language makes of them, with the one-to-one alignment.

        `train.tsv`, `val.tsv`, `test.tsv` hold the pairs, and `train.align` and so on the alignments by words (see
        `alignment_files.read_links`). The same numbers give the same files. A folder that already holds this very
        sample is kept.

        Args:
            folder: new, empty, or holding this sample.
            seed: 0 or more.
            train, val, test: pairs in each part; no sentence of either side is in two of them, nor twice in one.
            shortest, longest: lengths of the sentences in words; all of them are equally likely.
            words: how many different ones there are. None: as many as is usual in the language.
        Raises:
            JumokError: numbers out of their range, or so few sentences that they would repeat; a folder that holds
                something else, or one that cannot be written.
        """
        counts = check_counts(seed, train=train, val=val, test=test)
        sizes = Sizes(shortest, longest, self.words if words is None else words)
        sizes.check()
        about = {"format": f"jumok-{self.name}/1", "seed": seed, **counts, **sizes._asdict()}
        write_sample(Path(folder), about, self.readme, lambda: self._draw(seed, counts, sizes))

    def _draw(self, seed: int, counts: dict[str, int], sizes: Sizes) -> dict[str, list[SamplePair]]:
        """The pairs of each part."""
        draw = random.Random(f"jumok-{self.name}/{seed}")  # noqa: S311
        lexicon, pair_of = self.make_up(draw, sizes.words)

        def pair() -> SamplePair:
            return pair_of(draw.choices(lexicon, k=draw.randint(sizes.shortest, sizes.longest)))

        return _draw_parts(counts, pair)


def _make_reversal(draw: random.Random, words: int) -> tuple[list[str], Pairing]:
    def pair(sentence: list[str]) -> SamplePair:
        last = len(sentence) - 1
        return _order_words(sentence, sentence, [last - number for number in range(len(sentence))])

    return _make_up_words(draw, words), pair


def _make_substitution(draw: random.Random, words: int) -> tuple[list[str], Pairing]:
    both = _make_up_words(draw, 2 * words)
    dictionary = dict(zip(both[:words], both[words:], strict=True))
    movers = frozenset(both[:words:MOVING])

    def pair(sentence: list[str]) -> SamplePair:
        order = list(range(len(sentence)))
        for place in range(len(sentence) - 1):
            if sentence[place] in movers and sentence[place + 1] not in movers:
                order[place], order[place + 1] = place + 1, place
        return _order_words(sentence, [dictionary[word] for word in sentence], order)

    return both[:words], pair


REVERSAL = ToyLanguage("reversal", REVERSAL_README, 50, _make_reversal)
"""A sequence and its reversal: word i of n belongs to n - 1 - i."""
SUBSTITUTION = ToyLanguage("substitution", SUBSTITUTION_README, 200, _make_substitution)
"""A sentence and its translation word by word, a little reordered.

A dictionary gives one target word for each source word. One source word in three is of a kind that goes behind the word
after it, as a French adjective does, unless that is of the same kind.
"""


def _order_words(source: list[str], target: list[str], order: list[int]) -> SamplePair:
    """A pair whose target takes its words in this order."""
    links = frozenset((one, two) for two, one in enumerate(order))
    return SamplePair(" ".join(source), " ".join(target[number] for number in order), Links(links))


def _make_up_words(draw: random.Random, count: int) -> list[str]:
    """Different words of two syllables."""
    syllables = ["".join(letters) for letters in product(ONSETS, VOWELS)]
    return draw.sample(["".join(pair) for pair in product(syllables, repeat=2)], count)


def _draw_parts(counts: dict[str, int], pair: Callable[[], SamplePair]) -> dict[str, list[SamplePair]]:
    """Draw the pairs of each part, no source and no target twice."""
    sources: set[str] = set()
    targets: set[str] = set()
    parts: dict[str, list[SamplePair]] = {part: [] for part in counts}
    tries = TRIES * sum(counts.values())
    for part, found in parts.items():
        while len(found) < counts[part]:
            one = pair()
            if one.source not in sources and one.target not in targets:
                found.append(one)
                sources.add(one.source)
                targets.add(one.target)
            tries -= 1
            if not tries:
                raise JumokError(
                    f"only {len(sources)} different sentences were found and {sum(counts.values())} are wanted: "
                    "ask for longer ones, or for more words"
                )
    return parts
