"""The weights of one layer as they are: one head, or the mean over heads."""

from __future__ import annotations

from torch import Tensor

from jumok.attention import AttentionMap, One, Patches, Place
from jumok.watching.chain import MEAN
from jumok.watching.seen import Seen

__all__ = ["average_queries", "raw"]


def raw(
    seen: Seen, target: Tensor, query: Place = "cls", *, layer: str | int = -1, head: int | None = None
) -> AttentionMap:
    """Where one query looked in one layer.

    Args:
        seen: of the pass.
        target: any; it makes no difference.
        query: the token that looks, or "mean" for the average over all that cover pixels.
        layer: the name or the number of the call; negative from the end.
        head: from 0; None: the mean over heads.
    Returns:
        (batch, 1, tokens), a distribution.
    Raises:
        JumokError: no such call, head or query.
    Source: Bahdanau, Cho & Bengio 2015, arXiv 1409.0473, figure 3.
    """
    found = _average_places(seen[layer]) if query == MEAN else seen.row(layer, query)
    if "head" not in found.lead:
        return found
    return found.mean("head") if head is None else found.at(head=head)


def _average_places(whole: AttentionMap) -> AttentionMap:
    return average_queries(whole, len(whole.queries.special) if isinstance(whole.queries, Patches) else 0)


def average_queries(whole: AttentionMap, first: int) -> AttentionMap:
    """One row: the mean over the queries from the first on."""
    rows = whole.weights[..., first:, :].mean(-2, keepdim=True)
    return AttentionMap(rows, One(MEAN), whole.keys, whole.lead, whole.scale, whole.source)
