"""Which attention calls of a forward pass belong together: one stream of tokens, or two that look at each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from torch import Tensor

from jumok.attention import AttentionMap, Axis
from jumok.attention.attended import Attended
from jumok.errors import JumokError, suggest
from jumok.watching.call_axes import CallAxes
from jumok.watching.calls import Call
from jumok.watching.provenance.call_tokens import CHANNELS
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.residuals import are_passed

SEVERAL, LOST = -2, -3
"""Sources of tokens, of which no one input is known; see `Origin`."""
WORDS, PLACES = 0, 1
"""Two streams of tokens. Only their order matters to the rules: the query belongs to the first."""
Named = Sequence[tuple[str, Call]]
Streams = Mapping[str, str | None]
"""Who looks at whom, by name of the call or beginning of its path, `*` standing for anything; the first that fits."""

SIDES = {"words": (WORDS, WORDS), "places": (PLACES, PLACES)}
SIDES |= {"words->places": (WORDS, PLACES), "places->words": (PLACES, WORDS)}
EXAMPLE = 'streams={"reader": "words", "eye": "places", "fusion.*.cross": "words->places"}'

MOST_NAMED = 4
"""Calls that a message names."""


class Bimodal(NamedTuple):
    """One map over the words and one over the places, as seen from the same query."""

    words: AttentionMap
    places: AttentionMap


class Crossing(NamedTuple):
    """One attention call between two streams: which one looked, and which one was seen."""

    layer: Attended
    looking: int
    seen: int

    @property
    def is_cross(self) -> bool:
        """Whether one stream looks at the other."""
        return self.looking != self.seen


class TwoStreams(NamedTuple):
    """The calls between words and places, and what these stand for."""

    looks: list[Crossing]
    words: Axis
    places: Axis


def take_two_streams(named: Named, axes: CallAxes, streams: Streams | None) -> TwoStreams:
    """The calls of one forward pass in which words and places look at themselves and at each other.

    Args:
        named: the calls with their names, in the order in which they ran.
        axes: finds what the tokens stand for.
        streams: who looks at whom, as "words", "places", "words->places" or "places->words"; None as a value leaves
            calls out. Without it the streams are told by the inputs that their tokens come from: the words are those
            that look across first.
    Raises:
        JumokError: nothing was seen, several passes, windows, batches that differ, or no two streams to be told.
    """
    named = take_one_pass(named)
    windowed = next((call for _, call in named if "window" in call.lead), None)
    if windowed is not None:
        raise JumokError(
            f"{windowed.module} attends inside {windowed.attended.shape[0]} windows, each with tokens of its own, and "
            "two streams over windows are not supported: read the maps of single windows with seen[name]"
        )
    looks = _tell_by_tokens(named, axes.replay.known) if streams is None else _tell_by_name(named, streams)
    counts = _count_both(looks)
    batches = sorted({call.attended.shape[0] for _, call in looks.values()})
    if len(batches) > 1:
        raise JumokError(
            f"the calls have batches of {' and '.join(map(str, batches))}, and relevance follows pairs of an image and "
            "a text: repeat the image for each text before it enters the model"
        )
    if streams is None:
        _check_residuals(looks, axes.replay.known)
    side = next((call for look, call in looks.values() if look.looking == PLACES), None)
    seen_from = side or next(call for look, call in looks.values() if look.seen == PLACES)
    return TwoStreams([look for look, _ in looks.values()], *_name_streams(looks, axes, counts, seen_from))


def _check_residuals(looks: _Looks, known: Identities) -> None:
    """Refuse calls past which no residual connection leads: the rule for two streams counts one for each."""
    for name, (_, call) in looks.items():
        queries, states = call.tokens.queries, call.tokens.states
        if queries is None or states is None or bool(known.is_unseen(queries).any()):
            continue  # not followed so far
        if not bool(are_passed(known, states).any()):
            raise JumokError(
                f"no residual connection was seen that leads past {name}, and relevance of two streams counts one for "
                "each call, so the map would not be true: leave the call out by streams= with None for it, or follow "
                "one stream with seen.only(prefix).relevance"
            )


def explain_nothing_seen() -> JumokError:
    """What to say where no call was seen."""
    return JumokError(
        "no attention call was seen in the `with` block: run the model inside it; attention by a packed kernel of "
        "flash-attn, by a kernel of the model's own or inside torch.func.vmap hides its weights: choose the model's "
        "`sdpa` or `eager` attention, without vmap; sums along the edges of a graph (index_add, scatter_add) and "
        "weights that no token tells (parameters alone) are not taken for attention: explain a class by "
        "integrated-gradients or input-x-gradient"
    )


def _explain_no_tokens(names: Sequence[str]) -> JumokError:
    """What to say where attention was seen, and none of it between tokens: of gates of channels, of glimpses."""
    listed = ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
    return JumokError(
        f"no attention between tokens was seen, only {listed}, so nothing leads from tokens to the input: explain a "
        "class by grad-cam, libra or input-x-gradient, or read what was seen with seen[name]"
    )


def take_one_pass(named: Named) -> Named:
    """The calls between tokens.

    Raises:
        JumokError: there are none, or they are of several passes.
    """
    names = [name for name, _ in named]
    named = [(name, call) for name, call in named if call.axes is None and call.tokens.kind != CHANNELS]
    if not named:
        raise _explain_no_tokens(names) if names else explain_nothing_seen()
    passes = len({call.run for _, call in named})
    if passes > 1:
        raise JumokError(
            f"the model ran {passes} times in the block, and a chain is of one pass: choose with seen.passes[number]"
        )
    return named


_Looks = dict[str, tuple[Crossing, Call]]


def _tell_by_tokens(named: Named, known: Identities) -> _Looks:
    """Tell the streams by the inputs that their tokens come from."""
    sides = {name: [_find_stream(known, name, call, ids) for ids in _list_sides(call)] for name, call in named}
    across = next((pair for pair in sides.values() if pair[0] != pair[1]), None)
    if across is None:
        raise JumokError(
            f"no two streams that look at each other were seen ({_list_calls(named)}): follow one stream with "
            f"seen.relevance, or say which calls belong to which stream, as in {EXAMPLE}"
        )
    if any(side not in across for pair in sides.values() for side in pair):
        raise JumokError(
            f"more than two streams were seen, by the inputs that tokens come from ({_list_calls(named)}): say which "
            f"calls belong to which stream, or None for those to leave out, as in {EXAMPLE}"
        )
    return {
        name: (Crossing(call.attended, across.index(sides[name][0]), across.index(sides[name][1])), call)
        for name, call in named
    }


def _list_sides(call: Call) -> tuple[Tensor | None, Tensor | None]:
    return call.tokens.queries, call.tokens.keys


def _find_stream(known: Identities, name: str, call: Call, ids: Tensor | None) -> frozenset[int]:
    """The inputs that tokens come from; of learnt tokens alone, which parameters' rows they are."""
    origin = None if ids is None else known.origin(ids.reshape(-1))
    if origin is None or bool(((origin.source == SEVERAL) | (origin.source == LOST)).any()):
        reason = call.tokens.why or "they come from several inputs, or are lost"
        raise JumokError(
            f"which stream the tokens of {name} belong to is not known ({reason}): say which calls belong to which "
            f"stream, as in {EXAMPLE}"
        )
    inputs = origin.source[origin.source >= 0].unique()
    return frozenset(inputs.tolist() if len(inputs) else (-1 - origin.low[:, 0].unique()).tolist())


def _tell_by_name(named: Named, streams: Streams) -> _Looks:
    """Tell the streams by what the user said."""
    for said in streams.values():
        if said is not None and said not in SIDES:
            raise JumokError(f"no stream {said!r}: {suggest(said, SIDES)}")
    looks = {}
    for name, call in named:
        said = _find_side(name, streams)
        if said is not None:
            looks[name] = (Crossing(call.attended, *SIDES[said]), call)
    return looks


def _find_side(name: str, streams: Streams) -> str | None:
    for pattern, side in streams.items():
        if fnmatchcase(name, pattern) or fnmatchcase(name, pattern.rstrip(".") + ".*"):
            return side
    raise JumokError(f"{name} belongs to none of the given streams ({', '.join(streams)}): add it, or give it None")


def _count_both(looks: _Looks) -> dict[int, int]:
    """How many words and how many places there are, the same in all calls."""
    if not any(look.looking == WORDS and look.is_cross for look, _ in looks.values()):
        raise JumokError(f"words look at places in none of the calls ({_list_crossings(looks)}): nothing to follow")
    found: dict[int, set[int]] = {WORDS: set(), PLACES: set()}
    for look, call in looks.values():
        found[look.looking].add(call.attended.shape[2])
        found[look.seen].add(call.attended.shape[3])
    if any(len(counts) > 1 for counts in found.values()):
        raise JumokError(
            f"each stream has the same tokens in all calls, got {_write_numbers(found[WORDS])} words and "
            f"{_write_numbers(found[PLACES])} places ({_list_crossings(looks)}): "
            f"say which calls belong to which stream, or None for those to leave out, as in {EXAMPLE}"
        )
    return {stream: counts.pop() for stream, counts in found.items()}


def _write_numbers(counts: set[int]) -> str:
    return " or ".join(map(str, sorted(counts)))


def _list_crossings(looks: _Looks) -> str:
    return _list_calls([(name, call) for name, (_, call) in looks.items()]) or "none was chosen"


def _list_calls(named: Named) -> str:
    """The first few calls with their sizes, for an error's one line."""
    shown = [f"{name} {call.attended.shape[2]} x {call.attended.shape[3]}" for name, call in named[:6]]
    return ", ".join([*shown, "..."] if len(named) > 6 else shown)


def _name_streams(looks: _Looks, axes: CallAxes, counts: Mapping[int, int], side: Call) -> tuple[Axis, Axis]:
    """What the words and the places stand for, as a call that has them says."""
    words = next(call for look, call in looks.values() if look.looking == WORDS)
    first, second = axes.of(words)[0], axes.of(side)
    places = second[0] if next(look for look, call in looks.values() if call is side).looking == PLACES else second[1]
    assert (len(first), len(places)) == (counts[WORDS], counts[PLACES])
    return first, places
