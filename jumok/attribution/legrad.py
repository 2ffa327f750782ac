"""LeGrad: how the target changes with the attention weights of each layer, added up over the layers."""

from __future__ import annotations

import torch
from torch import Tensor

from jumok.attention import AttentionMap, Scale
from jumok.attention.attended import Sloped
from jumok.attribution.rows import make_row, tell
from jumok.errors import JumokError
from jumok.watching.chain import MEAN, take_gradients
from jumok.watching.seen import Seen

__all__ = ["legrad"]


def legrad(
    seen: Seen, target: Tensor, *, layers: int | None = None, end: str | int | None = None, partial: bool = False
) -> AttentionMap:
    """The mean over layers, heads and queries of (dL/dA)+, for each key.

    Args:
        seen: of the pass that the target is of.
        target: one number, or one per image, with gradients.
        layers: so many of the last ones; None: all.
        end, partial: as for `rollout`.
    Returns:
        (batch, 1, tokens), 0 or more.
    Raises:
        JumokError: as `chefer`; also where layers are over different tokens.
    Source: Bousselham et al. 2025, LeGrad, arXiv 2404.03214, section 3.2. Differs: L is the target of the whole model
        for each layer, where the paper puts each layer's tokens through the classifier by themselves; and keys that a
        mask hides get 0. Nothing is scaled to 0..1.
    """
    flow = seen.flow(end, partial=partial)
    flow.check_same_tokens("legrad")
    chosen = flow.layers if layers is None else flow.layers[-layers:]
    gradients = take_gradients(target, chosen, flow.batch)
    total = torch.zeros(flow.batch, len(flow.keys), device=chosen[0].device)
    for layer, gradient in zip(chosen, gradients, strict=True):
        if not isinstance(layer, Sloped):
            raise JumokError(f"legrad needs dL/dA, which attention by {type(layer).__name__} does not tell: use chefer")
        if gradient is not None:
            slices, _, queries, _ = layer.shape
            even = total.new_full((slices, queries), flow.batch / (slices * queries))
            total += layer.pull_slope(even, gradient).reshape(total.shape)
    return make_row(total / len(chosen), flow.keys, MEAN, tell("legrad", 0.0, flow), Scale.RELEVANCE)
