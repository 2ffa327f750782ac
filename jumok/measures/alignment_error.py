"""Do the links of an alignment agree with those that people drew? Precision, recall and AER, beside the diagonal's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from jumok.attention import AttentionMap
from jumok.attention.word_alignment import Gold, Links, diagonal, links
from jumok.errors import JumokError
from jumok.intervals import Bootstrap, Interval
from jumok.language import join_later, later, later_count
from jumok.measures.printed import Printed
from jumok.measures.report import MethodScores, ScoreDifference, scores_to_dict, show_interval

__all__ = [
    "BASELINE",
    "TITLES",
    "AlignmentMeter",
    "AlignmentReport",
    "anti_diagonal_weight",
    "diagonal_weight",
    "weight_on",
]

BASELINE = "diagonal"
TITLES = {"precision": later("precision"), "recall": later("recall"), "aer": later("AER (lower is better)")}
"""The scores in the order in which they are shown, and how they are called there."""

Pairs: TypeAlias = Collection[tuple[int, int]]
Draws: TypeAlias = NDArray[np.float64]


# -- how much weight lies on known links ----------------------------------------------------------


def weight_on(attention: AttentionMap, gold: Pairs) -> float:
    """Take the weight that target words give to the source words they are linked to, mean over the linked ones.

    Raw weights are summed: what a row gave to pieces that belong to no word is missing. Words without a link are left
    out, as they have no right place to look at.

    Args:
        attention: (target words, source words), no leading axes.
        gold: (source, target) links, at least one.
    Raises:
        JumokError: leading axes, no link, or a link outside the map.

    >>> import torch
    >>> from jumok.attention import Tokens
    >>> attention = AttentionMap(torch.tensor([[0.9, 0.1], [0.3, 0.7]]), Tokens(("a", "b")), Tokens(("x", "y")))
    >>> round(weight_on(attention, {(0, 0), (1, 1)}), 3)
    0.8
    """
    if attention.lead:
        raise JumokError(
            f"weight on links needs one (target, source) map, but this one also has {attention.lead}: choose with .at"
        )
    pairs = sorted(set(gold))
    if not pairs:
        raise JumokError("no link to weigh: give at least one (source, target) pair")
    _check_inside(pairs, len(attention.keys), len(attention.queries), "a gold link")
    weights = attention.weights.numpy(force=True)
    sources, targets = zip(*pairs, strict=True)
    return float(weights[list(targets), list(sources)].sum(dtype=np.float64) / len(set(targets)))


def diagonal_weight(attention: AttentionMap) -> float:
    """Take `weight_on` of a square map's diagonal: word i looks at word i, as when a sentence is copied."""
    return weight_on(attention, [(word, word) for word in range(_check_square(attention))])


def anti_diagonal_weight(attention: AttentionMap) -> float:
    """Take `weight_on` of a square map's anti-diagonal: the first word looks at the last, as when order is reversed."""
    size = _check_square(attention)
    return weight_on(attention, [(size - 1 - word, word) for word in range(size)])


def _check_square(attention: AttentionMap) -> int:
    if len(attention.queries) != len(attention.keys):
        raise JumokError(
            f"a diagonal needs as many target as source words, got {len(attention.queries)} x {len(attention.keys)}: "
            "use weight_on with the right links"
        )
    return len(attention.keys)


# -- links against links --------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class AlignmentReport(Printed):
    """The scores of some methods beside the diagonal's, over the same sentences.

    Args:
        methods, baselines: their scores, and how many links each drew.
        differences: of every method to the diagonal, paired by sentence.
        sentences: how many were scored.
        unmarked: how many of them have no gold link at all; whatever a method links there counts as wrong.
        sure, possible: gold links in all; the sure ones count among the possible.
        level, resamples, seed: of the bootstrap intervals.
    """

    methods: tuple[MethodScores, ...]
    baselines: tuple[MethodScores, ...]
    differences: tuple[ScoreDifference, ...]
    sentences: int
    unmarked: int
    sure: int
    possible: int
    level: float
    resamples: int
    seed: int

    def header(self) -> tuple[str, ...]:
        """The heads of the columns of `rows`."""
        return (later("alignment"), *TITLES.values(), later("links"))

    def rows(self) -> list[tuple[str, ...]]:
        """One row of text for each method, then for the baseline: its name, scores with intervals, count of links."""
        return [
            (result.method, *(show_interval(result.scores[name]) for name in TITLES), f"{result.count:,}")
            for result in (*self.methods, *self.baselines)
        ]

    def difference_rows(self) -> list[tuple[str, ...]]:
        """One row of text for each method, under the same header: by how much its scores exceed the baseline's."""
        links_of = {result.method: result.count for result in (*self.methods, *self.baselines)}
        return [
            (
                gap.name,
                *(show_interval(gap.scores[name], sign="+") for name in TITLES),
                f"{links_of[gap.method] - links_of[gap.baseline]:+,}",
            )
            for gap in self.differences
        ]

    def summary(self) -> str:
        """One line that says what the figures are of."""
        more, level = f"{self.possible - self.sure:,}", f"{self.level:.0%}"
        unmarked = later_count(
            self.unmarked,
            "{count} sentence without gold links, where every link counts as wrong",
            "{count} sentences without gold links, where every link counts as wrong",
        )
        parts = [
            later_count(self.sentences, "{count} sentence", "{count} sentences"),
            later("{sure} sure and {more} more possible links", sure=f"{self.sure:,}", more=more),
            later("{level} bootstrap intervals over sentences", level=level),
            *([unmarked] if self.unmarked else []),
        ]
        return join_later("; ", parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "summary": self.summary(),
            "titles": dict(TITLES),
            "sentences": self.sentences,
            "unmarked": self.unmarked,
            "gold": {"sure": self.sure, "possible": self.possible},
            "bootstrap": {"level": self.level, "resamples": self.resamples, "seed": self.seed},
            "methods": {result.method: _scores_and_links(result) for result in self.methods},
            "baselines": {result.method: _scores_and_links(result) for result in self.baselines},
            "differences": [gap.to_dict() for gap in self.differences],
        }


def _scores_and_links(result: MethodScores) -> dict[str, Any]:
    return {**scores_to_dict(result.scores), "links": result.count}


class AlignmentMeter:
    """Compares links sentence by sentence; only their counts are kept.

    With A the links of a method, S the sure and P the possible ones (S among them), counted over all sentences:
    precision = |A & P| / |A|, recall = |A & S| / |S|, AER = 1 - (|A & S| + |A & P|) / (|A| + |S|). AER is 0 for links
    that hold all of S and none outside P. It favours few, safe links: see precision and recall beside it.

    Args:
        seed: of the bootstrap.
    Source: Och & Ney 2003, A Systematic Comparison of Various Statistical Alignment Models, Computational
        Linguistics 29(1), section 6.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed
        self._methods: tuple[str, ...] = ()
        self._counts: list[list[int]] = []  # of each sentence: |S|, |P|, then |A|, |A & S|, |A & P| of each method

    def add(self, gold: Gold, found: Mapping[str, Pairs], *, source: int, target: int, name: str = "") -> None:
        """Compare one sentence pair's links.

        A method may have no link here, and the gold none. After an error nothing has been added.

        Args:
            gold: its `.sure` and `.possible` links.
            found: links by method, the same methods for every sentence.
            source, target: how many words each side has.
            name: of the sentence, for errors; empty: its number, counted from 1.
        Raises:
            JumokError: a link outside the sentence, a sentence without words, or methods that changed.
        """
        try:
            self._counts.append(self._compare(gold, found, source, target))
        except JumokError as error:
            raise JumokError(f"{name or f'sentence {len(self._counts) + 1}'}: {error}") from error
        self._methods = tuple(found)

    def _compare(self, gold: Gold, found: Mapping[str, Pairs], source: int, target: int) -> list[int]:
        self._check_methods(tuple(found))
        if source < 1 or target < 1:
            raise JumokError(f"wanted words on both sides, got {source} source and {target} target words")
        sure, possible = frozenset(gold.sure), frozenset(gold.possible) | frozenset(gold.sure)
        _check_inside(possible, source, target, "the gold")
        counts = [len(sure), len(possible)]
        for method, pairs in {**found, BASELINE: _make_diagonal_links(source, target)}.items():
            drawn = frozenset(pairs)
            _check_inside(drawn, source, target, method)
            counts += [len(drawn), len(drawn & sure), len(drawn & possible)]
        return counts

    def _check_methods(self, methods: tuple[str, ...]) -> None:
        if not methods:
            raise JumokError("no links to measure: give at least one method's")
        if BASELINE in methods:
            raise JumokError(f"{BASELINE!r} is the name of the baseline: give the method another name")
        if self._methods and methods != self._methods:
            raise JumokError(
                f"the methods changed from {self._methods} to {methods}: wanted the same for every sentence"
            )

    def report(self, *, resamples: int = 2000, level: float = 0.95) -> AlignmentReport:
        """Score all sentences so far, with bootstrap intervals over sentences.

        Args:
            resamples: of the bootstrap.
            level: the share of resampled scores that each interval holds.
        Raises:
            JumokError: nothing was added, or no sentence has a sure link: recall and AER would be of nothing.
        """
        table = np.array(self._counts, dtype=np.float64)
        if not len(table) or not table[:, 0].any():
            raise JumokError(
                f"no sure link in the gold of {len(table)} sentences, and recall and AER are of those: "
                "mark sure links with '-' in the gold file"
            )
        sums = _Sums(_count_ratios(table), resamples=resamples, level=level, seed=self._seed, of_hits=True)
        totals = table.sum(0).astype(int)
        names = (*self._methods, BASELINE)
        found = tuple(
            MethodScores(name, {score: sums.ratio(row, score) for score in TITLES}, int(totals[2 + 3 * row]))
            for row, name in enumerate(names)
        )
        return AlignmentReport(
            methods=found[:-1],
            baselines=found[-1:],
            differences=tuple(
                ScoreDifference(name, BASELINE, {score: sums.gap(row, len(names) - 1, score) for score in TITLES})
                for row, name in enumerate(self._methods)
            ),
            sentences=len(table),
            unmarked=int((table[:, 1] == 0).sum()),
            sure=int(totals[0]),
            possible=int(totals[1]),
            level=level,
            resamples=resamples,
            seed=self._seed,
        )


def _make_diagonal_links(source: int, target: int) -> Links:
    return links(diagonal([""] * source, [""] * target))


def _check_inside(pairs: Iterable[tuple[int, int]], source: int, target: int, whose: str) -> None:
    for i, j in pairs:
        if not (0 <= i < source and 0 <= j < target):
            raise JumokError(
                f"{whose} links source word {i} to target word {j}, outside its {source} source and {target} target "
                "words: words are counted from 0"
            )


# -- ratios of sums -------------------------------------------------------------------------------

FIRST_COLUMN: Mapping[str, int] = {
    score: 2 * place for place, score in enumerate(TITLES)
}  # each a numerator, a denominator


def _count_ratios(table: Draws) -> Draws:
    """(sentences, counts) to (sentences, 6 per method): numerator and denominator of each score of `TITLES`."""
    sure = table[:, 0]
    columns: list[Draws] = []
    for start in range(2, table.shape[1], 3):
        drawn, hit_sure, hit_possible = table[:, start : start + 3].T
        both = drawn + sure
        columns += [hit_possible, drawn, hit_sure, sure, both - hit_sure - hit_possible, both]
    return np.stack(columns, 1)


class _Sums(Bootstrap):
    """Ratios of sums over resampled rows: the score of a corpus is not the mean of the sentences' scores."""

    def ratio(self, row: int, score: str) -> Interval:
        """One score of one method; a method that never links has precision 0."""
        value, draws = self._ratios(row, score)
        return self._take_interval(value, draws, 0.0, 1.0)

    def gap(self, row: int, other: int, score: str) -> Interval:
        """One score of one method less another's, resample by resample."""
        (value, draws), (base, base_draws) = self._ratios(row, score), self._ratios(other, score)
        return self._take_interval(value - base, draws - base_draws, -1.0, 1.0, difference=True)

    def _ratios(self, row: int, score: str) -> tuple[float, Draws]:
        top = row * 2 * len(TITLES) + FIRST_COLUMN[score]
        means = np.concatenate([self._means[None], self._draws])
        ratios = np.full(len(means), np.nan)
        np.divide(means[:, top], means[:, top + 1], out=ratios, where=means[:, top + 1] > 0)
        return float(np.nan_to_num(ratios[0])), ratios[1:]

    def _take_interval(
        self, value: float, draws: Draws, least: float, greatest: float, *, difference: bool = False
    ) -> Interval:
        """Draws in which a score is of nothing tell nothing, and are left out; if all are, anything may be."""
        known = draws[np.isfinite(draws)]
        return self._interval(value, known, least, greatest, difference=difference)
