"""Does a map tell what the model used? Measured by taking parts of the input away, always beside baselines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from jumok.errors import JumokError
from jumok.intervals import Bootstrap, average_groups
from jumok.measures.faithfulness_report import Curves, FaithfulnessReport, score_key
from jumok.measures.flipping import BATCH, STEPS, Answer, Flips, UnitScores, flip, is_constant
from jumok.measures.report import MethodScores, ScoreDifference

__all__ = ["FIRST_LOOK", "FaithfulnessMeter"]

FIRST_LOOK = 32  # fewer inputs give no interval to rely on
Floats = NDArray[np.float64]


class FaithfulnessMeter:
    """Measures inputs one by one; their scores and curves are kept, nothing else.

    Args:
        steps: parts in which the units of an input are taken away, and points of its curves.
        saco: whether to take SaCo too, for about half as many further passes.
        batch: how many inputs the model is asked about at once.
        seed: of the random baseline, of ties and of the bootstrap.
        most: the greatest number of inputs, if you stop as soon as `decided()` says that the verdicts are certain. It
            may be so at 32 inputs, at 64, and so on to `most`, and all intervals are widened so that they hold over all
            these looks together (Bonferroni). None: the number of inputs is fixed beforehand.

    >>> import torch
    >>> weight = torch.tensor([0.4, 0.3, 0.2, 0.1])
    >>> meter = FaithfulnessMeter(steps=4)
    >>> for _ in range(8):
    ...     answers = {"zeros": lambda kept: kept.float() @ weight}
    ...     meter.add(answers, {"true": weight}, baselines={"reverse": -weight})
    >>> meter.report().verdicts()
    ['true: beats a random map by 0.25 (0.25 to 0.25) on 8 images']
    """

    def __init__(
        self, *, steps: int = STEPS, saco: bool = False, batch: int = BATCH, seed: int = 0, most: int | None = None
    ) -> None:
        if steps < 2 or batch < 1 or (most is not None and most < 2):
            raise JumokError(f"wanted 2 steps or more, a batch and a most, got {steps}, {batch} and {most}")
        self.constant: Counter[str] = Counter()
        self.passes = 0
        self._steps, self._saco, self._batch, self._seed = steps, saco, batch, seed
        self._looks = plan_looks(most)
        self._random = np.random.default_rng(seed)
        self._names: tuple[tuple[str, ...], ...] = ()
        self._groups: list[str] = []
        self._scores: list[Floats] = []
        self._curves: list[Floats] = []

    def __len__(self) -> int:
        return len(self._scores)

    @property
    def groups(self) -> int:
        """How many inputs there are so far, those of one group counted once."""
        return len(set(self._groups))

    def add(
        self,
        answers: Mapping[str, Answer],
        maps: Mapping[str, Tensor],
        *,
        baselines: Mapping[str, Tensor] | None = None,
        name: str = "",
        group: str = "",
    ) -> dict[str, Flips]:
        """Measure one input: every method's map, the baselines, and "random", which is always there.

        After an error nothing has been added, and the next input may follow.

        Args:
            answers: by filling, the model's answer to this input with only some units kept, see
                `jumok.measures.flipping.Answer`; the same fillings for every input.
            maps: by method, (units,), larger is more important; the same methods for every input.
            baselines: further ones, in the same way: centre, edges, the map of another class.
            name: of the input, for errors.
            group: what hangs together, such as all questions about one image: it counts once, by its mean. "": alone.
        Returns:
            what became of the answer, by filling; the meter itself keeps no more of it than scores and curves.
        Raises:
            JumokError: as `flip`, or methods, baselines or fillings that changed.
        """
        try:
            found = self._add(answers, maps, baselines or {})
        except JumokError as error:
            if not name:
                raise
            raise JumokError(f"{name}: {error}") from error
        self._groups.append(group or f"{len(self)}th alone")
        return dict(zip(answers, found, strict=True))

    def _add(
        self, answers: Mapping[str, Answer], maps: Mapping[str, Tensor], further: Mapping[str, Tensor]
    ) -> list[Flips]:
        names = tuple(answers), tuple(maps), tuple(further)
        self._check_names(*names)
        every = {**maps, **further}
        rules = {"random": self._random, "steps": self._steps, "saco": self._saco, "batch": self._batch}
        found = [flip(answer, every, **rules) for answer in answers.values()]  # type: ignore[arg-type]
        order = (*maps, "random", *further)
        self._names = names
        self._scores.append(np.array([[flips.scores[name] for name in order] for flips in found]))
        self._curves.append(
            np.array([[(flips.most_first[name], flips.least_first[name]) for name in order] for flips in found])
        )
        self.passes += sum(flips.passes for flips in found)
        self.constant.update(name for name, values in every.items() if is_constant(values.double().numpy(force=True)))
        return found

    def _check_names(self, fillings: tuple[str, ...], methods: tuple[str, ...], further: tuple[str, ...]) -> None:
        if not fillings or not methods:
            raise JumokError("nothing to measure: give at least one method's map and one filling")
        if both := set(methods) & set(further):
            raise JumokError(f"{min(both)!r} is a method and a baseline: give one of them another name")
        known = zip(("fillings", "methods", "baselines"), self._names, (fillings, methods, further), strict=False)
        for what, before, now in known:
            if before != now:
                raise JumokError(f"the {what} changed from {before} to {now}: wanted the same for every input")

    def decided(self) -> bool:
        """Whether more inputs are not needed: every verdict is certain, or `most` is reached.

        Ask after every input: it looks at the figures only where a look is due, see `most`.

        Raises:
            JumokError: the meter was not given `most`.
        """
        if not self._looks:
            raise JumokError("stopping early needs to be planned: give the meter most=, the greatest number of inputs")
        if len(self) >= self._looks[-1]:
            return True
        return len(self) in self._looks and self.report().is_decided()

    def report(self, *, resamples: int = 2000, level: float = 0.95, noun: str = "images") -> FaithfulnessReport:
        """The means over all inputs so far, with bootstrap intervals over the inputs.

        Args:
            resamples: of the bootstrap.
            level: the share of resampled means that each interval holds; wider if the meter may stop early.
            noun: what was measured.
        Raises:
            JumokError: no input was added, or all maps of all methods are constant.
        """
        self._check_enough()
        fillings, methods, further = self._names
        level = 1 - (1 - level) / max(1, len(self._looks))
        scores, titles = self._table(fillings)
        rules = {"resamples": resamples, "level": level, "seed": self._seed}
        bootstrap = Bootstrap(scores.reshape(len(scores), -1), bounds=(-1.0, 1.0), **rules)  # type: ignore[arg-type]
        baselines = ("random", *further)
        names = (*methods, *baselines)
        results = {name: _collect(bootstrap, row * len(titles), titles, name) for row, name in enumerate(names)}
        return FaithfulnessReport(
            methods=tuple(results[name] for name in methods),
            baselines=tuple(results[name] for name in baselines),
            differences=tuple(
                _compare(bootstrap, names, titles, method, baseline) for method in methods for baseline in baselines
            ),
            curves=self._mean_curves(fillings, names, rules),
            fillings=fillings,
            inputs=len(self),
            constant=dict(self.constant),
            steps=self._steps,
            passes=self.passes,
            looks=tuple(look for look in self._looks if look <= len(self)),
            saco=self._saco,
            noun=noun,
            level=level,
            resamples=resamples,
            seed=self._seed,
        )

    def _check_enough(self) -> None:
        if not self._scores:
            raise JumokError("no input to measure: add one at least")
        if all(self.constant[name] == len(self) for name in self._names[1]):
            raise JumokError("all maps are constant: they mark no place, so there is nothing to measure")

    def _table(self, fillings: Sequence[str]) -> tuple[Floats, list[str]]:
        """(groups, maps, fillings and scores), and the titles of the last axis."""
        chosen = len(UnitScores._fields) if self._saco else len(UnitScores._fields) - 1
        table = average_groups(np.array(self._scores)[..., :chosen].swapaxes(1, 2), self._groups)
        titles = [score_key(score, filling) for filling in fillings for score in UnitScores._fields[:chosen]]
        return table.reshape(*table.shape[:2], -1), titles

    def _mean_curves(
        self, fillings: Sequence[str], names: Sequence[str], rules: Mapping[str, float]
    ) -> dict[str, dict[str, Curves]]:
        table = average_groups(np.array(self._curves), self._groups)  # (groups, fillings, maps, 2, steps + 1)
        bootstrap = Bootstrap(table.reshape(len(table), -1), **rules)  # type: ignore[arg-type]
        columns = np.arange(table[0].size).reshape(table.shape[1:])
        shares = tuple(np.linspace(0, 1, table.shape[-1]).tolist())
        return {
            filling: {
                name: Curves(shares, *(tuple(map(bootstrap.mean, side)) for side in columns[row, place].tolist()))
                for place, name in enumerate(names)
            }
            for row, filling in enumerate(fillings)
        }


def plan_looks(most: int | None) -> tuple[int, ...]:
    """At how many inputs to look, each time twice as many, the last time at `most`.

    >>> plan_looks(200)
    (32, 64, 128, 200)
    """
    if most is None:
        return ()
    looks = []
    look = FIRST_LOOK
    while look < most:
        looks.append(look)
        look *= 2
    return (*looks, most)


def _collect(bootstrap: Bootstrap, start: int, titles: Sequence[str], name: str) -> MethodScores:
    return MethodScores(name, {title: bootstrap.mean(start + i) for i, title in enumerate(titles)}, bootstrap.samples)


def _compare(
    bootstrap: Bootstrap, names: Sequence[str], titles: Sequence[str], method: str, baseline: str
) -> ScoreDifference:
    ours, theirs = names.index(method) * len(titles), names.index(baseline) * len(titles)
    gains = {title: bootstrap.difference(ours + i, theirs + i) for i, title in enumerate(titles)}
    return ScoreDifference(method, baseline, gains)
