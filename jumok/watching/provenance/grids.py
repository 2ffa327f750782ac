"""What convolutions, poolings and resizing do to identities: which places each place of the output covers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.watching.provenance.blending import merge_over
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.mixing import would_mix
from jumok.watching.provenance.moving import CannotMoveError
from jumok.watching.provenance.ops import Op, Slot
from jumok.watching.provenance.origins import CONSTANT, IMAGE, LEAF


def convolve(known: Identities, op: Op, ids: Tensor) -> Tensor:
    """Identities of a convolution's places.

    Each output lies in the cell of its stride. Where the windows reach beyond it, tokens that are no plain part of
    an image or a sound any more are mixed with their neighbours. Some are taken as the mean of their window, as pooling
    is, and that is noted: those of a convolution that makes fewer tokens, by a stride or by the pooling behind it, and
    those of a depthwise one over an image, which weighs places but makes no new features of them. Others are unseen: a
    layer of a convolutional network between the attention; and over words or sound, where it stands in for attention.
    """
    rank = int(op.name[4])
    out = op.outs[0].shape
    strides, dilations, reach, pads = _read_windows(op, rank)
    ids = merge_over(known, ids, [ids.dim() - rank - 1])
    overlaps = any(size > step for size, step in zip(reach, strides, strict=True))
    if overlaps and max(strides) > 1 and would_mix(known, ids):  # fewer, each of those in its window: as a pooling
        made = _gather(known, ids, out, strides, pads, reach)
        known.averaged.append((made.unique(), f"a convolution{op.where}"))
        return made.expand(out)
    made = _cover(known, ids, _list_cells(ids, out, strides, pads, reach), rank)
    if not (overlaps and would_mix(known, ids, plain=max(strides) == 1)):
        return made.expand(out)
    note = f"a convolution{op.where}"
    local = max(strides) == 1 and ids.shape[-rank:] == out[-rank:] and _lie_in_image(known, ids)
    members = _list_windows(ids, pads, reach, dilations) if local else None
    if members is not None and _is_depthwise(op, rank):
        return _smooth(known, ids, members, note).expand(out)
    made = known.unsee(made, note)
    if members is not None:
        known.waiting.append((made, ids, members, note))
    return made.expand(out)


def _read_windows(op: Op, rank: int) -> tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[int]]:
    """Strides and dilations of a convolution, how far each of its windows reaches, and its padding in front."""
    weight = op.given(1, "weight")
    kernel = weight.shape[-rank:] if isinstance(weight, Slot) else (1,) * rank
    strides, dilations = _each(op.given(3, "stride", 1), rank), _each(op.given(5, "dilation", 1), rank)
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    padding = op.given(4, "padding", 0)
    if isinstance(padding, str):
        return strides, dilations, reach, [(size - 1) // 2 if padding == "same" else 0 for size in reach]
    return strides, dilations, reach, _each(padding, rank)


def _is_depthwise(op: Op, rank: int) -> bool:
    """Whether a convolution weighs the places of each channel by themselves."""
    weight = op.given(1, "weight")
    return isinstance(weight, Slot) and weight.shape[1] == 1 < op.args[0].shape[-rank - 1]


def _list_windows(ids: Tensor, pads: Sequence[int], reach: Sequence[int], dilations: Sequence[int]) -> Tensor:
    """The tokens around each, (tokens, most), of a convolution that makes as many as before."""
    rank = len(pads)
    sides = zip(pads[::-1], reach[::-1], strict=True)
    padded = F.pad(ids.contiguous(), [side for pad, size in sides for side in (pad, size - 1 - pad)])
    for axis in range(rank):
        padded = padded.unfold(ids.dim() - rank + axis, reach[axis], 1)
    for axis, step in enumerate(dilations):
        padded = padded.index_select(axis - rank, torch.arange(0, reach[axis], step))
    return padded.reshape(ids.numel(), -1)


def _smooth(known: Identities, ids: Tensor, members: Tensor, note: str) -> Tensor:
    """Tokens that a convolution made of those around them."""
    made = known.smooth(ids.reshape(-1), members)
    known.averaged.append((made, note))
    return made.view(ids.shape)


def _smooth_waiting(known: Identities, ids: Tensor) -> Tensor:
    """What a convolution made of tokens, where a pooling makes fewer of them: both together are a stride."""
    for made, tokens, members, note in known.waiting[-1:]:
        if torch.equal(ids.unique(), made.unique()):
            smooth = _smooth(known, tokens, members, note)
            order = made.reshape(-1).argsort()
            place = torch.searchsorted(made.reshape(-1)[order], ids.contiguous())
            return smooth.reshape(-1)[order][place]
    return ids


def _lie_in_image(known: Identities, ids: Tensor) -> bool:
    """Whether all are places of an image; constants aside."""
    source = known.origin(ids.reshape(-1)[ids.reshape(-1) != CONSTANT]).source
    images = torch.tensor([each.kind == IMAGE for each in known.sources] or [False])
    return bool(((source >= 0) & images[source.clamp(min=0)]).all()) and len(source) > 0


def deconvolve(known: Identities, op: Op, ids: Tensor) -> Tensor:
    """Identities of a transposed convolution: each place grows to as many as its stride."""
    rank = int(op.name[-2])
    weight = op.given(1, "weight")
    ids = merge_over(known, ids, [ids.dim() - rank - 1])
    made = _stretch(ids, op.outs[0].shape, rank)
    strides = _each(op.given(3, "stride", 1), rank)
    kernel = weight.shape[-rank:] if isinstance(weight, Slot) else (1,) * rank
    if any(size > step for size, step in zip(kernel, strides, strict=True)) and would_mix(known, made):
        made = known.unsee(made, f"a transposed convolution{op.where}")
    return made.expand(op.outs[0].shape)


def pool(known: Identities, op: Op, ids: Tensor) -> Tensor:
    """Identities of a pooling: all that its window covers, in the place of the cell of its stride."""
    rank = next(int(sign) for sign in op.name if sign.isdigit())
    out = op.outs[0].shape
    ids = _thin(ids, rank)
    if any(wanted < size for wanted, size in zip(out[-rank:], ids.shape[-rank:], strict=True)):
        ids = _smooth_waiting(known, ids)
    if op.name.startswith("adaptive"):
        windows = [_share(ids.shape[axis - rank], out[axis - rank]) for axis in range(rank)]
    else:
        first = 2 if op.name.startswith("lp_") else 1
        kernel = _each(op.given(first, "kernel_size"), rank)
        strides = op.given(first + 1, "stride", None)
        strides = kernel if strides is None or strides == [] else _each(strides, rank)
        pads = _each(op.given(first + 2, "padding", 0), rank) if first == 1 else [0] * rank
        return _gather(known, ids, out, strides, pads, kernel).expand(out)
    return _cover(known, ids, windows, rank).expand(out)


def fold(known: Identities, op: Op, ids: Tensor) -> Tensor:
    """Identities of pieces put together to an image; where they lie over one another, they add up.

    Raises:
        CannotMoveError: pieces over one another that are not the same token of it, each as attention left it.
    """
    out = op.outs[0].shape
    settings = op.args[1:], {key: value for key, value in op.kwargs.items() if key != "input"}
    pieces = _cut_places(out, settings[0], settings[1])  # (window, pieces) of the places from 1 on, 0 for none
    window, count = pieces.shape
    ids = ids[(None,) * (3 - ids.dim())].unflatten(1, (-1, window))
    ids = merge_over(known, ids, [1])[:, 0].expand(ids.shape[0], window, count)
    rows = torch.zeros(len(ids), math.prod(out[-2:]) + 1, window, dtype=torch.int64)
    rows[:, pieces, torch.arange(window)[:, None]] = ids
    made = _add_up(known, rows[:, 1:].reshape(-1, window))
    return made.view(len(ids), 1, *out[-2:])[0 if len(out) == 3 else slice(None)].expand(out)


def _cut_places(out: Sequence[int], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    places = torch.arange(1, math.prod(out[-2:]) + 1, dtype=torch.float64).view(1, 1, *out[-2:])
    more = {key: value for key, value in kwargs.items() if key != "output_size"}
    return F.unfold(places, *(args if "output_size" in kwargs else args[1:]), **more)[0].long()


def _add_up(known: Identities, rows: Tensor) -> Tensor:
    """What attention made of the same token for several windows, (places, windows), as one."""
    there = rows != CONSTANT
    largest = rows.amax(1)
    several = (there & (rows != largest[:, None])).any(1)
    if not bool(several.any()):
        return largest
    bases = known.base(rows[several].reshape(-1)).view(-1, rows.shape[1])
    whole = bases.amax(1)
    if bool(((bases != whole[:, None]) & there[several]).any()) or bool((whole == CONSTANT).any()):
        raise CannotMoveError("pieces of an image that lie over one another")
    made = largest.clone()
    made[several] = known.join(rows[several], whole)
    return made


def resize(known: Identities, op: Op, ids: Tensor) -> Tensor:
    """Identities after `interpolate`: what lies under each place; tokens that are mixed by it are noted as unseen."""
    out = op.outs[0].shape
    rank = len(out) - 2
    ids = _thin(ids, rank)
    windows = []
    for axis in range(rank):
        size, wanted = ids.shape[axis - rank], out[axis - rank]
        if wanted >= size:
            near = ((torch.arange(wanted) * 2 + 1) * size) // (2 * wanted)
            windows.append((near, near))
        else:
            windows.append(_share(size, wanted))
    made = _cover(known, ids, windows, rank)
    smooth = op.given(3, "mode", "nearest") not in ("nearest", "nearest-exact", "area")
    if smooth and tuple(ids.shape[-rank:]) != tuple(out[-rank:]) and would_mix(known, ids, plain=True):
        made = known.unsee(made, "interpolation between tokens")
    return made.expand(out)


Window = tuple[Tensor, Tensor]
"""The first and the last place of the input that each place of the output covers."""


def _thin(ids: Tensor, rank: int) -> Tensor:
    """One channel (and one image) where they do not differ."""
    for axis in range(ids.dim() - rank):
        if ids.shape[axis] > 1 and ids.stride(axis) == 0:
            ids = ids.narrow(axis, 0, 1)
    return ids


def _each(value: Any, rank: int) -> list[int]:
    values = list(value) if isinstance(value, tuple | list) else [value]
    return [int(each) for each in (values * rank if len(values) == 1 else values)]


def _gather(
    known: Identities,
    ids: Tensor,
    out: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    reach: Sequence[int],
) -> Tensor:
    """Fewer tokens, each made of all in its window, and in the place of the cell of its stride.

    Windows that overlap would draw tokens that are all looked at alike as stripes; cells of strides do not overlap.
    """
    rank = len(strides)
    placed = _cover(known, ids, _list_cells(ids, out, strides, pads, reach), rank)
    if not any(size > step for size, step in zip(reach, strides, strict=True)) or not would_mix(known, ids, plain=True):
        return placed
    sizes = zip(ids.shape[-rank:], out[-rank:], strides, pads, reach, strict=True)
    made = _cover(known, ids, [_window(*each) for each in sizes], rank)
    return known.put(made.reshape(-1), placed.reshape(-1)).view(made.shape)


def _list_cells(
    ids: Tensor, out: Sequence[int], strides: Sequence[int], pads: Sequence[int], reach: Sequence[int]
) -> list[Window]:
    """The cells of strides, along each axis; an axis of one place has that alone."""
    rank = len(strides)
    sizes = [size if size > 1 else None for size in ids.shape[-rank:]]
    return [_cell(*each) for each in zip(sizes, out[-rank:], strides, pads, reach, strict=True)]


def _cell(size: int | None, wanted: int, stride: int, pad: int, reach: int) -> Window:
    """The cell of the stride around each window's centre."""
    places = torch.arange(wanted)
    if size is None:
        return torch.zeros_like(places), torch.zeros_like(places)
    if -(-size // stride) == wanted or size // stride == wanted:
        low = places * stride
    else:
        low = places * stride - pad + (reach - 1) // 2 - (stride - 1) // 2
    return low.clamp(0, size - 1), (low + stride - 1).clamp(0, size - 1)


def _window(size: int, wanted: int, stride: int, pad: int, kernel: int) -> Window:
    low = torch.arange(wanted) * stride - pad
    return low.clamp(0, size - 1), (low + kernel - 1).clamp(0, size - 1)


def _share(size: int, wanted: int) -> Window:
    """The bins of an adaptive pooling."""
    places = torch.arange(wanted)
    return places * size // wanted, -(-(places + 1) * size // wanted) - 1


def _cover(known: Identities, ids: Tensor, windows: Sequence[Window], rank: int) -> Tensor:
    """One identity for each place of the output."""
    if all(bool((low == high).all()) for low, high in windows):
        return _pick(ids, [low for low, _ in windows], rank)
    first, last = (_pick(ids, [window[end] for window in windows], rank) for end in (0, 1))
    if bool(known.is_input(ids).all()) and _lie_in_order(known, ids, rank):
        return _span(known, first, last)
    parts = [first]
    for number in _offsets([int((high - low).max()) for low, high in windows]):
        places = [torch.minimum(low + step, high) for (low, high), step in zip(windows, number, strict=True)]
        parts.append(_pick(ids, places, rank))
    rows = torch.stack(parts, -1)
    return known.merge(rows.reshape(-1, len(parts))).view(rows.shape[:-1])


def _lie_in_order(known: Identities, ids: Tensor, rank: int) -> bool:
    """Whether places lie as in their input along each axis, neither turned nor cut up and put together again."""
    for axis in range(ids.dim() - rank):
        ids = ids.narrow(axis, 0, 1)  # a channel of an image
    if bool((ids >= LEAF).all()):  # elements are numbered in order
        return all(bool((ids.diff(dim=axis - rank) > 0).all()) for axis in range(rank))
    low = known.origin(ids.reshape(-1)).low.view(*ids.shape, 3)
    return all(bool((low.diff(dim=axis - 1 - rank) >= 0).all()) for axis in range(rank))


def _offsets(most: Sequence[int]) -> list[tuple[int, ...]]:
    return [
        tuple(each)
        for each in torch.cartesian_prod(*[torch.arange(size + 1) for size in most]).view(-1, len(most)).tolist()
    ]


def _pick(ids: Tensor, places: Sequence[Tensor], rank: int) -> Tensor:
    for axis, chosen in enumerate(places):
        ids = ids.index_select(axis - rank, chosen)
    return ids


def _span(known: Identities, first: Tensor, last: Tensor) -> Tensor:
    """The cells from one corner to the other, of one input."""
    low, high = known.origin(first.reshape(-1)), known.origin(last.reshape(-1))
    size = (high.high - low.low).clamp(min=0).prod(1)
    return known.cells(low.source, low.item, low.low, high.high, size).view(first.shape)


def _stretch(ids: Tensor, shape: Sequence[int], rank: int) -> Tensor:
    places = []
    for axis in range(rank):
        size, wanted = ids.shape[axis - rank], shape[axis - rank]
        places.append((torch.arange(wanted) * size // wanted).clamp(max=size - 1))
    return _pick(ids, places, rank)
