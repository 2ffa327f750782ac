"""What each kind of function does to the identities of what it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from jumok.watching.provenance import (
    adding,
    blending,
    functions,
    grids,
    mixed_maps,
    mixing,
    moving,
    multiplying,
    recurrence,
    sampling,
)
from jumok.watching.provenance.einsum import Equation
from jumok.watching.provenance.ops import Kept, Op, Slot, clone_index
from jumok.watching.provenance.residuals import note_heads
from jumok.watching.provenance.shadow_table import ShadowTable
from jumok.watching.provenance.shadows import Live, Pair, Shadow, compact, fit, is_even, or_constant, zeros
from jumok.watching.provenance.spreading import note_spread
from jumok.watching.provenance.words import follow_ids


def _view(table: ShadowTable, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
    shadow = shadows[0]
    if isinstance(shadow, Pair):
        sides = [None if side is None else moving.view(op, side) for side in shadow.sides]
        for number, out in enumerate(op.outs):
            one, other = (None if side is None else side[number] for side in sides)
            table.set_view(out, Pair(one, other, shadow.path))
        return
    if not isinstance(shadow, Tensor):
        table.set_all(op, None)
        return
    for out, made in zip(op.outs, moving.view(op, shadow), strict=True):
        if out is given[0]:
            continue
        fresh = op.name in ("clone", "contiguous", "to") and out in table.real and made is shadow
        table.set(out, made) if fresh else table.set_view(out, made)


def _move(table: ShadowTable, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
    shadow = shadows[0]
    if isinstance(shadow, Pair):
        table.give(op, shadow.map(lambda ids: moving.move(op, ids)))
    else:
        assert isinstance(shadow, Tensor)
        table.give(op, moving.move(op, shadow))


def _join(table: ShadowTable, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
    if any(isinstance(shadow, Pair) for shadow in shadows):
        sides = []
        for side in (0, 1):
            parts = [_side(shadow, side, slot.shape) for shadow, slot in zip(shadows, given, strict=True)]
            sides.append(moving.join_parts(op, parts))
        path = next(shadow.path for shadow in shadows if isinstance(shadow, Pair))
        table.give(op, Pair(sides[0], sides[1], path))
        return
    parts = [blending.make_zeros(shadow, slot.shape) for shadow, slot in zip(shadows, given, strict=True)]
    if len(parts) > 1 and op.given(1, "dim", op.kwargs.get("axis", 0)) in (-1, len(given[0].shape) - 1):
        note_heads(table.known, parts)
    table.give(op, moving.join_parts(op, parts))


def _elementwise(table: ShadowTable, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
    divided = table.find_divided(op, name, given)
    if divided is not None:
        found: Shadow = divided
    elif name in functions.NORMS and isinstance(shadows[0], Tensor):
        found = mixing.normalise(table.known, op, name, shadows[0])
    elif name in _OF_THE_FIRST:
        found = shadows[0]
        if isinstance(found, Tensor) and mixing.softens(table.known, op, name, found):
            table.softened[op.outs[0].soft] = f"a softmax over tokens{op.where}"
    else:
        found, how = None, blending.Manner(factor=name in functions.FACTORS, scaled=name in _SCALINGS)
        for slot, shadow in zip(given, shadows, strict=True):
            if slot is op.notes.gate:  # the same for all places: it mixes none
                continue
            found = blending.blend(table.known, found, shadow, op.outs[0].shape, how)
    if found is not (shadows[0] if op.outs[0] is given[0] else None):
        table.give(op, found)
    for number, out in enumerate(op.outs[1:], 1):
        if out.floating and out.shape == op.outs[0].shape:
            table.give(op, found, number)


def _choose(table: ShadowTable, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
    """`where`: by its mask, if that was kept; else as a sum."""
    mask = next((arg for arg in op.args if isinstance(arg, Kept)), None)  # the second of `Tensor.where`
    if mask is None or mask.changed:
        _elementwise(table, op, name, given, shadows)
        return
    operands = [
        table.shadow(each) if isinstance(each, Slot) and each.floating else None for each in op.args if each is not mask
    ]
    out, values = op.outs[0].shape, clone_index(mask.values)
    shown = [number for number, each in enumerate(operands) if each is not None]
    if len(shown) == 1 and isinstance(pair := operands[shown[0]], Pair):
        kept = (~values if shown[0] else values).expand(out)
        table.give(op, pair.map(lambda ids: _keep_some(fit(ids, out), kept)))
        return
    sides = []
    for side in (0, 1):
        one, other = (fit(_side(each, side, ()), out) for each in operands)
        sides.append(torch.where(values, one, other))
    path = next((each.path for each in operands if isinstance(each, Pair)), None)
    table.give(op, sides[0] if path is None else Pair(sides[0], sides[1], path))


def _keep_some(ids: Tensor, kept: Tensor) -> Tensor:
    """Scores of which some are set to a number: a token of which none is left is a constant."""
    for axis in range(ids.dim()):
        if is_even(ids, axis):
            kept = kept.any(axis, keepdim=True)
    return fit(torch.where(kept, compact(ids), zeros(())), ids.shape)


def _reduce(table: ShadowTable, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
    shape = given[0].shape
    dims = _find_dims(op, name)
    if isinstance(dims, Slot):
        _elementwise(table, op, name, given, shadows)  # max(a, b)
        return
    axes = list(range(len(shape))) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    axes = [axis % len(shape) for axis in axes]
    out = op.outs[0].shape
    kept = len(out) == len(shape)

    def reduce(ids: Tensor) -> Tensor:
        merged = blending.merge_over(table.known, ids, axes)
        merged = merged.expand([1 if axis in axes else size for axis, size in enumerate(shape)])
        return merged if kept else merged.reshape(out)

    shadow = shadows[0]
    if isinstance(shadow, Pair):
        sides = [
            side if side is not None and all(is_even(side, axis) for axis in axes) else None for side in shadow.sides
        ]
        shadow = Pair(sides[0], sides[1], shadow.path)
        found: Shadow = shadow.map(reduce)
    else:
        assert isinstance(shadow, Tensor)
        found = reduce(shadow)
    for number, slot in enumerate(op.outs):
        if slot.floating:
            table.give(op, found, number)
        else:
            table.set(slot, Live())


def _find_dims(op: Op, name: str) -> Any:
    """What a reduction goes over: axes, None for all, or another tensor."""
    dims = op.kwargs.get("dim", op.kwargs.get("axis"))
    if dims is not None:
        return dims
    place = 2 if name in ("norm", "vector_norm") else 1
    return op.args[place] if len(op.args) > place and not isinstance(op.args[place], bool) else None


def _linear(table: ShadowTable, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
    table.give(op, _contract(table, shadows[0], -1, op.outs[0].shape, op))


def _contract(table: ShadowTable, shadow: Shadow, axis: int, out: Sequence[int], op: Op) -> Shadow:
    """A product with constants along an axis."""
    if isinstance(shadow, Pair):
        sides = [side if side is None or is_even(side, axis) else None for side in shadow.sides]
        if None in sides and None not in shadow.sides:  # weights over tokens, used as features of a token
            return fit(blending.merge_over(table.known, or_constant(table.settle(shadow, op)), [axis]), out)
        return Pair(sides[0], sides[1], shadow.path).map(lambda ids: fit(compact(ids).narrow(axis, 0, 1), out))
    ids = shadow if isinstance(shadow, Tensor) else zeros(())
    merged = blending.merge_over(table.known, ids, [axis])
    if out[axis] > 1 and not is_even(ids, axis):
        note_spread(table.known, merged, f"a product over tokens{op.where}")
    return fit(merged, out)


def _product(table: ShadowTable, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
    table.give(op, add_input(table, op, name, multiply(table, op, name)))


def add_input(table: ShadowTable, op: Op, name: str, product: Shadow) -> Shadow:
    """A product, and what it is added to in the same step, as by `addmm`."""
    added = op.given(0, "input") if name in _ADDING and op.kwargs.get("beta", 1) else None
    if not isinstance(added, Slot):
        return product
    return blending.blend(table.known, table.shadow(added), product, op.outs[0].shape)


def multiply(table: ShadowTable, op: Op, name: str) -> Shadow:
    """A product of several tensors, summed over some axes."""
    equation = Equation.of(op, name)
    return multiplying.multiply(table.known, op, equation, [table.shadow(slot) for slot in equation.slots])


def _convolve(table: ShadowTable, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
    shadow = shadows[0]
    weights = mixed_maps.convolve(op, given[0], shadow) if isinstance(shadow, Pair) else None
    table.give(op, weights or grids.convolve(table.known, op, or_constant(table.settle(shadow, op))))


def _deconvolve(table: ShadowTable, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
    table.give(op, grids.deconvolve(table.known, op, or_constant(table.settle(shadows[0], op))))


def _pool(table: ShadowTable, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
    found = grids.pool(table.known, op, or_constant(table.settle(shadows[0], op)))
    for number, slot in enumerate(op.outs):
        table.set(slot, found if slot.floating else Live()) if number else table.give(op, found)


def _resize(table: ShadowTable, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
    table.give(op, grids.resize(table.known, op, or_constant(table.settle(shadows[0], op))))


def _fold(table: ShadowTable, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
    ids = or_constant(table.settle(shadows[0], op))
    table.give(op, grids.fold(table.known, op, ids))
    for number in [number for number in table.outlooks if bool(table.known.are_of(ids, number).any())]:
        table.calls[number] = table.outlooks.pop(number)  # its windows lie where they were cut out


def _sample(table: ShadowTable, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
    table.give(op, sampling.sample(table.known, op, or_constant(table.settle(shadows[0], op))))


def _scan(table: ShadowTable, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
    ids = or_constant(table.settle(shadows[0], op))
    dims = mixing.find_scanned(op, name)
    if len(op.outs[0].shape) != len(given[0].shape):
        raise moving.CannotMoveError(name)
    if any(not is_even(ids, dim) for dim in dims):
        ids = table.known.unsee(compact(ids), f"{name}{op.where}").expand(ids.shape)
    if op.outs[0].shape != given[0].shape:  # half a spectrum
        if any(not is_even(ids, dim) for dim in dims):
            raise moving.CannotMoveError(name)
        for dim in dims:
            ids = ids.narrow(dim, 0, 1)
    for out in op.outs:
        table.set(out, ids.expand(out.shape) if out.floating else Live())


def _gate_half(table: ShadowTable, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
    """`glu`: one half of an axis gates the other."""
    one, other = or_constant(table.settle(shadows[0], op)).chunk(2, op.given(1, "dim", -1))
    table.give(op, blending.blend(table.known, one, other, op.outs[0].shape, blending.Manner(factor=True)))


def _sort(table: ShadowTable, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
    dim = op.kwargs.get(
        "dim", op.args[2 if name == "topk" else 1] if len(op.args) > (2 if name == "topk" else 1) else -1
    )
    chosen = op.kwargs.get("chosen")
    if isinstance(shadows[0], Pair) and isinstance(chosen, Kept) and not chosen.changed:
        index = clone_index(chosen.values)
        table.set(op.outs[0], shadows[0].map(lambda ids: ids.gather(dim, index)))
        table.set(op.outs[1], Live())
        table.chosen[op.outs[0]] = shadows[0], op.outs[1]
        return
    given_ids = or_constant(table.settle(shadows[0], op))
    ids = blending.merge_over(table.known, given_ids, [dim])
    if not is_even(given_ids, dim):
        note_spread(table.known, ids, f"{name}{op.where}")
    for out in op.outs:
        table.set(out, ids.expand(out.shape) if out.floating else Live())


def write(table: ShadowTable, op: Op, name: str, *, inplace: bool) -> None:
    """A part of a tensor is written, in place or into a copy."""
    slot = op.args[0].slot if isinstance(op.args[0], Kept) else op.args[0]
    written = moving.find_written(op, name)
    written = written.slot if isinstance(written, Kept) else written
    value = table.shadow(written) if isinstance(written, Slot) and written.floating else None
    value = None if isinstance(value, Live) else value
    whole = table.find_put_back(op, name, written)
    if whole is not None:  # the largest scores, where they stood among all
        table.set(op.outs[0], whole)
        return
    target = table.shadow(slot) if slot.floating else None
    if not slot.floating:
        if not follow_ids(table, op, name):
            table.set(slot, table.find_live(op, name))
            table.set_all(op, table.current(slot))
        return
    if isinstance(target, Pair) or isinstance(value, Pair):
        sides = [_write_side(table, op, name, slot, side, target, value) for side in (0, 1)]
        path = next(each.path for each in (value, target) if isinstance(each, Pair))
        table.set_view(slot if inplace else op.outs[0], Pair(sides[0], sides[1], path))
        return
    if target is None and value is None and slot not in table.real:
        table.set_all(op, None)
        return
    base = zeros(slot.shape) if not isinstance(target, Tensor) else target
    if not inplace:
        table.set(op.outs[0], _write_into(table, op, name, base.contiguous().clone(), value))
        return
    if slot not in table.real:
        base = base.contiguous().clone()
    table.set_view(slot, _write_into(table, op, name, base, value))


def _write_into(table: ShadowTable, op: Op, name: str, base: Tensor, value: Tensor | None) -> Tensor:
    """The same identities, changed."""
    if name not in adding.NAMES:
        return moving.write(op, name, base, value)
    return base if value is None else base.copy_(adding.add_rows(table.known, op, name, base, value))


def _write_side(table: ShadowTable, op: Op, name: str, slot: Slot, side: int, target: Shadow, value: Shadow) -> Tensor:
    """One side of scores after a write."""
    base = _side(target, side, slot.shape)
    base = base if slot in table.real and isinstance(target, Pair) else base.contiguous().clone()
    part: Shadow = value.sides[side] if isinstance(value, Pair) else value if side == 0 else None
    return moving.write(op, name, base, part if isinstance(part, Tensor) else None)


_OF_ONE = (
    _scan,
    _gate_half,
    _view,
    _move,
    _linear,
    _convolve,
    _deconvolve,
    recurrence.recur,
    _pool,
    _resize,
    _fold,
    _sample,
)
Rule = Callable[[ShadowTable, Op, str, Sequence[Slot], Sequence[Shadow]], None]
_ADDING = functions.names("addmm baddbmm addbmm")
_SCALINGS = functions.names("sub subtract rsub div divide true_divide")
_OF_THE_FIRST = functions.names(
    "layer_norm rms_norm group_norm batch_norm instance_norm normalize softmax softmin log_softmax dropout "
    "dropout1d dropout2d dropout3d prelu local_response_norm gumbel_softmax"
)
_RULES: dict[frozenset[str], Rule] = {
    functions.VIEWS: _view,
    moving.JOINS: _join,
    functions.MOVES: _move,
    frozenset(["where"]): _choose,
    functions.ELEMENTWISE: _elementwise,
    functions.REDUCTIONS: _reduce,
    functions.PRODUCTS: _product,
    functions.CONVOLUTIONS: _convolve,
    functions.UPWARDS: _deconvolve,
    functions.POOLINGS | functions.ADAPTIVE_POOLINGS: _pool,
    frozenset(["interpolate", "upsample"]): _resize,
    functions.RECURRENT: recurrence.recur,
    functions.CELLS: recurrence.step,
    functions.SORTING: _sort,
    functions.SCANS: _scan,
    frozenset(["glu"]): _gate_half,
    frozenset(["fold", "col2im"]): _fold,
    frozenset(["grid_sample"]): _sample,
    functions.LINEAR: _linear,
}
_BY_NAME: dict[str, Rule] = {}
for _names, _rule in _RULES.items():
    for _name in _names:
        _BY_NAME.setdefault(_name, _rule)


def find_rule(name: str) -> Rule | None:
    """The rule of a function; None where there is none."""
    return _BY_NAME.get(name)


def takes_one(name: str) -> bool:
    """Whether what a function makes has the identities of its first input only, whatever else it is given."""
    return find_rule(name) in _OF_ONE or name in _OF_THE_FIRST


def _side(shadow: Shadow, side: int, shape: Sequence[int]) -> Tensor:
    found: Any = shadow.sides[side] if isinstance(shadow, Pair) else shadow if side == 0 else None
    return found if isinstance(found, Tensor) else zeros(shape)
