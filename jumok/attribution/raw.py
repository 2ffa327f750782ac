"""The weights of one layer as they are: one head, or the mean over heads."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from jumok.attention import AttentionMap, One, Patches, Place
from jumok.attribution.rows import find_read, has_class_token
from jumok.watching.chain import MEAN, find_query
from jumok.watching.seen import Seen

__all__ = ["average_queries", "raw"]


def raw(
    seen: Seen, target: Tensor, query: Place | None = None, *, layer: str | int = -1, head: int | None = None
) -> AttentionMap:
    """Where one query looked in one layer.

    Args:
        seen: of the pass.
        target: any; its value makes no difference.
        query: the token that looks, or "mean" for the average over all that cover pixels; None: `cls` where one is
            known by name, else those that the target was read off.
        layer: the name or the number of the call; negative from the end.
        head: from 0; None: the mean over heads.
    Returns:
        (batch, 1, tokens), a distribution.
    Raises:
        JumokError: no such call, head or query.
    Source: Bahdanau, Cho & Bengio 2015, arXiv 1409.0473, figure 3.
    """
    found = _average_places(seen[layer]) if query == MEAN else _find_row(seen, target, query, layer)
    if "head" not in found.lead:
        return found
    return found.mean("head") if head is None else found.at(head=head)


def _find_row(seen: Seen, target: Tensor, query: Place | None, layer: str | int) -> AttentionMap:
    """The row of one query, or the mean over those that the target was read off."""
    queries = seen.axes(layer)[0]
    if query is None and not has_class_token(queries):
        attended = seen.attended(layer)
        read = find_read(attended, queries, target, attended.shape[0])
        if read is not None:
            whole, (shares, label) = seen[layer], read
            rows = torch.einsum("b...qk,bq->b...k", whole.weights, shares.to(whole.weights.device))
            return replace(whole, weights=rows[..., None, :], queries=One(label))
    return seen.row(layer, find_query("cls" if query is None else query, queries))


def _average_places(whole: AttentionMap) -> AttentionMap:
    return average_queries(whole, len(whole.queries.special) if isinstance(whole.queries, Patches) else 0)


def average_queries(whole: AttentionMap, first: int) -> AttentionMap:
    """One row: the mean over the queries from the first on."""
    rows = whole.weights[..., first:, :].mean(-2, keepdim=True)
    return AttentionMap(rows, One(MEAN), whole.keys, whole.lead, whole.scale, whole.source)
