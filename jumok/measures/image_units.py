"""An image as a grid of patches that can be taken away: maps laid on the grid, and the model's answer without some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jumok.attention import AttentionMap, Patches
from jumok.errors import JumokError
from jumok.measures.baselines import DEFAULT_GRID, centre_heat, edge_heat, number_patches
from jumok.measures.fillings import Filling, find_fillings, is_patchwork
from jumok.measures.localisation_scores import Heat

__all__ = ["ClassAnswer", "ImageUnits", "average_on_grid", "check_outputs", "read_probabilities"]

CPU_VALUES = 1_250_000
"""Numbers of images that a processor is given at once: what a model makes of more falls out of its caches. ViT-S/16 on
two cores takes 44 ms for each of 64 images of 224 x 224 pixels at once, and 34 ms for each of 8."""


class ImageUnits:
    """A classifier's answer to images of which patches are taken away.

    Args:
        forward: from prepared images (inputs, channels, height, width) to logits (inputs, classes), or to an object
            that holds them as `.logits`.
        grid: rows and columns of the patches.
        fillings: names of what is put in the place of a patch, see `jumok.measures.fillings.FILLINGS`.
        mean: (channels,), of the data, prepared as images are, for the filling "mean"; None: of each image.
        read: from what the model gives for so many inputs to (inputs, classes), one of which is watched; None:
            probabilities of classes, by the softmax of logits.
    Raises:
        JumokError: an unknown filling.

    >>> units = ImageUnits(lambda pixels: pixels.mean((2, 3)), grid=(2, 2), fillings=["zeros"])
    >>> answer = units.answers(torch.ones(2, 4, 4), target=0)["zeros"]
    >>> answer(torch.ones(1, 4, dtype=torch.bool))
    tensor([0.5000])
    """

    def __init__(
        self,
        forward: Callable[[Tensor], Any],
        *,
        grid: tuple[int, int] = DEFAULT_GRID,
        fillings: Sequence[str] = ("mean", "blur"),
        mean: Tensor | None = None,
        read: Callable[[Any, int], Tensor] | None = None,
    ) -> None:
        self.grid = grid
        self._forward, self._read = forward, read or read_probabilities
        self._fillings = find_fillings(fillings, mean=mean)

    def answers(self, pixels: Tensor, *, target: int | None = None) -> dict[str, ClassAnswer]:
        """The probability of one class, as a function of the patches kept, for each filling.

        Args:
            pixels: (channels, height, width), prepared for the model.
            target: the class; None: the one predicted on the whole image.
        Raises:
            JumokError: an image smaller than the grid, or outputs that are not finite or not those of a classifier.
        """
        if pixels.dim() != 3 or pixels.shape[1] < self.grid[0] or pixels.shape[2] < self.grid[1]:
            raise JumokError(
                f"an image of shape {tuple(pixels.shape)} does not hold {self.grid[0]} x {self.grid[1]} patches: "
                "wanted (channels, height, width) with a pixel or more for each patch"
            )
        chosen = self.predict(pixels) if target is None else target
        patches = number_patches(pixels.shape[1], pixels.shape[2], self.grid).to(pixels.device)
        return {
            name: ClassAnswer(self._probabilities, filling, pixels, patches, chosen)
            for name, filling in self._fillings.items()
        }

    def fill(self, pixels: Tensor) -> dict[str, Tensor | None]:
        """The image with all patches replaced, by filling; None where what replaces a patch depends on what is kept.

        Args:
            pixels: (channels, height, width), prepared for the model.
        """
        none = torch.zeros(1, *pixels.shape[1:], dtype=torch.bool, device=pixels.device)
        return {
            name: filling(pixels, none)[0] if is_patchwork(name) else None for name, filling in self._fillings.items()
        }

    def predict(self, pixels: Tensor) -> int:
        """The class predicted on the whole image."""
        return int(self._probabilities(pixels[None])[0].argmax())

    def lay(self, heat: Heat) -> Tensor:
        """One value for each patch: the map's mean over it.

        Args:
            heat: a map of one row with keys in an image, or its values (height, width) of any resolution.
        Returns:
            (units,).
        Raises:
            JumokError: a map of several rows, or of another form.
        """
        return average_on_grid(heat, self.grid)

    def baselines(self, image: Tensor) -> dict[str, Tensor]:
        """What the centre and the edges alone would mark, one value for each patch.

        Args:
            image: (3, height, width), uint8.
        """
        height, width = image.shape[-2:]
        return {"centre": self.lay(centre_heat(height, width)), "edges": self.lay(edge_heat(image))}

    @torch.no_grad()
    def _probabilities(self, images: Tensor) -> Tensor:
        return self._read(self._forward(images), len(images))


class ClassAnswer:
    """One class's probability for one image and filling, see `jumok.measures.flipping.Answer`.

    Args:
        target: the class.
    """

    def __init__(
        self, probabilities: Callable[[Tensor], Tensor], filling: Filling, pixels: Tensor, patches: Tensor, target: int
    ) -> None:
        self._probabilities, self._filling = probabilities, filling
        self._pixels, self._patches, self.target = pixels, patches, target
        self._best: dict[bytes, tuple[int, float]] = {}

    def __call__(self, kept: Tensor) -> Tensor:
        found = torch.cat([self._answer(part) for part in kept.split(self._count_at_once(len(kept)))])
        if not 0 <= self.target < found.shape[1]:
            raise JumokError(f"no class {self.target}: the model has {found.shape[1]}, counted from 0")
        values, classes = found.max(1)
        self._best.update(zip(_pack(kept), zip(classes.tolist(), values.tolist(), strict=True), strict=True))
        return found[:, self.target]

    def _answer(self, kept: Tensor) -> Tensor:
        """(inputs, classes)."""
        return self._probabilities(self._filling(self._pixels, kept.to(self._patches.device)[:, self._patches]))

    def _count_at_once(self, inputs: int) -> int:
        """How many inputs the model is asked about at once; a card takes all."""
        return max(CPU_VALUES // self._pixels.numel(), 1) if self._pixels.device.type == "cpu" else inputs

    def best(self, kept: Tensor) -> list[tuple[int, float]]:
        """The most probable class and its probability, for kept patches (inputs, units) that were asked about before.

        Raises:
            KeyError: they were not.
        """
        return [self._best[mask] for mask in _pack(kept)]


def _pack(kept: Tensor) -> list[bytes]:
    return [row.tobytes() for row in np.packbits(kept.numpy(force=True), axis=1)]


def read_probabilities(output: Any, inputs: int) -> Tensor:
    """The probabilities of all classes, from a classifier's output.

    Args:
        output: logits (inputs, classes), or an object that holds them as `.logits`.
        inputs: how many were asked for.
    Raises:
        JumokError: it is no such output, or holds NaN.
    """
    logits = check_outputs(output, inputs)
    if logits.shape[1] < 2:
        raise JumokError("the model has one output per input: faithfulness needs a classifier of 2 classes or more")
    return logits.float().softmax(1)


def check_outputs(output: Any, inputs: int) -> Tensor:
    """The outputs of a model, (inputs, outputs).

    Args:
        output: those, or an object that holds them as `.logits`.
        inputs: how many were asked for.
    Raises:
        JumokError: they are of another shape, or hold NaN.
    """
    logits = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != inputs:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(output).__name__
        raise JumokError(f"wanted logits of shape ({inputs}, classes) from the model, got {got}")
    if not bool(torch.isfinite(logits).all()):
        raise JumokError("the model's outputs hold NaN or infinity: check its weights and how inputs are prepared")
    return logits


# -- maps on the grid -----------------------------------------------------------------------------


def average_on_grid(heat: Heat, grid: tuple[int, int]) -> Tensor:
    """Average a map over each patch of a grid, by area: a cell on a border counts for both sides in parts.

    Args:
        heat: as for `ImageUnits.lay`.
        grid: rows and columns.
    Returns:
        (rows * columns,), float64.

    >>> average_on_grid(torch.tensor([[1.0, 2.0, 3.0]]), (1, 2))
    tensor([1.3333, 2.6667], dtype=torch.float64)
    """
    values = _take_grid(heat, grid).detach().cpu().double()
    rows, columns = (_overlaps(cells, size) for cells, size in zip(grid, values.shape, strict=True))
    return (rows @ values @ columns.T).flatten()


def _take_grid(heat: Heat, grid: tuple[int, int]) -> Tensor:
    """The map's own cells, (height, width), where it has a grid; else it is laid over 16 pixels per patch's side."""
    if not isinstance(heat, AttentionMap):
        if heat.dim() != 2 or heat.numel() == 0:
            raise JumokError(f"wanted a map of shape (height, width), got {tuple(heat.shape)}")
        return heat
    if heat.weights.numel() != len(heat.keys):
        raise JumokError(f"wanted one row of weights, got {tuple(heat.weights.shape)}: choose with .at, .mean and .row")
    size = (heat.keys.rows, heat.keys.columns) if isinstance(heat.keys, Patches) else (16 * grid[0], 16 * grid[1])
    return heat.image(*size).reshape(size)


def _overlaps(cells: int, size: int) -> Tensor:
    """(cells, size): the share of each cell, along one side, that each of `size` equal parts covers."""
    starts = torch.arange(cells, dtype=torch.float64)[:, None] * size
    parts = torch.arange(size, dtype=torch.float64)[None] * cells
    covered = torch.minimum(starts + size, parts + cells) - torch.maximum(starts, parts)
    return covered.clamp(min=0) / size
