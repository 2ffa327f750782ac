"""Axes whose entries lie in an image: each knows its own geometry and nothing else."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.attention.axis import MOST_ENTRIES, Axis, Place, check_positive
from jumok.attention.frames import Frame, find_box, lay_in_frame, move_points, place_frame
from jumok.attention.grid_density import corners, density
from jumok.errors import JumokError


@dataclass(frozen=True)
class Pixels(Axis):
    """Every pixel of an image, row by row.

    Args:
        height, width: of the image.
        frame: the part of a larger image that this one shows; None: it is the whole.

    >>> Pixels(4, 6).index((1, 2))
    8
    """

    height: int
    width: int
    frame: Frame | None = None
    in_image: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive("Pixels", height=self.height, width=self.width)
        _check_frame("Pixels", self.frame)

    def __len__(self) -> int:
        return self.height * self.width

    def describe(self) -> str:
        return f"{self.height} x {self.width} pixels"

    def label(self, index: int) -> str:
        return f"{index // self.width},{index % self.width}"

    def index(self, place: Place) -> int:
        if isinstance(place, tuple):
            return _find_cell(place, self.height, self.width)
        return super().index(place)

    def spread(self, weights: Tensor, height: int, width: int, *, smooth: bool = False) -> Tensor:
        grid = weights.unflatten(-1, (self.height, self.width))
        if self.frame is not None:
            return lay_in_frame(grid, self.frame, height, width, smooth=smooth)
        return grid if (height, width) == (self.height, self.width) else _resize(grid, height, width, smooth)

    def within(self, frame: Frame) -> Axis:
        return dataclasses.replace(self, frame=place_frame(self.frame, frame))


@dataclass(frozen=True)
class Patches(Axis):
    """A grid of equal image patches, row by row, after any special tokens that cover no pixels.

    Args:
        rows, columns: of the grid.
        special: names of the tokens before it.
        frame: the part of an image that the grid covers; None: the whole.

    >>> patches = Patches(14, 14, special=("cls",))
    >>> len(patches), patches.index("cls"), patches.index((0, 3))
    (197, 0, 4)
    >>> patches.box(4, height=224, width=224)
    (0, 48, 16, 64)
    """

    rows: int
    columns: int
    special: tuple[str, ...] = ()
    frame: Frame | None = None
    in_image: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive("Patches", rows=self.rows, columns=self.columns)
        _check_frame("Patches", self.frame)
        if isinstance(self.special, str):
            raise JumokError(f"special tokens are a sequence of names, got the one string {self.special!r}")

    def __len__(self) -> int:
        return len(self.special) + self.rows * self.columns

    def describe(self) -> str:
        return " and ".join([f"{self.rows} x {self.columns} patches", *self.special])

    def label(self, index: int) -> str:
        if index < len(self.special):
            return self.special[index]
        return "{},{}".format(*divmod(index - len(self.special), self.columns))

    def labels(self) -> list[str]:
        # As `label` has them, at once: a chain looks for its class token among them in each pass.
        return [*self.special, *[f"{row},{column}" for row in range(self.rows) for column in range(self.columns)]]

    def index(self, place: Place) -> int:
        if isinstance(place, tuple):
            return len(self.special) + _find_cell(place, self.rows, self.columns)
        return super().index(place)

    def box(self, index: int, height: int, width: int) -> tuple[int, int, int, int] | None:
        """The pixels that one entry covers, as (top, left, bottom, right); None for a special token."""
        index = self.index(index)
        if index < len(self.special):
            return None
        row, column = divmod(index - len(self.special), self.columns)
        if self.frame is not None:
            return find_box(self.frame, (row, column), (self.rows, self.columns), height, width)
        top, bottom = _find_edge(row, self.rows, height), _find_edge(row + 1, self.rows, height)
        left, right = _find_edge(column, self.columns, width), _find_edge(column + 1, self.columns, width)
        return top, left, bottom, right

    def spread(self, weights: Tensor, height: int, width: int, *, smooth: bool = False) -> Tensor:
        grid = weights[..., len(self.special) :].unflatten(-1, (self.rows, self.columns))
        if self.frame is not None:
            return lay_in_frame(grid, self.frame, height, width, smooth=smooth)
        return _resize(grid, height, width, smooth)

    def within(self, frame: Frame) -> Axis:
        return dataclasses.replace(self, frame=place_frame(self.frame, frame))


@dataclass(frozen=True)
class Regions(Axis):
    """Rectangles of an image, in any order and of any size, with tokens that cover no pixels anywhere between them.

    Args:
        boxes: (top, left, bottom, right) of each entry in pixels, or None for a token that covers none.
        names: of all entries.
        height, width: of the image that the boxes are measured in.

    >>> half = Regions(((0, 4, 4, 8), (0, 0, 4, 4), None), ("0,1", "0,0", "cls"), 4, 8)
    >>> half.index("cls"), half.spread(torch.tensor([1.0, 2.0, 5.0]), 1, 2)
    (2, tensor([[2., 1.]]))
    """

    boxes: tuple[tuple[int, int, int, int] | None, ...]
    names: tuple[str, ...]
    height: int
    width: int
    in_image: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive("Regions", entries=len(self.boxes), height=self.height, width=self.width)
        _check_near("Regions", (edges for edges in self.boxes if edges is not None))
        if len(self.names) != len(self.boxes):
            raise JumokError(f"Regions needs one name per box, got {len(self.names)} for {len(self.boxes)}")

    def __len__(self) -> int:
        return len(self.boxes)

    def __repr__(self) -> str:
        return f"Regions({len(self)} entries in {self.height} x {self.width} pixels)"

    def label(self, index: int) -> str:
        return self.names[index]

    def box(self, index: int, height: int, width: int) -> tuple[int, int, int, int] | None:
        """The pixels that one entry covers in an image of another size; None for a token that covers none."""
        found = self.boxes[self.index(index)]
        if found is None:
            return None
        top, bottom = (_find_edge(edge, self.height, height) for edge in (found[0], found[2]))
        left, right = (_find_edge(edge, self.width, width) for edge in (found[1], found[3]))
        return top, left, bottom, right

    def spread(self, weights: Tensor, height: int, width: int, *, smooth: bool = False) -> Tensor:
        """As for every axis; where regions overlap, their weights add up. A rectangle has no smooth form."""
        image = weights.new_zeros(*weights.shape[:-1], height, width)
        for number in range(len(self)):
            box = self.box(number, height, width)
            if box is not None:
                top, left, bottom, right = (max(edge, 0) for edge in box)
                image[..., top:bottom, left:right] += weights[..., number, None, None]
        return image

    def within(self, frame: Frame) -> Axis:
        """The boxes in pixels of the larger image, at the scale that they have now."""
        top, left, bottom, right = frame
        scales = self.height / (bottom - top), self.width / (right - left)
        down, along = round(top * scales[0]), round(left * scales[1])
        moved = tuple(box and (box[0] + down, box[1] + along, box[2] + down, box[3] + along) for box in self.boxes)
        return Regions(moved, self.names, *(max(round(scale), 1) for scale in scales))


@dataclass(frozen=True)
class Glimpses(Axis):
    """Rectangles that were looked at in an image, one after the other.

    Args:
        centres: (y, x) of each glimpse in [-1, 1], as in `grid_sample` with aligned corners off.
        sizes: (height, width) of each, as fractions of the image.
    """

    centres: tuple[tuple[float, float], ...]
    sizes: tuple[tuple[float, float], ...]
    in_image: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive("Glimpses", entries=len(self.centres))
        _check_near("Glimpses", (*self.centres, *self.sizes))
        if len(self.centres) != len(self.sizes):
            raise JumokError(f"Glimpses needs one size per centre, got {len(self.sizes)} for {len(self.centres)}")

    def __len__(self) -> int:
        return len(self.centres)

    def box(self, index: int, height: int, width: int) -> tuple[int, int, int, int]:
        """The pixels that one glimpse covers, cut at the image's border: (top, left, bottom, right)."""
        (y, x), (tall, wide) = self.centres[index], self.sizes[index]
        top, bottom = (((y + 1) / 2 + side * tall / 2) * height for side in (-1, 1))
        left, right = (((x + 1) / 2 + side * wide / 2) * width for side in (-1, 1))
        return (
            min(max(round(top), 0), height),
            min(max(round(left), 0), width),
            min(max(round(bottom), 0), height),
            min(max(round(right), 0), width),
        )

    def within(self, frame: Frame) -> Axis:
        tall, wide = frame[2] - frame[0], frame[3] - frame[1]
        return Glimpses(move_points(self.centres, frame), tuple((y * tall, x * wide) for y, x in self.sizes))

    def spread(self, weights: Tensor, height: int, width: int, *, smooth: bool = False) -> Tensor:
        """As for every axis; where glimpses overlap, their weights add up. A rectangle has no smooth form."""
        image = weights.new_zeros(*weights.shape[:-1], height, width)
        for number in range(len(self)):
            top, left, bottom, right = self.box(number, height, width)
            image[..., top:bottom, left:right] += weights[..., number, None, None]
        return image


@dataclass(frozen=True)
class Sampled(Axis):
    """A grid of places where an image was sampled to make a crop of it, row by row.

    Each sample stands for the piece of the grid around it, half the way to its neighbours.

    Args:
        rows, columns: of the crop, in samples, at least 2 each.
        points: (y, x) of each sample in [-1, 1], as in `grid_sample` with aligned corners off; beyond: outside.

    >>> whole = Sampled(2, 2, ((-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)))
    >>> whole.outside, whole.scale, whole.index((1, 0))
    (0.0, 1.0, 2)
    """

    rows: int
    columns: int
    points: tuple[tuple[float, float], ...]
    in_image: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive("Sampled", rows=self.rows, columns=self.columns)
        _check_near("Sampled", self.points)
        if min(self.rows, self.columns) < 2:
            raise JumokError(f"Sampled needs 2 rows and columns or more, got {self.rows} x {self.columns}")
        if len(self.points) != self.rows * self.columns:
            wanted = f"{self.rows} x {self.columns}"
            raise JumokError(f"Sampled needs one point per sample, got {len(self.points)} for {wanted}")

    def __len__(self) -> int:
        return len(self.points)

    def label(self, index: int) -> str:
        return "{},{}".format(*divmod(index, self.columns))

    def index(self, place: Place) -> int:
        return _find_cell(place, self.rows, self.columns) if isinstance(place, tuple) else super().index(place)

    @property
    def outside(self) -> float:
        """The share of the samples that lie outside the image."""
        return sum(max(abs(y), abs(x)) > 1 for y, x in self.points) / len(self)

    @property
    def scale(self) -> float:
        """How large the region is: the root of its area, as a multiple of the image's; above 1 it is zoomed out."""
        border = self.outline()
        following = border[1:] + border[:1]
        area = sum(y * next_x - next_y * x for (y, x), (next_y, next_x) in zip(border, following, strict=True)) / 2
        return math.sqrt(abs(area) / 4)

    def outline(self) -> tuple[tuple[float, float], ...]:
        """The border of the region that was sampled, (y, x) each: along its first row, then around it."""
        lines: list[list[tuple[float, float]]] = self.corners().tolist()
        down = [row[-1] for row in lines[1:]]
        back = lines[-1][-2::-1]
        up = [row[0] for row in lines[-2:0:-1]]
        return tuple((y, x) for y, x in [*lines[0], *down, *back, *up])

    def corners(self) -> Tensor:
        """Where the samples' pieces meet, and the region's border: (rows + 1, columns + 1, 2)."""
        return corners(self._grid())

    def spread(self, weights: Tensor, height: int, width: int, *, smooth: bool = False) -> Tensor:
        """How densely each pixel was sampled: each weight laid over its sample's piece of the grid, and added up.

        Unlike with other axes the weights are shared out: the pixels add up to the weights that lie in the image. A
        density has no other, smoother form.
        """
        return density(self._grid(), weights, height, width)

    def within(self, frame: Frame) -> Axis:
        return Sampled(self.rows, self.columns, move_points(self.points, frame))

    def _grid(self) -> Tensor:
        """(rows, columns, 2)."""
        return torch.tensor(self.points, dtype=torch.float64).reshape(self.rows, self.columns, 2)


def _check_near(axis: str, places: Iterable[Sequence[float]]) -> None:
    for place in places:
        if not all(abs(value) <= MOST_ENTRIES for value in place):
            raise JumokError(f"{axis} lie within {MOST_ENTRIES} of the image, got {place}")


def _check_frame(axis: str, frame: Frame | None) -> None:
    if frame is not None:
        _check_near(f"The frame of {axis} has edges that", [frame])
        top, left, bottom, right = frame
        if not (top < bottom and left < right):
            raise JumokError(f"{axis} has a frame of (top, left, bottom, right) with top < bottom, got {frame}")


def _find_edge(cell: int, cells: int, pixels: int) -> int:
    """The first pixel whose centre lies in the cell, so that boxes agree with `spread`."""
    return math.ceil(cell * pixels / cells - 0.5)


def _find_cell(place: Sequence[int], rows: int, columns: int) -> int:
    if len(place) != 2:
        raise JumokError(f"a place in a grid is (row, column), got {tuple(place)}")
    row, column = place
    if not (0 <= row < rows and 0 <= column < columns):
        raise JumokError(f"(row, column) = ({row}, {column}) is outside the grid of {rows} x {columns}")
    return row * columns + column


def _resize(grid: Tensor, height: int, width: int, smooth: bool) -> Tensor:
    """(..., rows, columns) to (..., height, width)."""
    if not smooth:
        rows, columns = (_find_cells(*sizes) for sizes in zip((height, width), grid.shape[-2:], strict=True))
        return grid[..., rows.to(grid.device), :][..., columns.to(grid.device)]
    flat = grid.reshape(-1, 1, *grid.shape[-2:])
    flat = F.interpolate(flat, (height, width), mode="bilinear", align_corners=False)
    return flat.reshape(*grid.shape[:-2], height, width)


def _find_cells(pixels: int, cells: int) -> Tensor:
    """The cell in which each pixel's centre lies, in whole numbers: on a border, rounding would choose at random."""
    return (2 * torch.arange(pixels) + 1) * cells // (2 * pixels)
