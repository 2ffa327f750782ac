"""Occlusion: by how much the target falls when a part of the input is taken away. Slow, and assumes nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from jumok.attention import AttentionMap, Axis, One, Patches, Scale
from jumok.attribution.passes import Asked, Forward
from jumok.errors import JumokError
from jumok.watching.seen import Seen

__all__ = ["occlusion"]

CELLS = 14
"""Rows and columns of the grid of an image that the model does not cut into patches."""


def occlusion(
    seen: Seen,
    target: Tensor,
    *,
    inputs: Tensor | None = None,
    forward: Forward | None = None,
    grid: Patches | None = None,
    fill: float = 0.0,
) -> AttentionMap:
    """f(x) - f(x without a part), for each part: one pass each.

    Args:
        seen: of a pass over the inputs.
        target: of that pass; `forward` gives the same.
        inputs: x; of words, their embeddings.
        forward: f, from inputs to one number per image. It gets as many as were given at a time, in their order.
        grid: the parts of an image; None: the model's patches, or 14 x 14 cells where it has none.
        fill: what stands in place of a part; 0 is the mean of images that were normalised.
    Returns:
        (batch, 1, patches or words), of any sign.
    Raises:
        JumokError: no inputs or function, or one that gives something else than the target.
    Source: Zeiler & Fergus 2014, arXiv 1311.2901, section 4.2.
    """
    asked = Asked.of("occlusion", target, inputs, forward)
    keys, owner = _find_parts(seen, asked.inputs, grid)
    falls = []
    for number in range(len(keys)):
        gone = asked.lay_mask(owner == number)
        falls.append(asked.value - asked.ask(asked.inputs.masked_fill(gone, fill)))
    row = torch.stack(falls, 1)[:, None]
    return AttentionMap(row, One("image" if keys.in_image else "text"), keys, ("batch",), Scale.SCORE, "occlusion")


def _find_parts(seen: Seen, inputs: Tensor, grid: Patches | None) -> tuple[Axis, Tensor]:
    """The axis of the parts, and which part each place or token belongs to."""
    if inputs.dim() == 3:
        return seen.words(inputs.shape[1]), torch.arange(inputs.shape[1], device=inputs.device)
    if inputs.dim() != 4:
        raise JumokError(f"occlusion takes images or embeddings of words, got shape {tuple(inputs.shape)}")
    height, width = inputs.shape[2:]
    keys = grid or seen.patches() or Patches(min(CELLS, height), min(CELLS, width))
    return keys, keys.spread(torch.arange(float(len(keys)), device=inputs.device), height, width)
