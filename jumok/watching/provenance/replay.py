"""Replay a tape on identities: for each attention call, which tokens its queries and its keys are.

Nothing is computed but places: functions that move tokens are run on identities, linear maps and norms keep those of
their rows, and attention gives its queries' tokens a new state. What the rules do not know is lost, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from jumok.watching.provenance import embedding, functions, moving, rules
from jumok.watching.provenance.call_tokens import PART, UNCONFIRMED, CallTokens
from jumok.watching.provenance.einsum import Equation
from jumok.watching.provenance.finding import find_tokens
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.looking_ahead import find_convolved, find_shared, find_written
from jumok.watching.provenance.memory import MOST_OPS, Signature, recall, remember
from jumok.watching.provenance.ops import Op, Slot, list_inputs, walk_slots
from jumok.watching.provenance.shadow_table import ShadowTable
from jumok.watching.provenance.shadows import Live, compact, is_even
from jumok.watching.provenance.tape import Tape
from jumok.watching.provenance.words import follow_ids

NESTED = "a nested tensor, whose items differ in length, is not followed"


class Replay:
    """What is known of the tokens of a forward pass, as far as the tape has been read.

    Args:
        tape: of the pass; may grow.
        find_names: gives the names of parameters, by their id.
        model: whose pass it is; what was found for the same pass before is taken from there.
    """

    def __init__(self, tape: Tape, find_names: Callable[[], dict[int, str]], model: nn.Module) -> None:
        self._tape, self.find_names, self.model = tape, find_names, model
        self._table = ShadowTable(find_names)
        self.routed: dict[int, Tensor] = {}
        self._shares: dict[int, list[Op]] = {}
        self._done = 0
        self._recalled = False

    @property
    def known(self) -> Identities:
        """The identities that were found."""
        return self._table.known

    @property
    def done(self) -> int:
        """How many operations of the tape were read."""
        return self._done

    @property
    def calls(self) -> dict[int, CallTokens]:
        """The tokens of the calls of attention, by their number."""
        return self._table.calls

    def advance(self) -> None:
        """Read what the tape has got since."""
        found = self._tape.look_up() if self._done == 0 else None
        ops = self._tape.ops[self._done :]
        signature = Signature(ops) if found is None and self._done == 0 and 0 < len(ops) <= MOST_OPS else None
        if signature and not self._recalled:
            found = recall(self.model, signature, self._tape.copy_as_last)
        if found is not None:
            self._table.known, self._table.calls, self.routed = found[0], dict(found[1]), dict(found[2])
            self._recalled = True
            return
        if self._recalled:  # more came: read all of it
            self._table, self.routed, self._recalled, signature = ShadowTable(self.find_names), {}, False, None
        self._table.real |= find_written(ops)
        self._table.convolved |= find_convolved(ops)
        self._shares |= find_shared(ops, self._tape.lengths)
        for op in ops:
            self._run(op)
            if op.notes.route is not None:
                self._note_routed(op, op.notes.route)
        self._done += len(ops)
        if signature:
            result = self.known, dict(self.calls), dict(self.routed)
            remember(self.model, signature, result, self._tape.copy_as_last(result))

    def _note_routed(self, op: Op, number: int) -> None:
        """The tokens that shares of experts are of; of weights between tokens, and of no tokens, none."""
        slot = op.given(0, "input")
        ids = self._table.shadow(slot) if isinstance(slot, Slot) else None
        if isinstance(ids, Tensor) and is_even(ids, -1) and not bool(self.known.is_weak(compact(ids)).all()):
            self.routed[number] = ids[..., 0].reshape(-1)

    # -- one operation --------------------------------------------------------------------------

    def _run(self, op: Op) -> None:
        try:
            self._replay(op)
        except moving.CannotMoveError as reason:
            self._table.lose(op, str(reason))
        except (
            RuntimeError,
            IndexError,
            TypeError,
            ValueError,
            KeyError,
            AttributeError,
            NotImplementedError,
        ) as error:
            self._table.lose(op, f"{op.name} ({_explain(op, error)})")

    def _replay(self, op: Op) -> None:
        name, inplace = functions.strip(op.name)
        if op.name in functions.UNCHANGING:
            return
        if op.notes.calls:
            self._attend(op, name)
        elif op.name in functions.WRITES or (inplace and f"{name}_" in functions.WRITES):
            rules.write(self._table, op, name, inplace=inplace or op.name == "__setitem__")
        elif name in ("embedding", "embedding_bag"):
            embedding.embed(self._table, op)
        elif op.name in moving.SAME and self._table.is_unread(op.args[0] if op.args else None):
            if op.outs[0] is not op.args[0]:
                self._table.alias(op.outs[0], op.args[0])
        else:
            self._replay_numbers(op, name)

    def _replay_numbers(self, op: Op, name: str) -> None:
        """A function that makes numbers of numbers, by its rule."""
        if name in functions.MAKERS:
            self._table.set_all(op, None)
        elif op.outs and not any(out.floating for out in op.outs):
            if not follow_ids(self._table, op, name):
                self._table.set_all(op, self._table.find_live(op, name))
        else:
            rule = rules.find_rule(name)
            given = list_inputs(op)
            if rules.takes_one(name):
                first = op.given(0, "input")
                given = [first] if isinstance(first, Slot) and first.floating else []
            shadows = [self._table.harden(s, self._table.shadow(s, op.name, op.outs), op.outs) for s in given]
            if all(shadow is None or isinstance(shadow, Live) for shadow in shadows):  # of none, too
                self._table.set_all(op, None)
            elif rule is None:
                self._table.lose(op, op.name)
            else:
                rule(self._table, op, name, given, shadows)
                if op.outs[0].soft:
                    self._table.note_changed(op, name, given)
                if name in functions.ELEMENTWISE and given[0] in self._table.chosen:
                    self._table.chosen[op.outs[0]] = self._table.chosen[given[0]]

    def _attend(self, op: Op, name: str) -> None:
        """An attention call: its output are its queries' tokens in a new state."""
        if op.notes.weights is None:
            shadows = {
                s: self._table.harden(s, self._table.shadow(s, name))
                for arg in (*op.args, *op.kwargs.values())
                for s in walk_slots(arg)
                if s.floating
            }
            tokens, made = find_tokens(self.known, op, name, lambda s: self._table.settle(shadows[s], op))
        else:
            equation = Equation.of(op, name)
            shadows = {slot: self._table.shadow(slot) for slot in equation.slots}
            tokens, made = find_tokens(self.known, op, name, shadows.__getitem__, equation)
            if op.notes.weights.soft in self._shares:
                tokens, made = self._gather_shares(op, tokens, made)
            elif made is None:
                self.calls[op.notes.calls[0]] = tokens
                if op.notes.factors is None:
                    self._table.set(op.outs[0], rules.multiply(self._table, op, name))
                else:
                    self._replay_numbers(op, name)
                self._hide_weighing(op)
                return
            elif tokens.why == UNCONFIRMED:
                self._table.outlooks[op.notes.calls[0]] = replace(tokens, why="")
                tokens = CallTokens.unknown(UNCONFIRMED)
        if op.notes.weights in self._table.changed:
            tokens = replace(tokens, changed=True)
        self.calls[op.notes.calls[0]] = tokens
        if op.notes.weights is not None:
            self._table.weighing[op.notes.weights] = op.notes.calls[0]
        self._table.set(op.outs[0], rules.add_input(self._table, op, name, made))
        for out in op.outs[1:]:
            self._table.set(out, None)

    def _hide_weighing(self, op: Op) -> None:
        """What several calls made of a token, weighed against one another: by how much is not shown."""
        made = self._table.shadow(op.outs[0])
        if isinstance(made, Tensor) and bool(self.known.is_joint(compact(made)).any()):
            why = f"a choice among what several calls of attention gave{op.where}"
            self._table.set(op.outs[0], self.known.unsee(compact(made), why))

    def _gather_shares(self, op: Op, tokens: CallTokens, made: Tensor | None) -> tuple[CallTokens, Tensor | None]:
        """One call of the several products with the weights of one softmax: the last of them stands for all."""
        assert op.notes.weights is not None
        self.calls[op.notes.calls[0]] = tokens
        others = self._shares[op.notes.weights.soft]
        if op is not others[-1]:
            return replace(tokens, kind=PART), None
        numbers = tuple(each.notes.calls[0] for each in others)
        parts = [self.calls[number] for number in numbers]
        if any(not tokens.looks_like(part) for part in parts):
            why = "a part of a softmax whose rest is multiplied in another way"
            self.calls.update(dict.fromkeys(numbers, CallTokens.unknown(why)))
            raise moving.CannotMoveError(why)
        keys = torch.cat([part.keys for part in parts if part.keys is not None], -1)
        return replace(tokens, keys=keys, parts=numbers), made


def _explain(op: Op, error: Exception) -> str:
    """Why the tokens of an operation could not be followed."""
    nested = any(slot.nested for slot in walk_slots([op.args, list(op.kwargs.values()), op.outs]))
    return NESTED if nested else f"its places could not be followed: {type(error).__name__}"
