"""What becomes of identities in products of matrices."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from jumok.watching.provenance import blending
from jumok.watching.provenance.einsum import Equation
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.mixed_maps import compose
from jumok.watching.provenance.moving import CannotMoveError
from jumok.watching.provenance.ops import Op
from jumok.watching.provenance.shadows import Pair, Shadow, compact, fit, is_even, or_constant
from jumok.watching.provenance.spreading import note_spread


def multiply(known: Identities, op: Op, equation: Equation, shadows: Sequence[Shadow]) -> Shadow:
    """Identities of a product.

    Args:
        known: the table.
        op: the product.
        equation: its axes.
        shadows: of its operands.
    Raises:
        CannotMoveError: of three tensors of tokens.
    """
    out = op.outs[0].shape
    weights = compose(known, op, equation, shadows) if op.outs[0].soft or op.outs[0].scored else None
    if weights is not None:
        return weights
    tagged = [number for number, shadow in enumerate(shadows) if isinstance(shadow, Tensor | Pair)]
    if len(tagged) > 2:
        raise CannotMoveError("a product of three tensors of tokens")
    tagged = [number for number in tagged if not _is_matrix(known, equation, number, shadows[number])]
    found: Shadow = None
    for number in tagged:
        part = _reduce_operand(known, equation, number, shadows[number], out, op)
        found = part if found is None else _cross(known, found, part, out, op)
    return _same_token(known, equation, tagged, shadows, found)


def _same_token(
    known: Identities, equation: Equation, tagged: Sequence[int], shadows: Sequence[Shadow], found: Shadow
) -> Shadow:
    """A product of each token with itself, over its features, mixes none."""
    if not isinstance(found, Pair) or found.one is None or found.other is None:
        return found
    operands = [(number, shadows[number]) for number in tagged]
    whole = all(
        isinstance(shadow, Tensor) and all(is_even(shadow, axis) for axis in equation.summed_axes(number))
        for number, shadow in operands
    )
    return found.one if whole and torch.equal(found.one, found.other) else found


def _is_matrix(known: Identities, equation: Equation, number: int, shadow: Shadow) -> bool:
    """Whether an operand is a learnt matrix, not learnt tokens: its rows are summed over, or it is a parameter."""
    if not isinstance(shadow, Tensor) or not blending.gives_way(known, shadow):
        return False
    summed = equation.summed_axes(number)
    return equation.slots[number].fixed or any(not is_even(shadow, axis) for axis in summed)


def _reduce_operand(
    known: Identities, equation: Equation, number: int, shadow: Shadow, out: Sequence[int], op: Op
) -> Shadow:
    """An operand's identities as far as they reach into the result."""
    if isinstance(shadow, Pair):
        summed = equation.summed_axes(number)
        sides = [side if side is None or all(is_even(side, axis) for axis in summed) else None for side in shadow.sides]
        left = [side for side in sides if side is not None]
        if len(left) == 2:
            first, second = (equation.spread(number, blending.merge_over(known, side, summed), out) for side in left)
            return Pair(first, second, shadow.path)
        if None not in shadow.sides and left and not _weak_side(known, shadow):
            mixed = known.unsee(compact(left[0]), f"a product of tokens with tokens{op.where}")
            return equation.spread(number, blending.merge_over(known, mixed, summed), out)
        shadow = or_constant(blending.settle(known, shadow, op.notes.path))
    assert isinstance(shadow, Tensor)
    summed = equation.summed_axes(number)
    merged = blending.merge_over(known, shadow, summed)
    others = [n for n in range(len(equation.slots)) if n != number]
    several = any(equation.slots[n].shape[axis] > 1 for n in others for axis in equation.free_axes(n))
    if several and not all(is_even(shadow, axis) for axis in summed):
        note_spread(known, merged, f"a product over tokens{op.where}")
    return equation.spread(number, merged, out)


def _weak_side(known: Identities, pair: Pair) -> bool:
    return any(side is None or bool(known.is_weak(compact(side)).all()) for side in pair.sides)


def _cross(known: Identities, one: Shadow, other: Shadow, out: Sequence[int], op: Op) -> Shadow:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return Pair(fit(one, out), fit(other, out), op.notes.path)
    if isinstance(one, Pair) and isinstance(other, Pair):
        return one
    pair, plain = (one, other) if isinstance(one, Pair) else (other, one)
    if not isinstance(plain, Tensor) or bool(known.is_weak(compact(plain)).all()):
        return pair
    kind = "attention between channels" if op.notes.calls else "a product of tokens with tokens"
    return fit(known.unsee(compact(plain), f"{kind}{op.where}"), out)
