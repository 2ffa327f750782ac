"""Which attention calls lead to which, and how a row of weights is carried back through them to the input.

The calls of a pass are followed by their tokens: what a call looks at are tokens in the state that earlier calls left
them in. Sums of calls made side by side add, tokens that were merged share, windows and shifts put tokens elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from jumok.attention import Axis
from jumok.attention.attended import Attended
from jumok.errors import JumokError
from jumok.watching.calls import Call
from jumok.watching.provenance.identities import Block, Identities, Origin

MOST_LEFT = 1e-3
"""Share of the weight that may be left behind, at most: more is no rounding."""
Pull = Callable[[int, Tensor], Tensor]
"""What a call makes of a row of its queries: (batch, queries) to (batch, keys), by the number of the call."""


@dataclass(frozen=True)
class Flow:
    """The calls that lead to the last one, and the tokens from the first to the last.

    Args:
        calls: those that lead there, in order.
        queries: the tokens of the last call.
        keys: the tokens of the input.
        unseen: what mixed tokens on the way, unseen.
        averaged: what mixed tokens on the way and is taken as the mean of its window.
    """

    calls: list[Call]
    queries: Axis
    keys: Axis
    _index: Tensor
    _blocks: list[Block]
    _known: Identities
    _starts: list[Tensor]
    _entries: Tensor
    _shares: Tensor
    _touched: Tensor
    unseen: tuple[str, ...] = ()
    averaged: tuple[str, ...] = ()

    @property
    def layers(self) -> list[Attended]:
        """The weights of the calls."""
        return [call.attended for call in self.calls]

    @property
    def batch(self) -> int:
        """Images, or sentences."""
        return self._starts[0].shape[0]

    def carry(
        self, start: Tensor, pull: Pull, *, passed: float, attended: float, shared: bool
    ) -> tuple[Tensor, Tensor]:
        """Carry weights of the last call's queries back to the input.

        Args:
            start: (batch, queries).
            pull: what a call makes of a row, by its place among `calls`.
            passed: the share of a token that a residual connection passes.
            attended: the share that attention passes.
            shared: calls side by side share what attention passes, instead of each passing it.
        Returns:
            (batch, keys) of the input, and the share of the weight that went through something unseen.
        Raises:
            JumokError: some of the weight does not reach the tokens of the input.
        """
        row = torch.zeros(len(self._index), dtype=start.dtype, device=start.device)
        alone = torch.zeros_like(row)  # passes by attention only, as of calls side by side
        lost = torch.zeros((), dtype=start.dtype, device=start.device)
        device = start.device
        self._begin(row, alone, start, passed, attended / (len(self._starts) if shared else 1))
        places = {call.number: place for place, call in enumerate(self.calls)}
        for block in reversed(self._blocks):
            where = self._find(torch.arange(block.start, block.start + block.count))
            there = (where >= 0) & self._touched[block.start : block.start + block.count]
            where = where.clamp(min=0).to(device)
            mask = there.to(device)
            whole = torch.where(mask, row[where], 0)
            if block.kind == "attended" and block.call in places:
                call = self.calls[places[block.call]]
                assert call.tokens.keys is not None
                assert call.tokens.states is not None
                shape = call.tokens.states.shape
                extra = torch.where(mask, alone[where], 0)
                row[where] = torch.where(mask, 0, row[where])
                alone[where] = torch.where(mask, 0, alone[where])
                pooled = call.tokens.is_pooling
                looking = (whole * (1 if pooled else attended) + extra).view(shape)
                self._add(row, self._base(block), whole * (0 if pooled else passed))
                if bool(looking.any()):
                    self._add(row, call.tokens.keys.reshape(-1), pull(places[block.call], looking).reshape(-1).to(row))
            elif block.kind in ("joint", "merged", "window"):
                assert block.members is not None
                row[where] = torch.where(mask, 0, row[where])
                count = (block.members > 0).sum(1, keepdim=True).to(row.device)
                joint = block.kind == "joint"
                share = whole[:, None] * (attended if joint else 1.0) / (count if shared or not joint else 1)
                self._add(
                    alone if joint else row,
                    block.members.reshape(-1),
                    (share * (block.members > 0).to(share)).expand(block.members.shape).reshape(-1),
                )
                if joint:
                    self._add(row, self._base(block), whole * passed)
            elif block.kind == "unseen":
                row[where] = torch.where(mask, 0, row[where])
                lost = lost + whole.sum()
                self._add(row, self._base(block), whole)
        arrived = torch.zeros_like(row, dtype=torch.bool)
        arrived[self._find(self._entries[self._entries > 0]).to(device)] = True
        left = float(row[~arrived].abs().sum() + alone.abs().sum()) / max(float(start.abs().sum()), 1e-12)
        if left > MOST_LEFT:
            raise JumokError(
                f"{left:.1%} of the weight does not reach the tokens that these calls begin with, so the map would not "
                "be true: choose a part with seen.only(prefix), or read single maps with seen[name]"
            )
        found = torch.where((self._entries > 0).to(device), row[self._find(self._entries).clamp(min=0).to(device)], 0)
        return (found * self._shares.to(found)).sum(-1), lost / start.sum().clamp(min=1e-12)

    def _begin(self, row: Tensor, alone: Tensor, start: Tensor, passed: float, attended: float) -> None:
        """Put the start onto the last call's outputs; of several side by side, onto what each adds to the token."""
        if len(self._starts) == 1:
            self._add(row, self._starts[0].reshape(-1), start.reshape(-1))
            return
        self._add(row, self._known.base(self._starts[0]).reshape(-1), start.reshape(-1) * passed)
        for states in self._starts:
            self._add(alone, states.reshape(-1), start.reshape(-1) * attended)

    def _base(self, block: Block) -> Tensor:
        return self._known.base(torch.arange(block.start, block.start + block.count))

    def _find(self, ids: Tensor) -> Tensor:
        """Places of identities in the row; -1 for those that are in none."""
        place = torch.searchsorted(self._index, ids.contiguous()).clamp(max=len(self._index) - 1)
        return torch.where(self._index[place] == ids, place, -1)

    def _add(self, row: Tensor, ids: Tensor, values: Tensor) -> None:
        where = self._find(ids).to(row.device)
        values = values.to(row).where(where >= 0, torch.zeros((), dtype=row.dtype, device=row.device))
        row.index_add_(0, where.clamp(min=0), values)


def follow(
    calls: Sequence[tuple[str, Call]],
    known: Identities,
    name: Callable[[Tensor], Axis],
    *,
    part: bool,
    partial: bool,
) -> Flow:
    """Follow the tokens of one pass from its last call to the input.

    Args:
        calls: with their names, in order.
        known: the table of identities.
        name: gives the axis of (batch, tokens) of identities.
        part: whether the user chose these calls among others, so that they begin with tokens that others made.
        partial: go on where something was not seen.
    Raises:
        JumokError: some call's tokens are not known, or lead nowhere, or come from where nothing was seen.
    """
    _check_known(calls)
    key = (tuple((call.number, path) for path, call in calls), part, partial, name(calls[-1][1].tokens.keys))  # type: ignore[arg-type]
    if key in known.flows:
        flow: Flow = known.flows[key]
        return replace(flow, calls=[call for _, call in calls])
    chosen = {call.number for _, call in calls}
    ends = _find_ends(known, calls)
    touched, reached = _find_reached(known, calls, ends, chosen)
    left = [name for name, call in calls if not bool(reached[call.tokens.states].any())]
    if left:
        raise JumokError(
            f"these calls are not one chain: nothing of {list_some(left)} reaches {calls[-1][0]}, the last one: say "
            "which call is meant with end=NAME, choose a part with seen.only(prefix), or follow two streams with "
            "seen.bimodal_relevance; call model.eval() if it is in training mode, where it may compute only some of "
            "the tokens"
        )
    entries = _list_entries(known, calls, touched, reached)
    _check_entries(known, entries, calls, part=part, partial=partial)
    unseen = _list_unseen(known, reached, touched)
    if unseen and not partial:
        raise _explain_unseen(unseen)
    notes = tuple(unseen), _list_averaged(known, reached & touched)
    made = known.flows[key] = _make_flow(known, calls, name, ends, (touched, reached), entries, notes)
    return made


def leave_out_others(calls: Sequence[tuple[str, Call]], known: Identities) -> list[tuple[str, Call]]:
    """The calls that lead to the last one."""
    _check_known(calls[-1:])
    chosen = {call.number for _, call in calls}
    known_calls = [(name, call) for name, call in calls if call.tokens.states is not None]
    _, reached = _find_reached(known, known_calls, [calls[-1][1]], chosen)
    return [(name, call) for name, call in known_calls if bool(reached[call.tokens.states].any())]


def _make_flow(
    known: Identities,
    calls: Sequence[tuple[str, Call]],
    name: Callable[[Tensor], Axis],
    ends: Sequence[Call],
    marks: tuple[Tensor, Tensor],
    entries: Tensor,
    notes: tuple[tuple[str, ...], tuple[str, ...]],
) -> Flow:
    touched, reached = marks
    shown = _by_image(ends[-1], ends[-1].tokens.queries)  # type: ignore[arg-type]
    starts = [_sort_places(known, _by_image(end, end.tokens.states), shown)[0] for end in ends]  # type: ignore[arg-type]
    order_axis = name(_sort_places(known, shown, shown)[0])
    grouped, whole = _group_entries(known, entries, calls, starts[0])
    keys, cells, shares = _lay_out(known, name, grouped, whole)
    blocks = [b for b in known.blocks if b.kind in ("attended", "joint", "merged", "window", "unseen")]
    blocks = [b for b in blocks if bool(reached[b.start : b.start + b.count].any())]
    involved = [entries, *(each.reshape(-1) for each in starts)]
    for block in blocks:
        numbers = torch.arange(block.start, block.start + block.count)
        involved += [numbers, known.base(numbers)]
        involved += [block.members.reshape(-1)] if block.members is not None else []
    for _, call in calls:
        involved += [call.tokens.keys.reshape(-1)]  # type: ignore[union-attr]
    index = torch.cat(involved).unique()
    return Flow(
        [call for _, call in calls], order_axis, keys, index, blocks, known, starts, cells, shares, touched, *notes
    )


def _check_known(calls: Sequence[tuple[str, Call]]) -> None:
    for name, call in calls:
        if call.tokens.states is None:
            raise JumokError(
                f"the tokens of {name} are not known ({call.tokens.why or 'it attends to no tokens'}), so these calls "
                "are not one chain that can be followed: choose a part with seen.only(prefix), or read single maps "
                "with seen[name]"
            )


def _find_ends(known: Identities, calls: Sequence[tuple[str, Call]]) -> list[Call]:
    """The last call, and those that were made side by side with it from the same tokens."""
    last = calls[-1][1]
    beside = [] if last.tokens.is_pooling else [call for _, call in calls[:-1]]
    ends = [call for call in beside if torch.equal(call.tokens.queries, last.tokens.queries)]  # type: ignore[arg-type]
    return [*ends, last]


def _find_reached(
    known: Identities, calls: Sequence[tuple[str, Call]], ends: Sequence[Call], chosen: set[int]
) -> tuple[Tensor, Tensor]:
    """Which identities come from the chosen calls, and which of all lead to the last one."""
    size = known._next
    touched, reached = torch.zeros(size, dtype=torch.bool), torch.zeros(size, dtype=torch.bool)
    by_number = {call.number: call for _, call in calls}
    for block in known.blocks:
        part = slice(block.start, block.start + block.count)
        if block.kind == "attended" and block.call in chosen:
            touched[part] = True
        elif block.members is not None:
            touched[part] = _look_up(touched, block.members).any(1)
        else:
            touched[part] = _look_up(touched, known.base(torch.arange(block.start, block.start + block.count)))
    for end in ends:
        reached[end.tokens.states] = True
    for block in reversed(known.blocks):
        numbers = torch.arange(block.start, block.start + block.count)
        here = reached[numbers] & touched[numbers]
        if not bool(here.any()):
            continue
        _mark(reached, known.base(numbers)[here])
        if block.members is not None:
            _mark(reached, block.members[here].reshape(-1))
        if block.kind == "attended" and block.call in by_number:
            call = by_number[block.call]
            rows = here.view(call.tokens.states.shape).any(1)  # type: ignore[union-attr]
            _mark(reached, call.tokens.keys[rows].reshape(-1))  # type: ignore[index]
    return touched, reached


def _look_up(table: Tensor, ids: Tensor) -> Tensor:
    return table[ids.clamp(max=len(table) - 1)] & (ids < len(table)) & (ids > 0)


def _mark(table: Tensor, ids: Tensor) -> None:
    table[ids[(ids < len(table)) & (ids > 0)]] = True


def _list_entries(known: Identities, calls: Sequence[tuple[str, Call]], touched: Tensor, reached: Tensor) -> Tensor:
    """Identities that the calls begin with."""
    found = []
    pooling = {call.number for _, call in calls if call.tokens.is_pooling}  # their queries are no tokens
    for _, call in calls:
        found += [] if call.number in pooling else [call.tokens.queries.reshape(-1)]  # type: ignore[union-attr]
        found += [call.tokens.keys.reshape(-1)]  # type: ignore[union-attr]
    for block in known.blocks:
        numbers = torch.arange(block.start, block.start + block.count)
        here = reached[numbers] & touched[numbers]
        if bool(here.any()) and not (block.kind == "attended" and block.call in pooling):
            found += [known.base(numbers)[here]]
            found += [block.members[here].reshape(-1)] if block.members is not None else []
    ids = torch.cat(found).unique()
    ids = ids[ids > 0]
    untouched: Tensor = ids[~_look_up(touched, ids)]
    return untouched


def _check_entries(
    known: Identities, entries: Tensor, calls: Sequence[tuple[str, Call]], *, part: bool, partial: bool
) -> None:
    lost = known.notes(entries[known.is_lost(entries)], "lost")
    if lost:
        raise JumokError(
            f"where the tokens of {calls[0][0]} come from is lost ({list_some(lost)}), so a chain cannot be followed "
            "to the input: read single maps with seen[name]"
        )
    unseen = [] if part else _notes_below(known, entries)
    if unseen and not partial:
        raise _explain_unseen(unseen)
    kinds = {known.sources[int(n)].kind for n in known.origin(entries).source.unique() if n >= 0}
    sources = [n for n in known.origin(entries).source.unique().tolist() if n >= 0]
    foreign = [known.sources[n].why for n in sources if known.sources[n].kind == "foreign"]
    if foreign and len(sources) > 1 and not part:
        raise JumokError(f"some tokens come from {foreign[0]}, so what they hold of the input is not known")
    if len(sources) > 1 and not _is_one_sequence(calls[0][1], entries):
        raise JumokError(
            f"these calls are not one chain from one input: tokens of {len(sources)} inputs "
            f"({', '.join(sorted(kinds))}) lead to {calls[-1][0]}: choose a part with seen.only(prefix), or follow two "
            "streams with seen.bimodal_relevance"
        )


def _is_one_sequence(first: Call, entries: Tensor) -> bool:
    """Whether all tokens that the calls begin with are keys of the first, as words beside the places of an image."""
    keys = first.tokens.keys
    return keys is not None and bool(torch.isin(entries, keys.reshape(-1)).all())


def _notes_below(known: Identities, ids: Tensor) -> list[str]:
    """What was unseen in making the tokens that calls begin with."""
    notes: list[str] = []
    current = ids
    for _ in range(64):
        current = current[current > 0].unique()
        if not len(current):
            break
        notes += known.notes(current, "unseen")
        current = torch.cat([known.base(current), known.members(current)])
    return list(dict.fromkeys(notes))


def _list_unseen(known: Identities, reached: Tensor, touched: Tensor) -> list[str]:
    ids = (reached & touched).nonzero()[:, 0]
    return known.notes(ids, "unseen") if len(ids) else []


def _list_averaged(known: Identities, passed: Tensor) -> tuple[str, ...]:
    """What is taken as the mean of its window, of what the way leads through."""
    notes = [note for made, note in known.averaged if bool(_look_up(passed, made).any())]
    return tuple(dict.fromkeys(notes))


def _explain_unseen(notes: Sequence[str]) -> JumokError:
    return JumokError(
        f"between the attention calls tokens are mixed by {list_some(notes)}, whose weights are not seen, so a chain "
        "through attention alone would not be true: partial=True gives it, with the share of the paths that it saw; or "
        "read single maps with seen[name]"
    )


def _by_image(call: Call, rows: Tensor) -> Tensor:
    """(images, tokens of all windows)."""
    images, _ = call.tokens.images
    return rows.reshape(images, -1) if images else rows


def _sort_places(known: Identities, rows: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens of windows row by row, where they are places of an image."""
    if rows.shape[1] < 2:
        return rows, rows
    origin = known.origin(places.reshape(-1))
    key = _order_of(origin)
    images = origin.source >= 0
    item = origin.item.view(places.shape)
    if not bool(images.all()) or bool((item != item[:, :1]).any()):  # several images in one sequence stay apart
        return rows, rows
    kinds = {known.sources[int(source)].kind for source in origin.source.unique()}
    if kinds != {"image"}:
        return rows, rows
    key = key.view(places.shape)
    if bool((key[:, 1:] > key[:, :-1]).all()):
        return rows, rows
    order = key.argsort(dim=1, stable=True)
    return rows.gather(1, order), order


def _order_of(origin: Origin) -> Tensor:
    """A number by which places are in the order of time, rows and columns."""
    return origin.low[:, 0] * (1 << 40) + origin.low[:, 1] * (1 << 20) + origin.low[:, 2]


def _group_entries(
    known: Identities, entries: Tensor, calls: Sequence[tuple[str, Call]], starts: Tensor
) -> tuple[Tensor, bool]:
    """The tokens that each image begins with, (batch, tokens), and whether they are the first call's keys."""
    first = calls[0][1]
    rows = _by_image(first, first.tokens.keys)  # type: ignore[arg-type]
    rows = _sort_places(known, rows, rows)[0]
    alike = rows.shape[0] == starts.shape[0] and all(len(row.unique()) == len(row) for row in rows)
    if alike and _is_one_sequence(first, entries):
        return rows, True
    batch = starts.shape[0]
    item = known.origin(entries).item
    items = item.unique()
    if len(items) != batch or bool((items < 0).any()):
        raise JumokError(
            "the tokens that these calls begin with cannot be told apart by image or sentence: choose a part with "
            "seen.only(prefix)"
        )
    parts = [entries[item == each] for each in items]
    if len({len(part) for part in parts}) > 1:
        raise JumokError("the images of this batch begin with different numbers of tokens: give them one by one")
    grouped = torch.stack(parts)
    origin = known.origin(grouped.reshape(-1))
    key = (
        (origin.source >= 0) * (1 << 60)
        + origin.low[:, 0] * (1 << 40)
        + origin.low[:, 1] * (1 << 20)
        + origin.low[:, 2]
    )
    return grouped.gather(1, key.view(grouped.shape).argsort(dim=1, stable=True)), False


def _lay_out(
    known: Identities, name: Callable[[Tensor], Axis], grouped: Tensor, whole: bool
) -> tuple[Axis, Tensor, Tensor]:
    """The axis of the input's tokens, and which identities each of its entries is made of, with their shares.

    Returns:
        The axis of (batch, keys); identities and shares, (batch, keys, most) each.
    """
    batch, count = grouped.shape
    origin = known.origin(grouped[0])
    places = origin.source >= 0
    low, high = origin.low[places], origin.high[places]
    fine = None if whole else _find_finest(low, high)
    if fine is None:
        return name(grouped), grouped[..., None], torch.ones(batch, count, 1)
    kept, inside = fine
    tokens = torch.cat([(~places).nonzero()[:, 0], places.nonzero()[:, 0][kept]])
    within = torch.zeros(len(tokens), count, dtype=torch.bool)
    front = int((~places).sum())
    within[torch.arange(front), tokens[:front]] = True
    within[front:, places] = inside
    shares = within / within.sum(0, keepdim=True).clamp(min=1)
    most = int(within.sum(1).max())
    top = shares.topk(most, 1)
    cells = grouped[:, top.indices]
    axis = name(grouped[:, tokens])
    return axis, cells, top.values.expand(batch, -1, -1)


def _find_finest(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor] | None:
    """Where places of several sizes lie over one another: the finest, and which of all each lies in."""
    if len(low) < 2:
        return None
    size = (high - low).prod(1)
    if bool((size <= size.min() * 2).all()) and len(low.unique(dim=0)) == len(low):
        return None
    centre = (low + high).double() / 2
    fine = size <= size.min() * 2
    kept = fine.nonzero()[:, 0]
    at = centre[kept][:, None]
    inside = ((at >= low[None]) & (at < high[None])).all(-1)
    if not bool(inside.any(0).all()):
        return None
    corners = low[kept]
    _, inverse = corners.unique(dim=0, return_inverse=True)
    first = torch.stack([(inverse == number).int().argmax() for number in range(int(inverse.max()) + 1)])
    return kept[first], inside[first]


def list_some(names: Sequence[str]) -> str:
    """The first few of several things, for a line that people read."""
    shown = ", ".join(names[:4])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown
