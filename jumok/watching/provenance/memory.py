"""What was found out about a model's tokens is kept for its next passes that do the same."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from jumok.watching.provenance.last_pass import LastPass
from jumok.watching.provenance.ops import Kept, Op, Slot

MOST_OPS = 4000
"""Operations of a pass that is remembered, at most: of longer ones the comparison would cost too much."""

MOST_PASSES = 8
"""Passes of a model that are remembered, at most."""


class Signature:
    """All that a replay depends on, to be compared with that of another pass."""

    def __init__(self, ops: list[Op]) -> None:
        self._numbers: dict[Slot, int] = {}
        self.parts: list[Any] = []
        self.values: list[Kept] = []
        self.parameters: set[int] = set()
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
        self.parameters |= set() if parameter is None else {parameter}
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


_passes: weakref.WeakKeyDictionary[nn.Module, list[Remembered]] = weakref.WeakKeyDictionary()
"""Of each model its last passes that differ, as those over images of other sizes do, the last one behind."""


def recall(model: nn.Module, signature: Signature, copy: Callable[[Any], LastPass | None]) -> Any:
    """What the replay of one of the model's last passes gave, if this one is the same; else None.

    Args:
        model: whose pass this is.
        signature: of this pass.
        copy: gives this pass, of what its replay gave, for others to be compared with where the last one is lost.
    """
    for known in reversed(_passes.get(model, [])):
        if known.signature.matches(signature):
            if not known.last and (last := copy(known.found)) is not None:
                known.last.append(last)
            return known.found
    return None


def remember(model: nn.Module, signature: Signature, found: Any, last: LastPass | None) -> None:
    """Keep what a replay gave, in the place of what was kept longest, if that is too much.

    Passes with parameters that are not the model's any more go: nothing else might keep those in memory.
    """
    own = {id(each) for each in model.parameters()}
    before = [known for known in _passes.get(model, []) if known.signature.parameters <= own]
    _passes[model] = [*before[1 - MOST_PASSES :], Remembered(signature, found, last)]


def borrow(model: nn.Module) -> list[LastPass]:
    """The model's last passes, for one tape to be compared with, the last one first; none that another tape has."""
    found = []
    for known in reversed(_passes.get(model, [])):
        with contextlib.suppress(IndexError):  # another thread was faster
            found.append(known.last.pop())
    return found


def give_back(model: nn.Module, borrowed: Sequence[LastPass]) -> None:
    """Let the next tape have what was borrowed."""
    for last in borrowed:
        for known in _passes.get(model, []):
            if known.found is last.found and not known.last:
                known.last.append(last)
