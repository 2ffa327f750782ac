"""Which attention calls lead to which.

The calls of a pass are followed by their tokens: what a call looks at are tokens in the state that earlier calls left
them in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from jumok.attention import Axis
from jumok.errors import JumokError
from jumok.watching.calls import Call
from jumok.watching.flow import Flow
from jumok.watching.flow_ends import by_image, group_entries, is_one_sequence, lay_out, sort_places
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.origins import CONSTANT_SOURCE
from jumok.watching.provenance.residuals import are_joined, are_passed, find_sums


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
    left = _find_left(calls, reached)
    if left and (parts := _find_parts(calls, left)):
        ends, (touched, reached) = parts, _find_reached(known, calls, parts, chosen)
        left = _find_left(calls, reached)
    if left:
        hidden = _notes_below(known, _list_entries(known, calls, touched, reached))
        mixed = f" (tokens are mixed by {list_some(hidden)}, whose weights are not seen)" if hidden else ""
        raise JumokError(
            f"these calls are not one chain: nothing of {list_some(left)} reaches {calls[-1][0]}, the last one{mixed}: "
            "say which call is meant with end=NAME, choose a part with seen.only(prefix), or follow two streams with "
            "seen.bimodal_relevance; call model.eval() if it is in training mode, where it may compute only some of "
            "the tokens"
        )
    entries = _list_entries(known, calls, touched, reached)
    _check_entries(known, entries, calls, part=part, partial=partial)
    unseen = _list_unseen(known, reached, touched)
    if unseen and not partial:
        raise _explain_unseen(unseen)
    unseen += [] if part else [note for note in _notes_below(known, entries) if note not in unseen]
    notes = tuple(unseen), _list_averaged(known, reached & touched)
    made = known.flows[key] = _make_flow(known, calls, name, ends, (touched, reached), entries, notes)
    return made


def _find_left(calls: Sequence[tuple[str, Call]], reached: Tensor) -> list[str]:
    """The calls that do not lead to the last one."""
    return [name for name, call in calls if not bool(reached[call.tokens.states].any())]


def _find_parts(calls: Sequence[tuple[str, Call]], left: Sequence[str]) -> list[Call]:
    """The calls that make up the last layer, where it takes its queries part by part; none where others are left."""
    last = calls[-1][1]
    parts = [call for _, call in calls[-len(left) - 1 :]]
    if {name for name, _ in calls[-len(left) - 1 : -1]} != {*left} or any(
        part.module != last.module or not _have_same_keys(part, last) for part in parts
    ):
        return []
    queries = torch.cat([part.tokens.queries.reshape(-1) for part in parts])  # type: ignore[union-attr]
    return parts if len(queries.unique()) == len(queries) else []


def _have_same_keys(one: Call, other: Call) -> bool:
    keys, wanted = one.tokens.keys, other.tokens.keys
    return keys is not None and wanted is not None and torch.equal(keys, wanted)


def leave_out_others(calls: Sequence[tuple[str, Call]], known: Identities) -> list[tuple[str, Call]]:
    """The calls that lead to the last one."""
    _check_known(calls[-1:])
    chosen = {call.number for _, call in calls}
    known_calls = [(name, call) for name, call in calls if call.tokens.states is not None]
    _, reached = _find_reached(known, known_calls, [calls[-1][1]], chosen)
    return [(name, call) for name, call in known_calls if bool(reached[call.tokens.states].any())]


def list_heads(calls: Sequence[tuple[str, Call]], known: Identities) -> list[str]:
    """The last call, and those beside it that are heads of the same layer, where a model computes them one by one."""
    own = [(name, call) for name, call in calls if call.tokens.states is not None]
    if not own or own[-1][1] is not calls[-1][1]:
        return [calls[-1][0]]
    ends = _find_ends(known, own)
    one = len(ends) > 1 and are_joined(known, _take_one(ends[0]), _take_one(ends[-1]), shared=True)
    return [name for name, call in own if any(call is end for end in ends)] if one else [calls[-1][0]]


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
    apart = _are_apart(ends)
    own = [by_image(end, end.tokens.queries) for end in ends]  # type: ignore[arg-type]
    shown = torch.cat(own, 1) if apart else own[-1]
    starts = [sort_places(known, by_image(ends[-1], states), shown)[0] for states in _find_starts(known, ends)]
    order_axis = name(sort_places(known, shown, shown)[0])
    grouped, whole = group_entries(known, entries, calls, starts[0])
    keys, cells, shares = lay_out(known, name, grouped, whole)
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
    chain = [call for _, call in calls]
    heads = len(ends) > 1 and are_joined(known, _take_one(ends[0]), _take_one(ends[-1]), shared=True)
    hidden = _find_hidden(known, entries) if notes[0] else entries[:0]
    parts = len(ends) if apart else 1
    return Flow(
        chain, order_axis, keys, index, blocks, known, starts, cells, shares, touched, hidden, *notes, heads, parts
    )


def _are_apart(ends: Sequence[Call]) -> bool:
    """Whether the last calls are parts of one layer, each of which looks for other tokens."""
    return any(not torch.equal(end.tokens.queries, ends[-1].tokens.queries) for end in ends)  # type: ignore[arg-type]


def _find_starts(known: Identities, ends: Sequence[Call]) -> list[Tensor]:
    """What the last calls gave: with the tokens that it was added to, where these are others than looked."""
    states = [end.tokens.states for end in ends if end.tokens.states is not None]
    if _are_apart(ends):
        return [torch.cat([by_image(end, each) for end, each in zip(ends, states, strict=True)], 1)]
    sums = find_sums(known, states)
    return states if sums is None else [sums]


def _check_known(calls: Sequence[tuple[str, Call]]) -> None:
    for name, call in calls:
        if call.tokens.states is None:
            raise JumokError(
                f"the tokens of {name} are not known ({call.tokens.why or 'it attends to no tokens'}), so these calls "
                "are not one chain that can be followed: choose a part with seen.only(prefix), or read single maps "
                "with seen[name]"
            )


def _find_ends(known: Identities, calls: Sequence[tuple[str, Call]]) -> list[Call]:
    """The last call, and those that were made side by side with it from the same tokens and added to it."""
    last = calls[-1][1]
    beside = [] if last.tokens.is_pooling else [call for _, call in calls[:-1]]
    ends = [call for call in beside if torch.equal(call.tokens.queries, last.tokens.queries)]  # type: ignore[arg-type]
    return [*(call for call in ends if are_joined(known, _take_one(call), _take_one(last))), last]


def _take_one(call: Call) -> Tensor:
    """One of the tokens that a call made."""
    return call.tokens.states.reshape(-1)[0]  # type: ignore[union-attr]


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
    for states in _find_starts(known, ends):
        reached[states] = True
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


def _look_by_channels(known: Identities, call: Call) -> bool:
    """Whether each query is a channel, with weights of its own over the tokens, and no path leads past it."""
    queries, states = call.tokens.queries, call.tokens.states
    if queries is None or states is None or not call.tokens.order:
        return False
    constant = known.origin(queries.reshape(-1)).source == CONSTANT_SOURCE
    return bool(constant.all()) and not bool(are_passed(known, states).any())


def _list_entries(known: Identities, calls: Sequence[tuple[str, Call]], touched: Tensor, reached: Tensor) -> Tensor:
    """Identities that the calls begin with."""
    found = []
    pooling = {call.number for _, call in calls if call.tokens.is_pooling or _look_by_channels(known, call)}
    for _, call in calls:
        # The queries of those are no tokens.
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
    if len(sources) > 1 and not is_one_sequence(calls[0][1], entries):
        raise JumokError(
            f"these calls are not one chain from one input: tokens of {len(sources)} inputs "
            f"({', '.join(sorted(kinds))}) lead to {calls[-1][0]}: choose a part with seen.only(prefix), or follow two "
            "streams with seen.bimodal_relevance"
        )


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


def _find_hidden(known: Identities, entries: Tensor) -> Tensor:
    """Which of the tokens that calls begin with something unseen has made."""
    hidden = torch.zeros(known._next, dtype=torch.bool)
    for block in known.blocks:
        part = slice(block.start, block.start + block.count)
        hidden[part] = block.kind == "unseen"
        hidden[part] |= _look_up(hidden, known.base(torch.arange(block.start, block.start + block.count)))
        if block.members is not None:
            hidden[part] |= _look_up(hidden, block.members).any(1)
    return entries[_look_up(hidden, entries)]


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


def list_some(names: Sequence[str]) -> str:
    """The first few of several things, for a line that people read."""
    shown = ", ".join(names[:4])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown
