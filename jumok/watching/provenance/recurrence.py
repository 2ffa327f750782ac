"""What recurrent layers and their cells do to identities."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from jumok.watching.provenance import blending
from jumok.watching.provenance.ops import Op, Slot
from jumok.watching.provenance.shadow_table import ShadowTable
from jumok.watching.provenance.shadows import Shadow, fit, is_even, or_constant


def recur(table: ShadowTable, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
    """A layer over a sequence: each token holds of the others, unseen."""
    ids = blending.merge_over(table.known, or_constant(table.settle(shadows[0], op)), [-1])
    mixed = table.known.unsee(ids, f"a recurrent layer{op.where}")
    table.set(op.outs[0], mixed.expand(op.outs[0].shape))
    for out in op.outs[1:]:
        identity = table.known.lose(f"the last state of a recurrent layer{op.where}")
        table.set(out, torch.full((), identity, dtype=torch.int64).expand(out.shape))


def step(table: ShadowTable, op: Op, name: str, given: Sequence[Slot], shadows: Sequence[Shadow]) -> None:
    """One step of a cell: row by row, the input is added to the state.

    A row whose features come from several tokens, as of a decoder that is given what it read beside its last word, is
    lost: over hundreds of steps each state would be made of all that the earlier ones were made of.
    """
    states = 2 if name == "lstm_cell" else 1  # (h, c), or h
    pairs = zip(shadows[: 1 + states], given, strict=False)
    rows = [fit(or_constant(table.settle(shadow, op)), slot.shape) for shadow, slot in pairs]  # zeros are of no token
    if not all(is_even(ids, -1) for ids in rows):
        table.lose(op, op.name)
        return
    found: Shadow = None
    for ids in rows:
        found = blending.blend(table.known, found, fit(ids[..., :1], op.outs[0].shape), op.outs[0].shape)
    for number in range(len(op.outs)):
        table.give(op, found, number)
