"""Queries that sample feature maps of several sizes: their weights on one grid, the finest."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from jumok.attention import AttentionMap, Patches

__all__ = ["Levels", "add_levels", "note_levels"]

Levels = Sequence[tuple[int, int]]
"""Rows and columns of each feature map, in the order in which its places are keys."""
SHAPES = "value_spatial_shapes_list"
"""What `transformers` calls them where deformable attention is given them."""


@contextmanager
def note_levels(network: nn.Module, calls: str) -> Iterator[dict[str, Levels]]:
    """Note the sizes of the feature maps that calls are given, by the name of the call, while the network runs.

    Args:
        network: that runs.
        calls: pattern of their names.
    """
    found: dict[str, Levels] = {}
    with ExitStack() as stack:
        for name, module in network.named_modules():
            if re.fullmatch(calls, name) and SHAPES in inspect.signature(module.forward).parameters:
                hook = module.register_forward_pre_hook(_make_hook(name, found), with_kwargs=True)
                stack.callback(hook.remove)
        yield found


def _make_hook(name: str, found: dict[str, Levels]) -> Any:
    def note(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        shapes = inspect.signature(module.forward).bind(*given, **named).arguments[SHAPES]
        found[name] = [(int(rows), int(columns)) for rows, columns in shapes]

    return note


def add_levels(row: AttentionMap, levels: Levels) -> AttentionMap:
    """Lay the weights of all feature maps on the grid of the largest; no weight is lost.

    Each place of a smaller one gives its weight in equal parts to the area that it covers.

    Args:
        row: (..., queries, keys), whose keys are the places of all levels, one level after the other.
        levels: their sizes.

    >>> from jumok.attention import One, Tokens
    >>> row = AttentionMap(torch.tensor([[0.1, 0.2, 0.3, 0.4]]), One("box"), Tokens(tuple("abcd")))
    >>> add_levels(row, [(1, 3), (1, 1)]).weights
    tensor([[0.2333, 0.3333, 0.4333]])
    """
    rows, columns = max(levels)
    total = row.weights.new_zeros(*row.weights.shape[:-1], rows, columns)
    for (tall, wide), part in zip(levels, row.weights.split([tall * wide for tall, wide in levels], -1), strict=True):
        down, along = _share_out(tall, rows).to(part), _share_out(wide, columns).to(part)
        total += down.T @ part.unflatten(-1, (tall, wide)) @ along
    return replace(
        row, weights=total.flatten(-2), keys=Patches(rows, columns), source=f"{row.source}, {len(levels)} levels added"
    )


def _share_out(coarse: int, fine: int) -> Tensor:
    """(coarse, fine): how much of each cell of one division of a side lies in each cell of another."""
    cells = torch.arange(fine, dtype=torch.float64) / fine
    edges = torch.arange(coarse, dtype=torch.float64)[:, None] / coarse
    overlap = torch.minimum(edges + 1 / coarse, cells + 1 / fine) - torch.maximum(edges, cells)
    return overlap.clamp_min(0) * coarse
