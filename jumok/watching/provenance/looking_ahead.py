"""What must be known of a tape before it is replayed: what is written into, and which softmaxes are cut in parts."""

from __future__ import annotations

from collections.abc import Sequence

from jumok.watching.provenance import functions
from jumok.watching.provenance.einsum import Equation
from jumok.watching.provenance.moving import CannotMoveError
from jumok.watching.provenance.ops import Op, Slot, list_inputs


def find_shared(ops: Sequence[Op], lengths: Sequence[int]) -> dict[int, list[Op]]:
    """Products with parts of one softmax that together are all of it, by its number."""
    found: dict[int, list[Op]] = {}
    for op in ops:
        if op.notes.weights is not None and op.notes.weights.soft:
            found.setdefault(op.notes.weights.soft, []).append(op)
    several = {soft: parts for soft, parts in found.items() if len(parts) > 1}
    return {soft: parts for soft, parts in several.items() if _count_keys(parts) == lengths[soft]}


def _count_keys(parts: Sequence[Op]) -> int:
    """How many keys products have together; 0 where that is not known."""
    try:
        equations = [Equation.of(op, functions.strip(op.name)[0]) for op in parts]
    except CannotMoveError:
        return 0
    keys = [
        [equation.slots[number].shape[axis] for axis in equation.summed_axes(number)]
        for equation, op in zip(equations, parts, strict=True)
        if op.notes.weights is not None
        for number in [equation.slots.index(op.notes.weights)]
    ]
    return sum(each[0] if len(each) == 1 else 0 for each in keys)


def find_written(ops: Sequence[Op]) -> set[Slot]:
    """Tensors that are written into in place, and those that they are views of."""
    parents: dict[Slot, Slot] = {}
    written: set[Slot] = set()
    for op in ops:
        if op.name in functions.VIEWS and op.args and isinstance(op.args[0], Slot):
            parents.update((out, op.args[0]) for out in op.outs if out is not op.args[0])
        name, inplace = functions.strip(op.name)
        writes = op.name == "__setitem__" or (inplace and f"{name}_" in functions.WRITES)
        if (writes or (inplace and len(list_inputs(op)) > 1)) and op.args and isinstance(op.args[0], Slot):
            current: Slot | None = op.args[0]
            while current is not None and current not in written:
                written.add(current)
                current = parents.get(current)
    return written
