"""Matrix products of every name as one form: letters for the axes of each operand and of the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from jumok.watching.provenance.moving import CannotMoveError
from jumok.watching.provenance.ops import Kept, Op, Slot, walk_slots

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Equation:
    """A product.

    Args:
        slots: the operands.
        terms: the letters of each one's axes.
        result: the letters of the result's.
    """

    slots: tuple[Slot, ...]
    terms: tuple[str, ...]
    result: str

    @classmethod
    def of(cls, op: Op, name: str) -> Equation:
        """The product that an operation was.

        Raises:
            CannotMoveError: one of another form.
        """
        if op.notes.factors is not None:
            return _read_sum(op, op.notes.factors)
        if name == "einsum":
            return _read_einsum(op)
        if name in ("matmul", "mm", "bmm", "mv"):
            one, other = op.args[0], op.given(1, "other", op.kwargs.get("mat2", op.kwargs.get("vec")))
        elif name in ("baddbmm", "addmm"):
            names = ("batch1", "batch2") if name == "baddbmm" else ("mat1", "mat2")
            one, other = op.given(1, names[0]), op.given(2, names[1])
        elif name == "cdist":
            one, other = op.given(0, "x1"), op.given(1, "x2")
        elif name in ("tensordot", "inner"):
            return _read_tensordot(op, name)
        else:
            raise CannotMoveError(name)
        slots = tuple(each.slot if isinstance(each, Kept) else each for each in (one, other))
        if not all(isinstance(slot, Slot) for slot in slots):
            raise CannotMoveError(f"{name} of something that is no tensor")
        return _read_matmul(slots, turned=name == "cdist")

    def summed_axes(self, number: int) -> list[int]:
        """The axes of an operand that are summed over."""
        return [axis for axis, letter in enumerate(self.terms[number]) if letter not in self.result]

    def free_axes(self, number: int) -> list[int]:
        """The axes of an operand that it alone brings into the result."""
        others = "".join(term for place, term in enumerate(self.terms) if place != number)
        return [
            axis for axis, letter in enumerate(self.terms[number]) if letter in self.result and letter not in others
        ]

    def spread(self, number: int, ids: Tensor, out: Sequence[int]) -> Tensor:
        """Identities of an operand, one element along what is summed, over the result."""
        term = self.terms[number]
        ids = ids[(None,) * (len(term) - ids.dim())]
        for axis in reversed(self.summed_axes(number)):
            ids = ids.select(axis, 0)
        letters = [letter for letter in term if letter in self.result]
        order = sorted(range(len(letters)), key=lambda place: self.result.index(letters[place]))
        ids = ids.permute(order)
        for place, letter in enumerate(self.result):
            if letter not in letters:
                ids = ids.unsqueeze(place)
        return ids.expand(tuple(out))


def _read_matmul(slots: tuple[Slot, ...], *, turned: bool = False) -> Equation:
    first, second = (len(slot.shape) for slot in slots)
    batch = max(first, second, 2) - 2
    front = LETTERS[:batch]
    one = "k" if first == 1 else front[batch - (first - 2) :] + "mk"
    other = "k" if second == 1 else front[batch - (second - 2) :] + ("nk" if turned else "kn")
    result = front + ("" if first == 1 else "m") + ("" if second == 1 else "n")
    return Equation(slots, (one, other), result)


def _read_tensordot(op: Op, name: str) -> Equation:
    """A product over chosen axes of both; `inner`: over the last one of each."""
    keys = ("a", "b") if name == "tensordot" else ("input", "other")
    given = [op.given(number, key) for number, key in enumerate(keys)]
    slots = tuple(each.slot if isinstance(each, Kept) else each for each in given)
    first, second = (len(slot.shape) for slot in slots)
    dims: Any = [[-1], [-1]] if name == "inner" else op.given(2, "dims", 2)
    if isinstance(dims, int):
        dims = list(range(first - dims, first)), list(range(dims))
    if not first or not second or not all(isinstance(each, list | tuple) for each in dims):
        raise CannotMoveError(f"{name} of another form")
    letters = iter(LETTERS)
    one = [next(letters) for _ in range(first)]
    shared = {axis % second: one[mine % first] for mine, axis in zip(*dims, strict=True)}
    other = [shared.get(axis) or next(letters) for axis in range(second)]
    result = [letter for letter in (*one, *other) if letter not in shared.values()]
    return Equation(slots, ("".join(one), "".join(other)), "".join(result))


def _read_sum(op: Op, factors: tuple[Slot, Slot]) -> Equation:
    """A sum over a product of two, one by one."""
    product = op.args[0] if op.args else op.kwargs["input"]
    rank = len(product.shape)
    dim: Any = op.kwargs.get("dim", op.kwargs.get("axis", op.args[1] if len(op.args) > 1 else None))
    axis = (dim if isinstance(dim, int) else dim[0]) % rank
    letters, kept = LETTERS[:rank], len(op.outs[0].shape) == rank
    result = letters[:axis] + ("z" if kept else "") + letters[axis + 1 :]
    return Equation(factors, tuple(letters[rank - len(slot.shape) :] for slot in factors), result)


def _read_einsum(op: Op) -> Equation:
    text = op.args[0]
    if not isinstance(text, str):
        raise CannotMoveError("einsum by lists of axes")
    slots = tuple(slot for arg in op.args[1:] for slot in walk_slots(arg))
    left, arrow, result = text.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(slots) or not arrow:
        raise CannotMoveError("einsum without a result")
    ranks = [len(slot.shape) - len(term.replace("...", "")) for term, slot in zip(terms, slots, strict=True)]
    most = max(rank if "..." in term else 0 for rank, term in zip(ranks, terms, strict=True))
    used = set(text)
    spare = [letter for letter in LETTERS if letter not in used][:most]
    filled = [
        term.replace("...", "".join(spare[most - rank :] if rank else []))
        for rank, term in zip(ranks, terms, strict=True)
    ]
    if any(len(set(term)) < len(term) for term in filled):
        raise CannotMoveError("einsum over a diagonal")
    return Equation(slots, tuple(filled), result.replace("...", "".join(spare)))
