"""Attention as trained ViTs have it, made from a photograph: near heads, colour heads, and a cls that takes much."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.attention import AttentionMap, One, Patches


def photograph(name: str = "flower.jpg") -> Tensor:
    """(3, 427, 640), uint8."""
    from sklearn.datasets import load_sample_image

    return torch.from_numpy(load_sample_image(name).copy()).permute(2, 0, 1)


def attention(
    image: Tensor,
    grid: tuple[int, int] = (14, 14),
    *,
    layers: int = 12,
    heads: int = 12,
    special: tuple[str, ...] = ("cls",),
    seed: int = 0,
) -> list[AttentionMap]:
    """One map (head, queries, keys) per layer: softmax of nearness, likeness of colour and noise."""
    generator = torch.Generator().manual_seed(seed)
    near, alike, vivid = _features(image, grid)
    axis, n = Patches(*grid, special), len(special)
    maps = []
    for layer in range(layers):
        depth = layer / max(layers - 1, 1)
        scores = torch.randn(heads, n + near.shape[0], n + near.shape[0], generator=generator) * 0.6
        for head in range(heads):
            nearness = (1 - depth) * 40 / (1 + head)
            scores[head, n:, n:] += nearness * near + (2 + 8 * depth * (head % 4) / 3) * alike + depth * 3 * vivid
            scores[head, :n, n:] += (1 + 4 * depth) * vivid
            scores[head, :, :n] += 2 + 3 * depth * ((head + layer) % 3)
        maps.append(AttentionMap(scores.softmax(-1), axis, axis, ("head",), source=f"blocks.{layer}.attn"))
    return maps


def _features(image: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Minus squared distance, minus colour difference (patches, patches), and how vivid each patch is (patches)."""
    rows, columns = grid
    colours = F.adaptive_avg_pool2d(image.float() / 255, grid).flatten(1).T
    place = torch.cartesian_prod(torch.linspace(0, 1, rows), torch.linspace(0, 1, columns))
    near = -torch.cdist(place, place).square()
    alike = -torch.cdist(colours, colours) * 2
    vivid = colours.amax(-1) - colours.amin(-1)
    return near, alike, vivid / vivid.max()


def rollout(maps: list[AttentionMap]) -> AttentionMap:
    """From cls to the patches, as views get it: one row."""
    row = torch.zeros(1, len(maps[0].keys))
    row[0, 0] = 1
    for layer in reversed(maps):
        row = 0.5 * row + 0.5 * row @ layer.weights.mean(0)
    return AttentionMap(row, One("cls"), maps[0].keys, source="rollout(cls)")
