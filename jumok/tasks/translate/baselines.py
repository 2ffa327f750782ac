"""What a translator is held against: what can be said of a sentence without having learnt to translate."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jumok.data.pairs.pair_set import PairSet
from jumok.data.texts.nearest import find_nearest
from jumok.data.texts.vocabulary import pick_evenly
from jumok.errors import JumokError
from jumok.intervals import NORMAL_95, Interval, wilson
from jumok.language import later, list_later
from jumok.tasks.translate.parts import find_parts
from jumok.tasks.translate.scores import Judge, Judged, Scores, sentence_chrf
from jumok.tasks.translate.settings import RunConfig

__all__ = ["COPY", "Baseline", "Guess", "compare_with_baselines", "find_training_pairs", "judge_guesses"]

COPY, COMMONEST = later("copying the source"), later("the commonest target")
NEAREST = later("the target of the nearest source")
MOST_KNOWN = 50_000
"""So many training pairs, taken evenly, are searched for the nearest source."""
DECISIVE = {"chrf": "chrF", "exact": later("exact match")}
"""A model has learnt something that a baseline does not give if it is significantly better in one of these figures."""


@dataclass(frozen=True)
class Baseline:
    """How a baseline did, and by how much the model is better.

    Args:
        name: what it says of each sentence.
        scores: of that.
        better_by: by figure ("bleu", "chrf", "exact"), the model's less the baseline's, paired by sentence.
    """

    name: str
    scores: Scores
    better_by: dict[str, Interval]

    @property
    def beaten(self) -> bool:
        """Whether the model is significantly better by a figure, and significantly worse by none."""
        return any(self.better_by[figure].low > 0 for figure in DECISIVE) and not self._worse_by

    @property
    def mixed(self) -> str:
        """The figures by which the model is significantly better and worse, in words; empty where they agree."""
        better = [DECISIVE[figure] for figure in DECISIVE if self.better_by[figure].low > 0]
        if not better or not self._worse_by:
            return ""
        text = later("better than {name} by {better}, and worse by {worse}")
        return later(text, name=self.name, better=list_later(better), worse=list_later(self._worse_by))

    @property
    def _worse_by(self) -> list[str]:
        return [DECISIVE[figure] for figure in DECISIVE if self.better_by[figure].high < 0]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {figure: getattr(self.scores, figure) for figure in self.better_by}
        gaps = {figure: gap.to_dict() for figure, gap in self.better_by.items()}
        return {"baseline": self.name, **values, "better_by": gaps, "beaten": self.beaten}


def find_training_pairs(config: RunConfig) -> tuple[PairSet | None, str]:
    """Read the pairs that a run was trained on.

    Returns:
        the pairs, or None; and why there are none.
    """
    try:
        train = find_parts(config.data, config.training.seed)["train"]
    except JumokError as error:
        return None, f"the training pairs cannot be read ({error})"
    if config.found.train and train.fingerprint() != config.found.train:
        return None, "the training pairs have changed since"
    return train, ""


def compare_with_baselines(
    judge: Judge, model: Judged, sources: Sequence[str], train: PairSet | None, *, held_out: bool = True
) -> list[Baseline]:
    """Score what the baselines say beside the model.

    Args:
        judge: has the references.
        model: what came of the model's translations.
        sources: that were translated.
        train: the pairs that the model was trained on; None: only what needs none of them.
        held_out: whether the sources are others than those of the training; if not, the nearest of them is itself.
    """
    guesses = _guess(sources, train, held_out=held_out)
    judged = {name: judge.judge(texts) for name, texts in guesses.items()}
    return [Baseline(name, each.scores, model.better_by(each)) for name, each in judged.items()]


def _guess(sources: Sequence[str], train: PairSet | None, *, held_out: bool = True) -> dict[str, list[str]]:
    """What each baseline says."""
    guesses: dict[str, list[str]] = {COPY: list(sources)}
    if train is not None:
        guesses[COMMONEST] = [_take_commonest(train.targets)] * len(sources)
        if held_out:
            guesses[NEAREST] = _look_up(sources, train)
    return guesses


@dataclass(frozen=True)
class Guess:
    """How a baseline did on the validation sentences of a training.

    Args:
        chrf: mean over sentences, in per cent.
        error: standard error of that.
        exact: share of the sentences that it gives exactly.
        judged: how many there were.
    """

    chrf: float
    error: float
    exact: float
    judged: int

    def beaten(self, chrf: float, exact: float) -> bool:
        """Whether a model with these figures on the same sentences is significantly better.

        The spread of the model's own sentences is taken to be as large as that of these.
        """
        better = chrf - self.chrf > NORMAL_95 * math.sqrt(2) * self.error
        return better or wilson(round(exact * self.judged), self.judged)[0] > self.exact


def judge_guesses(train: PairSet, val: PairSet, most: int) -> dict[str, Guess]:
    """How each baseline does on validation pairs, by its name.

    Args:
        train, val: the pairs.
        most: validation pairs that are taken, evenly.
    """
    asked = PairSet(tuple(pick_evenly(val.sources, most)), tuple(pick_evenly(val.targets, most)))
    return {name: _judge(said, asked.targets) for name, said in _guess(asked.sources, train).items()}


def _judge(said: Sequence[str], wanted: Sequence[str]) -> Guess:
    scores = [sentence_chrf(got, text) for got, text in zip(said, wanted, strict=True)]
    spread = statistics.stdev(scores) if len(scores) > 1 else math.inf
    exact = sum(got == text for got, text in zip(said, wanted, strict=True)) / len(wanted)
    return Guess(statistics.mean(scores), spread / math.sqrt(len(scores)), exact, len(scores))


def _take_commonest(targets: Iterable[str]) -> str:
    """The most frequent; of equally frequent ones, the lesser by code points."""
    counts = Counter(targets)
    return min(counts, key=lambda target: (-counts[target], target))


def _look_up(sources: Sequence[str], train: PairSet) -> list[str]:
    """For each source, the target of the nearest training source; where that has several, the commonest of them."""
    targets: dict[str, list[str]] = {}
    pairs = zip(pick_evenly(train.sources, MOST_KNOWN), pick_evenly(train.targets, MOST_KNOWN), strict=True)
    for source, target in pairs:
        targets.setdefault(source, []).append(target)
    known = list(targets)
    return [_take_commonest(targets[known[place]]) for place in find_nearest(sources, known).tolist()]
