"""From calls as they were noted to calls whose tokens are known, and to the axes of their maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from jumok.attention import AttentionMap, Axis, Channels, Interleaved, Regions, Scale, Tokens
from jumok.attention.attended import Attended
from jumok.attention.interleaved import as_interleaved
from jumok.errors import JumokError
from jumok.watching import token_axes
from jumok.watching.calls import Call, Noted
from jumok.watching.dot_product import DotProduct
from jumok.watching.provenance.call_tokens import CHANNELS, TOKENS, UNKNOWN, CallTokens
from jumok.watching.provenance.identities import Identities
from jumok.watching.provenance.replay import Replay
from jumok.watching.records import Given
from jumok.watching.routers import Routed, make_maps
from jumok.watching.scattered import Sampled, Scattered

UNPLACED = "the tokens that the decoder looked at could not be followed"
NOT_ON_TAPE = "its weights were told by the mechanism itself"


class CallAxes:
    """Finds what the axes of calls are.

    Args:
        replay: of the tape.
        said: what the tokens stand for, where the user said it.
    """

    def __init__(self, replay: Replay, said: Sequence[Axis]) -> None:
        self.replay, self.said = replay, said
        self.routed: Sequence[Routed] = ()
        self._named: dict[tuple[torch.Size, bytes], Axis] = {}
        self._named_by: tuple[Identities, int] | None = None

    def name(self, rows: Tensor) -> Axis:
        """The axis of (images, tokens) of identities; the layers of a model have the same ones again and again."""
        known, done = self.replay.known, self.replay.done
        if self._named_by is None or self._named_by[0] is not known or self._named_by[1] != done:
            self._named, self._named_by = {}, (known, done)
        key = rows.shape, rows.numpy().tobytes()
        if key not in self._named:
            self._named[key] = token_axes.name_tokens(known, rows, self.said)
        return self._named[key]

    def list_routers(self) -> dict[str, AttentionMap]:
        """The shares of experts, by module."""
        return make_maps(self.routed, self.replay.routed, self.replay.known, self.name)

    def resolve(self, noted: Noted, every: Sequence[Noted]) -> Call | None:
        """A call with its tokens; None for what turned out to be no attention, or is shown with another.

        Args:
            noted: the call.
            every: all of them, by their number.
        """
        tokens = self.replay.calls.get(noted.number, CallTokens.unknown(NOT_ON_TAPE if noted.told else "not followed"))
        if noted.axes is not None:
            return self._finish(noted, noted.attended, CallTokens.unknown(""))
        if noted.by_hand and tokens.kind not in (TOKENS, CHANNELS, UNKNOWN):
            return None
        attended: Attended = noted.attended
        if isinstance(attended, Given) and noted.by_hand and tokens.order:
            parts = [each for number in tokens.parts if isinstance(each := every[number].attended, Given)]
            attended = _join_parts(parts, tokens) if parts else attended.arranged(tokens.arrange)
            if tokens.samples is not None and tokens.keys is not None:
                around, shares = (tokens.arrange(_turn_back(each, tokens.order)) for each in tokens.samples)
                attended = Sampled(attended, around, shares, tokens.keys.shape[-1])
        elif tokens.arrangement is not None and isinstance(attended, DotProduct):
            attended = attended.arranged(tokens.arrangement)
        elif tokens.arrangement is not None and isinstance(attended, Given):
            attended = attended.arranged(tokens.arrange)
        if tokens.keys is not None and tokens.keys.dim() == 3:
            attended = Scattered(attended, tokens.keys)
            tokens = replace(tokens, keys=attended.tokens)
        return self._finish(noted, attended, tokens)

    def _finish(self, noted: Noted, attended: Attended, tokens: CallTokens) -> Call:
        batch, heads, *_ = attended.shape
        images, windows = tokens.images if tokens.kind == TOKENS else (batch, 1)
        arrangement = tokens.arrangement
        headed = noted.rank >= 4 or heads > 1 or (arrangement is not None and arrangement.heads != ())
        lead = ("batch", "window") if windows > 1 else ("batch",)
        sizes = (images, windows) if windows > 1 else (batch,)
        if headed:
            lead, sizes = (*lead, "head"), (*sizes, heads)
        return Call(
            noted.module,
            attended,
            noted.run,
            noted.number,
            lead,
            sizes,
            tokens,
            noted.axes,
            Scale.GATE if tokens.changed else noted.scale,
            noted.by_hand,
        )

    def of(self, call: Call) -> tuple[Axis, Axis]:
        """Queries and keys.

        Raises:
            JumokError: each image has keys of its own.
        """
        if call.axes is not None:
            said, seen = call.axes
            if isinstance(seen, tuple):
                if len(seen) > 1:
                    raise JumokError("each image has keys of its own here: choose one with seen.of_image(name, batch)")
                (seen,) = seen
            return said, seen
        queries, keys = call.attended.shape[2:]
        if call.tokens.kind == CHANNELS:
            return Channels.numbered(queries), Channels.numbered(keys)
        if call.tokens.queries is None or call.tokens.keys is None:
            return self._number(call, queries), self._number(call, keys)
        looking: Tensor = call.tokens.queries
        if queries > 1 and call.tokens.order and token_axes.are_constant(self.replay.known, looking):
            states = call.tokens.states
            if states is None or not self._are_read(states):  # one softmax over the tokens for each channel
                return Channels.numbered(queries), self.name(call.tokens.keys)
            looking = states
        return self.name(looking), self.name(call.tokens.keys)

    def _are_read(self, states: Tensor) -> bool:
        """Whether what a call gathered are tokens of another one."""
        others = (each.keys for each in self.replay.calls.values() if each.keys is not None)
        return any(bool(torch.isin(keys, states).any()) for keys in others)

    def of_image(self, call: Call, image: int) -> tuple[Axis, Axis] | None:
        """Queries and keys of one image's tokens, where they are known and it is not cut into windows."""
        if call.tokens.queries is None or call.tokens.keys is None or call.tokens.images[1] > 1:
            return None
        return self.of_slice(call, image)

    def of_slice(self, call: Call, number: int) -> tuple[Axis, Axis]:
        """Queries and keys of one image, or of one window of one image."""
        if call.tokens.queries is None or call.tokens.keys is None:
            return self.of(call)
        here = slice(number, number + 1)
        return self.name(call.tokens.queries[here]), self.name(call.tokens.keys[here])

    def name_words(self, count: int) -> Axis:
        """The axis of so many tokens of a text: as the user said it, where that are as many, else numbered."""
        said = (axis for axis in self.said if len(axis) == count and not axis.in_image)
        return next(said, token_axes.number_tokens(count))

    def name_output(self, rows: Tensor | None, count: int, words: Sequence[str] | None) -> Axis:
        """The axis of all tokens of outputs, with the places of images that lie among them.

        Args:
            rows: (outputs, tokens) identities of all that some step looked at; None where they are not known.
            count: of the tokens.
            words: of all tokens; None: they are numbered.
        """
        found = token_axes.number_tokens(count, UNPLACED) if rows is None else self.name(rows[:, :count])
        numbers = token_axes.number_tokens(count).labels()
        if isinstance(found, Regions):
            found = as_interleaved(found)
        if isinstance(found, Interleaved):
            return found.rename(words or numbers)
        why = found.why if isinstance(found, Tokens) else ""
        known = [] if why or not isinstance(found, Tokens) else found.labels()  # learnt tokens have names
        return Tokens(tuple(words or [*known, *numbers[len(known) :]]), why)

    def _number(self, call: Call, count: int) -> Axis:
        said = next((axis for axis in self.said if len(axis) == count), None)
        return said or token_axes.number_tokens(count, call.tokens.why)


def _join_parts(given: Sequence[Given], tokens: CallTokens) -> Given:
    """The softmax that parts were cut out of, its keys in their order."""
    for each in given:
        each.unchanged.check()
    parts = [each.softmax for each in given]
    axis, whole = tokens.order[-1], parts[0]._base
    sizes = [sum(part.shape[axis] for part in parts) if a == axis else size for a, size in enumerate(parts[0].shape)]
    if whole is None or any(part._base is not whole for part in parts) or list(whole.shape) != sizes:
        return Given(torch.cat([part.detach() for part in parts], axis), tokens.arrange)
    starts = [(part.storage_offset() - whole.storage_offset()) // whole.stride(axis) for part in parts]
    spans = [torch.arange(first, first + part.shape[axis]) for first, part in zip(starts, parts, strict=True)]
    index = torch.cat(spans).to(whole.device)
    return Given(whole, lambda tensor: tokens.arrange(tensor.index_select(axis, index)))


def _turn_back(tensor: Tensor, order: Sequence[int]) -> Tensor:
    """From (lead..., queries, keys) to the weights' own axes."""
    if -1 in order:
        tensor = tensor.squeeze(-2)
    axes = [axis for axis in order if axis >= 0]
    return tensor.permute(*(axes.index(axis) for axis in range(len(axes))))


def find_said_axes(tokens: Axis | Sequence[str] | None) -> list[Axis]:
    """What the user said that tokens stand for.

    Raises:
        JumokError: words as one string.
    """
    if tokens is None:
        return []
    if isinstance(tokens, str):
        raise JumokError(f"tokens is an axis or a sequence of words, got the one string {tokens!r}: split it")
    return [tokens] if isinstance(tokens, Axis) else [Tokens(tuple(tokens))]


def take_first(keys: Axis | tuple[Axis, ...]) -> Axis:
    """The keys of all images, or those of the first where each has its own."""
    return keys[0] if isinstance(keys, tuple) else keys


def words_axis(words: Sequence[str], count: int, side: str) -> Axis:
    """Words for so many tokens.

    Raises:
        JumokError: they are one string, or not as many.
    """
    if isinstance(words, str):
        raise JumokError(f"the {side} words are a sequence, got the one string {words!r}: split it first")
    if len(words) != count:
        raise JumokError(f"got {len(words)} {side} words for {count} {side} tokens: give one word for each")
    return Tokens(tuple(words))
