"""Attention weights times the length of what they weigh: a large weight on a short value moves little."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from jumok.attention import AttentionMap, Place, Scale
from jumok.attention.attended import Sloped
from jumok.attribution.raw import raw
from jumok.errors import JumokError
from jumok.watching.seen import Seen

__all__ = ["value_weighted"]


def value_weighted(seen: Seen, target: Tensor, query: Place | None = None, *, layer: str | int = -1) -> AttentionMap:
    """How far each key moved one query in one layer: the mean over heads of A ||v||.

    Args:
        seen: of a pass with gradients, which keeps the values.
        target: any; its value makes no difference.
        query: the token that looks, or "mean"; None: as for raw.
        layer: the name or the number of the call; negative from the end.
    Returns:
        (batch, 1, tokens), 0 or more.
    Raises:
        JumokError: no such call or query, or its values were not kept.
    Source: Kobayashi et al. 2020, Attention is not only a weight, arXiv 2004.10102, section 3. Differs: each head's
        values are measured before the output projection, and heads are averaged, not added as vectors.
    """
    attended = seen.attended(layer)
    if not isinstance(attended, Sloped):
        raise JumokError(f"attention by {type(attended).__name__} does not tell its values: use raw")
    lengths = attended.value_norms()
    heads = [raw(seen, target, query, layer=layer, head=head).weights for head in range(lengths.shape[1])]
    shown = raw(seen, target, query, layer=layer)
    weights = (torch.stack(heads, 1) * lengths[:, :, None]).mean(1)
    source = f"value-weighted({shown.source})"
    return dataclasses.replace(shown, weights=weights, scale=Scale.RELEVANCE, source=source)
