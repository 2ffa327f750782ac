"""What methods share that start from one token: the chain, the start, and the map of one row."""

from __future__ import annotations

from torch import Tensor

from jumok.attention import AttentionMap, Axis, One, Scale
from jumok.watching.token_flow import Flow, list_some

__all__ = ["make_row", "tell"]


def make_row(row: Tensor, axis: Axis, label: str, method: str, scale: Scale) -> AttentionMap:
    """The map of one row for each image.

    Args:
        row: (batch, keys).
        axis: of the keys.
        label: who looks.
        method: what made it, for the map's source.
        scale: of the values.
    """
    return AttentionMap(row[:, None].float(), One(label), axis, ("batch",), scale, f"{method}({label})")


def tell(method: str, unseen: float, flow: Flow) -> str:
    """The name of a method, with what it takes as a mean, and the share of the paths that went through the unseen."""
    mean = f", {list_some(flow.averaged)} taken as the mean of its window" if flow.averaged else ""
    return f"{method}{mean}, {unseen:.0%} through {', '.join(flow.unseen)}, unseen" if flow.unseen else method + mean
