"""What rows of a table stand for: words of a text, or learnt tokens."""

from __future__ import annotations

import math

from torch import Tensor

from jumok.watching.provenance import functions, moving
from jumok.watching.provenance.ops import Kept, Op, Slot, walk_slots
from jumok.watching.provenance.origins import TEXT
from jumok.watching.provenance.shadow_table import ShadowTable
from jumok.watching.provenance.shadows import Live

MOST_LOOKED_UP = 4096
"""Rows of a table that may be looked up as learnt tokens, at most: tables of relative positions have more."""
ROWS = 2
"""Axes of ids of words: texts, and their words."""
ROWS_MOVED = functions.names("__getitem__ narrow split chunk tensor_split flip fliplr roll t T mT transpose permute")
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
    if not isinstance(live, Live):
        table.set(op.outs[0], _look_up_learnt(table, op, ids))
        return
    table.set(op.outs[0], _find_words(table, live, ids.shape).unsqueeze(-1).expand(op.outs[0].shape))


def follow_rows(table: ShadowTable, op: Op, name: str) -> None:
    """Note of rows of ids out of which others they were cut, or how they were turned or put in another order."""
    given = op.args[0] if op.args else None
    given = given.slot if isinstance(given, Kept) else given
    if name not in ROWS_MOVED or not isinstance(given, Slot) or len(given.shape) != ROWS:
        return
    ids = table.shadow(given)
    if isinstance(ids, Live) and all(len(out.shape) == ROWS and out is not given for out in op.outs):
        for number, out in enumerate(op.outs):
            table.set(out, Live((ids, given.shape, op, number)))


def _find_words(table: ShadowTable, live: Live, shape: tuple[int, ...]) -> Tensor:
    """Identities of words: of the text that they were taken from, where that is known."""
    if shape not in live.sources:
        found = None if live.moved is None else _move_words(table, *live.moved)
        if found is None or tuple(found.shape) != tuple(shape):
            items, rest = (1, shape) if len(shape) == 1 else (shape[0], shape[1:])
            found = table.known.add_source(TEXT, (items, math.prod(rest), 1, 1)).reshape(shape)
        live.sources[shape] = found
    return live.sources[shape]


def _move_words(table: ShadowTable, whole: Live, shape: tuple[int, ...], op: Op, number: int) -> Tensor | None:
    """Words that were taken from others; None: it is not known where they were."""
    words = _find_words(table, whole, shape)
    try:
        return moving.view(op, words)[number] if op.name in functions.VIEWS else moving.move(op, words)
    except (moving.CannotMoveError, RuntimeError, IndexError, TypeError, ValueError):
        return None


def _look_up_learnt(table: ShadowTable, op: Op, ids: Slot) -> Tensor | None:
    """Rows of a table at fixed places: learnt tokens, unless they are added to others, as positions are."""
    rows = next((slot for arg in op.args for slot in walk_slots(arg) if slot.parameter is not None), None)
    out = op.outs[0].shape
    if rows is None or math.prod(ids.shape) > MOST_LOOKED_UP or out[-1] < SMALLEST_TOKEN:
        return None
    name = table.find_names().get(id(rows.parameter), "a parameter")
    return table.known.learn(name, ids.shape).unsqueeze(-1).expand(out)
