"""What was found out about a model's tokens is kept until the model does something else."""

from __future__ import annotations

import weakref
from typing import Any

from torch import nn

from jumok.watching.provenance.last_pass import LastPass
from jumok.watching.provenance.ops import Kept, Op, Slot

MOST_OPS = 4000
"""Operations of a pass that is remembered, at most: of longer ones the comparison would cost too much."""


class Signature:
    """All that a replay depends on, to be compared with that of another pass."""

    def __init__(self, ops: list[Op]) -> None:
        self._numbers: dict[Slot, int] = {}
        self.parts: list[Any] = []
        self.values: list[Kept] = []
        for op in ops:
            args = [self._read(arg) for arg in op.args]
            named = [(key, self._read(value)) for key, value in op.kwargs.items()] if op.kwargs else ()
            outs = [self._number(out) for out in op.outs]
            weights = None if op.notes.weights is None else self._number(op.notes.weights)
            gate = None if op.notes.gate is None else self._number(op.notes.gate)
            self.parts.append(
                (op.name, args, named, outs, op.notes.calls, op.notes.path, weights, gate, op.notes.route)
            )

    def matches(self, other: Signature) -> bool:
        """Whether the other pass did the same with tensors of the same shapes, and chose the same places."""
        if self.parts != other.parts or len(self.values) != len(other.values):
            return False
        pairs = zip(self.values, other.values, strict=True)
        return all(
            not (one.changed or two.changed) and one.values.shape == two.values.shape and one.values.equal(two.values)
            for one, two in pairs
        )

    def _read(self, value: Any) -> Any:
        if isinstance(value, Slot):
            return self._number(value)
        if isinstance(value, Kept):
            self.values.append(value)
            return ("values", self._number(value.slot))
        if isinstance(value, list):
            return [self._read(each) for each in value]
        return value

    def _number(self, slot: Slot) -> Any:
        """The number of a tensor; the first time with all that tells it apart."""
        number = self._numbers.get(slot)
        if number is not None:
            return number
        self._numbers[slot] = len(self._numbers)
        parameter = None if slot.parameter is None else id(slot.parameter)
        traced = None if slot.traced is None else id(slot.traced)
        return (
            slot.shape,
            slot.floating,
            slot.argument,
            slot.hidden,
            slot.constant,
            slot.made,
            slot.fixed,
            parameter,
            traced,
        )


class Remembered:
    """A pass and what its replay gave.

    Args:
        signature: of the pass.
        found: what its replay gave.
        last: the pass to be compared with while another one runs, unless one is being compared with it now.
    """

    def __init__(self, signature: Signature, found: Any, last: LastPass | None) -> None:
        self.signature, self.found = signature, found
        self.last = [] if last is None else [last]


_last: weakref.WeakKeyDictionary[nn.Module, Remembered] = weakref.WeakKeyDictionary()


def recall(model: nn.Module, signature: Signature) -> Any:
    """What the replay of the model's last pass gave, if this one is the same; else None."""
    known = _last.get(model)
    return known.found if known is not None and known.signature.matches(signature) else None


def remember(model: nn.Module, signature: Signature, found: Any, last: LastPass | None) -> None:
    """Keep what a replay gave, in the place of what was kept before."""
    _last[model] = Remembered(signature, found, last)


def borrow(model: nn.Module) -> LastPass | None:
    """The model's last pass, for one tape to be compared with; None where there is none, or another tape has it."""
    known = _last.get(model)
    try:
        return None if known is None else known.last.pop()
    except IndexError:
        return None


def give_back(model: nn.Module, last: LastPass) -> None:
    """Let the next tape have what was borrowed, if nothing else was remembered meanwhile."""
    known = _last.get(model)
    if known is not None and known.found is last.found:
        known.last.append(last)
