"""What is known of each tensor of a pass: the identities of its elements, which rules read and set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from jumok.watching.provenance import blending, functions, inputs, mixing, moving, own_sums
from jumok.watching.provenance.call_tokens import CallTokens
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.ops import Kept, Op, Slot, walk_slots
from jumok.watching.provenance.pictures import Picture
from jumok.watching.provenance.shadows import Live, Pair, Shadow, compact, fit, fits, simplify, zeros

MOST_LEARNT = 1 << 20
"""Rows of a parameter that may stand for learnt tokens, at most."""
DIVIDED_LATE = "what its weights gathered is divided by their sum only afterwards"


class ShadowTable:
    """The shadows of tensors, the identities that they hold, and the tokens of calls of attention.

    Args:
        find_names: gives the names of parameters, by their id.
    """

    def __init__(self, find_names: Callable[[], dict[int, str]]) -> None:
        self.find_names = find_names
        self.known = Identities()
        self.calls: dict[int, CallTokens] = {}
        self.outlooks: dict[int, CallTokens] = {}
        self.real: set[Slot] = set()
        self.convolved: dict[Slot, int] = {}
        self.softened: dict[int, str] = {}
        """Softmaxes over tokens, by their number: what is said of their tokens where they weigh no values."""
        self.weighing: dict[Slot, int] = {}
        """Weights that weighed values, and the number of the call."""
        self.chosen: dict[Slot, tuple[Pair, Slot]] = {}
        """Scores that were chosen among others, or put in order: the shadow of all, and the indices."""
        self.changed: set[Slot] = set()
        """Weights that were multiplied by something after their softmax, so that they need not sum to 1."""
        self._shadows: dict[Slot, Shadow] = {}
        self._aliases: dict[Slot, Slot] = {}

    def alias(self, slot: Slot, other: Slot) -> None:
        """One tensor is the other, whose axes nothing has told yet."""
        self._aliases[slot] = other

    def current(self, slot: Slot) -> Shadow:
        """The identities that a tensor has got; None where it has none yet."""
        return self._shadows.get(slot)

    def shadow(self, slot: Slot, reader: str = "", made: Sequence[Slot] = ()) -> Shadow:
        """The identities of a tensor.

        Args:
            slot: of the tensor.
            reader: the function that reads it, which tells of an input what its axes are.
            made: what that function makes.
        """
        if slot in self._aliases:
            return self.shadow(self._aliases[slot], reader, made)
        if slot not in self._shadows or (slot.argument and slot.made and _is_nothing(self._shadows[slot])):
            found = self._make_shadow(slot, reader, made)
            if slot in self.real and isinstance(found, Tensor):  # what is written into shares no memory
                found = found.contiguous().clone()
            self._shadows[slot] = found
        return self._shadows[slot]

    def is_unread(self, slot: object) -> bool:
        """Whether this is an input of numbers whose axes nothing has told yet."""
        if not isinstance(slot, Slot) or not slot.floating or slot.parameter is not None or slot.constant:
            return False
        return slot in self._aliases or (slot not in self._shadows and (slot.argument or not slot.made))

    def _make_shadow(self, slot: Slot, reader: str, made: Sequence[Slot] = ()) -> Shadow:
        """Of a tensor that nothing made: a parameter, an input, or something that came from nowhere."""
        if slot.constant or (slot.made and not slot.argument):
            return None
        if slot.parameter is not None:
            return self._learn(slot)
        if not slot.floating:
            return Live()
        if slot.hidden:
            return torch.full((), self.known.lose(slot.hidden), dtype=torch.int64).expand(slot.shape)
        if len(slot.shape) < 2 or 0 in slot.shape:
            return None
        why = "" if slot.argument else "a tensor that was made by something that was not seen"
        reading = inputs.Reading(reader, tuple(made[0].shape) if made else (), slot.traced, self.convolved.get(slot))
        ids = inputs.add_input(self.known, slot.shape, reading, why)
        if slot.traced is not None:
            number = len(self.known.sources) - 1
            self.known.pictures[number] = Picture.of(slot.traced, ids, self.known.sources[number].dims)
        return ids

    def harden(self, slot: Slot, shadow: Shadow, outs: Sequence[Slot] = ()) -> Shadow:
        """The identities of weights over tokens that are used as something else.

        Args:
            slot, shadow: of the tensor.
            outs: what is made of it, which may be weights still.
        """
        why = self.softened.get(slot.soft)
        if why is None or not isinstance(shadow, Tensor) or any(out.soft == slot.soft for out in outs):
            return shadow
        return self.known.unsee(compact(shadow), why).expand(shadow.shape)

    def _learn(self, slot: Slot) -> Shadow:
        shape = slot.shape
        rows = 1
        for size in shape[:-1]:
            rows *= size
        if not shape or rows > MOST_LEARNT or not slot.floating:
            return None
        name = self.find_names().get(id(slot.parameter), "a parameter")
        return self.known.learn(name, shape[:-1]).unsqueeze(-1).expand(shape)

    def find_live(self, op: Op, name: str) -> Shadow:
        """What whole numbers are: those they were computed from one by one, others that are live, or none."""
        slots = [slot for arg in (*op.args, *op.kwargs.values()) for slot in walk_slots(arg)]
        live = [slot for slot in slots if self._is_live(slot)]
        if not live:
            return None
        known = {id(self._shadows[slot]): self._shadows[slot] for slot in live if slot in self._shadows}
        same = all(slot.shape == op.outs[0].shape for slot in live) if op.outs else False
        plain = name in functions.ELEMENTWISE or name in moving.SAME or name in ("long", "int", "bitwise_and", "and")
        (found, *others) = known.values() if known else (None,)
        if plain and same and not others and isinstance(found, Live):
            return found
        ids = [each for each in known.values() if isinstance(each, Live)]
        unordered = name in functions.BY_THEIR_VALUES or any(each.unordered for each in ids)
        return Live(unordered=unordered, counted=name == "cumsum" or any(each.counted for each in ids))

    def _is_live(self, slot: Slot) -> bool:
        if slot.floating and slot not in self._shadows:
            return not (slot.constant or slot.parameter is not None)
        return self.shadow(slot) is not None

    def set(self, slot: Slot, shadow: Shadow) -> None:
        """The identities of what was made."""
        shadow = simplify(shadow)
        if isinstance(shadow, Tensor) and tuple(shadow.shape) != slot.shape:
            shadow = fit(shadow, slot.shape)
        if slot in self.real and not isinstance(shadow, Pair | Live) and slot.floating:
            shadow = zeros(slot.shape).clone() if shadow is None else shadow.contiguous().clone()
        elif slot in self.real and isinstance(shadow, Pair):
            shadow = shadow.map(lambda ids: fit(ids, slot.shape).contiguous().clone())
        self._shadows[slot] = shadow

    def set_view(self, slot: Slot, shadow: Shadow) -> None:
        """As `set`, sharing memory, so that a write into one is a write into the other."""
        self._shadows[slot] = shadow

    def set_all(self, op: Op, shadow: Shadow) -> None:
        """As `set`, of all that an operation made; of what holds no numbers only that it is live."""
        for out in op.outs:
            self.set(out, shadow if out.floating or isinstance(shadow, Live) else None)

    def change(self, slot: Slot, shadow: Shadow) -> None:
        """The same tensor, with other identities."""
        current = self._shadows.get(slot)
        if slot in self.real and isinstance(current, Tensor) and isinstance(shadow, Tensor):
            current.copy_(shadow.expand(slot.shape))
        else:
            self.set(slot, shadow)

    def give(self, op: Op, shadow: Shadow, number: int = 0) -> None:
        """As `set`, or other identities of the same tensor where an operation wrote into what it was given."""
        slot = op.outs[number]
        if slot in self._shadows and slot in [each for arg in op.args for each in walk_slots(arg)]:
            self.change(slot, shadow)
        else:
            self.set(slot, shadow)

    def lose(self, op: Op, why: str) -> None:
        """Give up on what an operation made, and say why."""
        place = f"{why} in {op.notes.path}" if op.notes.path and op.notes.path not in why else why
        for out in op.outs:
            if out.floating and out.shape:
                identity = self.known.lose(place)
                self._give_lost(out, torch.full((), identity, dtype=torch.int64).expand(out.shape))
            elif not out.floating:
                self.set(out, Live())
        for number in op.notes.calls:
            self.calls[number] = CallTokens.unknown(place)

    def _give_lost(self, slot: Slot, shadow: Tensor) -> None:
        current = self._shadows.get(slot)
        if isinstance(current, Tensor) and slot in self.real:
            current.copy_(shadow)
        else:
            self.set(slot, shadow)

    def find_divided(self, op: Op, name: str, given: Sequence[Slot]) -> Shadow:
        """The identities of a tensor that is divided by its own sum, as a softmax does; None: it is another division.

        Args:
            op, name: the operation.
            given: the tensors that it was given.
        """
        divided = own_sums.find_divided(name, op.args, op.kwargs) if name in own_sums.DIVISIONS else None
        if divided is None:
            for slot in given if name in own_sums.DIVISIONS else ():
                if slot.summed is not None and slot.summed[0] in self.weighing:  # what they gathered is divided by it
                    self.calls[self.weighing[slot.summed[0]]] = CallTokens.unknown(DIVIDED_LATE)
            return None
        found = self.shadow(divided[0])
        if isinstance(found, Tensor) and mixing.softens_over(self.known, [divided[1]], found):
            self.softened[op.outs[0].soft] = f"a division by the sum over tokens{op.where}"
        return found

    def note_changed(self, op: Op, name: str, given: Sequence[Slot]) -> None:
        """Note weights of a softmax that an operation multiplies by something, or that were so before.

        Args:
            op, name: the operation.
            given: the tensors that it was given.
        """
        soft = op.outs[0].soft
        before = [slot for slot in given if slot.soft == soft]
        times = name in functions.FACTORS and any(arg not in before and arg != 1 for arg in op.args)
        times = times or name in ("masked_fill", "where")
        if soft and before and (times or any(slot in self.changed for slot in before)):
            self.changed.update(op.outs)

    def find_put_back(self, op: Op, name: str, written: object) -> Pair | None:
        """The shadow of scores of which those that were chosen are written to where they stood; else None."""
        index = op.given(2, "index")
        if name != "scatter" or not isinstance(written, Slot) or not isinstance(index, Kept):
            return None
        known = self.chosen.get(written)
        if known is None or index.slot is not known[1] or index.slot.shape != written.shape:
            return None
        return known[0] if len(op.outs) == 1 and fits(known[0], op.outs[0].shape) else None

    def settle(self, shadow: Shadow, op: Op) -> Tensor | None:
        """One identity for each element, where there may have been a pair."""
        return blending.settle(self.known, shadow, op.notes.path)


def _is_nothing(shadow: Shadow) -> bool:
    """Whether a tensor holds nothing but constants."""
    return shadow is None or (isinstance(shadow, Tensor) and not bool(shadow.any()))
