"""What a measurement of faithfulness found: figures beside baselines, curves, and a verdict for each method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jumok.intervals import Interval
from jumok.language import join_later, later, later_count, later_noun, list_later
from jumok.measures.printed import Printed
from jumok.measures.report import MethodScores, ScoreDifference, scores_to_dict, show_interval

__all__ = ["Curves", "FaithfulnessReport", "score_key", "score_titles"]

LEAST_GAIN = 0.005  # a smaller gain in SRG is none, however certain
SAME = 0.01  # maps whose SRG differ by less, for certain, are equally faithful
HARDLY = 0.2  # a filling that lowers the answer by a smaller share tells little

PLACES = 2  # of figures, so that several stand on a line
USUAL = 0.95  # level of the intervals, where the number of inputs was fixed
BEATS = later("beats {baseline}")
WORSE = later("worse than {baseline}")
NOT_BETTER = later("not shown to be better than {baseline}")
BY = later("{how} by {value} ({low} to {high})")
SCORES = {"srg": "SRG", "deletion": "deletion", "insertion": "insertion", "saco": "SaCo"}


def score_key(score: str, filling: str) -> str:
    """The name of a score in `MethodScores.scores`."""
    return f"{score}, {filling}"


def score_titles(fillings: tuple[str, ...], *, saco: bool) -> dict[str, str]:
    """All scores of a report, in the order in which they are shown, and how they are called there."""
    chosen = [score for score in SCORES if saco or score != "saco"]
    return {score_key(score, filling): f"{SCORES[score]}, {filling}" for score in chosen for filling in fillings}


@dataclass(frozen=True)
class Curves:
    """The mean answer of one map and filling, as units go.

    Args:
        shares: of the units taken away, 0 to 1.
        most_first, least_first: with their intervals, while the most, and the least important units go first.
    """

    shares: tuple[float, ...]
    most_first: tuple[Interval, ...]
    least_first: tuple[Interval, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "shares": list(self.shares),
            "most_first": [point.to_dict() for point in self.most_first],
            "least_first": [point.to_dict() for point in self.least_first],
        }


@dataclass(frozen=True, repr=False)
class FaithfulnessReport(Printed):
    """How far the maps of some methods tell what the model used, beside the baselines, over the same inputs.

    Args:
        methods, baselines: their scores, under the names that `score_key` makes.
        differences: of every method to every baseline, paired by input.
        curves: by filling, then by map.
        fillings: what was put in the place of what was taken away.
        inputs: how many were measured.
        constant: by method, how many of its maps give all units the same and count as chance.
        steps: parts in which units were taken away.
        passes: how many inputs the model was asked about.
        level, resamples, seed: of the bootstrap intervals.
        looks: at how many inputs it was checked whether the verdicts are decided; empty: the number was fixed.
        saco: whether it was taken.
        noun: what was measured.
        answer: what the answer is, where it is no probability: it may rise as well as fall, and be below 0.
    """

    methods: tuple[MethodScores, ...]
    baselines: tuple[MethodScores, ...]
    differences: tuple[ScoreDifference, ...]
    curves: Mapping[str, Mapping[str, Curves]]
    fillings: tuple[str, ...]
    inputs: int
    constant: Mapping[str, int]
    steps: int
    passes: int
    level: float
    resamples: int
    seed: int
    looks: tuple[int, ...] = ()
    saco: bool = False
    noun: str = "images"
    answer: str = ""

    # -- which map to believe -----------------------------------------------------------------------

    @property
    def telling(self) -> tuple[str, ...]:
        """The fillings by which maps are judged: those that change the answer when all is replaced; if none does, all.

        That is the same for all maps, so that it favours none.
        """
        return tuple(filling for filling in self.fillings if not self._note(filling)) or self.fillings

    def ranking(self) -> list[str]:
        """The methods, from the most faithful: by SRG, mean over the telling fillings."""
        means = {result.method: self._mean_srg(result) for result in self.methods}
        return sorted(means, key=lambda name: -means[name])

    def best(self) -> str | None:
        """The most faithful method of those that beat chance with every telling filling; None: none does."""
        return next((name for name in self.ranking() if self.beats_chance(name)), None)

    def beats_chance(self, method: str) -> bool:
        """Whether its SRG is significantly above that of a random map, with every telling filling."""
        return all(_is_gain(self._gain(method, "random", filling)) for filling in self.telling)

    def is_faithful(self, method: str) -> bool:
        """Whether its SRG is significantly above that of every baseline, with every telling filling."""
        return all(self._beats_all(method, filling) for filling in self.telling)

    def is_decided(self) -> bool:
        """Whether each method certainly beats all baselines, or is no better than one, with every telling filling."""
        return all(
            self._beats_all(result.method, filling) or self._is_beaten(result.method, filling)
            for result in self.methods
            for filling in self.telling
        )

    def hardest(self, method: str) -> tuple[str, str, Interval]:
        """The filling and the baseline against which a method does worst, and by how much its SRG is above it."""
        found = {filling: self.closest(method, filling) for filling in self.fillings}
        filling, (baseline, gain) = min(found.items(), key=lambda item: item[1][1].low)
        return filling, baseline, gain

    def srg(self, method: str, filling: str) -> Interval:
        """The SRG of a method, or of a baseline."""
        result = next(result for result in (*self.methods, *self.baselines) if result.method == method)
        return result.scores[score_key("srg", filling)]

    def verdicts(self) -> list[str]:
        """One line for each method, the most faithful first: what it beats and by how much."""
        return [self.verdict(name) for name in self.ranking()]

    def verdict(self, method: str) -> str:
        """Say whether a method beats the best baseline with every telling filling, or with which.

        The best baseline is that of the greatest SRG with the filling in question; "beats" says that all others are
        beaten, too.
        """
        won = [filling for filling in self.telling if self._beats_all(method, filling)]
        if len(won) == len(self.telling):
            hardest = min(won, key=lambda filling: self.closest(method, filling)[1].value)
            return self._conclude(method, self._say(method, hardest), self._with_all(hardest))
        alike: dict[tuple[str, str], list[str]] = {}
        for filling in self.telling:
            alike.setdefault(self._compare(method, filling), []).append(filling)
        parts = [self._say_together(method, *how, fillings) for how, fillings in alike.items()]
        return self._conclude(method, join_later("; ", parts))

    def _conclude(self, method: str, how: str, more: str = "") -> str:
        count, noun = f"{self.inputs:,}", later_noun(self.inputs, self.noun)
        return later(
            "{method}: {how} on {count} {noun}{more}", method=method, how=how, count=count, noun=noun, more=more
        )

    def _compare(self, method: str, filling: str) -> tuple[str, str]:
        """How it does beside the hardest baseline, and which that is."""
        baseline, gain = self.closest(method, filling)
        if self._beats_all(method, filling):
            return BEATS, baseline
        return (WORSE if _is_loss(gain) else NOT_BETTER), baseline

    def _say_together(self, method: str, how: str, baseline: str, fillings: Sequence[str]) -> str:
        """The same of several fillings in one."""
        if len(fillings) == 1:
            return join_later("", [self._say(method, fillings[0]), self._with(fillings[0])])
        gains = {filling: self._gain(method, baseline, filling) for filling in fillings}
        told = join_later("; ", [_tell_gain(name, gain) for name, gain in gains.items()])
        return later("{how} with any filling ({told})", how=later(how, baseline=_name(baseline)), told=told)

    def _say(self, method: str, filling: str) -> str:
        how, baseline = self._compare(method, filling)
        gain = self._gain(method, baseline, filling)
        text = later("{how} (difference {value}, {low} to {high})") if how == NOT_BETTER else BY
        found = [-gain.value, -gain.high, -gain.low] if how == WORSE else [gain.value, gain.low, gain.high]
        value, low, high = (f"{each:z.2f}" for each in found)
        return later(text, how=later(how, baseline=_name(baseline)), value=value, low=low, high=high)

    def _with(self, filling: str) -> str:
        return later(" with filling {filling}", filling=filling) if len(self.telling) > 1 else ""

    def _with_all(self, hardest: str) -> str:
        others = [filling for filling in self.telling if filling != hardest]
        names = ", ".join(others)
        return later(" (filling {filling}; no less with {names})", filling=hardest, names=names) if others else ""

    def closest(self, method: str, filling: str) -> tuple[str, Interval]:
        """The hardest baseline: of those not beaten, else of all, that of the greatest SRG."""
        gains = {result.method: self._gain(method, result.method, filling) for result in self.baselines}
        unbeaten = {name: gain for name, gain in gains.items() if not _is_gain(gain)}
        return min((unbeaten or gains).items(), key=lambda item: item[1].value)

    def _beats_all(self, method: str, filling: str) -> bool:
        return all(_is_gain(self._gain(method, result.method, filling)) for result in self.baselines)

    def _is_beaten(self, method: str, filling: str) -> bool:
        """Whether it is worse than a baseline, or the same."""
        gains = [self._gain(method, result.method, filling) for result in self.baselines]
        return any(gain.high < 0 or -SAME < gain.low <= gain.high < SAME for gain in gains)

    def _gain(self, method: str, baseline: str, filling: str) -> Interval:
        found = next(gap for gap in self.differences if (gap.method, gap.baseline) == (method, baseline))
        return found.scores[score_key("srg", filling)]

    def _mean_srg(self, result: MethodScores) -> float:
        return sum(result.scores[score_key("srg", filling)].value for filling in self.telling) / len(self.telling)

    def notes(self) -> list[str]:
        """One line for each filling that hardly changes the answer, so that little can be told by it."""
        found = [line for filling in self.fillings if (line := self._note(filling))]
        left_out = len(found) < len(self.fillings)
        so = later("it is left out of verdicts") if left_out else later("verdicts by it say little")
        return [later("{what}: {so}, choose another", what=line, so=so) for line in found]

    def _note(self, filling: str) -> str:
        if self.answer:  # its mean over inputs may stay the same where it changes in each of them
            return ""
        curve = self.curves[filling]["random"].most_first
        whole, none = curve[0].value, curve[-1].value
        if none < (1 - HARDLY) * whole:
            return ""
        return later(
            "filling {filling} hardly changes the answer, "
            "{whole} on the whole input and {none} with everything replaced",
            filling=filling,
            whole=f"{whole:.2f}",
            none=f"{none:.2f}",
        )

    def conclusions(self) -> list[str]:
        """The verdicts, and the notes."""
        return [*self.verdicts(), *self.notes()]

    # -- as plain values ----------------------------------------------------------------------------

    def header(self) -> tuple[str, ...]:
        """The heads of the columns of `rows`."""
        return (later("map"), *(title for filling in self.fillings for title in self._titles(filling)))

    def rows(self) -> list[tuple[str, ...]]:
        """One row of text for each method, then for each baseline; deletion and insertion, whose difference it is, are
        in `to_dict` and in the curves.
        """
        return [(result.method, *self._cells(result.scores, "")) for result in (*self.methods, *self.baselines)]

    def difference_rows(self) -> list[tuple[str, ...]]:
        """One row of text for each method and baseline, under the same header: by how much the method scores more."""
        return [(gap.name, *self._cells(gap.scores, "+")) for gap in self.differences]

    def _titles(self, filling: str) -> tuple[str, ...]:
        return (f"SRG, {filling}", *([f"SaCo, {filling}"] if self.saco else []))

    def _cells(self, scores: Mapping[str, Interval], sign: str) -> list[str]:
        shown = ("srg", "saco") if self.saco else ("srg",)
        return [
            show_interval(scores[score_key(score, filling)], sign, PLACES)
            for filling in self.fillings
            for score in shown
        ]

    def summary(self) -> str:
        """One line that says what the figures are means of."""
        fillings, steps = ", ".join(self.fillings), str(self.steps)
        parts = [
            later("{count} {noun}", count=f"{self.inputs:,}", noun=later_noun(self.inputs, self.noun)),
            later(
                "SRG 0 is chance; parts taken away in {steps} steps, filling: {fillings}",
                fillings=fillings,
                steps=steps,
            ),
            *([later("the answer is {answer}", answer=self.answer)] if self.answer else []),
            self._say_level(),
            *(_tell_constant(name, count) for name, count in self.constant.items()),
        ]
        return join_later("; ", parts)

    def _say_level(self) -> str:
        if not self.looks or self.level < USUAL + 1e-9:  # nothing was widened
            return later("{level} bootstrap intervals", level=f"{self.level:.0%}")
        text = later("{level} bootstrap intervals, widened for a look at the verdicts after {looks} {noun}")
        return later(text, level=f"{self.level:.1%}", looks=list_later([*map(str, self.looks)]), noun=later(self.noun))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "summary": self.summary(),
            "titles": score_titles(self.fillings, saco=self.saco),
            "verdicts": self.verdicts(),
            "notes": self.notes(),
            "ranking": self.ranking(),
            "best": self.best(),
            "inputs": self.inputs,
            **({"answer": self.answer} if self.answer else {}),
            "fillings": list(self.fillings),
            "steps": self.steps,
            "passes": self.passes,
            "constant": dict(self.constant),
            "bootstrap": {"level": self.level, "resamples": self.resamples, "seed": self.seed},
            "looks": list(self.looks),
            "methods": {result.method: scores_to_dict(result.scores) for result in self.methods},
            "baselines": {result.method: scores_to_dict(result.scores) for result in self.baselines},
            "differences": [gap.to_dict() for gap in self.differences],
            "curves": {
                filling: {name: curve.to_dict() for name, curve in curves.items()}
                for filling, curves in self.curves.items()
            },
        }


def _is_gain(gain: Interval) -> bool:
    """Whether it is certain, and more than nothing."""
    return gain.low > 0 and gain.value >= LEAST_GAIN


def _is_loss(gain: Interval) -> bool:
    """As `_is_gain`, of a score that is lower."""
    return gain.high < 0 and gain.value <= -LEAST_GAIN


BASELINE_NAMES = {
    "edges": later("an edge map"),
    "centre": later("a centre map"),
    "random": later("a random map"),
    "other class": later("another class's map"),
    "other answer": later("another answer's map"),
    "other word": later("another word's map"),
    "question-blind": later("a question-blind map"),
    "diagonal": later("the diagonal"),
    "first words": later("a map of the first words"),
    "last words": later("a map of the last words"),
    "long words": later("a map of the long words"),
}


def _tell_gain(filling: str, gain: Interval) -> str:
    value, low, high = (f"{each:z.2f}" for each in (gain.value, gain.low, gain.high))
    return later("{filling} {value}, {low} to {high}", filling=filling, value=value, low=low, high=high)


def _tell_constant(name: str, count: int) -> str:
    return later_count(
        count,
        "{name}: {count} map has the same value everywhere and counts as chance",
        "{name}: {count} maps have the same value everywhere and count as chance",
        name=name,
    )


def _name(baseline: str) -> str:
    return BASELINE_NAMES.get(baseline, baseline)
