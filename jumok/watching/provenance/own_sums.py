"""Weights that are no output of a softmax: a tensor divided by its own sum over an axis, and products of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jumok.watching.provenance import functions
from jumok.watching.provenance.ops import Op, Slot, Summed, walk_slots

DIVISIONS = functions.names("div divide true_divide mul multiply normalize")
"""What may divide a tensor by its own sum, or multiply it by 1 over that."""
SUM_KEPT = functions.VIEWS | functions.names(
    "add clamp clip clamp_min maximum nan_to_num masked_fill where reciprocal pow div divide true_divide"
)
"""What leaves sums what they are, but for a number that keeps them above 0, or makes 1 over them."""
_SCORES_KEPT = functions.ELEMENTWISE | functions.WEIGHTS_CHANGED | functions.names("cumsum masked_scatter")
"""What may be done to a product of tokens until it weighs values, as long as its shape stays the same."""


def read_sum(op: Op) -> Summed | None:
    """Of which tensor `sum` gave the sums, and over which axis; None: over several axes."""
    return _sum_of(op.given(0, "input"), op.given(1, "dim", op.kwargs.get("axis")))


def _sum_of(given: Any, dim: Any) -> Summed | None:
    axes = [dim] if isinstance(dim, int) else dim
    if not isinstance(given, Slot) or given.fixed or given.pure or not isinstance(axes, list) or len(axes) != 1:
        return None
    rank = len(given.shape)
    return (given, axes[0] % rank) if -rank <= axes[0] < rank else None


def keeps_sum(op: Op) -> bool:
    """Whether an operation was given nothing but sums that depends on the input."""
    slots = [slot for arg in op.args for slot in walk_slots(arg)]
    return sum(slot.floating and not (slot.fixed or slot.pure) for slot in slots) == 1


def find_divided(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Summed | None:
    """The tensor that an operation divides by its own sum over an axis; None where it does something else.

    Args:
        name: of the operation.
        args, kwargs: as on the tape.
    """
    given = args[0] if args else kwargs.get("input")
    if name == "normalize":
        how = dict(zip(("p", "dim"), args[1:], strict=False)) | kwargs
        return _sum_of(given, how.get("dim", 1)) if how.get("p", 2) == 1 else None
    pair = given, args[1] if len(args) > 1 else kwargs.get("other")
    for one, other in (pair, pair[::-1]) if name in ("mul", "multiply") else (pair,):
        summed = other.summed if isinstance(other, Slot) else None
        if summed is not None and isinstance(one, Slot) and _are_alike(summed[0], one):
            return one, summed[1]
    return None


def _are_alike(one: Slot, other: Slot) -> bool:
    """Whether two tensors are the same, or both the exponential of one."""
    return one is other or (one.power is not None and one.power is other.power)


def is_scoring(op: Op, name: str) -> bool:
    """Whether an operation is a product of two tensors that both depend on the input."""
    if name not in functions.SCORING:
        return False
    slots = [slot for arg in (*op.args, *op.kwargs.values()) for slot in walk_slots(arg) if slot.floating]
    slots = slots[1:] if name == "baddbmm" else slots
    return len(slots) == 2 and not any(slot.fixed or slot.pure for slot in slots)


def keeps_scores(op: Op, name: str) -> bool:
    """Whether scores that an operation was given are scores still."""
    if name in functions.WEIGHTS_LAID_OUT:
        return True
    scored = [slot.shape for arg in op.args for slot in walk_slots(arg) if slot.scored]
    return name in _SCORES_KEPT and op.outs[0].shape in scored
