"""Replay a tape on identities: for each attention call, which tokens its queries and its keys are.

Nothing is computed but places: functions that move tokens are run on identities, linear maps and norms keep those of
their rows, and attention gives its queries' tokens a new state. What the rules do not know is lost, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from jumok.watching.provenance import blending, functions, grids, inputs, moving, multiplying, sampling
from jumok.watching.provenance.call_tokens import PART, UNCONFIRMED, CallTokens
from jumok.watching.provenance.einsum import Equation
from jumok.watching.provenance.finding import find_tokens
from jumok.watching.provenance.identities import TEXT, Identities
from jumok.watching.provenance.looking_ahead import find_shared, find_written
from jumok.watching.provenance.memory import MOST_OPS, Signature, recall, remember
from jumok.watching.provenance.pictures import Picture
from jumok.watching.provenance.shadows import Live, Pair, Shadow, compact, fit, is_even, or_constant, simplify, zeros
from jumok.watching.provenance.tape import Kept, Op, Slot, Tape, clone_index, list_inputs, walk_slots

MOST_LOOKED_UP = 4096
"""Rows of a table that may be looked up as learnt tokens, at most: tables of relative positions have more."""
SMALLEST_TOKEN = 8
"""Numbers of a learnt token, at least: biases of heads have fewer."""
MOST_LEARNT = 1 << 20
"""Rows of a parameter that may stand for learnt tokens, at most."""


class Replay:
    """What is known of the tokens of a forward pass, as far as the tape has been read.

    Args:
        tape: of the pass; may grow.
        names: of parameters, by their id.
        model: whose pass it is; what was found for the same pass before is taken from there.
    """

    def __init__(self, tape: Tape, names: dict[int, str], model: nn.Module) -> None:
        self._tape, self.names, self.model = tape, names, model
        self.known = Identities()
        self.calls: dict[int, CallTokens] = {}
        self.routed: dict[int, Tensor] = {}
        self._shadows: dict[Slot, Shadow] = {}
        self._real: set[Slot] = set()
        self._aliases: dict[Slot, Slot] = {}
        self._outlooks: dict[int, CallTokens] = {}
        self._shares: dict[int, list[Op]] = {}
        self._done = 0
        self._recalled = False

    def advance(self) -> None:
        """Read what the tape has got since."""
        ops = self._tape.ops[self._done :]
        signature = Signature(ops) if self._done == 0 and 0 < len(ops) <= MOST_OPS else None
        known = recall(self.model, signature) if signature else None
        if known is not None and not self._recalled:
            self.known, self.calls, self.routed = known[0], dict(known[1]), dict(known[2])
            self._recalled = True
            return
        if self._recalled:  # more came: read all of it
            self.known, self.calls, self.routed, self._recalled, signature = Identities(), {}, {}, False, None
        self._real |= find_written(ops)
        self._shares |= find_shared(ops, self._tape.lengths)
        for op in ops:
            self._run(op)
            if op.route is not None:
                self._note_routed(op, op.route)
        self._done += len(ops)
        if signature:
            remember(self.model, signature, (self.known, dict(self.calls), dict(self.routed)))

    def _note_routed(self, op: Op, number: int) -> None:
        """The tokens that shares of experts are of; of weights between tokens, and of no tokens, none."""
        slot = op.given(0, "input")
        ids = self.shadow(slot) if isinstance(slot, Slot) else None
        if isinstance(ids, Tensor) and is_even(ids, -1) and not bool(self.known.is_weak(compact(ids)).all()):
            self.routed[number] = ids[..., 0].reshape(-1)

    # -- one operation --------------------------------------------------------------------------

    def _run(self, op: Op) -> None:
        try:
            self._replay(op)
        except moving.CannotMoveError as reason:
            self._lose(op, str(reason))
        except (
            RuntimeError,
            IndexError,
            TypeError,
            ValueError,
            KeyError,
            AttributeError,
            NotImplementedError,
        ) as error:
            self._lose(op, f"{op.name} (its places could not be followed: {type(error).__name__})")

    def _replay(self, op: Op) -> None:
        name, inplace = functions.strip(op.name)
        if op.calls:
            self._attend(op, name)
        elif op.name in functions.WRITES or (inplace and f"{name}_" in functions.WRITES):
            self._write(op, name, inplace=inplace or op.name == "__setitem__")
        elif name in ("embedding", "embedding_bag"):
            self._embed(op)
        elif op.name in moving.SAME and self._is_unread(op.args[0] if op.args else None):
            if op.outs[0] is not op.args[0]:
                self._aliases[op.outs[0]] = op.args[0]
        else:
            self._replay_numbers(op, name)

    def _replay_numbers(self, op: Op, name: str) -> None:
        """A function that makes numbers of numbers, by its rule."""
        if name in functions.MAKERS:
            self._set_all(op, None)
        elif op.outs and not any(out.floating for out in op.outs):
            self._set_all(op, self._find_live(op, name))
        else:
            rule = _find_rule(name)
            given = list_inputs(op)
            if rule in _OF_ONE or name in _OF_THE_FIRST:
                first = op.given(0, "input")
                given = [first] if isinstance(first, Slot) and first.floating else []
            shadows = [self.shadow(slot, op.name, op.outs) for slot in given]
            if all(shadow is None or isinstance(shadow, Live) for shadow in shadows):  # of none, too
                self._set_all(op, None)
            elif rule is None:
                self._lose(op, op.name)
            else:
                rule(self, op, name, given, shadows)

    def shadow(self, slot: Slot, reader: str = "", made: Sequence[Slot] = ()) -> Shadow:
        """The identities of a tensor.

        Args:
            slot: of the tensor.
            reader: the function that reads it, which tells of an input what its axes are.
            made: what that function makes.
        """
        if slot in self._aliases:
            return self.shadow(self._aliases[slot], reader, made)
        if slot not in self._shadows or (slot.argument and slot.made and self._shadows[slot] is None):
            self._shadows[slot] = self._make_shadow(slot, reader, made)
        return self._shadows[slot]

    def _is_unread(self, slot: object) -> bool:
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
        if len(slot.shape) < 2 or 0 in slot.shape:
            return None
        why = "" if slot.argument else "a tensor that was made by something that was not seen"
        reading = inputs.Reading(reader, tuple(made[0].shape) if made else (), slot.traced)
        ids = inputs.add_input(self.known, slot.shape, reading, why)
        if slot.traced is not None:
            number = len(self.known.sources) - 1
            self.known.pictures[number] = Picture.of(slot.traced, ids, self.known.sources[number].dims)
        return ids

    def _learn(self, slot: Slot) -> Shadow:
        shape = slot.shape
        rows = 1
        for size in shape[:-1]:
            rows *= size
        if not shape or rows > MOST_LEARNT or not slot.floating:
            return None
        name = self.names.get(id(slot.parameter), "a parameter")
        return self.known.learn(name, shape[:-1]).unsqueeze(-1).expand(shape)

    def _find_live(self, op: Op, name: str) -> Shadow:
        """What whole numbers are: those they were computed from one by one, others that are live, or none."""
        slots = [slot for arg in (*op.args, *op.kwargs.values()) for slot in walk_slots(arg)]
        live = [slot for slot in slots if self._is_live(slot)]
        if not live:
            return None
        known = {id(self._shadows[slot]): self._shadows[slot] for slot in live if slot in self._shadows}
        same = all(slot.shape == op.outs[0].shape for slot in live) if op.outs else False
        plain = name in functions.ELEMENTWISE or name in moving.SAME or name in ("long", "int", "bitwise_and", "and")
        (found, *others) = known.values() if known else (None,)
        return found if plain and same and not others and isinstance(found, Live) else Live()

    def _is_live(self, slot: Slot) -> bool:
        if slot.floating and slot not in self._shadows:
            return not (slot.constant or slot.parameter is not None)
        return self.shadow(slot) is not None

    # -- results --------------------------------------------------------------------------------

    def _set(self, slot: Slot, shadow: Shadow) -> None:
        shadow = simplify(shadow)
        if isinstance(shadow, Tensor) and tuple(shadow.shape) != slot.shape:
            shadow = fit(shadow, slot.shape)
        if slot in self._real and not isinstance(shadow, Pair | Live) and slot.floating:
            shadow = zeros(slot.shape).clone() if shadow is None else shadow.contiguous().clone()
        self._shadows[slot] = shadow

    def _set_view(self, slot: Slot, shadow: Shadow) -> None:
        """As `_set`, sharing memory, so that a write into one is a write into the other."""
        self._shadows[slot] = shadow

    def _set_all(self, op: Op, shadow: Shadow) -> None:
        for out in op.outs:
            self._set(out, shadow if out.floating or isinstance(shadow, Live) else None)

    def _change(self, slot: Slot, shadow: Shadow) -> None:
        """The same tensor, with other identities."""
        current = self._shadows.get(slot)
        if slot in self._real and isinstance(current, Tensor) and isinstance(shadow, Tensor):
            current.copy_(shadow.expand(slot.shape))
        else:
            self._set(slot, shadow)

    def _give(self, op: Op, shadow: Shadow, number: int = 0) -> None:
        slot = op.outs[number]
        if slot in self._shadows and slot in [each for arg in op.args for each in walk_slots(arg)]:
            self._change(slot, shadow)
        else:
            self._set(slot, shadow)

    def _lose(self, op: Op, why: str) -> None:
        place = f"{why} in {op.path}" if op.path and op.path not in why else why
        for out in op.outs:
            if out.floating and out.shape:
                identity = self.known.lose(place)
                self._give_lost(out, torch.full((), identity, dtype=torch.int64).expand(out.shape))
            elif not out.floating:
                self._set(out, Live())
        for number in op.calls:
            self.calls[number] = CallTokens.unknown(place)

    def _give_lost(self, slot: Slot, shadow: Tensor) -> None:
        current = self._shadows.get(slot)
        if isinstance(current, Tensor) and slot in self._real:
            current.copy_(shadow)
        else:
            self._set(slot, shadow)

    def _settle(self, shadow: Shadow, op: Op) -> Tensor | None:
        return blending.settle(self.known, shadow, op.path)

    # -- rules ----------------------------------------------------------------------------------

    def _view(self, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
        shadow = shadows[0]
        if isinstance(shadow, Pair):
            sides = [None if side is None else moving.view(op, side) for side in shadow.sides]
            for number, out in enumerate(op.outs):
                one, other = (None if side is None else side[number] for side in sides)
                self._shadows[out] = Pair(one, other, shadow.path)
            return
        if not isinstance(shadow, Tensor):
            self._set_all(op, None)
            return
        for out, made in zip(op.outs, moving.view(op, shadow), strict=True):
            if out is given[0]:
                continue
            fresh = op.name in ("clone", "contiguous", "to") and out in self._real and made is shadow
            self._set(out, made) if fresh else self._set_view(out, made)

    def _move(self, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
        shadow = shadows[0]
        if isinstance(shadow, Pair):
            self._give(op, shadow.map(lambda ids: moving.move(op, ids)))
        else:
            assert isinstance(shadow, Tensor)
            self._give(op, moving.move(op, shadow))

    def _join(self, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
        if any(isinstance(shadow, Pair) for shadow in shadows):
            sides = []
            for side in (0, 1):
                parts = [_side(shadow, side, slot.shape) for shadow, slot in zip(shadows, given, strict=True)]
                sides.append(moving.join_parts(op, parts))
            path = next(shadow.path for shadow in shadows if isinstance(shadow, Pair))
            self._give(op, Pair(sides[0], sides[1], path))
            return
        parts = [blending.make_zeros(shadow, slot.shape) for shadow, slot in zip(shadows, given, strict=True)]
        self._give(op, moving.join_parts(op, parts))

    def _elementwise(self, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
        if name in _OF_THE_FIRST:
            found = shadows[0]
        else:
            found = None
            for slot, shadow in zip(given, shadows, strict=True):
                if slot is op.gate:  # the same for all places: it mixes none
                    continue
                found = blending.blend(self.known, found, shadow, op.outs[0].shape, factor=name in _FACTORS)
        if found is not (shadows[0] if op.outs[0] is given[0] else None):
            self._give(op, found)
        for number, out in enumerate(op.outs[1:], 1):
            if out.floating and out.shape == op.outs[0].shape:
                self._give(op, found, number)

    def _choose(self, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
        """`where`: by its mask, if that was kept; else as a sum."""
        mask = next((arg for arg in op.args if isinstance(arg, Kept)), None)  # the second of `Tensor.where`
        if mask is None or mask.changed:
            self._elementwise(op, name, given, shadows)
            return
        operands = [
            self.shadow(each) if isinstance(each, Slot) and each.floating else None
            for each in op.args
            if each is not mask
        ]
        out, values = op.outs[0].shape, clone_index(mask.values)
        sides = []
        for side in (0, 1):
            one, other = (fit(_side(each, side, ()), out) for each in operands)
            sides.append(torch.where(values, one, other))
        path = next((each.path for each in operands if isinstance(each, Pair)), None)
        self._give(op, sides[0] if path is None else Pair(sides[0], sides[1], path))

    def _reduce(self, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
        shape = given[0].shape
        dims = op.kwargs.get("dim", op.kwargs.get("axis"))
        if dims is None:
            place = 2 if name in ("norm", "vector_norm") else 1
            dims = op.args[place] if len(op.args) > place and not isinstance(op.args[place], bool) else None
        if isinstance(dims, Slot):
            self._elementwise(op, name, given, shadows)  # max(a, b)
            return
        axes = list(range(len(shape))) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
        axes = [axis % len(shape) for axis in axes]
        out = op.outs[0].shape
        kept = len(out) == len(shape)

        def reduce(ids: Tensor) -> Tensor:
            merged = blending.merge_over(self.known, ids, axes)
            merged = merged.expand([1 if axis in axes else size for axis, size in enumerate(shape)])
            return merged if kept else merged.reshape(out)

        shadow = shadows[0]
        if isinstance(shadow, Pair):
            sides = [
                side if side is not None and all(is_even(side, axis) for axis in axes) else None
                for side in shadow.sides
            ]
            shadow = Pair(sides[0], sides[1], shadow.path)
            found: Shadow = shadow.map(reduce)
        else:
            assert isinstance(shadow, Tensor)
            found = reduce(shadow)
        for number, slot in enumerate(op.outs):
            if slot.floating:
                self._give(op, found, number)
            else:
                self._set(slot, Live())

    def _linear(self, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
        self._give(op, self._contract(shadows[0], -1, op.outs[0].shape, op))

    def _contract(self, shadow: Shadow, axis: int, out: Sequence[int], op: Op) -> Shadow:
        """A product with constants along an axis."""
        if isinstance(shadow, Pair):
            sides = [side if side is None or is_even(side, axis) else None for side in shadow.sides]
            if None in sides and None not in shadow.sides:  # weights over tokens, used as features of a token
                return fit(blending.merge_over(self.known, or_constant(self._settle(shadow, op)), [axis]), out)
            return Pair(sides[0], sides[1], shadow.path).map(lambda ids: fit(compact(ids).narrow(axis, 0, 1), out))
        ids = shadow if isinstance(shadow, Tensor) else zeros(())
        return fit(blending.merge_over(self.known, ids, [axis]), out)

    def _product(self, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
        self._give(op, self._multiply(op, name))

    def _multiply(self, op: Op, name: str) -> Shadow:
        equation = Equation.of(op, name)
        return multiplying.multiply(self.known, op, equation, [self.shadow(slot) for slot in equation.slots])

    def _convolve(self, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
        self._give(op, grids.convolve(self.known, op, or_constant(self._settle(shadows[0], op))))

    def _deconvolve(self, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
        self._give(op, grids.deconvolve(self.known, op, or_constant(self._settle(shadows[0], op))))

    def _pool(self, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
        found = grids.pool(self.known, op, or_constant(self._settle(shadows[0], op)))
        for number, slot in enumerate(op.outs):
            self._set(slot, found if slot.floating else Live()) if number else self._give(op, found)

    def _resize(self, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
        self._give(op, grids.resize(self.known, op, or_constant(self._settle(shadows[0], op))))

    def _fold(self, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
        ids = or_constant(self._settle(shadows[0], op))
        self._give(op, grids.fold(self.known, op, ids))
        for number in [number for number in self._outlooks if bool(self.known.are_of(ids, number).any())]:
            self.calls[number] = self._outlooks.pop(number)  # its windows lie where they were cut out

    def _sample(self, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
        self._give(op, sampling.sample(self.known, op, or_constant(self._settle(shadows[0], op))))

    def _recur(self, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
        ids = blending.merge_over(self.known, or_constant(self._settle(shadows[0], op)), [-1])
        mixed = self.known.unsee(ids, f"a recurrent layer{op.where}")
        self._set(op.outs[0], mixed.expand(op.outs[0].shape))
        for out in op.outs[1:]:
            identity = self.known.lose(f"the last state of a recurrent layer{op.where}")
            self._set(out, torch.full((), identity, dtype=torch.int64).expand(out.shape))

    def _scan(self, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
        ids = or_constant(self._settle(shadows[0], op))
        dim = op.given(1, "dim", -1)
        if op.outs[0].shape != given[0].shape or not isinstance(dim, int):
            raise moving.CannotMoveError(name)
        if not is_even(ids, dim):
            ids = self.known.unsee(compact(ids), f"{name}{op.where}")
        for out in op.outs:
            self._set(out, ids if out.floating else Live())

    def _gate_half(self, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
        """`glu`: one half of an axis gates the other."""
        merged = blending.merge_over(self.known, or_constant(self._settle(shadows[0], op)), [op.given(1, "dim", -1)])
        self._give(op, merged.expand(op.outs[0].shape))

    def _sort(self, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
        dim = op.kwargs.get(
            "dim", op.args[2 if name == "topk" else 1] if len(op.args) > (2 if name == "topk" else 1) else -1
        )
        ids = blending.merge_over(self.known, or_constant(self._settle(shadows[0], op)), [dim])
        for out in op.outs:
            self._set(out, ids.expand(out.shape) if out.floating else Live())

    def _embed(self, op: Op) -> None:
        ids = next((slot for arg in op.args for slot in walk_slots(arg) if not slot.floating), None)
        ids = ids or next((s for v in op.kwargs.values() for s in walk_slots(v) if not s.floating), None)
        live = None if ids is None else self.shadow(ids)
        if ids is None or 0 in ids.shape:
            self._set_all(op, None)
            return
        if not isinstance(live, Live):
            self._set(op.outs[0], self._look_up_learnt(op, ids))
            return
        if ids.shape not in live.sources:
            items, rest = (1, ids.shape) if len(ids.shape) == 1 else (ids.shape[0], ids.shape[1:])
            live.sources[ids.shape] = self.known.add_source(TEXT, (items, math.prod(rest), 1, 1)).reshape(ids.shape)
        self._set(op.outs[0], live.sources[ids.shape].unsqueeze(-1).expand(op.outs[0].shape))

    def _look_up_learnt(self, op: Op, ids: Slot) -> Tensor | None:
        """Rows of a table at fixed places: learnt tokens, unless they are added to others, as positions are."""
        table = next((slot for arg in op.args for slot in walk_slots(arg) if slot.parameter is not None), None)
        out = op.outs[0].shape
        if table is None or math.prod(ids.shape) > MOST_LOOKED_UP or out[-1] < SMALLEST_TOKEN:
            return None
        name = self.names.get(id(table.parameter), "a parameter")
        return self.known.learn(name, ids.shape).unsqueeze(-1).expand(out)

    def _write(self, op: Op, name: str, *, inplace: bool) -> None:
        slot = op.args[0].slot if isinstance(op.args[0], Kept) else op.args[0]
        written = moving.find_written(op, name)
        written = written.slot if isinstance(written, Kept) else written
        value = self.shadow(written) if isinstance(written, Slot) and written.floating else None
        value = None if isinstance(value, Live) else value
        target = self.shadow(slot) if slot.floating else None
        if not slot.floating:
            self._set(slot, self._find_live(op, name))
            self._set_all(op, self._shadows.get(slot))
            return
        if isinstance(target, Pair) or isinstance(value, Pair):
            sides = [self._write_side(op, name, slot, side, target, value) for side in (0, 1)]
            path = next(each.path for each in (value, target) if isinstance(each, Pair))
            self._shadows[slot if inplace else op.outs[0]] = Pair(sides[0], sides[1], path)
            return
        if target is None and value is None and slot not in self._real:
            self._set_all(op, None)
            return
        base = zeros(slot.shape) if not isinstance(target, Tensor) else target
        if not inplace:
            self._set(op.outs[0], moving.write(op, name, base.contiguous().clone(), value))
            return
        if slot not in self._real:
            base = base.contiguous().clone()
        made = moving.write(op, name, base, value)
        self._shadows[slot] = made

    def _write_side(self, op: Op, name: str, slot: Slot, side: int, target: Shadow, value: Shadow) -> Tensor:
        """One side of scores after a write."""
        base = _side(target, side, slot.shape)
        base = base if slot in self._real and isinstance(target, Pair) else base.contiguous().clone()
        part: Shadow = value.sides[side] if isinstance(value, Pair) else value if side == 0 else None
        return moving.write(op, name, base, part if isinstance(part, Tensor) else None)

    def _attend(self, op: Op, name: str) -> None:
        """An attention call: its output are its queries' tokens in a new state."""
        if op.weights is None:
            shadows = {
                s: self.shadow(s, name)
                for arg in (*op.args, *op.kwargs.values())
                for s in walk_slots(arg)
                if s.floating
            }
            tokens, made = find_tokens(self.known, op, name, lambda s: self._settle(shadows[s], op))
        else:
            equation = Equation.of(op, name)
            shadows = {slot: self.shadow(slot) for slot in equation.slots}
            tokens, made = find_tokens(self.known, op, name, shadows.__getitem__, equation)
            if op.weights.soft in self._shares:
                tokens, made = self._gather_shares(op, tokens, made)
            elif made is None:
                self.calls[op.calls[0]] = tokens
                if op.factors is None:
                    self._set(op.outs[0], self._multiply(op, name))
                else:
                    self._replay_numbers(op, name)
                return
            elif tokens.why == UNCONFIRMED:
                self._outlooks[op.calls[0]] = replace(tokens, why="")
                tokens = CallTokens.unknown(UNCONFIRMED)
        self.calls[op.calls[0]] = tokens
        self._set(op.outs[0], made)
        for out in op.outs[1:]:
            self._set(out, None)

    def _gather_shares(self, op: Op, tokens: CallTokens, made: Tensor | None) -> tuple[CallTokens, Tensor | None]:
        """One call of the several products with the weights of one softmax: the last of them stands for all."""
        assert op.weights is not None
        self.calls[op.calls[0]] = tokens
        others = self._shares[op.weights.soft]
        if op is not others[-1]:
            return replace(tokens, kind=PART), None
        numbers = tuple(each.calls[0] for each in others)
        parts = [self.calls[number] for number in numbers]
        if any(not tokens.looks_like(part) for part in parts):
            why = "a part of a softmax whose rest is multiplied in another way"
            self.calls |= dict.fromkeys(numbers, CallTokens.unknown(why))
            raise moving.CannotMoveError(why)
        keys = torch.cat([part.keys for part in parts if part.keys is not None], -1)
        return replace(tokens, keys=keys, parts=numbers), made


_OF_ONE = (
    Replay._scan,
    Replay._gate_half,
    Replay._view,
    Replay._move,
    Replay._linear,
    Replay._convolve,
    Replay._deconvolve,
    Replay._recur,
    Replay._pool,
    Replay._resize,
    Replay._fold,
    Replay._sample,
)
Rule = Callable[[Replay, Op, str, Sequence[Slot], Sequence[Shadow]], None]
_FACTORS = frozenset(["mul", "multiply", "div", "divide", "true_divide"])
_OF_THE_FIRST = functions.names(
    "layer_norm rms_norm group_norm batch_norm instance_norm normalize softmax log_softmax dropout "
    "dropout1d dropout2d dropout3d prelu local_response_norm gumbel_softmax"
)
_RULES: dict[frozenset[str], Rule] = {
    functions.VIEWS: Replay._view,
    moving.JOINS: Replay._join,
    functions.MOVES: Replay._move,
    frozenset(["where"]): Replay._choose,
    functions.ELEMENTWISE: Replay._elementwise,
    functions.REDUCTIONS: Replay._reduce,
    functions.PRODUCTS: Replay._product,
    functions.CONVOLUTIONS: Replay._convolve,
    functions.UPWARDS: Replay._deconvolve,
    functions.POOLINGS | functions.ADAPTIVE_POOLINGS: Replay._pool,
    frozenset(["interpolate", "upsample"]): Replay._resize,
    functions.RECURRENT: Replay._recur,
    functions.SORTING: Replay._sort,
    functions.SCANS: Replay._scan,
    frozenset(["glu"]): Replay._gate_half,
    frozenset(["fold", "col2im"]): Replay._fold,
    frozenset(["grid_sample"]): Replay._sample,
    functions.LINEAR: Replay._linear,
}
_BY_NAME: dict[str, Rule] = {}
for _names, _rule in _RULES.items():
    for _name in _names:
        _BY_NAME.setdefault(_name, _rule)


def _find_rule(name: str) -> Rule | None:
    return _BY_NAME.get(name)


def _side(shadow: Shadow, side: int, shape: Sequence[int]) -> Tensor:
    found: Any = shadow.sides[side] if isinstance(shadow, Pair) else shadow if side == 0 else None
    return found if isinstance(found, Tensor) else zeros(shape)
