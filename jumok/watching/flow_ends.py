"""The tokens that a chain of calls begins and ends with: by image, in the order of their places, as an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from jumok.attention import Axis
from jumok.errors import JumokError
from jumok.watching.calls import Call
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.origins import Origin


def is_one_sequence(first: Call, entries: Tensor) -> bool:
    """Whether all tokens that the calls begin with are keys of the first, as words beside the places of an image."""
    keys = first.tokens.keys
    return keys is not None and bool(torch.isin(entries, keys.reshape(-1)).all())


def by_image(call: Call, rows: Tensor) -> Tensor:
    """(images, tokens of all windows)."""
    images, _ = call.tokens.images
    return rows.reshape(images, -1) if images else rows


def sort_places(known: Identities, rows: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens of windows row by row, where they are places of an image."""
    if rows.shape[1] < 2:
        return rows, rows
    origin = known.origin(places.reshape(-1))
    key = _order_of(origin)
    images = origin.source >= 0
    item = origin.item.view(places.shape)
    if not bool(images.all()) or bool((item != item[:, :1]).any()):  # several images in one sequence stay apart
        return rows, rows
    kinds = {known.sources[int(source)].kind for source in origin.source.unique()}
    if kinds != {"image"}:
        return rows, rows
    key = key.view(places.shape)
    if bool((key[:, 1:] > key[:, :-1]).all()):
        return rows, rows
    order = key.argsort(dim=1, stable=True)
    return rows.gather(1, order), order


def _order_of(origin: Origin) -> Tensor:
    """A number by which places are in the order of time, rows and columns."""
    return origin.low[:, 0] * (1 << 40) + origin.low[:, 1] * (1 << 20) + origin.low[:, 2]


def group_entries(
    known: Identities, entries: Tensor, calls: Sequence[tuple[str, Call]], starts: Tensor
) -> tuple[Tensor, bool]:
    """The tokens that each image begins with, (batch, tokens), and whether they are the first call's keys."""
    first = calls[0][1]
    rows = by_image(first, first.tokens.keys)  # type: ignore[arg-type]
    rows = sort_places(known, rows, rows)[0]
    alike = rows.shape[0] == starts.shape[0] and all(len(row.unique()) == len(row) for row in rows)
    if alike and is_one_sequence(first, entries):
        return rows, True
    batch = starts.shape[0]
    item = known.origin(entries).item
    items = item.unique()
    if len(items) != batch == len(rows) == 1 and is_one_sequence(first, entries):
        return _take_once(rows), True  # several images in one sequence, with a learnt token between rows of places
    if len(items) != batch or bool((items < 0).any()):
        raise JumokError(
            "the tokens that these calls begin with cannot be told apart by image or sentence: choose a part with "
            "seen.only(prefix)"
        )
    parts = [entries[item == each] for each in items]
    if len({len(part) for part in parts}) > 1:
        raise JumokError("the images of this batch begin with different numbers of tokens: give them one by one")
    grouped = torch.stack(parts)
    origin = known.origin(grouped.reshape(-1))
    key = (
        (origin.source >= 0) * (1 << 60)
        + origin.low[:, 0] * (1 << 40)
        + origin.low[:, 1] * (1 << 20)
        + origin.low[:, 2]
    )
    return grouped.gather(1, key.view(grouped.shape).argsort(dim=1, stable=True)), False


def _take_once(rows: Tensor) -> Tensor:
    """(1, tokens) of one sequence without those that were there before."""
    _, number = rows[0].unique(return_inverse=True)
    first = torch.full((int(number.max()) + 1,), rows.shape[1]).scatter_reduce(
        0, number, torch.arange(rows.shape[1]), "amin"
    )
    return rows[:, first.sort().values]


def lay_out(
    known: Identities, name: Callable[[Tensor], Axis], grouped: Tensor, whole: bool
) -> tuple[Axis, Tensor, Tensor]:
    """The axis of the input's tokens, and which identities each of its entries is made of, with their shares.

    Returns:
        The axis of (batch, keys); identities and shares, (batch, keys, most) each.
    """
    batch, count = grouped.shape
    origin = known.origin(grouped[0])
    places = origin.source >= 0
    low, high = origin.low[places], origin.high[places]
    fine = None if whole else _find_finest(low, high)
    if fine is None:
        return name(grouped), grouped[..., None], torch.ones(batch, count, 1)
    kept, inside = fine
    tokens = torch.cat([(~places).nonzero()[:, 0], places.nonzero()[:, 0][kept]])
    within = torch.zeros(len(tokens), count, dtype=torch.bool)
    front = int((~places).sum())
    within[torch.arange(front), tokens[:front]] = True
    within[front:, places] = inside
    shares = within / within.sum(0, keepdim=True).clamp(min=1)
    most = int(within.sum(1).max())
    top = shares.topk(most, 1)
    cells = grouped[:, top.indices]
    axis = name(grouped[:, tokens])
    return axis, cells, top.values.expand(batch, -1, -1)


def _find_finest(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor] | None:
    """Where places of several sizes lie over one another: the finest, and which of all each lies in."""
    if len(low) < 2:
        return None
    size = (high - low).prod(1)
    if bool((size <= size.min() * 2).all()) and len(low.unique(dim=0)) == len(low):
        return None
    centre = (low + high).double() / 2
    fine = size <= size.min() * 2
    kept = fine.nonzero()[:, 0]
    at = centre[kept][:, None]
    inside = ((at >= low[None]) & (at < high[None])).all(-1)
    if not bool(inside.any(0).all()):
        return None
    corners = low[kept]
    _, inverse = corners.unique(dim=0, return_inverse=True)
    first = torch.stack([(inverse == number).int().argmax() for number in range(int(inverse.max()) + 1)])
    return kept[first], inside[first]
