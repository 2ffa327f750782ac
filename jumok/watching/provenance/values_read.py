"""What a call of attention reads: its values, which need not be made of the tokens that its keys are made of.

Scores tell how much a query takes from each place; what it takes are the values there. They are those of the keys'
tokens in nearly every model. Where they are others (of another input, moved, mixed with others before, or the same
tokens as a later layer left them), a chain of calls leads on from the values.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.origins import FOREIGN, PLAIN
from jumok.watching.provenance.shadows import compact, is_even


def read_values(known: Identities, queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """The tokens that look and those that are seen, by what is taken from them.

    Args:
        known: the table.
        queries: (lead..., queries) identities.
        keys: (lead..., keys), or (lead..., queries, keys), of the tokens that scores were formed with.
        values: as the keys, of what was weighed; learnt and constant ones tell nothing.
    """
    if values.shape != keys.shape:
        values = _thin_heads(values, keys.shape)
        if any(len({1, *sizes}) > 2 for sizes in zip(keys.shape, values.shape, strict=True)):
            return queries, keys
        keys, values = torch.broadcast_tensors(keys, values)
    if compact(keys).shape == compact(values).shape:
        thin, own = compact(keys), compact(values)
    else:
        thin, own = keys, values
    other = (thin != own) & ~known.is_weak(own) & ~(_are_handed(known, thin) & _are_handed(known, own))
    if not bool(other.any()):
        return queries, keys
    read = torch.where(other, _take(known, thin, own), thin)
    return _follow_states(known, queries, thin[other], own[other]), read.expand(keys.shape)


def _thin_heads(values: Tensor, shape: Sequence[int]) -> Tensor:
    """One head of values that have another number of heads than the keys, where all are of the same tokens."""
    for axis, (own, wanted) in enumerate(zip(values.shape, shape, strict=True)):
        if own != wanted and is_even(values, axis):
            values = values.narrow(axis, 0, 1)
    return values


def _take(known: Identities, keys: Tensor, values: Tensor) -> Tensor:
    """The tokens of values; of those that are lost, or mixed of others, the tokens of the keys, mixed unseen."""
    hidden = known.is_lost(values) | (known.is_unseen(values) & ~known.descends(values, keys))
    if not bool(hidden.any()):
        return values
    notes = [note for kind in ("lost", "unseen") for note in known.notes(values[hidden], kind)]
    return torch.where(hidden, known.unsee(keys, "; ".join(notes)), values)


def _follow_states(known: Identities, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Queries in the state in which they are read, where scores are those of an earlier layer that is used again."""
    later = known.is_attended(values) & known.descends(values, keys)
    if not bool(later.any()):
        return queries
    tokens, place = keys[later].unique(return_inverse=True)
    states = torch.zeros_like(tokens).scatter_reduce(0, place, values[later], "amax")
    flat = compact(queries)
    found = torch.searchsorted(tokens, flat.contiguous()).clamp(max=len(tokens) - 1)
    return torch.where(tokens[found] == flat, states[found], flat).expand(queries.shape)


def _are_handed(known: Identities, ids: Tensor) -> Tensor:
    """Whether each was handed to the model as it is, as the keys and the values of a cache are, each by itself."""
    kinds = torch.tensor([source.kind in (FOREIGN, PLAIN) for source in known.sources] or [False])
    source = known.origin(ids.reshape(-1)).source.view(ids.shape)
    return known.is_input(ids) & (source >= 0) & kinds[source.clamp(min=0)]
