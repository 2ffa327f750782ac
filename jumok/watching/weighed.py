"""Notice attention that is no product of matrices: values times weights, one by one, then summed over the keys."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jumok.watching.provenance.ops import Slot
from jumok.watching.provenance.tape import Tape

PRODUCT_CALLS: tuple[Callable[..., Any], ...] = (
    torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm, torch.mm, Tensor.mm, torch.mv, Tensor.mv,
    torch.einsum, torch.baddbmm, torch.addmm, Tensor.addmm, torch.linalg.matmul, torch.tensordot, torch.inner,
    Tensor.inner,
)  # fmt: skip
SUMMING_CALLS: tuple[Callable[..., Any], ...] = (torch.sum, Tensor.sum)
MOST_FOLLOWED = 8
"""Products that may still be summed: of more the oldest is let go, with the weights that it holds."""


@dataclass(frozen=True)
class Weighed:
    """A product of weights with values, one by one.

    Args:
        product: what came out.
        weights: what came out of a softmax, as it was multiplied.
        factors: the weights and the values, by their numbers on the tape.
        length: over how many things the softmax went.
    """

    product: weakref.ref[Tensor]
    weights: Tensor
    factors: tuple[Slot, Slot]
    length: int

    def is_summed(self, rank: int, axis: int) -> bool:
        """Whether a sum over an axis of the product, which has so many, is one over what the softmax chose among."""
        places = [len(slot.shape) - rank + axis % rank for slot in self.factors]
        sizes = [slot.shape[place] if place >= 0 else 1 for place, slot in zip(places, self.factors, strict=True)]
        return sizes == [self.length, self.length] and self.length > 1


class Products:
    """Products that may be summed to attention."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._followed: dict[int, Weighed] = {}

    def clear(self) -> None:
        """Let go of what is followed."""
        self._followed.clear()

    def start(self, factors: Sequence[object], product: object) -> None:
        """Follow a product if one factor came out of a softmax and the other depends on the input."""
        operands = [factor for factor in factors if isinstance(factor, Tensor)]
        if len(operands) != 2 or not isinstance(product, Tensor):
            return
        slots = [self._tape.slot(operand) for operand in operands]
        soft = _find_soft(slots)
        if len(soft) != 1:
            return
        weights, values = soft[0], 1 - soft[0]
        latest = slots[weights].soft
        if slots[values].fixed or slots[values].pure or not slots[values].floating or not slots[values].shape:
            return
        pair = (slots[weights], slots[values])
        found = Weighed(weakref.ref(product), operands[weights], pair, self._tape.lengths[latest])
        self._followed[id(product)] = found
        if len(self._followed) > MOST_FOLLOWED:
            del self._followed[next(iter(self._followed))]

    def find_summed(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Weighed | None:
        """What a sum makes attention of, if it does."""
        product: Any = args[0] if args else kwargs.get("input")
        found = self._followed.get(id(product))
        kept = None if found is None else found.product()
        if found is None or kept is None or kept is not product:
            return None
        axis = read_axis(args, kwargs)
        return found if axis is not None and found.is_summed(kept.dim(), axis) else None


def find_weights(slots: Sequence[Slot]) -> int | None:
    """Which operand of a product of matrices holds weights of the rest; None where none does, or several do."""
    soft = _find_soft(slots)
    if soft:
        latest = slots[soft[0]].soft
        return soft[0] if len(soft) == 1 and not all(slot.fixed or slot.soft == latest for slot in slots) else None
    scored = [number for number, slot in enumerate(slots) if slot.scored]
    values = [slot for slot in slots if not (slot.scored or slot.fixed or slot.pure)]
    return scored[0] if len(scored) == 1 and len(slots) == 2 and values else None


def _find_soft(slots: Sequence[Slot]) -> list[int]:
    """Which tensors came out of the latest softmax; of one over what depends on the input, where there is any."""
    given = [slot.soft for slot in slots if slot.soft and not (slot.pure or slot.fixed)]
    latest = max(given or [slot.soft for slot in slots], default=0)
    return [number for number, slot in enumerate(slots) if slot.soft == latest > 0]


def read_axis(args: Sequence[Any], kwargs: dict[str, Any]) -> int | None:
    """The one axis that a sum goes over; None where it goes over several."""
    axes = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else None))
    axes = [axes] if isinstance(axes, int) else list(axes) if isinstance(axes, list | tuple) else []
    return axes[0] if len(axes) == 1 else None
