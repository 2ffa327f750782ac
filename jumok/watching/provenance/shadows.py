"""Shadows of tensors: an identity for each element; dimensions with one identity throughout take no memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from jumok.watching.provenance.ops import Op


@dataclass(frozen=True)
class Pair:
    """The shadow of scores: of each element the token on one side and the token on the other; None: a constant.

    Args:
        one, other: identities.
        path: the module that multiplied them.
    """

    one: Tensor | None
    other: Tensor | None
    path: str = ""

    def map(self, change: Callable[[Tensor], Tensor]) -> Pair:
        """The same done to both sides."""
        one, other = (None if side is None else change(side) for side in (self.one, self.other))
        return Pair(one, other, self.path)

    @property
    def sides(self) -> tuple[Tensor | None, Tensor | None]:
        """Both."""
        return self.one, self.other


class Moved(NamedTuple):
    """How ids were made of others.

    Args:
        op: the operation.
        number: which of the tensors that it made they are.
        given: what they were made of; None: constants.
        shapes: of that.
        steps: how many such operations there were in a row.
    """

    op: Op
    number: int
    given: tuple[Live | None, ...]
    shapes: tuple[tuple[int, ...], ...]
    steps: int


class Live:
    """The shadow of whole numbers that depend on the input, as ids of words do; of others it is None.

    Numbers that are computed from others one by one, as hashes are, share one.

    Args:
        moved: of ids that were cut out of others, put in another order or together: how.
        unordered: whether they are others in an order that their values made, as sorted ones are.
        counted: whether they are counts of others so far, as positions by a mask of padding are.
    """

    def __init__(self, moved: Moved | None = None, *, unordered: bool = False, counted: bool = False) -> None:
        self.moved = moved
        given = () if moved is None else moved.given
        told = [each for each in given if each is not None]
        self.counted: bool = counted or (bool(told) and all(each.counted for each in told))
        self.unordered: bool = unordered or any(each is not None and each.unordered for each in given)
        self.sources: dict[tuple[int, ...], Tensor] = {}
        """Identities of the tokens that were embedded by them, by shape."""


Shadow = Tensor | Pair | Live | None
"""None: nothing but constants."""


def simplify(shadow: Shadow) -> Shadow:
    """Scores of which one side alone is left as what they are: tokens."""
    if isinstance(shadow, Pair) and None in shadow.sides:
        return shadow.other if shadow.one is None else shadow.one
    return shadow


def compact(ids: Tensor) -> Tensor:
    """One element of each dimension that has the same identity throughout by its strides."""
    for axis, (size, stride) in enumerate(zip(ids.shape, ids.stride(), strict=True)):
        if stride == 0 and size > 1:
            ids = ids.narrow(axis, 0, 1)
    return ids


def is_even(ids: Tensor, axis: int) -> bool:
    """Whether the identities do not differ along an axis."""
    if ids.shape[axis] <= 1 or ids.stride(axis) == 0:
        return True
    ids = compact(ids)
    return bool((ids == ids.narrow(axis, 0, 1)).all())


def fit(ids: Tensor, shape: Sequence[int]) -> Tensor:
    """Identities by broadcasting."""
    return ids.expand(tuple(shape))


def fits(pair: Pair, shape: Sequence[int]) -> bool:
    """Whether scores have a shape."""
    return all(side is None or tuple(side.shape) == tuple(shape) for side in pair.sides)


def reshape(ids: Tensor, shape: Sequence[int]) -> Tensor:
    """As `Tensor.reshape`, without copies of what is the same along the last axis."""
    shape = tuple(shape)
    if ids.dim() and shape and ids.stride(-1) == 0 and ids.shape[-1] == shape[-1] > 1:
        return ids.narrow(-1, 0, 1).reshape(*shape[:-1], 1).expand(shape)
    return ids.reshape(shape)


def without_last(ids: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Do something that leaves the last axis alone, on one element of it where all are the same."""
    if ids.dim() and ids.shape[-1] > 1 and ids.stride(-1) == 0:
        changed = change(ids.narrow(-1, 0, 1))
        return changed.expand(*changed.shape[:-1], ids.shape[-1])
    return change(ids)


def zeros(shape: Sequence[int]) -> Tensor:
    """Constants."""
    return torch.zeros((), dtype=torch.int64).expand(tuple(shape))


def or_constant(ids: Tensor | None) -> Tensor:
    """Identities, or a constant where there are none."""
    return zeros(()) if ids is None else ids
