"""A pass that was replayed before, operation by operation beside the one that runs now.

As long as a model does what it did the last time nothing has to be written down, nor replayed: that each operation is
the same, of the same tensors, is enough. Where it does something else, its tape goes on from there.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from jumok.watching.provenance.ops import NOTHING, PLAIN, Kept, Notes, Op, Slot, State

Slots = dict[int, tuple[weakref.ref[Tensor], Slot]]
"""The slots of tensors that live, by the tensors' ids."""
NOT_COMPARED = frozenset(["as_strided", "grid_sample", "attended_module"])
"""Operations of which more than the arguments is on the tape."""


_ABSENT = object()

Made = tuple[Slot, tuple[int, ...], torch.dtype, bool, State | None]
"""A tensor that an operation made, as `Step` has it."""


class Step(NamedTuple):
    """One operation, and what it left behind.

    Args:
        op: as it is on the tape, with slots that only this pass has.
        name: of it.
        args, kwargs: of it, with parameters as they are, and tuples of numbers.
        notes: what was noted of it, as the recorder would note it again.
        outs: of each tensor that it made its slot, its shape and dtype, whether it was new (and not written in place or
            handed on), and the slot's state then, or None where that never changes.
        states: of them all.
    """

    op: Op
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    notes: Notes
    outs: tuple[Made, ...]
    states: tuple[State, ...]


class LastPass:
    """A pass that may be repeated, by one tape at a time.

    Args:
        steps: of the pass.
        lengths: over how many things each softmax went.
        found: what its replay gave.
    """

    def __init__(self, steps: list[Step], lengths: list[int], found: Any) -> None:
        self.steps, self.lengths, self.found = steps, lengths, found
        self.done = 0
        self._bound: set[Slot] = set()

    @classmethod
    def of(
        cls, ops: Sequence[Op], states: Sequence[tuple[State, ...]], lengths: list[int], found: Any
    ) -> LastPass | None:
        """A copy of a pass, to be compared with others; None where comparing would not be enough."""
        copies: dict[Slot, Slot] = {}
        changing = _find_changing(ops, states)
        steps = []
        for op, after in zip(ops, states, strict=True):
            if (
                op.name in NOT_COMPARED
                or "chosen" in op.kwargs
                or any(kept.version is not None for kept in _walk_kept([op.args, op.kwargs]))
            ):
                return None
            args, kwargs, notes = [_copy(each, copies) for each in (op.args, op.kwargs, op.notes)]
            given = tuple(map(_make_quick, args)), {key: _make_quick(each) for key, each in kwargs.items()}
            fresh = [out.made and out not in copies for out in op.outs]
            own = Op(op.name, args, kwargs, _copy(op.outs, copies), notes)
            again = notes if notes.calls else notes._replace(path="")
            again = NOTHING if again == NOTHING else again
            outs = [
                (copies[out], out.shape, out.dtype, new, state if out in changing else None)
                for out, new, state in zip(op.outs, fresh, after, strict=True)
            ]
            steps.append(Step(own, op.name, *given, again, tuple(outs), after))
        for slot in copies.values():
            if slot.summed is not None:
                slot.summed = copies.get(slot.summed[0], slot.summed[0]), slot.summed[1]
            if slot.power is not None:
                slot.power = copies.get(slot.power, slot.power)
        return cls(steps, lengths, found)

    def begin(
        self,
        slots: Slots,
        find_slot: Callable[[Tensor], Slot],
        is_argument: Callable[..., bool],
        number_forward: Callable[[], int],
    ) -> None:
        """Be compared from the start.

        Args:
            slots: of the tape, which are kept up to date here.
            find_slot: makes the slot of a tensor that nothing on the tape made.
            is_argument, number_forward: as the tape has them.
        """
        self.done = 0
        self._bound.clear()
        self._slots, self._find_slot = slots, find_slot
        self._is_argument, self._number_forward = is_argument, number_forward

    def begins_with(self, name: str, made: Sequence[Tensor]) -> bool:
        """Whether it may be the pass that begins with an operation: the first made such tensors, too."""
        if not self.steps or self.steps[0].name != name or len(self.steps[0].outs) != len(made):
            return False
        pairs = zip(made, self.steps[0].outs, strict=True)
        return all(not tensor.is_nested and tensor.shape == shape for tensor, (_, shape, *_) in pairs)

    def end(self) -> None:
        """Let go of the tape, and so of the model: what is remembered of a model must not keep it alive."""
        self._bound.clear()
        del self._slots, self._find_slot, self._is_argument, self._number_forward

    @property
    def complete(self) -> bool:
        """Whether all of it was repeated, by now."""
        return self.done == len(self.steps)

    @property
    def repeated(self) -> list[tuple[Op, tuple[State, ...]]]:
        """What was repeated, by now: each operation, and the states of what it made."""
        return [(step.op, step.states) for step in self.steps[: self.done]]

    def repeats(
        self, name: str, args: Sequence[Any], kwargs: dict[str, Any], made: Sequence[Tensor], notes: Notes
    ) -> bool:
        """Whether an operation is the next one of this pass; then it is taken for that."""
        # This runs beside each operation of a model, with cold caches: what is usual is told without another call.
        if self.done == len(self.steps):
            return False
        _, named, given, keywords, noted, outs, _ = self.steps[self.done]
        if named != name or (noted is not notes and noted != notes):
            return False
        if len(args) != len(given) or len(made) != len(outs):
            return False
        slots = self._slots
        for arg, then in zip(args, given):  # noqa: B905 (their lengths were compared, here and below)
            if arg is then:
                continue
            known = slots.get(id(arg))
            met = known is not None and known[1] is then and known[0]() is arg and not then.pure
            if not met and not self._is_same(arg, then):
                return False
        if len(kwargs) != len(keywords):
            return False
        for key, arg in kwargs.items():
            then = keywords.get(key, _ABSENT)
            if arg is not then and not self._is_same(arg, then):
                return False
        return self._takes(made, outs)

    def _takes(self, made: Sequence[Tensor], outs: Sequence[Made]) -> bool:
        """Take what an operation made for what it made then, if it is of that kind."""
        slots = self._slots
        for tensor, (slot, shape, dtype, new, _) in zip(made, outs):  # noqa: B905
            known = slots.get(id(tensor))
            before = known[1] if known is not None and known[0]() is tensor else None
            if before is not (None if new else slot):
                return False
            if tensor.dtype is not dtype or tensor.is_nested or tensor.shape != shape:
                return False
        for tensor, (slot, _, _, _, state) in zip(made, outs):  # noqa: B905
            slots[id(tensor)] = weakref.ref(tensor), slot
            if state is not None:
                slot.state = state
            if slot.pure:
                slot.made_in = self._number_forward()
        self.done += 1
        return True

    def _is_same(self, arg: Any, then: Any) -> bool:
        """Whether an argument is what was given then."""
        kind = type(then)
        if kind is Slot:
            known = self._slots.get(id(arg))
            if known is None or known[1] is not then or known[0]() is not arg:
                return (arg is then.parameter and arg is not None) or self._binds(arg, then)
            return not (then.pure and isinstance(arg, Tensor) and self._is_argument(arg, False, then.made_in))
        if kind is Kept:
            return self._is_same(arg, then.slot) and _chooses_alike(arg, then.values)
        if kind is tuple:
            return isinstance(arg, tuple | list) and tuple(arg) == then
        if kind is list:
            return isinstance(arg, tuple | list) and len(arg) == len(then) and all(map(self._is_same, arg, then))
        return arg is then or (type(arg) is kind and (kind in PLAIN or _is_plain_slice(arg)) and bool(arg == then))

    def _binds(self, tensor: Any, slot: Slot) -> bool:
        """Take a tensor that nothing made, and that was not met before, for the one of then, if it is of its kind."""
        if not isinstance(tensor, Tensor) or slot.made or slot in self._bound:
            return False
        now = self._find_slot(tensor)
        if now.made or now in self._bound or now.kind != slot.kind:
            return False
        self._bound.add(slot)
        slot.state = now.state
        self._slots[id(tensor)] = weakref.ref(tensor), slot
        return True


def _find_changing(ops: Sequence[Op], states: Sequence[tuple[State, ...]]) -> set[Slot]:
    """The tensors whose state may have been another one before or after an operation that made or wrote them."""
    first: dict[Slot, State] = {}
    changing = set()
    for op, after in zip(ops, states, strict=True):
        for out, state in zip(op.outs, after, strict=True):
            if not out.made or first.setdefault(out, state) != state:
                changing.add(out)
    return changing


def _chooses_alike(tensor: Tensor, values: Tensor) -> bool:
    alike = tensor.shape == values.shape and tensor.dtype == values.dtype and tensor.device == values.device
    return alike and torch.equal(tensor, values)


def _is_plain_slice(value: Any) -> bool:
    return isinstance(value, slice) and all(type(end) in PLAIN for end in (value.start, value.stop, value.step))


def _copy(value: Any, copies: dict[Slot, Slot]) -> Any:
    """Arguments with copies of the slots in them."""
    if isinstance(value, Slot):
        return copies.setdefault(value, value.copy())
    if isinstance(value, Kept):
        return Kept(_copy(value.slot, copies), value.values, None)
    if isinstance(value, Notes):
        return Notes(*[_copy(each, copies) for each in value])
    if isinstance(value, dict):
        return {key: _copy(each, copies) for key, each in value.items()}
    return type(value)([_copy(each, copies) for each in value]) if type(value) in (list, tuple) else value


def _make_quick(value: Any) -> Any:
    """What is compared faster than a frozen argument: a parameter for its slot, a tuple for a list of numbers."""
    if isinstance(value, Slot) and value.parameter is not None:
        return value.parameter
    return tuple(value) if type(value) is list and all(type(each) is int for each in value) else value


def _walk_kept(value: Any) -> list[Kept]:
    """All kept tensors in some arguments."""
    if isinstance(value, Kept):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    return [kept for each in inner for kept in _walk_kept(each)]
