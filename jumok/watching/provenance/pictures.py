"""Where the numbers of a model's input lie in the images that they were made from, and where tokens lie therefore."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from jumok.watching.provenance.origins import LEAF, Origin

PADDING = -1
"""The image of a number that was made from none."""
SEVERAL = -2
"""That of an element whose numbers were made from several images."""

HALF_A_PIXEL_UP = 0.01
"""So that edges in the middle of a pixel, as sampling every second one gives them, are all rounded down."""
SAME_PLACE = 0.02
"""Pixels by which channels of one place may differ, as normalising rounds them."""


@dataclass(frozen=True, eq=False)
class TracedPixels:
    """Where each number of an input lies in the images that it was made from.

    Args:
        tensor: the input, as the model is given it.
        image: of its shape: the number of the image; `PADDING` for a number that was made from none.
        rows, columns: of its shape: where it lies, in pixels of that image; the first pixel lies at 0.
        sizes: (height, width) of each image.
    """

    tensor: Tensor
    image: Tensor
    rows: Tensor
    columns: Tensor
    sizes: tuple[tuple[int, int], ...]

    def find_channels(self) -> int | None:
        """The axis along which numbers lie in the same place; None: each row holds the numbers of a patch."""
        axes = range(1, self.image.dim())
        return next((axis for axis in axes if self.image.shape[axis] > 1 and self._is_even(axis)), None)

    def _is_even(self, axis: int) -> bool:
        parts = (self.image, self.rows, self.columns)
        return all(bool(((part - part.narrow(axis, 0, 1)).abs() <= SAME_PLACE).all()) for part in parts)


class Spot(NamedTuple):
    """Where a token lies.

    Args:
        image: number of the image; `PADDING` where it lies in none.
        box: (top, left, bottom, right) in pixels of the image.
    """

    image: int
    box: tuple[int, int, int, int]


NOWHERE = Spot(PADDING, (0, 0, 0, 0))


@dataclass(frozen=True, eq=False)
class Picture:
    """Where the elements of one input lie: sums over the numbers of each, (items, t, y, x, ...).

    Args:
        image: of each element; `SEVERAL` where its numbers lie in different ones.
        count: its numbers that lie in an image.
        moments: (..., 2, 2) sums of places and of their squares, in rows and in columns.
        low, high: (..., 2) least and largest places.
        sizes: (height, width) of each image.
    """

    image: Tensor
    count: Tensor
    moments: Tensor
    low: Tensor
    high: Tensor
    sizes: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, traced: TracedPixels, ids: Tensor, dims: Sequence[int]) -> Picture:
        """Gather the numbers of each element.

        Args:
            traced: the input.
            ids: of its shape: the identities of its elements.
            dims: of its elements: (items, t, y, x).
        """
        count = int(torch.tensor(dims).prod())
        element = (ids % LEAF).reshape(-1)
        image = traced.image.reshape(-1).long()
        there = image != PADDING
        element, image = element[there], image[there]
        places = torch.stack([traced.rows.reshape(-1), traced.columns.reshape(-1)], 1)[there].double()
        moments = torch.zeros(count, 4, dtype=torch.float64)
        moments.index_add_(0, element, torch.cat([places, places**2], 1))
        wide = element[:, None].expand(-1, 2)
        low = torch.full((count, 2), torch.inf, dtype=torch.float64).scatter_reduce_(0, wide, places, "amin")
        high = torch.full((count, 2), -torch.inf, dtype=torch.float64).scatter_reduce_(0, wide, places, "amax")
        shape = tuple(dims)
        return cls(
            _agree(element, image, count).view(shape),
            torch.bincount(element, minlength=count).view(shape),
            moments.view(*shape, 2, 2),
            low.view(*shape, 2),
            high.view(*shape, 2),
            traced.sizes,
        )

    def locate(self, origin: Origin, number: int) -> Spot | None:
        """Where one token lies; None where that is not known."""
        item = int(origin.item[number])
        ranges = zip(origin.low[number].tolist(), origin.high[number].tolist(), strict=True)
        cut = (slice(item, item + 1), *(slice(low, high) for low, high in ranges))
        images = self.image[cut]
        if item < 0 or int(origin.size[number]) != images.numel():
            return None  # of several items, or of parts that lie apart
        found = images[images != PADDING].unique()
        if not len(found):
            return NOWHERE
        if len(found) > 1 or int(found[0]) == SEVERAL:
            return None
        return Spot(int(found[0]), self._find_box(cut, self.sizes[int(found[0])]))

    def _find_box(self, cut: tuple[slice, ...], size: tuple[int, int]) -> tuple[int, int, int, int]:
        """The rectangle around places that lie evenly in it.

        Of n places in a row, evenly apart, the length is n / (n - 1) of their reach, and the variance tells n.
        """
        count = self.count[cut].sum()
        sums = self.moments[cut].flatten(0, 3).sum(0)
        low = self.low[cut].flatten(0, 3).amin(0)
        reach = self.high[cut].flatten(0, 3).amax(0) - low
        variance = (sums[1] / count - (sums[0] / count) ** 2).clamp(min=0)
        length = torch.where(reach > 0, 6 * variance / reach + reach / 2, 1.0)
        centre = low + reach / 2 + 0.5
        ends = torch.stack([centre - length / 2, centre + length / 2])
        ends = (ends - HALF_A_PIXEL_UP).round().long()
        limit = torch.tensor(size)
        (top, left), (bottom, right) = torch.minimum(ends.clamp(min=0), limit).tolist()
        return top, left, bottom, right


def _agree(element: Tensor, image: Tensor, count: int) -> Tensor:
    """The one image of each element's numbers."""
    least = torch.full((count,), torch.iinfo(torch.int64).max).scatter_reduce_(0, element, image, "amin")
    most = torch.full((count,), PADDING).scatter_reduce_(0, element, image, "amax")
    return torch.where(most == PADDING, PADDING, torch.where(least == most, most, SEVERAL))
