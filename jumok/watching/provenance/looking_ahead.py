"""What must be known of a tape before it is replayed: what is written into, and which softmaxes are cut in parts."""

from __future__ import annotations

from collections.abc import Sequence

import torch

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


_KEEP_AXES = functions.names(
    "expand expand_as broadcast_to flip fliplr flipud roll rot90 pad cat concat concatenate narrow split chunk "
    "tensor_split repeat tile repeat_interleave index_select clone contiguous to type float half bfloat16 double "
    "detach sub add mul div neg clamp interpolate normalize batch_norm instance_norm group_norm masked_fill where "
    "maximum minimum pow sqrt square abs __getitem__ select unbind __iter__ flatten view reshape stack copy dropout "
    "dropout1d dropout2d alpha_dropout layer_norm round floor ceil as_strided transpose swapaxes swapdims permute "
    "movedim moveaxis mT byte lerp addcmul addcdiv sigmoid tanh exp log fmod"
)
"""Functions after which it is still known which axis was which."""
_TURNS = functions.names("transpose swapaxes swapdims permute movedim moveaxis mT")
IMAGE_AXES = 4
"""Of images, channels, rows and columns: turned tokens are no image because a convolution reads them."""
_Axes = tuple[int | None, ...]


def find_convolved(ops: Sequence[Op]) -> dict[Slot, int]:
    """Inputs that convolutions or poolings read after something was done to them, each with its axis of channels."""
    roots: dict[Slot, tuple[Slot, _Axes]] = {}
    found: dict[Slot, int] = {}
    for op in ops:
        name = functions.strip(op.name)[0]
        read = next((slot for slot in list_inputs(op) if _is_input(roots[slot][0] if slot in roots else slot)), None)
        if read is None or (name in functions.CONVOLUTIONS and read is not list_inputs(op)[0]):
            continue
        root, axes = roots.get(read) or (read, tuple(range(len(read.shape))))
        if op.name in functions.CONVOLUTIONS | functions.POOLINGS:
            place = len(axes) - 1 - next(int(sign) for sign in op.name if sign.isdigit())
            channels = axes[place] if place >= 0 else None
            if channels is not None:
                found.setdefault(root, channels)
        elif name in _KEEP_AXES:
            for out in op.outs:
                kept = _follow_axes(op, name, read.shape, out.shape)
                if kept is not None and out not in roots and out is not root:
                    roots[out] = root, tuple(None if axis is None else axes[axis] for axis in kept)
    return found


def _is_input(slot: Slot) -> bool:
    return slot.parameter is None and not slot.constant and (slot.argument or not slot.made)


def _follow_axes(op: Op, name: str, given: Sequence[int], made: Sequence[int]) -> _Axes | None:
    """Which axis of what was given each axis of what was made is; None where that cannot be told."""
    count = len(given)
    if name in _TURNS:
        return _find_order(op, name, count) if count == IMAGE_AXES else None
    if name == "stack":
        place = op.given(1, "dim", 0) % (count + 1)
        return (*range(place), None, *range(place, count))
    if op.name == "__getitem__":
        return _follow_index(op.args[1], count)
    if op.name in ("select", "unbind", "__iter__"):
        dim = op.given(1, "dim", 0) if op.name != "__iter__" else 0
        return tuple(axis for axis in range(count) if axis != dim % count)
    if op.name in ("flatten", "view", "reshape"):
        same = next((n for n in range(min(count, len(made))) if given[count - 1 - n] != made[len(made) - 1 - n]), count)
        same = min(same, len(made))
        return (*(None,) * (len(made) - same), *range(count - same, count))
    return tuple(range(count)) if len(made) == count else None


def _find_order(op: Op, name: str, count: int) -> _Axes:
    """Which axis each is after they were turned: each is told by its length."""
    lengths = torch.empty(tuple(range(count)), device="meta")
    turned = lengths.mT if name == "mT" else getattr(lengths, name)(*op.args[1:], **op.kwargs)
    return tuple(turned.shape)


def _follow_index(index: object, count: int) -> _Axes | None:
    items = list(index) if isinstance(index, tuple | list) else [index]
    if any(not (isinstance(item, int | slice) or item is None or item is Ellipsis) for item in items):
        return None
    used = sum(item is not None and item is not Ellipsis for item in items)
    place = items.index(Ellipsis) if Ellipsis in items else len(items)
    items = [*items[:place], *[slice(None)] * (count - used), *items[place + 1 :]]
    axes: list[int | None] = []
    axis = 0
    for item in items:
        if item is None:
            axes.append(None)
            continue
        if isinstance(item, slice):
            axes.append(axis)
        axis += 1
    return tuple(axes)
