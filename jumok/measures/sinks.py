"""Tokens that stand out: attention sinks, and tokens of outlying norm."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from jumok.attention import AttentionMap, Patches, Scale
from jumok.errors import JumokError

__all__ = ["Limits", "find_outliers", "find_patch_sinks", "find_sinks", "without_sinks"]


@dataclass(frozen=True)
class Limits:
    """From where on something is worth a warning.

    Args:
        sink_times: a sink gets so many times what the middle key of the same query gets,
        sink_queries: from at least this share of all queries,
        sink_values: and its value is shorter than this share of the middle value's length, where lengths are known.
        outlier_deviations: an outlier's norm lies so many robust standard deviations above the median,
        outlier_times: and is at least so many times the median.
        position: a head looks at positions only where at least this share of its pattern is the same for all inputs.
        spread: a head spreads over everything where its entropy is at least this share of the greatest.
        agreement: layers disagree below this rank correlation.
        alike: from here on all queries of a head look at the same tokens.
        sinks_weight: the share of `cls`'s weight on sinks from which its map hides the image.
    """

    sink_times: float = 5.0
    sink_queries: float = 0.9
    sink_values: float = 0.5
    outlier_deviations: float = 6.0
    outlier_times: float = 2.0
    position: float = 0.95
    spread: float = 0.98
    agreement: float = 0.2
    alike: float = 0.95
    sinks_weight: float = 0.3


def find_sinks(weights: Tensor, limits: Limits | None = None, *, values: Tensor | None = None) -> Tensor:
    """Find tokens that receive far more than their share from nearly all queries, whatever these are, and tell nothing.

    Measured against the middle (median) key, not the mean, so that several sinks do not hide each other. What all
    queries look at may also decide the answer; the length of its value tells the two apart.

    Args:
        weights: (batch, heads, queries, keys), 0 or more; the mean over heads is judged.
        limits: None: the usual ones.
        values: (batch, keys), the length of each key's value, mean over heads; None: not known, weights alone decide.
    Returns:
        (batch, keys) bool.
    Source: Xiao et al. 2023, arXiv 2309.17453, section 3.1 (attention sinks); Kobayashi et al. 2020, arXiv 2004.10102,
        section 4 (much looked at, short values). The rule is jumok's own.
    """
    limits = limits or Limits()
    mean = weights.float().mean(1)
    usual = mean.median(-1, keepdim=True).values
    found = (mean > limits.sink_times * usual).float().mean(1) >= limits.sink_queries
    if values is None:
        return found
    return found & (values < limits.sink_values * values.median(-1, keepdim=True).values)


def find_outliers(norms: Tensor, limits: Limits | None = None) -> Tensor:
    """Find tokens whose norm is far above that of the others of the same input.

    Args:
        norms: (batch, tokens), 0 or more.
        limits: None: the usual ones.
    Returns:
        (batch, tokens) bool.
    Source: Darcet et al. 2023, arXiv 2309.16588, section 2.1. Differs: a limit relative to each input's own norms.
    """
    limits = limits or Limits()
    norms = norms.float()
    middle = norms.median(-1, keepdim=True).values
    deviation = 1.4826 * (norms - middle).abs().median(-1, keepdim=True).values
    far = norms > middle + limits.outlier_deviations * deviation
    return far & (norms > limits.outlier_times * middle)


def find_patch_sinks(
    layers: Sequence[AttentionMap], values: Sequence[Tensor], limits: Limits | None = None
) -> list[int]:
    """Find the patches of one image that are sinks in at least one layer; special tokens cover nothing and stay.

    Args:
        layers: ([head,] queries, keys) each, from and to the same `Patches`.
        values: (keys,) for each layer, the length of each key's value, mean over heads.
        limits: None: the usual ones.
    Returns:
        keys by number, in order.
    Raises:
        JumokError: a layer of other axes.
    """
    found = set()
    for layer, lengths in zip(layers, values, strict=True):
        if layer.lead not in ((), ("head",)) or not isinstance(layer.keys, Patches):
            raise JumokError(f"wanted one image's ([head,] queries, patches), got {layer!r}: choose with .at")
        weights = layer.weights if layer.lead else layer.weights[None]
        sinks = find_sinks(weights[None], limits, values=lengths[None])[0]
        found |= {key for key in sinks.nonzero()[:, 0].tolist() if key >= len(layer.keys.special)}
    return sorted(found)


def without_sinks(attention: AttentionMap, sinks: Sequence[int]) -> AttentionMap:
    """Take the weights of some keys away; a distribution is made to sum to 1 again.

    Args:
        attention: any map.
        sinks: keys by number.
    Raises:
        JumokError: no such key, or a query that looks at nothing else.

    >>> import torch
    >>> from jumok.attention import One, Tokens
    >>> weights = torch.tensor([[0.8, 0.1, 0.1]])
    >>> without_sinks(AttentionMap(weights, One("cls"), Tokens(("a", "b", "c"))), [0]).weights
    tensor([[0.0000, 0.5000, 0.5000]])
    """
    weights = attention.weights.clone()
    weights[..., [attention.keys.index(int(sink)) for sink in sinks]] = 0
    if attention.scale is Scale.DISTRIBUTION:
        total = weights.sum(-1, keepdim=True)
        if bool((total <= 0).any()):
            raise JumokError("a query looks at the sinks only: nothing is left of its weights")
        weights = weights / total
    return dataclasses.replace(attention, weights=weights, source=f"{attention.source} without sinks".strip())
