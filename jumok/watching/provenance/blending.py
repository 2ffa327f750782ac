"""What becomes of identities where tokens meet: sums, products element by element, averages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.origins import CONSTANT, CONSTANT_SOURCE, FOREIGN, LEAF, LEARNT_SOURCE, TEXT, Origin
from jumok.watching.provenance.residuals import add_past, add_token, are_passed, mark_passed, weigh
from jumok.watching.provenance.shadows import Live, Pair, Shadow, compact, fit, is_even, zeros

MOST_MET = 1 << 22
"""Different pairs of tokens that may meet in one operation; more are lost."""


class Manner(NamedTuple):
    """How two tensors meet.

    Args:
        factor: whether they are multiplied, not added.
        scaled: whether the one is taken from the other or divides it, as a mean and a deviation are.
        full: whether both have the same shape, and none was spread.
    """

    factor: bool = False
    scaled: bool = False
    full: bool = True


SUM = Manner()


def blend(known: Identities, one: Shadow, other: Shadow, shape: Sequence[int], how: Manner = SUM) -> Shadow:
    """Two operands element by element.

    Args:
        known: the table of identities.
        one, other: the operands.
        shape: of the result.
        how: they meet; it is found here whether they are `full`.
    """
    if isinstance(one, Live) or isinstance(other, Live):
        one, other = (None if isinstance(each, Live) else each for each in (one, other))
    if one is None or other is None:
        return _expand(other if one is None else one, shape)
    if isinstance(one, Pair) or isinstance(other, Pair):
        return _blend_pairs(known, one, other, shape)
    how = how._replace(full=one.shape == other.shape)
    one, other = compact(one), compact(other)
    if one.shape == other.shape and torch.equal(one, other):
        return fit(one, shape)
    for mine, theirs in ((one, other), (other, one)):  # weights and biases of one row, as norms have
        if theirs.numel() == 1 and _all_weak(known, theirs):
            if not how.factor:
                _add_weak(known, mine, theirs)
            return fit(torch.where(mine == CONSTANT, theirs, mine), shape)
    rank = len(shape)
    one, other = (each[(None,) * (rank - each.dim())] for each in (one, other))
    if rank and one.shape[-1] != other.shape[-1]:  # the features of a token are rarely told apart
        one, other = (each[..., :1] if is_even(each, -1) else each for each in (one, other))
    if _cross(one, other) and not gives_way(known, one) and not gives_way(known, other):
        return Pair(fit(one, shape), fit(other, shape))
    return fit(meet(known, one, other, how), shape)


def settle(known: Identities, shadow: Shadow, path: str = "") -> Tensor | None:
    """Scores that are used as something else: the side that is a token, mixed with others unseen."""
    if isinstance(shadow, Live):
        return None
    if not isinstance(shadow, Pair):
        return shadow
    one, other = shadow.sides
    if other is None or _all_weak(known, other):
        return one
    if one is None or _all_weak(known, one):
        return other
    path = shadow.path or path
    return known.unsee(one, f"a product of tokens with tokens{f' in {path}' if path else ''}")


def merge_over(known: Identities, ids: Tensor, axes: Sequence[int]) -> Tensor:
    """Identities of sums over some axes, which are left with one element each."""
    axes = sorted({axis % ids.dim() for axis in axes}) if ids.dim() else []
    ids = compact(ids)
    axes = [axis for axis in axes if ids.shape[axis] > 1]
    if not axes:
        return ids
    kept = [axis for axis in range(ids.dim()) if axis not in axes]
    moved = ids.permute(*kept, *axes)
    rows = moved.reshape(-1, math.prod(ids.shape[axis] for axis in axes))
    merged = merge_rows(known, rows).view([ids.shape[axis] for axis in kept])
    for axis in axes:
        merged = merged.unsqueeze(axis)
    return merged


def merge_rows(known: Identities, rows: Tensor) -> Tensor:
    """As `Identities.merge`; what several calls made of one token, as of heads of their own, stays beside it."""
    largest = rows.amax(1)
    base = known.base(largest)
    beside = (base > 0) & known.is_attended(largest) & (rows != largest[:, None]).any(1)
    if bool(beside.any()):
        same = (known.base(rows) == base[:, None]) & known.is_attended(rows)
        beside &= (same | (rows == CONSTANT)).all(1)
    second = rows.masked_fill(rows == largest[:, None], CONSTANT).amax(1)
    past = known.is_attended(largest) & (second > 0) & ~beside
    past &= ((rows == largest[:, None]) | (rows == second[:, None]) | (rows == CONSTANT)).all(1)
    if bool(past.any()):
        past = past & known.descends(largest, second)
    merged: Tensor = known.merge(rows)
    if bool(past.any()):
        merged[past] = add_token(known, largest[past], second[past])
    if bool(beside.any()):
        unique, inverse = rows[beside].sort(1).values.unique(dim=0, return_inverse=True)
        members = torch.cat([_list_members(known, column) for column in unique.T], 1)
        joint = known.join(_drop_doubles(members), known.base(unique[:, -1]), shared=True)
        each_added = (are_passed(known, unique) | (unique == CONSTANT)).all(1)  # to the token, head by head
        mark_passed(known, joint[each_added])
        merged[beside] = joint[inverse]
    known.gather(merged[(rows != merged[:, None]).all(1)])
    return merged


def _drop_doubles(members: Tensor) -> Tensor:
    """Each row's members once, the rest constants."""
    members = members.sort(1).values
    doubled = torch.zeros_like(members, dtype=torch.bool)
    doubled[:, 1:] = members[:, 1:] == members[:, :-1]
    members = members.masked_fill(doubled, CONSTANT).sort(1).values
    return members[:, -int((members > 0).sum(1).max()) :]


def _expand(shadow: Shadow, shape: Sequence[int]) -> Shadow:
    if isinstance(shadow, Pair):
        return shadow.map(lambda ids: fit(ids, shape))
    return fit(shadow, shape) if isinstance(shadow, Tensor) else shadow


def _blend_pairs(known: Identities, one: Shadow, other: Shadow, shape: Sequence[int]) -> Shadow:
    """Scores with scores; of a plain operand, as a mask is, nothing is taken."""
    if not (isinstance(one, Pair) and isinstance(other, Pair)):
        pair, plain = (one, other) if isinstance(one, Pair) else (other, one)
        assert isinstance(pair, Pair)
        if not isinstance(plain, Tensor) or _all_weak(known, plain) or not _is_feature(pair):
            return _expand(pair, shape)
        return blend(known, settle(known, pair), plain, shape)
    strong = [sum(side is not None and not _all_weak(known, side) for side in each.sides) for each in (one, other)]
    if strong[0] != strong[1]:  # scores, and a bias that is learnt for one side of them
        return _expand(one if strong[0] > strong[1] else other, shape)
    if _is_turned(one, other):
        other = Pair(other.other, other.one, other.path)
    sides = []
    for mine, theirs in zip(one.sides, other.sides, strict=True):
        found = blend(known, mine, theirs, shape)
        sides.append(found.one if isinstance(found, Pair) else found)
    first, second = (side if isinstance(side, Tensor) else None for side in sides)
    return Pair(first, second, one.path)


def _is_feature(pair: Pair) -> bool:
    """Whether a product of tokens has become features of tokens: then no side differs along the last axis."""
    return all(side is None or is_even(side, -1) for side in pair.sides)


def _is_turned(one: Pair, other: Pair) -> bool:
    """Whether the first side of one is the second of the other."""
    mine, theirs = one.one, other.other
    return mine is not None and theirs is not None and mine.shape == theirs.shape and torch.equal(mine, theirs)


def _cross(one: Tensor, other: Tensor) -> bool:
    """Whether each is spread along an axis along which the other differs, as in q[:, :, None] + k[:, None]."""
    pairs = list(zip(one.shape, other.shape, strict=True))
    return any(a > 1 and b == 1 for a, b in pairs) and any(a == 1 and b > 1 for a, b in pairs)


def gives_way(known: Identities, ids: Tensor) -> bool:
    """Whether all are learnt, constant or from nowhere: then anything else says more of a token."""
    return bool(_give_way(known, compact(ids).reshape(-1)).all())


def _all_weak(known: Identities, ids: Tensor) -> bool:
    return bool(known.is_weak(compact(ids)).all())


def meet(known: Identities, one: Tensor, other: Tensor, how: Manner = SUM) -> Tensor:
    """Identities of a sum or a product of tokens; the rest as for `blend`."""
    one, other = torch.broadcast_tensors(one, other)
    if not how.factor:
        for mine, theirs in ((one, other), (other, one)):
            _add_weak(known, mine[theirs == CONSTANT], theirs[theirs == CONSTANT])
    found = torch.where(other == CONSTANT, one, other)
    open_ = (one != other) & (one != CONSTANT) & (other != CONSTANT)
    if not bool(open_.any()):
        return found
    mine, theirs = one[open_], other[open_]
    for made, tokens, whole in ((mine, theirs, one), (theirs, mine, other)):
        if bool(_made_around(known, made, tokens).all()):  # a residual connection, as nearly always
            (weigh if how.factor else mark_passed)(known, made[known.is_attended(made)])
            return torch.where(open_, whole, found)
    found = found.clone()
    pairs, inverse = _list_pairs(mine, theirs)
    if len(pairs) > MOST_MET:
        found[open_] = known.lose("too many different tokens met in one operation")
        return found
    found[open_] = _meet_unique(known, pairs[:, 0], pairs[:, 1], how)[inverse]
    return found


def _made_around(known: Identities, made: Tensor, tokens: Tensor) -> Tensor:
    """Whether attention, or a layer after it, made each around the token beside it, or around all heads of that."""
    base = known.base(made)
    found = base == tokens
    for whole in (made, base):
        if not bool(found.all()) and bool(known.is_joint(whole).any()):
            found |= known.is_joint(whole) & (_list_members(known, whole) == tokens[:, None]).any(1)
    return found


def _list_pairs(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Different pairs, and which one each is; sorting numbers is far faster than sorting rows."""
    tokens, places = torch.stack([one, other]).unique(return_inverse=True)
    keys, inverse = (places[0] * len(tokens) + places[1]).unique(return_inverse=True)
    return torch.stack([tokens[keys // len(tokens)], tokens[keys % len(tokens)]], 1), inverse


def _meet_unique(known: Identities, one: Tensor, other: Tensor, how: Manner) -> Tensor:
    """Tokens that differ, neither a constant."""
    found = torch.full_like(one, -1)
    both = ((one, other), (other, one))
    first_weak, second_weak = _give_way(known, one), _give_way(known, other)
    take = partial(_take_weighed, known) if how.factor else partial(add_token, known)
    _fill(found, first_weak & ~second_weak, other, one, take)
    _fill(found, second_weak, one, other, take)
    for mine, theirs in both:
        _fill(found, _pass_windows(known, mine, theirs), mine, theirs, partial(_join_past, known))
    for mine, theirs in both:
        _fill(found, known.descends(mine, theirs), mine, theirs, take)
    for mine, theirs in both:
        _fill(found, known.is_lost(theirs), mine, theirs, partial(_lose_part, known))
    siblings = (known.base(one) == known.base(other)) & (known.base(one) > 0)
    attended = known.is_attended(one) & known.is_attended(other)
    _fill(found, siblings & attended, one, other, partial(_join, known))
    for mine, theirs in both:
        _fill(found, siblings & known.is_unseen(theirs), mine, theirs, partial(_unsee_part, known))
    for mine, theirs in both if not how.factor else ():
        added = _are_pooled(known, mine) & ~_are_pooled(known, theirs)
        _fill(found, added, mine, theirs, partial(_join_past, known))
    _fill(found, found == -1, one, other, partial(_mix, known, how=how))
    return found


def _fill(found: Tensor, where: Tensor, mine: Tensor, theirs: Tensor, make: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Put what is made of two tokens there, where it is to be and nothing has been found yet."""
    where = where & (found == -1)
    if bool(where.any()):
        found[where] = make(mine[where], theirs[where])


def _add_weak(known: Identities, mine: Tensor, theirs: Tensor) -> None:
    """A learnt or a constant token, added to what attention made of tokens."""
    made = mine.reshape(-1)
    made = made[known.is_attended(made)]
    if len(made):
        add_token(known, made, theirs.reshape(-1)[:1].expand(len(made)))


def _take_weighed(known: Identities, mine: Tensor, theirs: Tensor) -> Tensor:
    weigh(known, mine[~_give_way(known, theirs)])
    return mine


def _pass_windows(known: Identities, mine: Tensor, theirs: Tensor) -> Tensor:
    """Whether a residual connection leads past what made a query of a window of tokens."""
    base = known.base(mine)
    past = known.is_attended(mine) & known.is_smoothed(base) & (base != theirs)
    return past & known.descends(mine, theirs) if bool(past.any()) else past


def _join_past(known: Identities, mine: Tensor, theirs: Tensor) -> Tensor:
    """What attention gathered, added to another token than the one that looked."""
    return add_past(known, _list_members(known, mine), theirs)


def _lose_part(known: Identities, mine: Tensor, theirs: Tensor) -> Tensor:
    """A token that something lost was added to."""
    why = "; ".join(known.notes(theirs, "lost"))
    return torch.where(known.is_lost(mine), mine, known.unsee(mine, why))


def _unsee_part(known: Identities, mine: Tensor, theirs: Tensor) -> Tensor:
    """Attention with something unseen, made beside it from the same token."""
    return known.unsee(mine, "; ".join(known.notes(theirs, "unseen")))


def _give_way(known: Identities, ids: Tensor) -> Tensor:
    """Learnt tokens, and what comes from nowhere, count for nothing beside others."""
    foreign = torch.tensor([source.kind == FOREIGN for source in known.sources] or [False])
    source = known.origin(ids).source
    return known.is_weak(ids) | ((source >= 0) & foreign[source.clamp(min=0)] & known.is_input(ids))


def _are_pooled(known: Identities, ids: Tensor) -> Tensor:
    source = known.origin(ids).source  # no token of an input looked, so that none goes past what it gathered
    return known.is_attended(ids) & ((source == CONSTANT_SOURCE) | (source == LEARNT_SOURCE))


def _join(known: Identities, one: Tensor, other: Tensor) -> Tensor:
    """Rows of calls that were made side by side from the same token."""
    members = torch.cat([_list_members(known, one), _list_members(known, other)], 1)
    joint = known.join(_drop_doubles(members), known.base(one))
    mark_passed(known, joint[are_passed(known, one) | are_passed(known, other)])
    return joint


def _list_members(known: Identities, ids: Tensor) -> Tensor:
    rows = ids[:, None]
    for block in known.blocks:
        if block.kind == "joint" and block.members is not None:
            inside = (ids >= block.start) & (ids < block.start + block.count)
            if bool(inside.any()):
                wide = torch.zeros(len(ids), max(rows.shape[1], block.members.shape[1]), dtype=torch.int64)
                wide[:, : rows.shape[1]] = rows
                wide[inside] = 0
                wide[inside, : block.members.shape[1]] = block.members[ids[inside] - block.start]
                rows = wide
    return rows


def _mix(known: Identities, one: Tensor, other: Tensor, *, how: Manner) -> Tensor:
    first, second = known.origin(one), known.origin(other)
    early = known.is_input(one) & known.is_input(other)
    dims = torch.tensor([source.dims for source in known.sources] or [(0, 0, 0, 0)])
    mine, theirs = dims[first.source.clamp(min=0)], dims[second.source.clamp(min=0)]
    alike = (mine[:, 1:] == theirs[:, 1:]).all(1) & (first.source >= 0) & (second.source >= 0)
    broader = theirs[:, 0] > mine[:, 0]  # words beside positions that all sentences share
    finer = torch.where((first.size <= second.size) & ~(early & alike & broader), one, other)
    texts = torch.tensor([source.kind == TEXT for source in known.sources] or [False])
    words = [texts[origin.source.clamp(min=0)] & (origin.source >= 0) for origin in (first, second)]
    counted = early & (words[0] != words[1])  # places, and numbers of theirs that were looked up in a table
    finer = torch.where(counted, torch.where(words[0], other, one), finer)
    alike = alike | counted
    inner, apart = _compare_cells(known, first, second, one, other, how)
    apart &= early & ~counted
    early &= ~apart
    if how.factor:
        gated = known.unsee(finer, "a product of a token with what others gave")
        gated = torch.where((one >= LEAF) & how.scaled, one, gated)  # numbers by their deviation
        return torch.where(early & ~(inner.gt(0) & how.full), finer, gated)
    merged = known.merge(torch.stack([one, other], 1))
    known.gather(merged[apart])
    if bool((early & (inner > 0)).any()):
        mixed = known.unsee(inner, "a sum with what several tokens gave")
        finer = torch.where(inner > 0, mixed, finer)
    for mine, theirs in (
        (one, other),
        (other, one),
    ):  # what several tokens gave, itself among them: mixed, by how much?
        inside = ~(early & alike) & known.holds(theirs, mine)
        if bool(inside.any()):
            merged[inside] = known.unsee(mine[inside], "a sum with what several tokens gave")
    return torch.where(early & alike, finer, merged)


def _compare_cells(
    known: Identities, first: Origin, second: Origin, one: Tensor, other: Tensor, how: Manner
) -> tuple[Tensor, Tensor]:
    """Of parts of one input: which of them is one of those that the other was gathered from, and which lie apart.

    What was gathered by convolution, pooling or resizing is taken as lying where it stands.
    Returns:
        the identity of the one that is inside (0: none); and whether the two have no place in common.
    """
    same = (first.source == second.source) & (first.source >= 0)
    within = []
    for mine, theirs, origins in ((one, other, (first, second)), (other, one, (second, first))):
        inside = (origins[0].low >= origins[1].low).all(1) & (origins[0].high <= origins[1].high).all(1)
        inside &= (origins[0].item == origins[1].item) | (origins[1].item < 0)
        measured = known.is_measured(origins[0].source) | (how.scaled & ~known.is_text(origins[0].source))
        numbers = (mine >= LEAF) & measured  # as of pixels, less their mean
        within.append(same & inside & (mine != theirs) & known.is_gathered(theirs) & ~numbers)
    disjoint = (first.high <= second.low).any(1) | (second.high <= first.low).any(1)
    strangers = (first.item != second.item) & (first.item >= 0) & (second.item >= 0)
    leaves = (one >= LEAF).int() + (other >= LEAF).int()
    numbers = known.is_measured(first.source) & ((leaves == 1) | ((leaves == 2) & how.scaled))
    inner = torch.where(within[0], one, torch.where(within[1], other, CONSTANT))
    return inner, same & (strangers | (disjoint & ~numbers))


def make_zeros(shadow: Shadow, shape: Sequence[int]) -> Tensor:
    """Identities, constants written out."""
    return shadow if isinstance(shadow, Tensor) else zeros(shape)
