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
from jumok.watching.provenance.moving import CannotMoveError
from jumok.watching.provenance.origins import FOREIGN, PLAIN
from jumok.watching.provenance.placing import GROUPED
from jumok.watching.provenance.shadows import compact, is_even


def read_values(known: Identities, queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """The tokens that look and those that are seen, by what is taken from them.

    Args:
        known: the table.
        queries: (lead..., queries) identities.
        keys: (lead..., keys), or (lead..., queries, keys), of the tokens that scores were formed with.
        values: as the keys, of what was weighed, but for the number of heads; learnt and constant ones tell nothing.
    Raises:
        CannotMoveError: keys and values have each another number of heads, of different tokens.
    """
    if values.shape != keys.shape:
        keys, values = torch.broadcast_tensors(_thin_heads(keys, values.shape), _thin_heads(values, keys.shape))
    if compact(keys).shape == compact(values).shape:
        thin, own = compact(keys), compact(values)
    else:
        thin, own = keys, values
    other = (thin != own) & ~known.is_weak(own) & ~_are_handed(known, thin, own)
    if not bool(other.any()):
        return queries, keys
    read = torch.where(other, _take(known, thin, own), thin)
    return _follow_states(known, queries, thin[other], own[other]), read.expand(keys.shape)


def _thin_heads(ids: Tensor, shape: Sequence[int]) -> Tensor:
    """One head of keys that have another number of heads than the values, or the other way round.

    Raises:
        CannotMoveError: these heads are of different tokens, and the others are several, too.
    """
    for axis, (own, wanted) in enumerate(zip(ids.shape, shape, strict=True)):
        if own != wanted and is_even(ids, axis):
            ids = ids.narrow(axis, 0, 1)
        elif own != wanted and wanted > 1:
            raise CannotMoveError(GROUPED)
    return ids


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


def _are_handed(known: Identities, keys: Tensor, values: Tensor) -> Tensor:
    """Whether both were handed to the model as they are, each by itself, as the keys and the values of a cache are."""
    kinds = torch.tensor([source.kind in (FOREIGN, PLAIN) for source in known.sources] or [False])
    sources = [known.origin(ids.reshape(-1)).source.view(ids.shape) for ids in (keys, values)]
    found = sources[0] != sources[1]
    for ids, source in zip((keys, values), sources, strict=True):
        found &= known.is_input(ids) & (source >= 0) & kinds[source.clamp(min=0)]
    return found
