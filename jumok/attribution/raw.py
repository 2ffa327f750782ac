"""The weights of one layer as they are: one head, or the mean over heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from jumok.attention import AttentionMap, One, Patches, Place, Scale
from jumok.attention.attended import Attended
from jumok.attribution.rows import find_read, has_class_token
from jumok.errors import JumokError
from jumok.watching.chain import MEAN, find_query, start_row
from jumok.watching.seen import Seen

__all__ = ["average_queries", "join_windows", "raw"]

Pull = Callable[[Attended, Tensor], Tensor]
"""What a call makes of a row of its queries: (batch, queries) to (batch, keys)."""


def raw(
    seen: Seen, target: Tensor, query: Place | None = None, *, layer: str | int = -1, head: int | None = None
) -> AttentionMap:
    """Where one query looked in one layer; of a layer of windows, its keys are those of the whole image.

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
    heads = seen.heads() if layer == -1 else []
    if len(heads) > 1:
        return _join_heads(seen, target, query, heads if head is None else [_choose_one(heads, head)])
    if seen.has_windows(layer):
        return join_windows(seen, query, layer, _choose_head(seen.attended(layer), head))
    found = _average_places(seen[layer]) if query == MEAN else _find_row(seen, target, query, layer)
    if "head" not in found.lead:
        return found
    return found.mean("head") if head is None else found.at(head=head)


def _choose_one(heads: Sequence[str], head: int) -> str:
    """One of the calls that are heads of a layer."""
    if not -len(heads) <= head < len(heads):
        raise JumokError(f"head={head} is outside the {len(heads)} of this map")
    return heads[head]


def _join_heads(seen: Seen, target: Tensor, query: Place | None, heads: Sequence[str]) -> AttentionMap:
    """The mean over calls that are heads of one layer."""
    found = [raw(seen, target, query, layer=name) for name in heads]
    weights = torch.stack([each.weights for each in found]).mean(0)
    return replace(found[-1], weights=weights, source=", ".join(each.source for each in found))


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
    return seen.row(layer, find_query(query, queries))


def join_windows(
    seen: Seen, query: Place | None, layer: str | int, pull: Pull, scale: Scale = Scale.DISTRIBUTION
) -> AttentionMap:
    """One row over the image, of a layer whose queries look at their own window only.

    Args:
        seen: of the pass.
        query: the token of the image that looks, or "mean" for the average over those of all windows, as None, for
            models of windows read their answer off all of them.
        layer: the name or the number of the call.
        pull: what the call makes of a row of queries.
        scale: of the values.
    Returns:
        (batch, 1, tokens).
    Raises:
        JumokError: no such query, or the tokens of the windows are not known.
    """
    alone = seen.single(layer)
    flow = alone.flow(partial=True)
    start, label = start_row(MEAN if query is None else query, flow.queries, flow.batch, flow.layers[0].device)
    row, _ = flow.carry(start, lambda number, row: pull(flow.layers[number], row), passed=0, attended=1, shared=True)
    return AttentionMap(row[:, None].float(), One(label), flow.keys, ("batch",), scale, alone.names[0])


def _choose_head(attended: Attended, head: int | None) -> Pull:
    if head is None:
        return lambda call, row: call.pull(row)
    heads = attended.shape[1]
    if not -heads <= head < heads:
        raise JumokError(f"head={head} is outside the {heads} of this map")
    return lambda call, row: torch.einsum("bq,bqk->bk", row, call.weights()[:, head])


def _average_places(whole: AttentionMap) -> AttentionMap:
    return average_queries(whole, len(whole.queries.special) if isinstance(whole.queries, Patches) else 0)


def average_queries(whole: AttentionMap, first: int) -> AttentionMap:
    """One row: the mean over the queries from the first on."""
    rows = whole.weights[..., first:, :].mean(-2, keepdim=True)
    return AttentionMap(rows, One(MEAN), whole.keys, whole.lead, whole.scale, whole.source)
