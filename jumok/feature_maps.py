"""Keep the feature maps of a forward pass, so that Grad-CAM can ask any of them afterwards.

A feature map is what a convolution gave, and what was made of that by calls that leave it a map. In a pass that makes a
graph for gradients the last map of each module is kept; in any other, nothing.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

CONVOLUTION: frozenset[Callable[..., Any]] = frozenset({torch.conv2d, F.conv2d})
SAMPLED: frozenset[Callable[..., Any]] = frozenset({F.grid_sample, torch.grid_sampler, torch.grid_sampler_2d})
# What puts other axes where the channels or the places were.
TURNED: frozenset[Callable[..., Any]] = frozenset({
    Tensor.permute, torch.permute, Tensor.transpose, torch.transpose, Tensor.movedim, torch.movedim, Tensor.view,
    Tensor.reshape, torch.reshape, Tensor.swapaxes, torch.swapaxes, Tensor.unflatten, torch.unflatten, torch.matmul,
    Tensor.matmul, Tensor.__matmul__, torch.einsum, F.linear, F.unfold, F.fold,
})  # fmt: skip


@dataclass(frozen=True)
class Mapped:
    """One feature map.

    Args:
        features: (batch, channels, rows, columns), part of the graph; None where it carries no gradient.
        rows, columns: its places.
        version: of the tensor when it was kept: a later one was written over.
        moved: whether the image was sampled anew on the way, so that the map's places are not those of the image.
        before: how many attention calls had been seen.
    """

    features: Tensor | None
    rows: int
    columns: int
    version: int
    moved: bool
    before: int


class FeatureMaps(Mapping[str, Mapped]):
    """The last feature map of each module, by its path, in the order in which they were made."""

    def __init__(self) -> None:
        self._kept: dict[str, Mapped] = {}
        self._known: dict[int, tuple[weakref.ref[Tensor], bool]] = {}  # by id: a map, and whether it was moved
        self.untraced = False
        """Whether a convolution ran that made no graph."""

    def __getitem__(self, path: str) -> Mapped:
        return self._kept[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def forget(self) -> None:
        """Let go of what only mattered while the model ran."""
        self._known.clear()

    def is_map(self, func: Callable[..., Any], args: tuple[Any, ...], result: Tensor) -> bool:
        """Whether a call gave a feature map; if so, it is known as one from now on."""
        if func in TURNED:
            return False
        sources = [found for each in _operands(args) if (found := self._moved(each)) is not None]
        sampled = func in SAMPLED
        if not sources and not sampled and func not in CONVOLUTION:
            return False
        self._known[id(result)] = (weakref.ref(result), sampled or any(sources))
        return not sampled

    def keep(self, path: str, result: Tensor, before: int) -> None:
        """Keep a map as the last one of its module."""
        self._kept.pop(path, None)  # so that the order is that of the last maps
        traced = result if result.requires_grad else None
        moved = bool(self._moved(result))
        version = result._version if traced is not None else 0
        rows, columns = result.shape[2:]
        self._kept[path] = Mapped(traced, rows, columns, version, moved, before)

    def _moved(self, tensor: object) -> bool | None:
        """Whether a known map was moved; None for what is no map."""
        known = self._known.get(id(tensor))
        return known[1] if known is not None and known[0]() is tensor else None


def _operands(args: tuple[Any, ...]) -> Iterator[object]:
    """The first two arguments, and what is in them where they are lists."""
    for arg in args[:2]:
        yield from arg if isinstance(arg, list | tuple) else (arg,)
