"""What rows of a table stand for: words of a text, or learnt tokens."""

from __future__ import annotations

import math

from torch import Tensor

from jumok.watching.provenance.ops import Op, Slot, walk_slots
from jumok.watching.provenance.shadow_table import ShadowTable
from jumok.watching.provenance.shadows import Live
from jumok.watching.provenance.words import find_words

MOST_LOOKED_UP = 4096
"""Rows of a table that may be looked up as learnt tokens, at most: tables of relative positions have more."""
SMALLEST_TOKEN = 8
"""Numbers of a learnt token, at least: biases of heads have fewer."""


def embed(table: ShadowTable, op: Op) -> None:
    """Rows of a table: words of a text, or learnt tokens."""
    ids = next((slot for arg in op.args for slot in walk_slots(arg) if not slot.floating), None)
    ids = ids or next((s for v in op.kwargs.values() for s in walk_slots(v) if not s.floating), None)
    live = None if ids is None else table.shadow(ids)
    if ids is None or 0 in ids.shape:
        table.set_all(op, None)
        return
    if not isinstance(live, Live) or live.counted:  # positions, though they are counted out of a mask
        table.set(op.outs[0], _look_up_learnt(table, op, ids))
        return
    table.set(op.outs[0], find_words(table.known, live, ids.shape).unsqueeze(-1).expand(op.outs[0].shape))


def _look_up_learnt(table: ShadowTable, op: Op, ids: Slot) -> Tensor | None:
    """Rows of a table at fixed places: learnt tokens, unless they are added to others, as positions are."""
    rows = next((slot for arg in op.args for slot in walk_slots(arg) if slot.parameter is not None), None)
    out = op.outs[0].shape
    if rows is None or math.prod(ids.shape) > MOST_LOOKED_UP or out[-1] < SMALLEST_TOKEN:
        return None
    name = table.find_names().get(id(rows.parameter), "a parameter")
    return table.known.learn(name, ids.shape).unsqueeze(-1).expand(out)
