"""Which words of a text ids are, that a model cuts, turns, shifts or joins before it embeds them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from jumok.watching.provenance import functions, moving
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.ops import Kept, Op, Slot, clone_index
from jumok.watching.provenance.origins import ADDED, CONSTANT, LEAF, TEXT, UNORDERED
from jumok.watching.provenance.shadow_table import ShadowTable
from jumok.watching.provenance.shadows import Live, Moved, zeros

MOST_AXES = 2
"""Of ids that are followed: texts, and their words."""
MOST_STEPS = 64
"""Operations that ids are followed through before something embeds them, at most."""


def follow_ids(table: ShadowTable, op: Op, name: str) -> bool:
    """Note of ids out of which others they were made, and tell whether the operation moved or chose some.

    Args:
        table: where they stand.
        op, name: the operation.
    """
    given = _list_given(op, name)
    shapes = tuple(() if each is None else tuple(each.shape) for each in given)
    if not given or any(len(each.shape) > MOST_AXES for each in (*op.outs, *(g for g in given if g is not None))):
        return False
    if any(each is not None and (each.floating or each.dtype == torch.bool) for each in given):
        return False
    live = tuple(found if isinstance(found := each and table.shadow(each), Live) else None for each in given)
    steps = 1 + max((each.moved.steps for each in live if each and each.moved and not each.sources), default=0)
    if steps > MOST_STEPS or not any(live):
        return False
    for number, out in enumerate(op.outs or tuple(given[:1])):
        if out is not None and not out.floating:
            table.set(out, Live(Moved(op, number, live, shapes, steps)))
    return True


def _list_given(op: Op, name: str) -> list[Slot | None]:
    """The ids that an operation moves or chooses from; None: a number. Empty, where it does something else."""
    if name in moving.JOINS:
        parts = op.given(0, "tensors")
        return [_read_slot(part) for part in parts] if isinstance(parts, list) else []
    first = _read_slot(op.given(0, "input"))
    if name == "where" and len(op.args) > MOST_AXES:
        return [_read_slot(each) for each in _find_choices(op)]
    if name == "masked_fill":
        return [first]
    if name in functions.WRITES or f"{name}_" in functions.WRITES:
        return [first, _read_slot(moving.find_written(op, name))]
    moved = (op.name in functions.VIEWS or op.name in functions.MOVES) and op.name not in moving.SAME
    return [first] if moved and first is not None and all(out is not first for out in op.outs) else []


def _read_slot(value: object) -> Slot | None:
    value = value.slot if isinstance(value, Kept) else value
    return value if isinstance(value, Slot) and (value.shape or value.floating) else None


def _find_choices(op: Op) -> list[object]:
    """The two that `where` chooses from."""
    masks = [n for n, arg in enumerate(op.args) if isinstance(arg, Kept) and arg.slot.dtype == torch.bool]
    return [arg for number, arg in enumerate(op.args) if number not in masks[:1]]


def find_words(known: Identities, live: Live, shape: tuple[int, ...]) -> Tensor:
    """Identities of words: of the text that they were taken from, where that is known.

    Args:
        known: the table, which a text is added to that is new.
        live: what is known of the ids.
        shape: of the ids.
    """
    shape = tuple(shape)
    if shape not in live.sources:
        found = None if live.moved is None else _move_words(known, live.moved)
        fresh = UNORDERED if live.unordered else ""
        live.sources[shape] = _add_text(known, shape, fresh) if found is None or tuple(found.shape) != shape else found
    return live.sources[shape]


def _add_text(known: Identities, shape: tuple[int, ...], why: str = "") -> Tensor:
    items, rest = (1, shape) if len(shape) == 1 else (shape[0], shape[1:])
    return known.add_source(TEXT, (items, math.prod(rest), 1, 1), why).reshape(shape)


def _move_words(known: Identities, moved: Moved) -> Tensor | None:
    """Words that were taken from others; None: it is not known where they were."""
    pairs = zip(moved.given, moved.shapes, strict=True)
    parts = [zeros(shape) if each is None else find_words(known, each, shape) for each, shape in pairs]
    try:
        found = _apply(moved.op, moved.number, parts)
    except (moving.CannotMoveError, RuntimeError, IndexError, TypeError, ValueError):
        return None
    if not _are_apart(known, found):
        return None
    none = found == CONSTANT
    return torch.where(none, _add_text(known, tuple(found.shape), ADDED), found) if bool(none.any()) else found


def _apply(op: Op, number: int, parts: list[Tensor]) -> Tensor:
    name = functions.strip(op.name)[0]
    if name in moving.JOINS:
        return moving.join_parts(op, parts)
    if name == "where":
        mask = next((arg for arg in op.args if isinstance(arg, Kept) and arg.slot.dtype == torch.bool), None)
        if mask is None or mask.changed:
            raise moving.CannotMoveError(name)
        one, other = parts
        return torch.where(clone_index(mask.values), one, other)
    if name == "masked_fill":
        return parts[0]
    if name in functions.WRITES or f"{name}_" in functions.WRITES:
        return moving.write(op, name, parts[0].contiguous().clone(), parts[1])
    return moving.view(op, parts[0])[number] if op.name in functions.VIEWS else moving.move(op, parts[0])


def _are_apart(known: Identities, words: Tensor) -> bool:
    """Whether no two rows are of the same text: those are copies, as of beams, each of which is read by itself."""
    if words.dim() < MOST_AXES:
        return True
    item = known.origin(words.reshape(-1)).item
    rows = torch.arange(len(words)).repeat_interleave(words.shape[1])
    pairs = torch.stack([words.reshape(-1) // LEAF, item, rows], 1)[words.reshape(-1) > 0].unique(dim=0)
    return len(pairs[:, :2].unique(dim=0)) == len(pairs)
