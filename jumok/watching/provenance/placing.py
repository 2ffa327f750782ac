"""Which axes of an attention call are images, windows and heads: told from its tokens."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from jumok.watching.provenance.call_tokens import (
    TOKENS,
    Arrangement,
    CallTokens,
    Fold,
)
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.moving import CannotMoveError
from jumok.watching.provenance.ops import Op
from jumok.watching.provenance.origins import CONSTANT, CONSTANT_SOURCE, FOREIGN, LEAF, LEARNT_SOURCE, PLAIN
from jumok.watching.provenance.shadows import compact, is_even
from jumok.watching.provenance.spreading import part_spread

GROUPED = "groups of heads that read different tokens (grouped-query attention)"
"""Why tokens are not known: a map has the same keys in all heads, or as many sets of keys as heads."""


def place(
    known: Identities, op: Op, queries: Tensor, keys: Tensor, *, headless: bool = False
) -> tuple[CallTokens, Tensor]:
    """Tell the axes of a call from its tokens.

    Args:
        known: the table.
        op: the call.
        queries: (lead..., queries).
        keys: (lead..., keys) or (lead..., queries, keys).
        headless: no axis in front is of heads, as the call makes them itself.
    Returns:
        What is known, and the identities of the outputs: (lead..., queries).
    Raises:
        CannotMoveError: groups of heads share keys that are of different tokens.
    """
    own = keys.dim() > queries.dim()
    lead = tuple(queries.shape[:-1])
    bare = _is_bare(known, queries)
    missing = queries.dim() + own - keys.dim()
    keys = keys[(None,) * missing] if missing > 0 else keys
    if any(
        size not in (1, lead[axis]) and not is_even(keys, axis) for axis, size in enumerate(keys.shape[: len(lead)])
    ):
        raise CannotMoveError(GROUPED)
    every = tuple(range(len(lead))), ()
    batch, heads = every if headless else _split_by_rank(lead) if bare else _split_lead(known, queries, keys, lead)
    folded = packed = None
    if headless:
        pass
    elif bare:
        folded = (
            Fold(op.notes.heads, inner=True)
            if len(lead) == 1 and op.notes.heads > 1 and lead[0] % op.notes.heads == 0
            else None
        )
    elif lead and not any(lead[axis] > 1 for axis in heads):
        folded = _find_fold(known, queries.reshape(lead[0], -1), keys.reshape(keys.shape[0], -1), lead[0])
    if not own and not bare and not headless and queries.shape[-1] > 1:
        packed = _find_packed(known, queries, op.notes.heads // math.prod(lead[axis] for axis in heads))
    if folded and not batch:  # a single image whose heads were all that the axis held
        batch, heads = (0,), tuple(axis for axis in heads if axis)
    arrangement = Arrangement(lead, batch, heads, folded, packed)
    rows = arrangement.apply(queries.unsqueeze(-1))[:, 0, :, 0]
    if own:
        seen = arrangement.apply(keys, queries=True)[:, 0]
    else:
        seen = arrangement.apply(keys.unsqueeze(-1), queries=False)[:, 0, :, 0]
    seen = seen.expand(len(rows), *seen.shape[1:])
    items = _find_items(known, rows, seen)
    images, turned = _count_images(items)
    if turned:
        arrangement = replace(arrangement, turned=turned)
        rows, seen, items = (
            each.unflatten(0, (-1, turned)).transpose(0, 1).flatten(0, 1) for each in (rows, seen, items)
        )
    rows, seen = (localise(known, part_spread(known, each), items) for each in (rows, seen))
    states = known.attend(op.notes.calls[0], rows)
    found = CallTokens(TOKENS, "", rows, seen, states, images, None if arrangement.is_plain else arrangement)
    return found, _undo(arrangement, states, queries)


def _is_bare(known: Identities, queries: Tensor) -> bool:
    """Whether the queries were handed to the model as they are, so that no token tells an image from a head."""
    flat = compact(queries).reshape(-1)
    return len(flat) > 0 and bool(_find_handed(known, flat).all())


def _find_handed(known: Identities, ids: Tensor) -> Tensor:
    """Which identities are of something that was handed to the model as it is: they differ from head to head, too."""
    kinds = [source.kind == FOREIGN or (source.kind == PLAIN and source.dims[2] > 1) for source in known.sources]
    source = ids // LEAF - 1
    return torch.tensor([*kinds, False])[source]  # -1, the last, is no element of an input


def _split_by_rank(lead: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(batch..., heads), as PyTorch's own attention has them."""
    axes = tuple(range(len(lead)))
    return (axes[:-1], axes[-1:]) if len(lead) > 1 else (axes, ())


def _split_lead(
    known: Identities, queries: Tensor, keys: Tensor, lead: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Which axes in front are images or windows, and which are heads: those along which no token differs."""
    default = {len(lead) - 1} if len(lead) > 1 else set()
    if not bool(known.is_weak(compact(queries)).all()):  # a cache that was filled before tells no heads
        keys = torch.where(_find_handed(known, keys), CONSTANT, keys)
    even = {
        axis
        for axis, size in enumerate(lead)
        if size > 1 and is_even(queries, axis) and (keys.shape[axis] == 1 or is_even(keys, axis))
    }
    wide = {axis for axis, size in enumerate(lead) if size > 1}
    if wide and even == wide and (len(wide) > 1 or wide != default) and not _is_one_item(known, queries, keys):
        even = wide & default  # nothing tells them apart
    elif _are_of_several(known, queries):  # as where the images of a batch were mixed: each slice holds the same
        even &= default
    heads = {axis for axis in default if lead[axis] == 1} | even
    if not heads and len(lead) > 1 and not (wide - even):
        heads = default
    return tuple(axis for axis in range(len(lead)) if axis not in heads), tuple(sorted(heads))


def _is_one_item(known: Identities, queries: Tensor, keys: Tensor) -> bool:
    """Whether tokens are known and all of one item."""
    for ids in (queries, keys):
        flat = compact(ids).reshape(-1)
        origin = known.origin(flat)
        there = origin.source >= 0
        if bool(there.any()):
            return len(origin.item[there].unique()) == 1 and int(origin.item[there][0]) >= 0
    return False


def _are_of_several(known: Identities, queries: Tensor) -> bool:
    """Whether each token was made of several items of the batch."""
    origin = known.origin(compact(queries).reshape(-1))
    there = origin.source >= 0
    return bool(there.any()) and bool((origin.item[there] < 0).all())


def _find_fold(known: Identities, queries: Tensor, keys: Tensor, count: int) -> Fold | None:
    """Heads in the axis of the batch: slices that hold the same tokens."""
    rows = torch.cat([queries, keys.expand(count, -1)], 1)
    if count < 2 or bool(known.is_weak(rows).all()) or bool(known.is_lost(rows).any()):
        return None
    return _find_repeats(rows)


def _find_repeats(rows: Tensor) -> Fold | None:
    count = len(rows)
    alike = (rows[1:] == rows[:-1]).all(1)
    if bool(alike[0]):
        run = count if bool(alike.all()) else int((~alike).int().argmax()) + 1
        if count % run == 0 and bool((rows.unflatten(0, (-1, run)) == rows[::run, None]).all()):
            return Fold(run, inner=True)
        return None
    again = (rows[1:] == rows[0]).all(1)
    if bool(again.any()):
        period = int(again.int().argmax()) + 1
        if count % period == 0 and bool((rows.unflatten(0, (-1, period)) == rows[:period]).all()):
            return Fold(count // period, inner=False)
    return None


def _find_packed(known: Identities, queries: Tensor, wanted: int) -> Fold | None:
    """Heads in the axis of the queries: the same single word as many times as heads are missing."""
    if wanted < 2:
        return None
    rows = queries.reshape(-1, queries.shape[-1]).T
    if (
        not bool((rows[1:] == rows[0]).all(1).any())
        or bool(known.is_weak(rows).any())
        or bool(known.is_lost(rows).any())
    ):
        return None
    if bool((known.origin(rows.reshape(-1)).size != 1).any()):
        return None
    found = _find_repeats(rows)
    return found if found is not None and found.count == wanted else None


def _find_items(known: Identities, rows: Tensor, seen: Tensor) -> Tensor:
    """The item of the batch that each slice belongs to; -1 where none or several."""
    found = torch.full((len(rows),), -1)
    sources = torch.zeros(0, dtype=torch.int64)
    for ids in (rows, seen.flatten(1)):
        origin = known.origin(ids.reshape(-1))
        item, source = origin.item.view(ids.shape), origin.source.view(ids.shape)
        there = (source >= 0) & (item >= 0)
        found = torch.where(found < 0, _agree(item, there), found)
        sources = torch.cat([sources, source[there].unique()])
    found = _find_by_words(known, rows, found)
    if bool((found < 0).all()) and bool(known.is_weak(torch.cat([rows, seen.flatten(1)], 1)).all()):
        return torch.arange(len(rows))  # learnt tokens alone: each slice is of an image of its own
    return _fill_items(found, max((known.sources[source].dims[0] for source in sources.tolist()), default=0))


def _agree(item: Tensor, there: Tensor) -> Tensor:
    """The one item of each slice's tokens; -1 where there is none, or several."""
    far = torch.iinfo(torch.int64).max
    low, high = item.masked_fill(~there, far).amin(1), item.masked_fill(~there, -1).amax(1)
    return torch.where(low == high, low, -1)


def _find_by_words(known: Identities, rows: Tensor, items: Tensor) -> Tensor:
    """The items of texts with several images in them: those of their words, where each slice has a text of its own."""
    if bool((items >= 0).all()):
        return items
    origin = known.origin(rows.reshape(-1))
    found = _agree(origin.item.view(rows.shape), known.is_text(origin.source).view(rows.shape))
    alone = bool((items < 0).all()) or len(found.unique()) == len(found)
    return torch.where(items < 0, found, items) if alone and bool((found >= 0).all()) else items


def _fill_items(items: Tensor, images: int) -> Tensor:
    """The items of windows that hold nothing but padding, from the order of the rest."""
    present = items[items >= 0].unique()
    if images == 0 or bool((items >= 0).all()) or len(present) != images or len(items) % images:
        return items
    windows = len(items) // images
    orders = [present.repeat_interleave(windows), present.repeat(windows)]
    fitting = [order for order in orders if bool(((order == items) | (items < 0)).all())]
    return fitting[0] if len(fitting) == 1 or images == 1 else items


def _count_images(items: Tensor) -> tuple[tuple[int, int], int]:
    """How many images and windows of each the slices are; and how many images, where windows come first."""
    count = len(items)
    if count == 0 or bool((items < 0).any()):
        return (count, 1), 0
    images = len(items.unique())
    if count % images or images == count:
        return (count, 1), 0
    windows = count // images
    if bool((items.view(images, windows) == items[::windows, None]).all()):
        return (images, windows), 0
    if bool((items.view(windows, images) == items[:images]).all()):
        return (images, windows), images
    return (count, 1), 0


def localise(known: Identities, ids: Tensor, items: Tensor) -> Tensor:
    """Learnt and constant tokens as those of one item, so that what an image's cls token gathers is not another's."""
    weak = known.is_weak(ids)
    if not bool(weak.any()):
        return ids
    ends = (-1, *(1,) * (ids.dim() - 1))
    item = items.view(ends).expand(ids.shape)[weak]
    column = torch.arange(ids.shape[-1]).expand(ids.shape)[weak]
    which = ids[weak]
    constant = which == CONSTANT
    nothing = torch.zeros_like(which)
    place = torch.stack([torch.where(constant, column, which), nothing, nothing], 1)
    source = torch.where(constant, CONSTANT_SOURCE, LEARNT_SOURCE)
    found = ids.clone()
    found[weak] = known.cells(source, item, place, place, nothing)
    return found


def _undo(arrangement: Arrangement, states: Tensor, like: Tensor) -> Tensor:
    """Identities of (batch x windows, queries) in the call's own axes (lead..., queries)."""
    numbers = torch.arange(like.numel()).view(like.shape).unsqueeze(-1)
    places = arrangement.apply(numbers)[..., 0]  # (n, heads, queries) -> element
    flat = torch.empty(like.numel(), dtype=torch.int64)
    flat[places.reshape(-1)] = states[:, None].expand(places.shape).reshape(-1)
    found = flat.view(like.shape)
    for axis in arrangement.heads:
        if not (arrangement.folded or arrangement.packed) and found.shape[axis] > 1:
            found = found.narrow(axis, 0, 1).expand(like.shape)
    return found
