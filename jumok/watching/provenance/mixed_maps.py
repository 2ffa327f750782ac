"""Weights that are mixed with other weights before they weigh values: heads with heads, or one map after another."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from jumok.watching.provenance import functions
from jumok.watching.provenance.blending import merge_over
from jumok.watching.provenance.einsum import Equation
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.moving import CannotMoveError
from jumok.watching.provenance.ops import Op, Slot
from jumok.watching.provenance.shadows import Pair, Shadow, fit, is_even

MAPS = 4
"""Axes of maps: images, heads, queries and keys."""


def find_kept(op: Op, lengths: Sequence[int]) -> int:
    """The number of the softmax whose weights a product with weights still holds; 0 where it weighed values by them.

    A sum over other things than the softmax went over, as over heads, leaves weights what they are; and so does a
    product with other weights.

    Args:
        op: the product.
        lengths: over how many things each softmax went, by its number.
    """
    weights = op.notes.weights
    if weights is None or not weights.soft:
        return 0
    try:
        equation = Equation.of(op, functions.strip(op.name)[0])
    except CannotMoveError:
        return 0
    number = equation.slots.index(weights)
    summed = equation.summed_axes(number)
    if len(summed) != 1 or len(equation.slots) != 2:
        return 0
    other = equation.slots[1 - number]
    if other.soft and not (other.pure or other.fixed):
        return weights.soft
    mixed = weights.shape[summed[0]] != lengths[weights.soft] and op.outs[0].shape == weights.shape
    return weights.soft if mixed else 0


def holds_weights(op: Op) -> bool:
    """Whether a product with weights gave weights, as `find_kept` found."""
    weights = op.notes.weights
    return weights is not None and 0 < weights.soft == op.outs[0].soft


def compose(known: Identities, op: Op, equation: Equation, shadows: Sequence[Shadow]) -> Pair | None:
    """The tokens on both sides of mixed weights; None where these are not known.

    Args:
        known: the table.
        op, equation: the product.
        shadows: of its operands.
    """
    out, sides, path = op.outs[0].shape, list[Tensor](), op.notes.path
    for number, shadow in enumerate(shadows):
        if not isinstance(shadow, Pair):
            continue
        path, summed = shadow.path or path, equation.summed_axes(number)
        for side in shadow.sides:
            if side is not None and all(is_even(side, axis) for axis in summed):
                sides.append(equation.spread(number, merge_over(known, side, summed), out))
    return Pair(sides[0], sides[1], path) if len(sides) == 2 else None


def convolve(op: Op, given: Slot, weights: Pair) -> Pair | None:
    """The tokens on both sides of weights whose heads, or neighbours in a map, a convolution mixes; None: of others."""
    read, made = given.shape, op.outs[0].shape
    if not (given.soft or given.scored) or len(read) != MAPS or read[2:] != made[2:]:
        return None
    if not all(side is None or is_even(side, 1) for side in weights.sides):
        return None
    return weights.map(lambda ids: fit(ids.narrow(1, 0, 1), made))
