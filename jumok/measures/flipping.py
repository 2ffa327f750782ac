"""Take away what a map calls important, unit by unit, and watch the answer: deletion, insertion, SRG, SaCo.

A unit is a part of the input that can be taken away: a patch of an image, a word of a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jumok.errors import JumokError
from jumok.measures.localisation_scores import FLAT_TOLERANCE

__all__ = [
    "BATCH",
    "STEPS",
    "Answer",
    "Flips",
    "Taken",
    "UnitScores",
    "curves_of",
    "flip",
    "is_constant",
    "order_units",
]

Answer: TypeAlias = Callable[[Tensor], Tensor]
"""From kept units (inputs, units) bool to the score of the class in question for each such input, (inputs,)."""

STEPS = 12  # parts in which the units are taken away
BATCH = 64  # inputs that are answered at once

Floats: TypeAlias = NDArray[np.float64]
Order: TypeAlias = NDArray[np.int64]
Masks: TypeAlias = NDArray[np.bool_]


class UnitScores(NamedTuple):
    """How far one map tells what the model used in one input.

    - srg: symmetric relevance gain, insertion - deletion. 0 is chance, exactly; the more the better.
    - deletion: area under the curve of the answer while the most important units go first; the less the better.
    - insertion: the same while the most important units come first, which is also that of the least important units
      going first; the more the better.
    - saco: does the answer fall in proportion to the weight of what is taken away? In [-1, 1]; NaN if not asked for.
    """

    srg: float
    deletion: float
    insertion: float
    saco: float


class Taken(NamedTuple):
    """One input as it was taken away in a map's order, step by step.

    Args:
        order: (units,), the most important first.
        counts: (steps + 1,), how many of them are gone at each step, from 0 to all.
        answers: (steps + 1,), the answer then.
    """

    order: Order
    counts: Order
    answers: Floats

    def kept(self) -> Masks:
        """(steps + 1, units): the units that are left at each step."""
        return _keep_least(self.order, self.counts)


@dataclass(frozen=True)
class Flips:
    """What became of the answer on one input.

    Args:
        scores: by map.
        most_first, least_first: by map, the answer at `steps + 1` even shares of units taken away, 0 to 1.
        taken: by map, what was asked about while the most important units went first. Of "random" it is one order,
            whereas its curves are the mean over that order and its reverse.
        passes: how many inputs the model was asked about.
    """

    scores: Mapping[str, UnitScores]
    most_first: Mapping[str, Floats]
    least_first: Mapping[str, Floats]
    taken: Mapping[str, Taken]
    passes: int


def flip(
    answer: Answer,
    maps: Mapping[str, Tensor],
    *,
    random: np.random.Generator,
    steps: int = STEPS,
    saco: bool = False,
    batch: int = BATCH,
) -> Flips:
    """Measure maps of one input, and chance as "random".

    All inputs that any map asks for are answered together, equal ones once. An order and its reverse are equally
    likely by chance, and their SRG are opposite numbers: so chance has an SRG of 0, and its deletion and insertion are
    the mean of those of one random order. Its saco is that of random values, and not 0: where little depends on any
    group, the paper's rule takes most pairs as right. A map that gives all units the same is chance.

    Args:
        answer: see `Answer`.
        maps: by name, (units,); larger is more important. Only the order counts, but for saco.
        random: orders the units of "random", and units of equal value.
        steps: parts of (almost) equal size in which the units are taken away.
        saco: whether to take it, for about half as many further passes; its groups are the steps.
        batch: how many inputs are answered at once.
    Raises:
        JumokError: maps of different lengths, fewer than 2 units, or values or answers that are not finite.
    Source: Bluecher, Vielhaben & Strodthoff 2024, arXiv 2401.06654, section 3 (SRG); Petsiuk, Das & Saenko 2018,
        arXiv 1806.07421, section 3.3 (deletion, insertion).

    >>> weight = torch.tensor([0.5, 0.3, 0.2, 0.0])
    >>> answer = lambda kept: kept.float() @ weight
    >>> found = flip(answer, {"true": weight}, random=np.random.default_rng(0), steps=4).scores["true"]
    >>> round(found.srg, 4), round(found.deletion, 4), round(found.insertion, 4)
    (0.4, 0.3, 0.7)
    """
    values = _check_maps(maps)
    units = len(next(iter(values.values())))
    counts = count_removed(units, min(steps, units))
    values["random"] = random.random(units)
    orders = {name: order_units(value, random) for name, value in values.items() if not is_constant(value)}
    masks = np.concatenate([_mask_steps(order, counts, saco) for order in orders.values()])
    found, passes = _answer_once(answer, masks, batch)
    rows = dict(zip(orders, found.reshape(len(orders), -1), strict=True))
    taken = {name: Taken(order, counts, rows[name][: len(counts)]) for name, order in orders.items()}
    rows["random"] = _average_directions(rows["random"], len(counts))
    chosen = {name: name if name in orders else "random" for name in values}
    curves = {name: _even_out(rows[each], counts, steps) for name, each in chosen.items()}
    most, least = ({name: pair[side] for name, pair in curves.items()} for side in (0, 1))
    salience = {name: _sum_by_group(values[name], orders[name], counts) if saco else None for name in orders}
    scores = {name: _score(rows[each], counts, salience[each]) for name, each in chosen.items()}
    return Flips(scores, most, least, {name: taken[each] for name, each in chosen.items()}, passes)


def count_removed(units: int, steps: int) -> Order:
    """How many units are gone at each step, from 0 to all."""
    counts: Order = (2 * np.arange(steps + 1) * units + steps) // (2 * steps)
    return counts


def order_units(values: Floats, random: np.random.Generator) -> Order:
    """Units from the most important to the least; those of equal value in random order."""
    order: Order = np.lexsort((random.random(len(values)), -values))
    return order


def is_constant(values: Floats) -> bool:
    """Whether a map tells no unit from another, but for rounding."""
    return bool(np.ptp(values) <= FLAT_TOLERANCE * np.abs(values).max())


def curves_of(answers: Floats, counts: Order) -> tuple[Floats, Floats]:
    """The answers while the most, and while the least important units go first; each (steps + 1,)."""
    return answers[: len(counts)], answers[len(counts) : 2 * len(counts)]


# -- which inputs are asked for -------------------------------------------------------------------


def _mask_steps(order: Order, counts: Order, saco: bool) -> Masks:
    """Kept units of every step, most important gone first, then least important gone first, then single groups gone."""
    rank = _rank(order)
    most = _keep_least(order, counts)
    least = rank < len(order) - counts[:, None]
    alone = (rank < counts[:-1, None]) | (rank >= counts[1:, None])
    return np.concatenate([most, least, alone] if saco else [most, least])


def _keep_least(order: Order, counts: Order) -> Masks:
    """Kept units of every step, most important gone first."""
    kept: Masks = _rank(order) >= counts[:, None]
    return kept


def _rank(order: Order) -> Order:
    """(units,): how many units are more important."""
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank


def _answer_once(answer: Answer, masks: Masks, batch: int) -> tuple[Floats, int]:
    """The answers to all masks, equal ones asked for once, and how many were asked for."""
    packed = np.packbits(masks, axis=1)
    _, first, place = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    asked = torch.from_numpy(masks[first])
    found = torch.cat([_ask(answer, part) for part in asked.split(batch)])
    return found.double().numpy()[place.ravel()], len(asked)


def _ask(answer: Answer, kept: Tensor) -> Tensor:
    found = answer(kept)
    if tuple(found.shape) != (len(kept),):
        raise JumokError(f"wanted one answer for each of {len(kept)} inputs, got shape {tuple(found.shape)}")
    if not bool(torch.isfinite(found).all()):
        raise JumokError("the model answers NaN or infinity for an input with units taken away: try another filling")
    return found.detach().cpu()


# -- from answers to scores -----------------------------------------------------------------------


def _average_directions(answers: Floats, steps: int) -> Floats:
    """Chance: an order and its reverse are equally likely, so both curves are their mean."""
    mean = (answers[:steps] + answers[steps : 2 * steps]) / 2
    return np.concatenate([mean, mean, answers[2 * steps :]])


def _score(answers: Floats, counts: Order, salience: Floats | None) -> UnitScores:
    shares = counts / counts[-1]
    deletion, insertion = (float(np.trapezoid(curve, shares)) for curve in curves_of(answers, counts))
    consistency = float("nan")
    if salience is not None:
        consistency = weigh_consistency(salience, answers[0] - answers[2 * len(counts) :])
    return UnitScores(insertion - deletion, deletion, insertion, consistency)


def weigh_consistency(salience: Floats, drops: Floats) -> float:
    """Take SaCo: whether groups of more salience also cost the answer more, over all pairs.

    Each pair counts by the difference of its saliences; a pair in the wrong order counts against.

    Args:
        salience: (groups,), the sum over each group's units.
        drops: (groups,), by how much the answer falls when the group is gone.
    Returns:
        In [-1, 1].
    Source: Wu, Kang, Tang, Hong & Yan 2024, "On the Faithfulness of Vision Transformer Explanations",
        arXiv 2404.01415, algorithm 1.

    >>> weigh_consistency(np.array([3.0, 2.0, 0.0]), np.array([0.5, 0.1, 0.2]))  # (1 + 3 - 2) / (1 + 3 + 2)
    0.3333333333333333
    """
    first, second = np.triu_indices(len(salience), 1)
    weights = salience[first] - salience[second]
    signs = np.where(drops[first] >= drops[second], 1.0, -1.0)
    total = np.abs(weights).sum()
    return float((signs * weights).sum() / total) if total else 0.0


def _sum_by_group(values: Floats, order: Order, counts: Order) -> Floats:
    sums: Floats = np.add.reduceat(values[order], counts[:-1])
    return sums


def _even_out(answers: Floats, counts: Order, steps: int) -> tuple[Floats, Floats]:
    """Both curves at even shares, as many for every input, however few units it has."""
    shares, even = counts / counts[-1], np.linspace(0, 1, steps + 1)
    most, least = (np.interp(even, shares, curve) for curve in curves_of(answers, counts))
    return most, least


# -- checking what came in ------------------------------------------------------------------------


def _check_maps(maps: Mapping[str, Tensor]) -> dict[str, Floats]:
    if not maps:
        raise JumokError("no map to measure: give at least one method's")
    if "random" in maps:
        raise JumokError("'random' is the name of a built-in baseline: choose another")
    lengths = {name: tuple(value.shape) for name, value in maps.items()}
    first, wanted = next(iter(lengths.items()))
    if len(wanted) != 1 or wanted[0] < 2:
        raise JumokError(f"the map of {first} has shape {wanted}: wanted one value for each of 2 units or more")
    for name, shape in lengths.items():
        if shape != wanted:
            raise JumokError(f"the map of {name} has {shape} units and that of {first} {wanted}: wanted the same")
    return {name: _check_finite(name, value) for name, value in maps.items()}


def _check_finite(name: str, value: Tensor) -> Floats:
    found: Floats = value.detach().cpu().double().numpy()
    if not np.isfinite(found).all():
        raise JumokError(f"the map of {name} holds NaN or infinity: check the model's values")
    return found
