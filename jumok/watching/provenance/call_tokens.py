"""Which tokens the queries and keys of an attention call are, and which of its axes are images, windows and heads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from jumok.watching.provenance.axis_order import to_four_axes
from jumok.watching.provenance.blending import merge_over
from jumok.watching.provenance.einsum import Equation
from jumok.watching.provenance.identities import CONSTANT, FOREIGN, LEAF, PLAIN, Identities
from jumok.watching.provenance.moving import CannotMoveError
from jumok.watching.provenance.shadows import Pair, Shadow, compact, is_even, zeros
from jumok.watching.provenance.tape import Op, Slot

TOKENS, CHANNELS, ROUTER, KERNEL, UNKNOWN = "tokens", "channels", "router", "kernel", "unknown"
LEARNT_SOURCE = -4
"""The source of learnt tokens, once it is known for which item of the batch they are."""
CONSTANT_SOURCE = -5
"""That of constants that stand among the tokens, as padding does."""


@dataclass(frozen=True)
class Fold:
    """Heads that are folded into another axis: `count` of them, before or behind what else the axis holds."""

    count: int
    inner: bool

    def split(self, tensor: Tensor, axis: int) -> Tensor:
        """The axis as two, the heads the second."""
        sizes = (-1, self.count) if self.inner else (self.count, -1)
        split: Tensor = tensor.unflatten(axis, sizes)
        return split if self.inner else split.transpose(axis, axis + 1)


@dataclass(frozen=True)
class Arrangement:
    """How a call's own axes become (batch x windows, heads, queries, keys).

    Args:
        lead: sizes of the axes in front of the queries.
        batch, heads: which of them are what, in order; of those after a fold, the heads come after their axis.
        folded: heads folded into the first axis.
        packed: heads folded into the queries.
        turned: windows stand before the images: how many images there are; 0 where they do not.
    """

    lead: tuple[int, ...]
    batch: tuple[int, ...]
    heads: tuple[int, ...]
    folded: Fold | None = None
    packed: Fold | None = None
    turned: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether the call has the axes (batch, heads) or (batch,) in front already."""
        plain = (self.batch, self.heads) in (((0,), (1,)), ((0,), ()), ((), ()))
        return plain and not (self.folded or self.packed or self.turned)

    def apply_four(self, tensor: Tensor, *, queries: bool = True) -> Tensor:
        """As `apply`, of axes that were brought to four: those in front but the last count as one."""
        count = len(self.lead)
        if count < 2:
            tensor = tensor[(0,) * (2 - count)] if count == 0 else tensor[:, 0]
        elif count > 2:
            tensor = tensor.unflatten(0, self.lead[:-1])
        return self.apply(tensor, queries=queries)

    def apply(self, tensor: Tensor, *, queries: bool = True) -> Tensor:
        """Bring (lead..., queries or keys, numbers) to (batch x windows, heads, queries or keys, numbers)."""
        missing = len(self.lead) + 2 - tensor.dim()
        tensor = tensor[(None,) * missing] if missing > 0 else tensor
        for axis in self.batch:  # keys that all images share
            if tensor.shape[axis] == 1 and self.lead[axis] > 1 and not (self.folded and axis == 0):
                tensor = tensor.expand(*(self.lead[axis] if a == axis else -1 for a in range(tensor.dim())))
        heads, batch = list(self.heads), list(self.batch)
        if self.folded:
            tensor = self.folded.split(tensor, 0)
            heads, batch = [1, *(axis + 1 for axis in heads)], [axis + (axis > 0) for axis in batch]
        tensor = tensor.permute(*batch, *heads, tensor.dim() - 2, tensor.dim() - 1)
        sizes = tensor.shape
        tensor = tensor.reshape(math.prod(sizes[: len(batch)]), math.prod(sizes[len(batch) : -2]), sizes[-2], sizes[-1])
        if self.packed and queries:
            tensor = self.packed.split(tensor, 2).movedim(3, 2).flatten(1, 2)
        if self.turned:
            tensor = tensor.unflatten(0, (-1, self.turned)).transpose(0, 1).flatten(0, 1)
        return tensor


@dataclass(frozen=True)
class CallTokens:
    """What is known of one call.

    Args:
        kind: tokens that look at tokens, or what else the call is: channels, a router, a kernel; or unknown.
        why: what hid the rest.
        queries: (batch x windows, queries) identities.
        keys: (batch x windows, keys); or (batch x windows, queries, keys), of queries that each have keys of their own.
        states: (batch x windows, queries) of the outputs.
        images: items of the batch, and windows of each.
        arrangement: of the call's axes; None: they are (batch, heads, queries, keys) already.
        order: of the weights' own axes, of a product by hand: (lead..., queries, keys).
    """

    kind: str
    why: str = ""
    queries: Tensor | None = None
    keys: Tensor | None = None
    states: Tensor | None = None
    images: tuple[int, int] = (0, 1)
    arrangement: Arrangement | None = None
    order: tuple[int, ...] = ()

    @classmethod
    def unknown(cls, why: str) -> CallTokens:
        """A call of which no token is known."""
        return cls(UNKNOWN, why)

    def arrange(self, tensor: Tensor, *, queries: bool = True) -> Tensor:
        """Weights, or what has their axes, to (batch x windows, heads, queries, keys)."""
        if self.order:
            rank = tensor.dim()
            tensor = tensor.permute(*(axis for axis in self.order if axis >= 0))
            if len(self.order) > rank:  # no axis of queries
                tensor = tensor.unsqueeze(-2)
            if self.arrangement is not None:
                return self.arrangement.apply(tensor, queries=queries)
            return to_four_axes(tensor)
        return tensor if self.arrangement is None else self.arrangement.apply_four(tensor, queries=queries)


Lookup = Callable[[Slot], Shadow]


def find_tokens(
    known: Identities, op: Op, name: str, lookup: Lookup, equation: Equation | None = None
) -> tuple[CallTokens, Tensor | None]:
    """The tokens of a call, and the identities of its output; None where it is an ordinary product.

    Raises:
        CannotMoveError: a form that is not known.
    """
    if equation is not None:
        return _by_hand(known, op, lookup, equation)
    if name == "scaled_dot_product_attention":
        return _fused(known, op, lookup)
    return _multi_head(known, op, name, lookup)


def _rows(known: Identities, shadow: Shadow, slot: Slot) -> Tensor:
    ids = shadow if isinstance(shadow, Tensor) else zeros(slot.shape)
    return merge_over(known, ids, [-1]).expand(*slot.shape[:-1], 1)[..., 0]


def _fused(known: Identities, op: Op, lookup: Lookup) -> tuple[CallTokens, Tensor]:
    query, key = op.given(0, "query"), op.given(1, "key")
    queries, keys = _rows(known, lookup(query), query), _rows(known, lookup(key), key)
    tokens, states = _place(known, op, queries, keys)
    return tokens, states.unsqueeze(-1).expand(op.outs[0].shape)


def _multi_head(known: Identities, op: Op, name: str, lookup: Lookup) -> tuple[CallTokens, Tensor]:
    query, key = op.given(0, "query"), op.given(1, "key")
    queries, keys = _rows(known, lookup(query), query), _rows(known, lookup(key), key)
    batched = queries.dim() == 2
    first = name == "attended_module" and op.kwargs["batch_first"]
    turned = batched and not first
    if turned:
        queries, keys = queries.T, keys.T
    if not batched:
        queries, keys = queries[None], keys[None]
    extra = int(op.kwargs.get("bias_k") is not None or (len(op.args) > 7 and op.args[7] is not None))
    extra += int(bool(op.given(9, "add_zero_attn", False)))
    if name == "attended_module":
        extra = op.kwargs["extra_keys"]
    keys = torch.nn.functional.pad(keys.contiguous(), (0, extra))
    tokens, states = _place(known, op, queries, keys)
    states = states.T if turned else states if batched else states[0]
    return replace(tokens, arrangement=None), states.unsqueeze(-1).expand(op.outs[0].shape)


def _by_hand(known: Identities, op: Op, lookup: Lookup, equation: Equation) -> tuple[CallTokens, Tensor | None]:
    assert op.weights is not None
    number = equation.slots.index(op.weights)
    summed = equation.summed_axes(number)
    if len(summed) != 1 or len(equation.slots) != 2:
        raise CannotMoveError("weights that are summed over several axes")
    (axis,) = summed
    weights, values = lookup(op.weights), lookup(equation.slots[1 - number])
    one, other = weights.sides if isinstance(weights, Pair) else (weights, None)
    sides = [side for side in (one, other) if isinstance(side, Tensor)]
    differing = [side for side in sides if not is_even(side, axis)]
    first = differing[0] if differing else None
    seen = next((side for side in differing if not _is_even_but_constants(side, axis)), first)
    looking = next((side for side in sides if side is not seen and _is_even_but_constants(side, axis)), None)
    value_axis = equation.terms[1 - number].index(equation.terms[number][axis])
    values = values if isinstance(values, Tensor) else zeros(equation.slots[1 - number].shape)
    if seen is None and op.weights.shape[axis] > 1:
        return _no_tokens(known, equation, number, sides, values, value_axis), None
    order, rank = _order_axes(equation, number, axis), len(op.weights.shape)
    if seen is None:  # a single key
        seen = _find_single_key(known, equation, number, values, op.weights.shape)
        looking = next((side for side in sides if not torch.equal(side, seen)), looking)
    queries = _strongest(looking, axis, op.weights.shape) if looking is not None else zeros(op.weights.shape)
    keys = seen
    queries, keys = (_permute(side, order, rank) for side in (queries, keys))
    queries = queries[..., 0]
    if _is_even_but_constants(keys, -2):  # all queries have the same keys, but for places that hold nothing
        keys = compact(keys).amax(-2).expand(*keys.shape[:-2], keys.shape[-1])
    tokens, states = _place(known, op, queries, keys)
    spread = _unpermute(states.unsqueeze(-1), order, rank)
    return replace(tokens, order=tuple(order)), equation.spread(number, spread, op.outs[0].shape)


def _find_single_key(
    known: Identities, equation: Equation, number: int, values: Tensor, shape: Sequence[int]
) -> Tensor:
    """The one key, as the values have it, in the axes of the weights."""
    other = 1 - number
    ids = merge_over(known, values, equation.free_axes(other)).expand(
        [1 if axis in equation.free_axes(other) else size for axis, size in enumerate(values.shape)]
    )
    letters = [letter for axis, letter in enumerate(equation.terms[other]) if axis not in equation.free_axes(other)]
    for axis in reversed(equation.free_axes(other)):
        ids = ids.select(axis, 0)
    term = equation.terms[number]
    ids = ids.permute(sorted(range(len(letters)), key=lambda place: term.index(letters[place])))
    for place, letter in enumerate(term):
        if letter not in letters:
            ids = ids.unsqueeze(place)
    return ids.expand(tuple(shape))


def _no_tokens(
    known: Identities, equation: Equation, number: int, sides: Sequence[Tensor], values: Tensor, axis: int
) -> CallTokens:
    """Weights that do not tell tokens apart: those of a router, of a kernel, or of channels."""
    lost = [note for ids in (*sides, values) for note in known.notes(compact(ids), "lost")]
    if lost or bool((compact(values) == CONSTANT).all()):
        return CallTokens.unknown(f"lost: {'; '.join(dict.fromkeys(lost))}" if lost else "values that are constant")
    shape = equation.slots[number].shape
    free = [each for each in equation.free_axes(number) if shape[each] > 1]
    even = all(is_even(side, each) for side in sides for each in free)
    if free and even and all(is_even(values, each) for each in equation.free_axes(1 - number)):
        return CallTokens.unknown("tokens that cannot be told apart")
    if not is_even(values, axis):
        return CallTokens(KERNEL)
    if len(sides) == 2 and equation.free_axes(number):
        return CallTokens(CHANNELS, order=tuple(_order_axes(equation, number, equation.summed_axes(number)[0])))
    return CallTokens(ROUTER)


def _is_even_but_constants(side: Tensor, axis: int) -> bool:
    if is_even(side, axis):
        return True
    largest = side.amax(axis, keepdim=True)
    return bool(((side == largest) | (side == CONSTANT)).all())


def _strongest(side: Tensor, axis: int, shape: Sequence[int]) -> Tensor:
    return compact(side).amax(axis, keepdim=True).expand(tuple(shape))


def _order_axes(equation: Equation, number: int, axis: int) -> list[int]:
    """The weights' axes as (lead..., queries, keys); -1 for queries that have no axis."""
    free = equation.free_axes(number)
    rank = len(equation.terms[number])
    queries = free[-1] if free else -1
    lead = [each for each in range(rank) if each not in (axis, queries)]
    return [*lead, queries, axis]


def _permute(ids: Tensor, order: Sequence[int], rank: int) -> Tensor:
    ids = ids.permute(*(axis for axis in order if axis >= 0))
    return ids.unsqueeze(-2) if len(order) > rank else ids


def _unpermute(ids: Tensor, order: Sequence[int], rank: int) -> Tensor:
    if len(order) > rank:
        ids = ids.squeeze(-2)
    axes = [axis for axis in order if axis >= 0]
    return ids.permute(*(axes.index(axis) for axis in range(rank)))


# -- images, windows, heads ---------------------------------------------------------------------


def _place(known: Identities, op: Op, queries: Tensor, keys: Tensor) -> tuple[CallTokens, Tensor]:
    """Tell the axes of a call from its tokens.

    Args:
        known: the table.
        op: the call.
        queries: (lead..., queries).
        keys: (lead..., keys) or (lead..., queries, keys).
    Returns:
        What is known, and the identities of the outputs: (lead..., queries).
    """
    own = keys.dim() > queries.dim()
    lead = tuple(queries.shape[:-1])
    bare = _is_bare(known, queries)
    missing = queries.dim() + own - keys.dim()
    keys = keys[(None,) * missing] if missing > 0 else keys
    batch, heads = _split_by_rank(lead) if bare else _split_lead(known, queries, keys, lead)
    folded = packed = None
    if bare:
        folded = Fold(op.heads, inner=True) if len(lead) == 1 and op.heads > 1 and lead[0] % op.heads == 0 else None
    elif lead and not any(lead[axis] > 1 for axis in heads):
        folded = _find_fold(known, queries.reshape(lead[0], -1), keys.reshape(keys.shape[0], -1), lead[0])
    if not own and not bare and queries.shape[-1] > 1:
        packed = _find_packed(known, queries, op.heads // math.prod(lead[axis] for axis in heads))
    if folded and not batch:  # a single image whose heads were all that the axis held
        batch, heads = (0,), tuple(axis for axis in heads if axis)
    arrangement = Arrangement(lead, batch, heads, folded, packed)
    rows = arrangement.apply(queries.unsqueeze(-1))[:, 0, :, 0]
    if own:
        seen = arrangement.apply(keys, queries=True)[:, 0]
    else:
        seen = arrangement.apply(keys.unsqueeze(-1), queries=False)[:, 0, :, 0]
    seen = seen.expand(len(rows), *seen.shape[1:])
    items = _find_items(known, rows, seen)
    images, turned = _count_images(items)
    if turned:
        arrangement = replace(arrangement, turned=turned)
        rows, seen, items = (
            each.unflatten(0, (-1, turned)).transpose(0, 1).flatten(0, 1) for each in (rows, seen, items)
        )
    rows, seen = _localise(known, rows, items), _localise(known, seen, items)
    states = known.attend(op.calls[0], rows)
    found = CallTokens(TOKENS, "", rows, seen, states, images, None if arrangement.is_plain else arrangement)
    return found, _undo(arrangement, states, queries)


def _is_bare(known: Identities, queries: Tensor) -> bool:
    """Whether the queries were handed to the model as they are, so that no token tells an image from a head."""
    flat = compact(queries).reshape(-1)
    if not len(flat) or bool((flat < LEAF).any()):
        return False
    bare = torch.tensor([source.kind in (PLAIN, FOREIGN) for source in known.sources])
    return bool(bare[flat // LEAF - 1].all())


def _split_by_rank(lead: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(batch..., heads), as PyTorch's own attention has them."""
    axes = tuple(range(len(lead)))
    return (axes[:-1], axes[-1:]) if len(lead) > 1 else (axes, ())


def _split_lead(
    known: Identities, queries: Tensor, keys: Tensor, lead: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Which axes in front are images or windows, and which are heads: those along which no token differs."""
    default = {len(lead) - 1} if len(lead) > 1 else set()
    even = {
        axis
        for axis, size in enumerate(lead)
        if size > 1 and is_even(queries, axis) and (keys.shape[axis] == 1 or is_even(keys, axis))
    }
    wide = {axis for axis, size in enumerate(lead) if size > 1}
    if wide and even == wide and (len(wide) > 1 or wide != default) and not _is_one_item(known, queries, keys):
        even = wide & default  # nothing tells them apart
    heads = {axis for axis in default if lead[axis] == 1} | even
    if not heads and len(lead) > 1 and not (wide - even):
        heads = default
    return tuple(axis for axis in range(len(lead)) if axis not in heads), tuple(sorted(heads))


def _is_one_item(known: Identities, queries: Tensor, keys: Tensor) -> bool:
    """Whether tokens are known and all of one item."""
    for ids in (queries, keys):
        flat = compact(ids).reshape(-1)
        origin = known.origin(flat)
        there = origin.source >= 0
        if bool(there.any()):
            return len(origin.item[there].unique()) == 1
    return False


def _find_fold(known: Identities, queries: Tensor, keys: Tensor, count: int) -> Fold | None:
    """Heads in the axis of the batch: slices that hold the same tokens."""
    rows = torch.cat([queries, keys.expand(count, -1)], 1)
    if count < 2 or bool(known.is_weak(rows).all()) or bool(known.is_lost(rows).any()):
        return None
    return _find_repeats(rows)


def _find_repeats(rows: Tensor) -> Fold | None:
    count = len(rows)
    alike = (rows[1:] == rows[:-1]).all(1)
    if bool(alike[0]):
        run = count if bool(alike.all()) else int((~alike).int().argmax()) + 1
        if count % run == 0 and bool((rows.unflatten(0, (-1, run)) == rows[::run, None]).all()):
            return Fold(run, inner=True)
        return None
    again = (rows[1:] == rows[0]).all(1)
    if bool(again.any()):
        period = int(again.int().argmax()) + 1
        if count % period == 0 and bool((rows.unflatten(0, (-1, period)) == rows[:period]).all()):
            return Fold(count // period, inner=False)
    return None


def _find_packed(known: Identities, queries: Tensor, wanted: int) -> Fold | None:
    """Heads in the axis of the queries: the same single word as many times as heads are missing."""
    if wanted < 2:
        return None
    rows = queries.reshape(-1, queries.shape[-1]).T
    if (
        not bool((rows[1:] == rows[0]).all(1).any())
        or bool(known.is_weak(rows).any())
        or bool(known.is_lost(rows).any())
    ):
        return None
    if bool((known.origin(rows.reshape(-1)).size != 1).any()):
        return None
    found = _find_repeats(rows)
    return found if found is not None and found.count == wanted else None


def _find_items(known: Identities, rows: Tensor, seen: Tensor) -> Tensor:
    """The item of the batch that each slice belongs to; -1 where none or several."""
    found = torch.full((len(rows),), -1)
    for ids in (rows, seen.flatten(1)):
        origin = known.origin(ids.reshape(-1))
        item, source = origin.item.view(ids.shape), origin.source.view(ids.shape)
        there = (source >= 0) & (item >= 0)
        far = torch.iinfo(torch.int64).max
        low, high = item.masked_fill(~there, far).amin(1), item.masked_fill(~there, -1).amax(1)
        found = torch.where((found < 0) & (low == high), low, found)
    if bool((found < 0).all()) and bool(known.is_weak(torch.cat([rows, seen.flatten(1)], 1)).all()):
        return torch.arange(len(rows))  # learnt tokens alone: each slice is of an image of its own
    return found


def _count_images(items: Tensor) -> tuple[tuple[int, int], int]:
    """How many images and windows of each the slices are; and how many images, where windows come first."""
    count = len(items)
    if count == 0 or bool((items < 0).any()):
        return (count, 1), 0
    images = len(items.unique())
    if count % images or images == count:
        return (count, 1), 0
    windows = count // images
    if bool((items.view(images, windows) == items[::windows, None]).all()):
        return (images, windows), 0
    if bool((items.view(windows, images) == items[:images]).all()):
        return (images, windows), images
    return (count, 1), 0


def _localise(known: Identities, ids: Tensor, items: Tensor) -> Tensor:
    """Learnt and constant tokens as those of one item, so that what an image's cls token gathers is not another's."""
    weak = known.is_weak(ids)
    if not bool(weak.any()):
        return ids
    ends = (-1, *(1,) * (ids.dim() - 1))
    item = items.view(ends).expand(ids.shape)[weak]
    column = torch.arange(ids.shape[-1]).expand(ids.shape)[weak]
    which = ids[weak]
    constant = which == CONSTANT
    nothing = torch.zeros_like(which)
    place = torch.stack([torch.where(constant, column, which), nothing, nothing], 1)
    source = torch.where(constant, CONSTANT_SOURCE, LEARNT_SOURCE)
    found = ids.clone()
    found[weak] = known.cells(source, item, place, place, nothing)
    return found


def _undo(arrangement: Arrangement, states: Tensor, like: Tensor) -> Tensor:
    """Identities of (batch x windows, queries) in the call's own axes (lead..., queries)."""
    numbers = torch.arange(like.numel()).view(like.shape).unsqueeze(-1)
    places = arrangement.apply(numbers)[..., 0]  # (n, heads, queries) -> element
    flat = torch.empty(like.numel(), dtype=torch.int64)
    flat[places.reshape(-1)] = states[:, None].expand(places.shape).reshape(-1)
    found = flat.view(like.shape)
    for axis in arrangement.heads:
        if not (arrangement.folded or arrangement.packed) and found.shape[axis] > 1:
            found = found.narrow(axis, 0, 1).expand(like.shape)
    return found
