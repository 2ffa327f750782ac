"""Does a map tell what the model used? Measured by taking parts of the input away, always beside baselines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from jumok.errors import JumokError
from jumok.intervals import Bootstrap, average_groups
from jumok.measures.faithfulness_report import Curves, FaithfulnessReport, score_key
from jumok.measures.flipping import BATCH, STEPS, Answer, Flips, UnitScores, flip, is_constant
from jumok.measures.report import MethodScores, ScoreDifference

__all__ = ["FIRST_LOOK", "FaithfulnessMeter"]

NEVER = -1
FIRST_LOOK = 32  # fewer inputs give no interval to rely on
Floats = NDArray[np.float64]
_NAMED = ("fillings", "methods", "baselines")


class _Measured(NamedTuple):
    """One input.

    Args:
        group: what it belongs to, see `FaithfulnessMeter.add`.
        scores: (fillings, maps, scores).
        curves: (fillings, maps, 2, steps + 1).
        passes: how many inputs the model was asked about.
        constant: (maps but "random",), bool: gives all units the same.
    """

    group: str
    scores: Floats
    curves: Floats
    passes: int
    constant: NDArray[np.bool_]


class FaithfulnessMeter:
    """Measures inputs one by one; their scores and curves are kept, nothing else.

    Args:
        steps: parts in which the units of an input are taken away, and points of its curves.
        saco: whether to take SaCo too, for about half as many further passes.
        batch: how many inputs the model is asked about at once.
        seed: of the random baseline, of ties and of the bootstrap.
        most: the greatest number of inputs, if you stop as soon as `decided()` says that the verdicts are certain. It
            may be so at 32 inputs, at 64, and so on to `most`, and all intervals are widened so that they hold over all
            these looks together (Bonferroni). Inputs of one group count once, when the next group has
            begun. None: the number of inputs is fixed beforehand.
        answer: what the answer is, where it is no probability.

    >>> import torch
    >>> weight = torch.tensor([0.4, 0.3, 0.2, 0.1])
    >>> meter = FaithfulnessMeter(steps=4)
    >>> for _ in range(8):
    ...     answers = {"zeros": lambda kept: kept.float() @ weight}
    ...     _ = meter.add(answers, {"true": weight}, baselines={"reverse": -weight})
    >>> meter.report().verdicts()
    ['true: beats a random map by 0.25 (0.25 to 0.25) on 8 images']
    """

    def __init__(
        self,
        *,
        steps: int = STEPS,
        saco: bool = False,
        batch: int = BATCH,
        seed: int = 0,
        most: int | None = None,
        answer: str = "",
    ) -> None:
        if steps < 2 or batch < 1 or (most is not None and most < 2):
            raise JumokError(f"wanted 2 steps or more, a batch and a most, got {steps}, {batch} and {most}")
        self._steps, self._saco, self._batch, self._seed = steps, saco, batch, seed
        self._looks, self._answer = plan_looks(most), answer
        self._names: tuple[tuple[str, ...], ...] = ()
        self._inputs: list[_Measured] = []
        self._looked, self._decided_at = 0, NEVER

    def __len__(self) -> int:
        return len(self._inputs)

    @property
    def constant(self) -> Counter[str]:
        """By map, for how many inputs it gives all units the same."""
        names = [name for part in self._names[1:] for name in part]
        return Counter(name for each in self._inputs for name in np.array(names)[each.constant].tolist())

    @property
    def passes(self) -> int:
        """How many inputs the model was asked about."""
        return sum(each.passes for each in self._inputs)

    @property
    def groups(self) -> int:
        """How many inputs there are so far, those of one group counted once."""
        return len({each.group for each in self._inputs})

    @property
    def _complete(self) -> int:
        """How many groups there are so far to which nothing more can come: the last that was named may go on."""
        alone = not self._inputs or self._inputs[-1].group == _name_alone(len(self))
        return self.groups if alone else self.groups - 1

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
        further = baselines or {}
        try:
            self._check_names(tuple(answers), tuple(maps), tuple(further))
            found = self._flip(answers, {**maps, **further})
        except JumokError as error:
            if not name:
                raise
            raise JumokError(f"{name}: {error}") from error
        self._names = tuple(answers), tuple(maps), tuple(further)
        self._inputs.append(self._note(found, maps, further, group))
        return dict(zip(answers, found, strict=True))

    def _flip(self, answers: Mapping[str, Answer], every: Mapping[str, Tensor]) -> list[Flips]:
        """What is drawn depends on the seed and the input's number alone, so that measuring can go on later."""
        random = np.random.default_rng([self._seed, len(self)])
        rules = {"random": random, "steps": self._steps, "saco": self._saco, "batch": self._batch}
        return [flip(answer, every, **rules) for answer in answers.values()]  # type: ignore[arg-type]

    def _note(
        self, found: Sequence[Flips], maps: Mapping[str, Tensor], further: Mapping[str, Tensor], group: str
    ) -> _Measured:
        order, every = (*maps, "random", *further), (*maps.values(), *further.values())
        return _Measured(
            group or _name_alone(len(self) + 1),
            np.array([[flips.scores[name] for name in order] for flips in found]),
            np.array([[(flips.most_first[name], flips.least_first[name]) for name in order] for flips in found]),
            sum(flips.passes for flips in found),
            np.array([is_constant(values.double().numpy(force=True)) for values in every]),
        )

    def _check_names(self, fillings: tuple[str, ...], methods: tuple[str, ...], further: tuple[str, ...]) -> None:
        if not fillings or not methods:
            raise JumokError("nothing to measure: give at least one method's map and one filling")
        if both := set(methods) & set(further):
            raise JumokError(f"{min(both)!r} is a method and a baseline: give one of them another name")
        known = zip(_NAMED, self._names, (fillings, methods, further), strict=False)
        for what, before, now in known:
            if before != now:
                raise JumokError(f"the {what} changed from {before} to {now}: wanted the same for every input")

    # -- going on later -------------------------------------------------------------------------------

    def state(self) -> dict[str, NDArray[Any]]:
        """All that was measured, as plain arrays: with it a new meter goes on, and reports the same, bit for bit."""
        names = {what: np.array(each, dtype=np.str_) for what, each in zip(_NAMED, self._names, strict=False)}
        columns = zip(_Measured._fields, zip(*self._inputs, strict=True), strict=False)
        return {"rules": self._rules(), **names, **{what: np.array(values) for what, values in columns}}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `state` gave; what this meter has measured is forgotten.

        Args:
            state: of a meter that was made with the same options.
        Raises:
            JumokError: of a meter of other options, or arrays that do not fit each other.
        """
        if not np.array_equal(state["rules"], self._rules()):
            raise JumokError("this was measured with other options: measure anew")
        if set(state) == {"rules"}:
            self.forget_after(0)
            return
        names = tuple(tuple(map(str, state[what])) for what in _NAMED)
        columns = [state[what] for what in _Measured._fields]
        _check_shapes(names, columns, self._steps)
        groups, scores, curves, passes, constant = columns
        rows = zip(groups.tolist(), scores, curves, passes.tolist(), constant, strict=True)
        self._names, self._inputs = names, [_Measured(*row) for row in rows]
        self._look_anew()

    def forget_after(self, count: int) -> None:
        """Be as before the inputs after the first `count` were added."""
        self._inputs = self._inputs[:count]
        self._names = self._names if self._inputs else ()
        self._look_anew()

    def _look_anew(self) -> None:
        """Let `decided` look again where a look is due with exactly so many inputs."""
        self._looked, self._decided_at = sum(look < self._complete for look in self._looks), NEVER

    def _rules(self) -> NDArray[np.int64]:
        """What every input is measured by. Of looks there are none where the number of inputs is fixed."""
        return np.array([self._steps, self._saco, self._batch, self._seed, *self._looks], dtype=np.int64)

    # -- what was found -------------------------------------------------------------------------------

    def decided(self) -> bool:
        """Whether more inputs are not needed: every verdict is certain, or `most` is reached.

        Ask after every input: it looks at the figures only where a look is due, see `most`.

        Raises:
            JumokError: the meter was not given `most`.
        """
        if not self._looks:
            raise JumokError("stopping early needs to be planned: give the meter most=, the greatest number of inputs")
        complete = self._complete
        if complete >= self._looks[-1]:
            return True
        due = sum(look <= complete for look in self._looks)
        if due > self._looked:
            self._looked, self._decided_at = due, len(self) if self.report().is_decided() else NEVER
        return self._decided_at == len(self)

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
            answer=self._answer,
            level=level,
            resamples=resamples,
            seed=self._seed,
        )

    def _check_enough(self) -> None:
        if not self._inputs:
            raise JumokError("no input to measure: add one at least")
        constant = self.constant
        if all(constant[name] == len(self) for name in self._names[1]):
            raise JumokError("all maps are constant: they mark no place, so there is nothing to measure")

    def _table(self, fillings: Sequence[str]) -> tuple[Floats, list[str]]:
        """(groups, maps, fillings and scores), and the titles of the last axis."""
        chosen = len(UnitScores._fields) if self._saco else len(UnitScores._fields) - 1
        table = self._average([each.scores[..., :chosen].swapaxes(0, 1) for each in self._inputs])
        titles = [score_key(score, filling) for filling in fillings for score in UnitScores._fields[:chosen]]
        return table.reshape(*table.shape[:2], -1), titles

    def _average(self, values: Sequence[Floats]) -> Floats:
        return average_groups(np.array(values), [each.group for each in self._inputs])

    def _mean_curves(
        self, fillings: Sequence[str], names: Sequence[str], rules: Mapping[str, float]
    ) -> dict[str, dict[str, Curves]]:
        table = self._average([each.curves for each in self._inputs])  # (groups, fillings, maps, 2, steps + 1)
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


def _check_shapes(names: Sequence[Sequence[str]], columns: Sequence[NDArray[Any]], steps: int) -> None:
    """See that a state's arrays are of as many inputs, fillings and maps as each other."""
    inputs, (fillings, methods, further) = len(columns[0]), map(len, names)
    maps = methods + 1 + further
    wanted = [
        (inputs,),
        (inputs, fillings, maps, len(UnitScores._fields)),
        (inputs, fillings, maps, 2, steps + 1),
        (inputs,),
        (inputs, maps - 1),
    ]
    got = [values.shape for values in columns]
    if got != wanted:
        raise JumokError(f"a state whose arrays do not fit each other: wanted shapes {wanted}, got {got}")


def _name_alone(number: int) -> str:
    """The group of an input that belongs to none."""
    return f"{number}th alone"


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
