"""Which attention calls lead to which, and how a row of weights is carried back through them to the input.

The calls of a pass are followed by their tokens: what a call looks at are tokens in the state that earlier calls left
them in. Sums of calls made side by side add, tokens that were merged share, windows and shifts put tokens elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

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
    _worked_out: dict[torch.device, list[_Step]] = field(default_factory=dict)

    @property
    def layers(self) -> list[Attended]:
        """The weights of the calls."""
        return [call.attended for call in self.calls]

    @property
    def batch(self) -> int:
        """Images, or sentences."""
        return self._starts[0].shape[0]

    def check_same_tokens(self, method: str) -> None:
        """Refuse layers that are not all over the tokens of the input.

        Args:
            method: that needs them to be, for the message.
        Raises:
            JumokError: one is over windows, merged tokens or others.
        """
        wanted = self._known.origin(self._entries[..., 0].reshape(-1)).stack()
        for call in self.calls:
            keys = call.tokens.keys
            assert keys is not None
            if keys.numel() != len(wanted) or not torch.equal(self._known.origin(keys.reshape(-1)).stack(), wanted):
                raise JumokError(
                    f"{method} adds layers up that are over the same tokens, and {call.module or 'one'} is over others "
                    "(windows, or merged tokens): use chefer or rollout, which follow them"
                )

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
        size = len(self._index) + 1  # the last one takes what leads nowhere
        row = torch.zeros(size, dtype=start.dtype, device=start.device)
        alone = torch.zeros_like(row)  # passes by attention only, as of calls side by side
        lost = torch.zeros((), dtype=start.dtype, device=start.device)
        self._begin(row, alone, start, passed, attended / (len(self._starts) if shared else 1))
        for step in self._steps(start.device):
            whole = row[step.here]
            row[step.here] = 0
            if step.place is not None:
                self._carry_through(step, row, alone, whole, pull, passed=passed, attended=attended)
            elif step.kind == "unseen":
                lost = lost + whole.sum()
                row.index_add_(0, step.base, whole)
            else:
                joint = step.kind == "joint"
                share = whole[:, None] * step.members.ne(size - 1).to(whole) * (attended if joint else 1.0)
                share = share / step.count if shared or not joint else share
                (alone if joint else row).index_add_(0, step.members.reshape(-1), share.reshape(-1))
                if joint:
                    row.index_add_(0, step.base, whole * passed)
        return self._arrive(row, alone, start), lost / start.sum().clamp(min=1e-12)

    def _carry_through(
        self, step: _Step, row: Tensor, alone: Tensor, whole: Tensor, pull: Pull, *, passed: float, attended: float
    ) -> None:
        """Carry weights of a call's outputs to its keys, and past it."""
        assert step.place is not None
        pooled = self.calls[step.place].tokens.is_pooling
        looking = whole * (1 if pooled else attended) + alone[step.here]
        alone[step.here] = 0
        if not pooled:
            row.index_add_(0, step.base, whole * passed)
        if bool(looking.any()):
            asked = looking.new_zeros(math.prod(step.shape)).index_copy_(0, step.inside, looking)
            row.index_add_(0, step.keys, pull(step.place, asked.view(step.shape)).reshape(-1).to(row))

    def _arrive(self, row: Tensor, alone: Tensor, start: Tensor) -> Tensor:
        """What the tokens of the input have got, if nearly everything came there."""
        where = self._find(self._entries).to(row.device)
        arrived = torch.zeros_like(row, dtype=torch.bool)
        arrived[where.reshape(-1)] = True
        arrived[-1] = False
        left = float(row[~arrived].abs().sum() + alone.abs().sum()) / max(float(start.abs().sum()), 1e-12)
        if left > MOST_LEFT:
            raise JumokError(
                f"{left:.1%} of the weight does not reach the tokens that these calls begin with, so the map would not "
                "be true: choose a part with seen.only(prefix), or read single maps with seen[name]"
            )
        row[-1] = 0
        return (row[where] * self._shares.to(row)).sum(-1)

    def _begin(self, row: Tensor, alone: Tensor, start: Tensor, passed: float, attended: float) -> None:
        """Put the start onto the last call's outputs; of several side by side, onto what each adds to the token."""
        if len(self._starts) == 1:
            row.index_add_(0, self._find(self._starts[0].reshape(-1)).to(row.device), start.reshape(-1))
            return
        base = self._find(self._known.base(self._starts[0]).reshape(-1)).to(row.device)
        row.index_add_(0, base, start.reshape(-1) * passed)
        for states in self._starts:
            alone.index_add_(0, self._find(states.reshape(-1)).to(row.device), start.reshape(-1) * attended)

    def _steps(self, device: torch.device) -> list[_Step]:
        """What is to be done, from the last call to the first; worked out once."""
        if device not in self._worked_out:
            places = {call.number: place for place, call in enumerate(self.calls)}
            found = (self._plan(block, places.get(block.call)) for block in reversed(self._blocks))
            self._worked_out[device] = [step.to(device) for step in found if step is not None]
        return self._worked_out[device]

    def _plan(self, block: Block, place: int | None) -> _Step | None:
        """What is to be done for the tokens of one block; None for nothing."""
        numbers = torch.arange(block.start, block.start + block.count)
        here = self._find(numbers)
        inside = ((here < len(self._index)) & self._touched[block.start : block.start + block.count]).nonzero()[:, 0]
        if not len(inside) or (block.kind == "attended" and place is None):
            return None
        nothing = torch.zeros(0, dtype=torch.int64)
        base = self._find(self._known.base(numbers[inside]))
        members = nothing if block.members is None else self._find(block.members[inside])
        count = members.ne(len(self._index)).sum(-1, keepdim=True) if members.dim() == 2 else nothing
        if block.kind != "attended" or place is None:
            return _Step(block.kind, None, here[inside], inside, base, members, count, (), nothing)
        tokens = self.calls[place].tokens
        assert tokens.keys is not None
        assert tokens.states is not None
        keys = self._find(tokens.keys.reshape(-1))
        return _Step("attended", place, here[inside], inside, base, nothing, nothing, tuple(tokens.states.shape), keys)

    def _find(self, ids: Tensor) -> Tensor:
        """Places of identities in the row; the one behind the last for those that are in none."""
        place = torch.searchsorted(self._index, ids.contiguous()).clamp(max=len(self._index) - 1)
        return torch.where((self._index[place] == ids) & (ids > 0), place, len(self._index))


@dataclass(frozen=True)
class _Step:
    """What is done for the tokens that were made at once.

    Args:
        kind: of their block.
        place: of the call among those that are followed, if it is one.
        here: their places in the row.
        inside: which of the block they are.
        base: places of the tokens that they were made around.
        members: (count, most) places of those that they were made of.
        count: (count, 1), how many these are.
        shape: of the call's queries.
        keys: places of the call's keys.
    """

    kind: str
    place: int | None
    here: Tensor
    inside: Tensor
    base: Tensor
    members: Tensor
    count: Tensor
    shape: tuple[int, ...]
    keys: Tensor

    def to(self, device: torch.device) -> _Step:
        """The same on another device."""
        if device.type == "cpu":
            return self
        moved: dict[str, Any] = {n: each.to(device) for n, each in vars(self).items() if isinstance(each, Tensor)}
        return replace(self, **moved)


def follow(
    calls: Sequence[tuple[str, Call]],
    known: Identities,
    name: Callable[[Tensor], Axis],
    said: Sequence[Axis] = (),
    *,
    part: bool,
    partial: bool,
) -> Flow:
    """Follow the tokens of one pass from its last call to the input.

    Args:
        calls: with their names, in order.
        known: the table of identities.
        name: gives the axis of (batch, tokens) of identities.
        said: what the user said that tokens stand for, by which the names are given.
        part: whether the user chose these calls among others, so that they begin with tokens that others made.
        partial: go on where something was not seen.
    Raises:
        JumokError: some call's tokens are not known, or lead nowhere, or come from where nothing was seen.
    """
    _check_known(calls)
    key = (tuple((call.number, path) for path, call in calls), part, partial, tuple(said))
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
