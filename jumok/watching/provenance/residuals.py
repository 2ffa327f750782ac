"""Residual connections: which of what attention made a path leads past, and from which token it comes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from jumok.watching.provenance.identities import MOST_STEPS, Identities
from jumok.watching.provenance.origins import CONSTANT, CONSTANT_SOURCE, LEARNT_SOURCE


def mark_passed(known: Identities, made: Tensor) -> None:
    """Note that the tokens around which attention made these were added to them, or to the sum of them."""
    flat = made.reshape(-1)
    flat = torch.cat([flat, known.members(flat[~are_passed(known, flat)])]).unique()
    if not bool(are_passed(known, flat).all()):
        known.passed = torch.cat([known.passed, flat]).unique()
        known.flows.clear()  # read while the model ran


def are_passed(known: Identities, made: Tensor) -> Tensor:
    """Whether each was noted."""
    return torch.isin(made, known.passed)


def weigh(known: Identities, made: Tensor) -> None:
    """Note what attention made, of these, as multiplied by something that tokens tell, as a gate is."""
    fresh = made[known.is_attended(made)]
    if len(fresh) and not bool(are_weighed(known, fresh).all()):
        known.weighed = torch.cat([known.weighed, fresh]).unique()


def are_weighed(known: Identities, made: Tensor) -> Tensor:
    """Whether each was noted by `weigh`: in a sum with others, it is not known by how much it counts."""
    return torch.isin(made, known.weighed)


def add_token(known: Identities, made: Tensor, tokens: Tensor) -> Tensor:
    """What is made of attention and a token that it was made of, added up: (count,) each.

    The token goes past the last call of those that lead from it. Where there were several, none of which a path leads
    past, it is added to what these gave.
    """
    last, several = _find_last(known, made, tokens)
    there = last > 0
    direct = there & ~several
    if bool(direct.any()):
        mark_passed(known, last[direct])
    far = there & several & ~are_passed(known, last)
    if not bool(far.any()):
        return made
    found = made.clone()
    found[far] = add_past(known, made[far][:, None], tokens[far])
    return found


def add_past(known: Identities, members: Tensor, tokens: Tensor) -> Tensor:
    """What attention gave, (count, most), added to tokens that did not look: (count,)."""
    joint = known.join(members, tokens)
    mark_passed(known, torch.cat([joint, members[members > 0]]))
    return joint


def note_heads(known: Identities, parts: Sequence[Tensor]) -> None:
    """Note parts of the features of a token that several calls of attention made around it, as heads are."""
    if any(part.numel() == 0 for part in parts):
        return
    first = torch.stack([part[(0,) * part.dim()] for part in parts])
    alike = known.base(first) == known.base(first[:1])
    if len(first.unique()) == len(first) and bool((alike & known.is_attended(first)).all()):
        known.heads.append(first)


def are_joined(known: Identities, one: Tensor, other: Tensor, *, shared: bool = False) -> bool:
    """Whether two tokens are added to the same one; `shared`: as parts of one, as heads are."""
    if any(bool(torch.isin(torch.stack([one, other]), heads).all()) for heads in known.heads):
        return True
    joints = [b.members for b in known.blocks if b.members is not None and b.kind == "joint" and (b.note or not shared)]
    return any(bool(((m == one).any(1) & (m == other).any(1)).any()) for m in joints)


def find_sums(known: Identities, parts: Sequence[Tensor]) -> Tensor | None:
    """The sums that calls gave together: of nothing else but tokens around which they gave it; None: there are none.

    Args:
        known: the table.
        parts: what each call gave, of the same shape.
    """
    every, first = torch.cat([part.reshape(-1) for part in parts]), parts[0].reshape(-1)
    for block in reversed(known.blocks):
        if block.kind != "joint" or block.members is None:
            continue
        flat = block.members.reshape(-1)
        order = flat.argsort()
        place = torch.searchsorted(flat[order], first).clamp(max=len(flat) - 1)
        rows = order[place] // block.members.shape[1]
        whole = torch.isin(block.members[rows], torch.cat([every, every.new_zeros(1)])).all()
        if bool((flat[order][place] == first).all()) and bool(whole):
            return (block.start + rows).view(parts[0].shape)
    return None


def _find_last(known: Identities, made: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The last output of attention between each and the token below it, 0 for none; and whether there are others."""
    last, several = torch.zeros_like(made), torch.zeros_like(made, dtype=torch.bool)
    current, going = made, torch.ones_like(several)
    for _ in range(MOST_STEPS):
        going = going & (current > 0) & ~_are_same(known, current, tokens)
        if not bool(going.any()):
            break
        attended = going & known.is_attended(current)
        several |= attended & (last > 0)
        last = torch.where(attended & (last == 0), current, last)
        current = known.base(current)
    below = _are_same(known, current, tokens)
    return torch.where(below, last, CONSTANT), several


def _are_same(known: Identities, found: Tensor, tokens: Tensor) -> Tensor:
    """Whether each is the token, or what a learnt or a constant one became in one item of the batch.

    A constant one may look as a learnt one, as where a norm's weights are multiplied by it.
    """
    origin = known.origin(found)
    own = known.is_input(found)
    learnt = own & (origin.source == LEARNT_SOURCE)
    weak = learnt | (own & (origin.source == CONSTANT_SOURCE))
    same = (found == tokens) & (found != CONSTANT)  # where a way ends is no constant token
    return same | (learnt & (origin.low[:, 0] == tokens)) | (weak & (tokens == CONSTANT))
