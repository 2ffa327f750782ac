"""RISE: the mean of random masks, each weighed by what the model still says behind it. Slow, and assumes nothing."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.attention import AttentionMap
from jumok.attribution.inputs import make_map
from jumok.attribution.passes import Asked, Forward
from jumok.watching.seen import Seen

__all__ = ["rise"]


def rise(
    seen: Seen,
    target: Tensor,
    *,
    inputs: Tensor | None = None,
    forward: Forward | None = None,
    masks: int = 1000,
    cells: int = 7,
    kept: float = 0.5,
    seed: int = 0,
) -> AttentionMap:
    """E[f(x * m) m] / E[m] over random masks m: one pass each.

    Args:
        seen: of a pass over the inputs.
        target: of that pass; `forward` gives the same. RISE is meant for probabilities.
        inputs: x; of words, their embeddings.
        forward: f, from inputs to one number per image. It gets as many as were given at a time, in their order.
        masks: how many.
        cells: rows and columns of the grid that an image's mask is drawn on.
        kept: the share of it that is kept.
        seed: of the masks.
    Returns:
        (batch, 1, patches, pixels or words); the mean over a patch's pixels.
    Raises:
        JumokError: no inputs or function, or one that gives something else than the target.
    Source: Petsiuk, Das & Saenko 2018, arXiv 1806.07421, section 3.
    """
    asked = Asked.of("rise", target, inputs, forward)
    draw = torch.Generator().manual_seed(seed)
    is_text = asked.inputs.dim() == 3
    total = torch.zeros_like(asked.inputs[:, :, 0] if is_text else asked.inputs[:, 0])
    for _ in range(masks):
        mask = _draw_words(total, kept, draw) if is_text else _draw_mask(total, cells, kept, draw)
        value = asked.ask(asked.inputs * asked.lay_mask(mask))
        total += value.view(-1, *(1,) * (total.dim() - 1)) * mask
    total /= masks * kept
    if is_text:
        return make_map(seen, total[..., None], "rise", is_text=True)
    patches = seen.patches()
    share = 1.0 if patches is None else patches.rows * patches.columns / total[0].numel()
    return make_map(seen, total[:, None] * share, "rise", is_text=False)


def _draw_words(total: Tensor, kept: float, draw: torch.Generator) -> Tensor:
    return (torch.rand(total.shape[1], generator=draw) < kept).to(total)


def _draw_mask(total: Tensor, cells: int, kept: float, draw: torch.Generator) -> Tensor:
    """A coarse mask made smooth, one cell larger than the image, and cut out of it at a random place."""
    height, width = total.shape[1:]
    coarse = (torch.rand(1, 1, cells, cells, generator=draw) < kept).float()
    tall, wide = -(-height // cells), -(-width // cells)
    large = F.interpolate(coarse, (height + tall, width + wide), mode="bilinear", align_corners=False)[0, 0]
    top, left = (int(torch.randint(size, (), generator=draw)) for size in (tall, wide))
    return large[top : top + height, left : left + width].to(total)
