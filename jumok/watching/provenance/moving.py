"""Functions that only move tokens about, done to identities: views, shuffles, concatenations, writes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.watching.provenance.functions import names
from jumok.watching.provenance.ops import Kept, Op, Slot, clone_index
from jumok.watching.provenance.shadows import compact, reshape, without_last, zeros

SAME = names(
    "contiguous clone detach data real to type type_as float half bfloat16 double cpu cuda alias "
    "pin_memory as_subclass xpu positive conj resolve_conj resolve_neg tril triu"
)
RESHAPES = names("view reshape view_as reshape_as flatten unflatten ravel")
SPREADS = frozenset(["expand", "expand_as", "broadcast_to"])


class CannotMoveError(Exception):
    """A move whose places are not known; says why."""


def view(op: Op, ids: Tensor) -> list[Tensor]:
    """Identities of a view, one for each tensor that the function returned."""
    shape = op.outs[0].shape
    if op.name in SAME:
        return [ids]
    if op.name in RESHAPES:
        if math.prod(shape) != ids.numel():
            raise CannotMoveError("the same memory read as another type")
        return [reshape(ids, shape)]
    if op.name in SPREADS:
        return [ids.expand(shape)]
    args = [to_value(arg) for arg in op.args[1:]]
    kwargs = {key: to_value(value) for key, value in op.kwargs.items() if key not in ("input", "self")}
    if op.name == "__getitem__":
        return [_take(ids, args[0])]
    if op.name in ("T", "mT", "H", "mH"):
        return [ids.mT if op.name in ("mT", "mH") else ids.T]
    made = getattr(Tensor, op.name)(ids, *args, **kwargs)
    return list(made) if isinstance(made, tuple | list) else [made]


def move(op: Op, ids: Tensor) -> Tensor:
    """Identities of a function of one tensor that moves its elements."""
    function = _MOVES.get(op.name)
    if function is None:
        raise CannotMoveError(op.name)
    return function(op, ids)


def join_parts(op: Op, parts: Sequence[Tensor]) -> Tensor:
    """`cat` and its kin."""
    name = op.name
    if name == "pad_sequence":
        return _pad_sequence(op, parts)
    dim = op.given(1, "dim", op.kwargs.get("axis", 0))
    if name == "stack":
        parts = [part.unsqueeze(dim if dim >= 0 else dim + part.dim() + 1) for part in parts]
    elif name == "hstack":
        dim = 0 if parts[0].dim() == 1 else 1
    elif name == "vstack":
        parts, dim = [torch.atleast_2d(part) for part in parts], 0
    elif name == "dstack":
        parts, dim = [torch.atleast_3d(part) for part in parts], 2
    parts = [part for part in parts if part.dim() == len(op.outs[0].shape)]  # an empty one of any shape is let pass
    dim %= parts[0].dim()
    return _cat(parts, dim).expand(op.outs[0].shape)


def _pad_sequence(op: Op, parts: Sequence[Tensor]) -> Tensor:
    """Sequences one below the other, filled with constants to the longest."""
    side = op.given(3, "padding_side", "right")
    dim = 0 if op.given(1, "batch_first", False) else 1
    longest = max(part.shape[0] for part in parts)
    padded = []
    for part in parts:
        gap = zeros((longest - part.shape[0], *part.shape[1:]))
        padded.append(torch.cat([part, gap] if side == "right" else [gap, part]))
    return torch.stack(padded, dim)


def write(op: Op, name: str, target: Tensor, value: Tensor | None) -> Tensor:
    """Identities after a write, in place; a value of None writes constants."""
    function = _WRITES.get(name)
    if function is None:
        raise CannotMoveError(name)
    known = op.args[0], find_written(op, name)
    args = [arg if any(arg is each for each in known) else to_value(arg) for arg in op.args]
    kwargs = {key: each if each is known[1] else to_value(each) for key, each in op.kwargs.items()}
    function(target, value, args, kwargs)
    return target


def _given(args: Sequence[Any], place: int, kwargs: Mapping[str, Any], name: str) -> Any:
    return args[place] if len(args) > place else kwargs[name]


def _set_items(target: Tensor, value: Tensor | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    index = tuple(args[1]) if isinstance(args[1], list) else args[1]
    target[index] = _fit_value(value, target[index].shape)


def _write_rows(target: Tensor, value: Tensor | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    dim, index = _given(args, 1, kwargs, "dim"), _given(args, 2, kwargs, "index")
    source = value if value is not None else zeros(target.index_select(dim, index).shape)
    target.index_copy_(dim, index, source.contiguous())


def _write_masked(target: Tensor, value: Tensor | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    mask = _given(args, 1, kwargs, "mask").expand(target.shape)
    source = zeros((int(mask.sum()),)) if value is None else value
    target.masked_scatter_(mask, source.contiguous())


def _write_scattered(target: Tensor, value: Tensor | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    if "reduce" in kwargs or len(args) > 4:
        raise CannotMoveError("scatter with a reduction")
    dim, index = _given(args, 1, kwargs, "dim"), _given(args, 2, kwargs, "index")
    source = zeros(index.shape) if value is None else value
    target.scatter_(dim, index, source[tuple(slice(0, size) for size in index.shape)].contiguous())


def _write_slice(target: Tensor, value: Tensor | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    dim, start = _given([*args, 0, 0], 2, kwargs, "dim"), kwargs.get("start", args[3] if len(args) > 3 else None)
    end, step = kwargs.get("end", args[4] if len(args) > 4 else None), kwargs.get("step", 1)
    part = target.movedim(dim, 0)[slice(start, end, step)]
    part.copy_(_fit_value(None if value is None else value.movedim(dim, 0), part.shape))


def _write_selected(target: Tensor, value: Tensor | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    part = target.select(_given(args, 2, kwargs, "dim"), _given(args, 3, kwargs, "index"))
    part.copy_(_fit_value(value, part.shape))


_Write = Callable[[Tensor, Tensor | None, Sequence[Any], Mapping[str, Any]], object]
_WRITES: dict[str, _Write] = {
    "__setitem__": _set_items,
    "index_put": _set_items,
    "copy": lambda target, value, args, kwargs: target.copy_(_fit_value(value, target.shape)),
    "fill": lambda target, value, args, kwargs: target.zero_(),
    "zero": lambda target, value, args, kwargs: target.zero_(),
    "index_copy": _write_rows,
    "index_fill": lambda target, value, args, kwargs: target.index_fill_(args[1], args[2], 0),
    "masked_scatter": _write_masked,
    "scatter": _write_scattered,
    "slice_scatter": _write_slice,
    "select_scatter": _write_selected,
}


def find_written(op: Op, name: str) -> Any:
    """The argument whose values are written."""
    place = {"__setitem__": 2, "copy": 1, "index_copy": 3, "index_add": 3, "index_put": 2, "masked_scatter": 2}
    place |= {"scatter": 3, "scatter_add": 3, "slice_scatter": 1, "select_scatter": 1}
    names = ("value", "src", "source", "values", "tensor")
    found = next((op.kwargs[key] for key in names if key in op.kwargs), None)
    return op.args[place[name]] if name in place and len(op.args) > place[name] else found


def _fit_value(value: Tensor | None, shape: Sequence[int]) -> Tensor:
    if value is None:
        return zeros(shape)
    while value.dim() > len(shape):
        value = value[0]
    return value.expand(tuple(shape))


def to_value(argument: Any) -> Any:
    """What an argument was, where it chose places."""
    if isinstance(argument, Kept):
        if argument.changed:
            raise CannotMoveError("indices that were overwritten afterwards")
        return clone_index(argument.values)
    if isinstance(argument, Slot):
        return argument
    if isinstance(argument, list):
        return [to_value(each) for each in argument]
    return argument


def _take(ids: Tensor, index: Any) -> Tensor:
    index = tuple(index) if isinstance(index, list) else index
    items = index if isinstance(index, tuple) else (index,)
    items = tuple(torch.tensor(item) if isinstance(item, list) else item for item in items)
    used = 0
    for item in items:
        if item is Ellipsis or isinstance(item, Slot):
            used = ids.dim()
            break
        used += 0 if item is None else item.dim() if isinstance(item, Tensor) and item.dtype == torch.bool else 1
    if any(isinstance(item, Slot) for item in items):
        raise CannotMoveError("indices that are not known")
    if used < ids.dim():
        return without_last(ids, lambda part: part[items])
    return ids[items]


def _cat(parts: Sequence[Tensor], dim: int) -> Tensor:
    """Concatenated, with one element of each dimension along which no part differs by its strides."""
    others = [axis for axis in range(parts[0].dim()) if axis != dim]
    for axis in (axis for axis in others if all(part.shape[axis] > 1 and part.stride(axis) == 0 for part in parts)):
        parts = [part.narrow(axis, 0, 1) for part in parts]
    return torch.cat([part.contiguous() for part in parts], dim)


def _dims(op: Op, place: int) -> Any:
    return op.given(place, "dims", None)


def _roll(op: Op, ids: Tensor) -> Tensor:
    shifts, dims = op.given(1, "shifts"), _dims(op, 2)
    if dims is None:
        return torch.roll(ids, shifts)
    axes = [dims] if isinstance(dims, int) else list(dims)
    shifts = [shifts] if isinstance(shifts, int) else list(shifts)
    if all(axis % ids.dim() != ids.dim() - 1 for axis in axes):
        return without_last(ids, lambda part: torch.roll(part, shifts, [axis % ids.dim() for axis in axes]))
    return torch.roll(ids, shifts, axes)


def _flip(op: Op, ids: Tensor) -> Tensor:
    dims = _dims(op, 1)
    return torch.flip(ids, [dims] if isinstance(dims, int) else list(dims))


def _gather(op: Op, ids: Tensor) -> Tensor:
    dim, index = op.given(1, "dim"), to_value(op.given(2, "index", op.kwargs.get("indices")))
    if op.name == "take_along_dim":
        index, dim = to_value(op.given(1, "indices")), op.given(2, "dim")
        return torch.take_along_dim(ids, index, dim)
    if dim % ids.dim() != ids.dim() - 1 and ids.stride(-1) == 0:
        return ids.narrow(-1, 0, 1).gather(dim, index.narrow(-1, 0, 1)).expand(index.shape)
    return ids.gather(dim, index)


def _pad(op: Op, ids: Tensor) -> Tensor:
    pads, mode = list(op.given(1, "pad")), op.given(2, "mode", "constant")
    if mode == "constant":
        return F.pad(ids, pads)
    for number in range(len(pads) // 2):
        axis = ids.dim() - 1 - number
        places = torch.arange(ids.shape[axis], dtype=torch.float64)[None, None]
        around = F.pad(places, pads[2 * number : 2 * number + 2], mode=mode)[0, 0].long()
        ids = ids.index_select(axis, around)
    return ids


def _shuffle_pixels(op: Op, ids: Tensor) -> Tensor:
    moved: Tensor = getattr(F, op.name)(ids.double(), *op.args[1:], **_rest(op))
    return moved.long()


def _rest(op: Op) -> dict[str, Any]:
    return {key: value for key, value in op.kwargs.items() if key not in ("input", "self")}


def _unfold_images(op: Op, ids: Tensor) -> Tensor:
    return F.unfold(ids.double(), *op.args[1:], **_rest(op)).long()


def _stride(op: Op, ids: Tensor) -> Tensor:
    """Lay the identities into memory as the tensor's elements were, and read them as it was read."""
    size, stride, offset = op.outs[0].shape, op.given(2, "stride"), op.given(3, "storage_offset", None)
    own, start = op.kwargs["own_stride"], op.kwargs["own_offset"]
    reach = 1 + sum((length - 1) * step for length, step in zip(ids.shape, own, strict=True))
    if min(ids.shape) == 0 or (offset not in (None, start)):
        raise CannotMoveError("memory read beside the tensor")
    memory = torch.zeros(reach, dtype=torch.int64)
    memory.as_strided(ids.shape, own).copy_(ids)
    if 1 + sum((length - 1) * step for length, step in zip(size, stride, strict=True)) > reach:
        raise CannotMoveError("memory read beside the tensor")
    return memory.as_strided(size, stride)


def _repeat_each(op: Op, ids: Tensor) -> Tensor:
    return torch.repeat_interleave(ids, to_value(op.given(1, "repeats")), op.given(2, "dim", None))


def _repeat(op: Op, ids: Tensor) -> Tensor:
    shape = op.outs[0].shape
    ids = ids.reshape((1,) * (len(shape) - ids.dim()) + tuple(ids.shape))
    small = compact(ids)
    times = [1 if a == 1 and b > 1 else whole // b for a, b, whole in zip(small.shape, ids.shape, shape, strict=True)]
    return small.repeat(times).expand(shape)


_MOVES: dict[str, Callable[[Op, Tensor], Tensor]] = {
    "roll": _roll,
    "flip": _flip,
    "fliplr": lambda op, ids: ids.fliplr(),
    "flipud": lambda op, ids: ids.flipud(),
    "rot90": lambda op, ids: torch.rot90(ids, *op.args[1:], **_rest(op)),
    "repeat": _repeat,
    "tile": _repeat,
    "repeat_interleave": _repeat_each,
    "gather": _gather,
    "take_along_dim": _gather,
    "index_select": lambda op, ids: ids.index_select(op.given(1, "dim"), to_value(op.given(2, "index"))),
    "masked_select": lambda op, ids: ids.masked_select(to_value(op.given(1, "mask"))),
    "pad": _pad,
    "pixel_shuffle": _shuffle_pixels,
    "pixel_unshuffle": _shuffle_pixels,
    "channel_shuffle": _shuffle_pixels,
    "unfold_images": _unfold_images,
    "im2col": _unfold_images,
    "tril": lambda op, ids: ids,
    "triu": lambda op, ids: ids,
    "view_as_complex": lambda op, ids: ids[..., 0],
    "view_as_real": lambda op, ids: ids.unsqueeze(-1).expand(*ids.shape, 2),
    "as_strided": _stride,
}
JOINS = names("cat concat concatenate stack hstack vstack dstack pad_sequence")
