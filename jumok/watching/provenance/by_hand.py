"""The tokens of attention that a model forms by hand: by a softmax, and a product of the weights with values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from jumok.watching.provenance.blending import merge_over, settle
from jumok.watching.provenance.call_tokens import CHANNELS, KERNEL, ROUTER, UNCONFIRMED, CallTokens
from jumok.watching.provenance.einsum import Equation
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.mixed_maps import compose, holds_weights
from jumok.watching.provenance.moving import CannotMoveError
from jumok.watching.provenance.ops import Op, Slot
from jumok.watching.provenance.origins import CONSTANT
from jumok.watching.provenance.placing import place
from jumok.watching.provenance.sampling import read_samples
from jumok.watching.provenance.shadows import Pair, Shadow, compact, fit, is_even, or_constant, zeros
from jumok.watching.provenance.spreading import is_spread
from jumok.watching.provenance.values_read import read_values

Lookup = Callable[[Slot], Shadow]
Found = tuple[CallTokens, Tensor | None]


@dataclass(frozen=True)
class _Weighing:
    """A product of weights with values.

    Args:
        known: the table of identities.
        equation: of the product.
        number: which of its operands are the weights.
        axis: of the weights, which is summed over.
        sides: identities of the weights: of the tokens that look, those that are seen, or both.
        values: identities of the values.
    """

    known: Identities
    equation: Equation
    number: int
    axis: int
    sides: list[Tensor]
    values: Tensor

    @classmethod
    def read(cls, known: Identities, op: Op, lookup: Lookup, equation: Equation) -> _Weighing:
        """The product that an operation was."""
        assert op.notes.weights is not None
        number = equation.slots.index(op.notes.weights)
        summed = equation.summed_axes(number)
        if len(summed) != 1 or len(equation.slots) != 2:
            raise CannotMoveError("weights that are summed over several axes")
        weights, values = lookup(op.notes.weights), lookup(equation.slots[1 - number])
        one, other = weights.sides if isinstance(weights, Pair) else (weights, None)
        sides = [side for side in (one, other) if isinstance(side, Tensor)]
        values = values if isinstance(values, Tensor) else zeros(equation.slots[1 - number].shape)
        return cls(known, equation, number, summed[0], sides, values)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weights."""
        return self.equation.slots[self.number].shape

    @property
    def value_axis(self) -> int:
        """The axis of the values that is summed over."""
        return self.equation.terms[1 - self.number].index(self.equation.terms[self.number][self.axis])

    @cached_property
    def seen(self) -> Tensor | None:
        """The side that tells what is looked at."""
        differing = [side for side in self.sides if not is_even(side, self.axis)]
        first = differing[0] if differing else None
        return next((side for side in differing if not _is_even_but_constants(side, self.axis)), first)

    @cached_property
    def looking(self) -> Tensor | None:
        """The side that tells who looks."""
        others = (side for side in self.sides if side is not self.seen)
        return next((side for side in others if _is_even_but_constants(side, self.axis)), None)

    @property
    def is_sum(self) -> bool:
        """Whether weights and values were multiplied one by one, then summed: no axis is the queries' alone."""
        return not self.equation.free_axes(self.number) and not self.equation.free_axes(1 - self.number)

    @cached_property
    def order(self) -> list[int]:
        """The weights' axes as (lead..., queries, keys); -1 for queries that have no axis."""
        free = self.equation.free_axes(self.number)
        queries = free[-1] if free else self._find_queries() if self.is_sum else -1
        rank = len(self.shape)
        return [*(each for each in range(rank) if each not in (self.axis, queries)), queries, self.axis]

    def _find_queries(self) -> int:
        """The axis of the queries, of a product one by one: that of who looks, or channels."""
        axes = [axis for axis, size in enumerate(self.shape) if axis != self.axis and size > 1]
        looking = self.looking
        if looking is not None:
            asking = (axis for axis in reversed(axes) if not is_even(looking, axis))
            return next((axis for axis in asking if self.seen is None or is_even(self.seen, axis)), -1)
        whole = self.shape == self.equation.slots[1 - self.number].shape
        even = [axis for axis in axes if axis and all(is_even(side, axis) for side in self.sides)]
        return even[-1] if whole and even else -1

    def align_values(self, lookup: Lookup | None = None) -> Tensor:
        """Identities of the values, in the axes of the weights; `lookup`: those of products of tokens, too."""
        other, shape, values = 1 - self.number, self.shape, self.values
        shadow = None if lookup is None else lookup(self.equation.slots[other])
        if isinstance(shadow, Pair):
            values = fit(or_constant(settle(self.known, shadow)), values.shape)
        letters, term = self.equation.terms[other], self.equation.terms[self.number]
        gone = [axis for axis, letter in enumerate(letters) if letter not in term]
        thin = [axis for axis, letter in enumerate(letters) if letter in term and shape[term.index(letter)] == 1]
        ids = merge_over(self.known, values, [*gone, *thin])
        kept = [1 if axis in (*gone, *thin) else size for axis, size in enumerate(values.shape)]
        ids = ids.expand(kept)
        for axis in reversed(gone):
            ids = ids.select(axis, 0)
        letters = "".join(letter for letter in letters if letter in term)
        ids = ids.permute(sorted(range(len(letters)), key=lambda axis: term.index(letters[axis])))
        for axis, letter in enumerate(term):
            if letter not in letters:
                ids = ids.unsqueeze(axis)
        return ids.expand(shape)

    def weighs_own_values(self) -> bool:
        """Whether tokens look at tokens that each stand once, and what is weighed are the values of these."""
        if self.seen is None or self.looking is None or self.order[-2] < 0:
            return False
        keys, values = (self.permute(ids)[..., :1, :] for ids in (self.seen, self.align_values()))
        rows = compact(keys).reshape(-1, self.shape[self.axis]) if not is_even(self.seen, self.axis) else keys
        apart = rows.sort(-1).values.diff(dim=-1).ne(0).all()
        weak = self.known.is_weak(values.reshape(-1)).view(values.shape)
        own = (keys == values) & ~weak
        return bool(apart) and bool(own.any()) and bool((own | weak).all())

    def weighs_constants(self) -> bool:
        """Whether each token that looks weighs constants or parameters of its own by tokens, as relative places are."""
        looking, term = self.looking, self.equation.terms[self.number]
        if self.seen is None or looking is None or bool(self.known.is_weak(compact(self.seen)).all()):
            return False
        if not bool(self.known.is_weak(compact(self.values)).all()):
            return False
        own = [axis for axis, letter in enumerate(term) if letter in self.equation.terms[1 - self.number]]
        rows = [axis for axis in own if axis != self.axis and self.shape[axis] > 1 and not is_even(looking, axis)]
        return any(is_even(self.seen, axis) for axis in rows)

    def find_mixed(self) -> tuple[Tensor, Tensor] | None:
        """Who looks and what is seen, where each of that was made of the same tokens by a layer over them."""
        free = self.equation.free_axes(self.number)
        asking = [side for side in self.sides if any(not is_even(side, axis) for axis in free)]
        others = [side for side in self.sides if all(is_even(side, axis) for axis in free)]
        if len(asking) != 1 or len(others) != 1 or not is_spread(self.known, others[0]):
            return None
        return asking[0], others[0]

    def find_told(self) -> tuple[Tensor, Tensor] | None:
        """Who looks and what is seen, where each token itself tells how much of every token's values it takes.

        Source: Tay et al. 2021, Synthesizer, arXiv 2005.00743, section 3.1 (dense).
        """
        free = [axis for axis in self.equation.free_axes(self.number) if self.shape[axis] > 1]
        asking = [side for side in self.sides if free and not is_even(side, free[-1])]
        if len(asking) != 1 or bool(self.known.is_weak(compact(asking[0])).any()):
            return None
        seen = self.align_values()
        rows = self.permute(seen)[..., :1, :]
        rows = rows.expand(self.permute(zeros(self.shape)).shape)[..., 0, :].reshape(-1, self.shape[self.axis])
        apart = rows.sort(-1).values.diff(dim=-1).ne(0).all() and not self.known.is_lost(rows).any()
        return (asking[0], seen) if bool(apart) else None

    def permute(self, ids: Tensor) -> Tensor:
        """From the weights' own axes to (lead..., queries, keys)."""
        ids = ids.permute(*(axis for axis in self.order if axis >= 0))
        return ids.unsqueeze(-2) if len(self.order) > len(self.shape) else ids

    def finish(self, op: Op, queries: Tensor, keys: Tensor) -> Found:
        """Tell the axes of the call, and what its output is, from (lead..., queries) and keys in the same order."""
        tokens, states = place(self.known, op, queries, keys)
        ids = states.unsqueeze(-1)
        if len(self.order) > len(self.shape):
            ids = ids.squeeze(-2)
        axes = [axis for axis in self.order if axis >= 0]
        ids = ids.permute(*(axes.index(axis) for axis in range(len(self.shape))))
        alone = self.order[-2] == -1 and bool((compact(queries) == CONSTANT).all())
        tokens = replace(tokens, order=tuple(self.order), is_pooling=alone)
        return tokens, self.equation.spread(self.number, ids, op.outs[0].shape)


def find_by_hand(known: Identities, op: Op, lookup: Lookup, equation: Equation) -> Found:
    """The tokens of a product with weights, and the identities of its output; None where it is an ordinary product.

    Raises:
        CannotMoveError: a form that is not known.
    """
    found = _Weighing.read(known, op, lookup, equation)
    seen, looking = found.seen, found.looking
    assert op.notes.weights is not None
    if holds_weights(op) and compose(known, op, equation, [lookup(slot) for slot in equation.slots]) is not None:
        return CallTokens(KERNEL), None  # weights still: what they weigh comes later
    if found.weighs_constants():
        return CallTokens(KERNEL), zeros(op.outs[0].shape)  # as of relative places: nothing of a token is in it
    if not op.notes.weights.soft and not found.weighs_own_values():
        return CallTokens(KERNEL), None  # another product of tokens, as of keys with values, or of states
    if seen is None and found.shape[found.axis] > 1 and (pair := found.find_mixed() or found.find_told()) is not None:
        looking, seen = pair
    elif seen is None and found.shape[found.axis] > 1:
        return _find_sampled(found, op) or _find_outlook(found, op) or (_tell_no_tokens(found), None)
    if seen is None:  # a single key
        seen = found.align_values()
        looking = next((side for side in found.sides if not torch.equal(side, seen)), looking)
    elif found.is_sum and is_even(found.values, found.value_axis):
        return CallTokens(KERNEL), None  # weights over tokens, with which none are weighed
    queries = zeros(found.shape) if looking is None else _strongest(looking, found.axis, found.shape)
    queries, keys = found.permute(queries)[..., 0], found.permute(seen)
    queries, keys = read_values(known, queries, keys, found.permute(found.align_values(lookup)))
    if _is_even_but_constants(keys, -2):  # all queries have the same keys, but for places that hold nothing
        keys = compact(keys).amax(-2).expand(*keys.shape[:-2], keys.shape[-1])
    return found.finish(op, queries, keys)


def _find_sampled(found: _Weighing, op: Op) -> Found | None:
    """Weights over places between the tokens, at which these were sampled, as in deformable attention."""
    looking = found.looking
    if looking is None or not bool(found.known.is_lost(compact(found.values)).all()):
        return None
    samples = read_samples(found.known, found.permute(found.align_values()))
    if samples is None:
        return None
    keys, columns, shares = samples
    queries = found.permute(_strongest(looking, found.axis, found.shape))[..., 0]
    tokens, made = found.finish(op, queries, keys)
    return replace(tokens, samples=(columns, shares)), made


def _find_outlook(found: _Weighing, op: Op) -> Found | None:
    """Weights that a token gives each place of the window around it, over all places of that window.

    Whether the queries are these places shows only when the windows are folded back into an image.
    Source: Yuan et al. 2021, VOLO, arXiv 2106.13112, section 3.1.
    """
    free = found.equation.free_axes(found.number)
    length = found.shape[found.axis]
    if not free or found.shape[free[-1]] != length or is_even(found.values, found.value_axis):
        return None
    if not all(is_even(side, free[-1]) for side in found.sides):
        return None
    keys = found.permute(found.align_values())[..., 0, :]
    tokens, made = found.finish(op, keys, keys)
    return replace(tokens, why=UNCONFIRMED), made


def _tell_no_tokens(found: _Weighing) -> CallTokens:
    """Weights that do not tell tokens apart: those of a router, of a kernel, or of channels."""
    known, equation, number, values, shape = found.known, found.equation, found.number, found.values, found.shape
    lost = [note for ids in (*found.sides, values) for note in known.notes(compact(ids), "lost")]
    constant = bool((compact(values) == CONSTANT).all())
    if lost or (constant and not found.is_sum):
        return CallTokens.unknown(f"lost: {'; '.join(dict.fromkeys(lost))}" if lost else "values that are constant")
    free = [each for each in equation.free_axes(number) if shape[each] > 1]
    even = all(is_even(side, each) for side in found.sides for each in free)
    if free and even and all(is_even(values, each) for each in equation.free_axes(1 - number)):
        return CallTokens.unknown("tokens that cannot be told apart")
    if constant or not is_even(values, found.value_axis):
        return CallTokens(KERNEL)
    if len(found.sides) == 2 and equation.free_axes(number):
        return CallTokens(CHANNELS, order=tuple(found.order))
    return CallTokens(ROUTER)


def _is_even_but_constants(side: Tensor, axis: int) -> bool:
    if is_even(side, axis):
        return True
    largest = side.amax(axis, keepdim=True)
    return bool(((side == largest) | (side == CONSTANT)).all())


def _strongest(side: Tensor, axis: int, shape: Sequence[int]) -> Tensor:
    return compact(side).amax(axis, keepdim=True).expand(tuple(shape))
