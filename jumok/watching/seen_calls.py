"""The calls of attention that a model made, read one by one, and choices among them."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Never, Protocol, Self

from jumok.attention import AttentionMap, Axis, Channels, One, Place, Scale
from jumok.attention.attended import Attended
from jumok.errors import JumokError, suggest
from jumok.watching.call_axes import CallAxes, take_first
from jumok.watching.calls import Call, Fed
from jumok.watching.decoder_steps import Filling
from jumok.watching.feature_maps import Mapped
from jumok.watching.token_axes import is_mixed
from jumok.watching.token_streams import explain_nothing_seen


class Found(Protocol):
    """What gives the calls that were made so far."""

    @property
    def calls(self) -> list[Call]:
        """All of them, in order."""


class SeenCalls:
    """The calls of a `Seen`, by their names."""

    def __init__(
        self, found: Found | list[Call], fed: list[Fed], maps: Mapping[str, Mapped], axes: CallAxes, filling: Filling
    ) -> None:
        self._found, self._fed, self._maps, self._axes, self._filling = found, fed, maps, axes, filling
        self._chosen = False

    def __copy__(self) -> Self:
        found = type(self).__new__(type(self))
        found.__dict__.update(self.__dict__)
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        found = memo[id(self)] = type(self).__new__(type(self))
        found.__dict__.update({name: copy.deepcopy(value, memo) for name, value in vars(self).items()})
        return found

    def __reduce__(self) -> Never:
        raise JumokError(
            "what was seen holds the model and cannot be pickled or sent to another process: save single maps with "
            'seen[name].save("map.safetensors")'
        )

    @property
    def _calls(self) -> list[Call]:
        return self._found if isinstance(self._found, list) else self._found.calls

    @property
    def _named(self) -> list[tuple[str, Call]]:
        return list(zip(self.names, self._calls, strict=True))

    def __len__(self) -> int:
        return len(self._calls)

    def __repr__(self) -> str:
        return f"Seen({len(self)} attention calls: {', '.join(self.names[:4])}{', ...' if len(self) > 4 else ''})"

    @property
    def names(self) -> list[str]:
        """The names of the calls, in the order in which they ran."""
        counts: Counter[str] = Counter()
        names = []
        for call in self._calls:
            counts[call.module] += 1
            name = call.module or "attention"
            names.append(name if counts[call.module] == 1 else f"{name}@{counts[call.module]}")
        return names

    def __getitem__(self, name: str | int) -> AttentionMap:
        """All weights of one call: (batch, head, queries, keys), computed now.

        Raises:
            JumokError: no such call, or the tokens fit no grid that was seen.
        """
        return self._map(name, None)

    def __contains__(self, name: object) -> bool:
        """Whether a call has this name."""
        return name in self.names

    def __iter__(self) -> Iterator[AttentionMap]:
        """The map of each call, in the order in which they ran; computed as it is reached."""
        return (self[number] for number in range(len(self)))

    def row(self, name: str | int, query: Place) -> AttentionMap:
        """As `seen[name].row(query)`, without computing the other rows."""
        return self._map(name, query)

    def _map(self, name: str | int, query: Place | None) -> AttentionMap:
        number = self._number(name)
        call, source = self._calls[number], self.names[number]
        queries, keys = self._axes.of(call)
        if query is not None:
            index = queries.index(query)
            queries = One(queries.label(index))
        weights = call.attended.weights(None if query is None else [index])
        weights = weights.reshape(*call.sizes, *weights.shape[-2:])
        return AttentionMap(weights, queries, keys, call.lead, call.find_scale(weights), source)

    def of_image(self, name: str | int, batch: int) -> AttentionMap:
        """As `of_images`, for one image of the batch.

        Raises:
            JumokError: no such call, or no such image.
        """
        maps = self.of_images(name)
        if not -len(maps) <= batch < len(maps):
            raise JumokError(f"batch={batch} is outside the {len(maps)} images of this map")
        return maps[batch]

    def of_images(self, name: str | int) -> list[AttentionMap]:
        """The weights of one call, image by image, whose axes may be their own, as glimpses are.

        Args:
            name: of the call.
        Returns:
            ([head,] queries, keys) for each image of the batch.
        Raises:
            JumokError: no such call, or the tokens fit no grid that was seen.
        """
        number = self._number(name)
        call = self._calls[number]
        queries, keys = call.axes or (None, None)
        if queries is None or not isinstance(keys, tuple):
            whole = self._map(name, None)
            return [self._of_image(call, whole.at(batch=image), image) for image in range(len(whole.weights))]
        weights = call.attended.weights().float()
        lead = ("head",) if "head" in call.lead else ()
        weights = weights if lead else weights[:, 0]
        source = self.names[number]
        pairs = zip(weights, keys, strict=True)
        return [AttentionMap(own, queries, axis, lead, call.find_scale(own), source) for own, axis in pairs]

    def of_window(self, name: str | int, batch: int, window: int) -> AttentionMap:
        """The weights of one window of one image, with the places of that window.

        Args:
            name: of the call.
            batch, window: which image, and which of its windows, as the axes of `seen[name]` count them.
        Returns:
            ([head,] queries, keys).
        Raises:
            JumokError: no such call, image or window, or the call has no windows.
        """
        number = self._number(name)
        call = self._calls[number]
        if "window" not in call.lead:
            raise JumokError(f"{self.names[number]} attends to whole images: read them with seen.of_image(name, batch)")
        whole = self._map(name, None).at(batch=batch, window=window)
        images, windows = call.tokens.images
        queries, keys = self._axes.of_slice(call, batch % images * windows + window % windows)
        return replace(whole, queries=queries, keys=keys)

    def _of_image(self, call: Call, attention: AttentionMap, image: int) -> AttentionMap:
        """With the places of that image, where each image has its own."""
        own = self._axes.of_image(call, image) if is_mixed(attention.keys) or is_mixed(attention.queries) else None
        return attention if own is None else replace(attention, queries=own[0], keys=own[1])

    def in_image(self) -> list[str]:
        """The calls that their mechanism itself placed in the image: glimpses, windows, gates over places."""
        return [name for name, call in self._named if call.axes is not None and take_first(call.axes[1]).in_image]

    def gates(self) -> dict[str, AttentionMap]:
        """How far each channel was let through, by the name of the call: (batch, 1, channels) each.

        Of our own mechanisms and of any other model that multiplies a sigmoid onto a feature map.
        """
        every = {name: call for name, call in self._named if call.scale is Scale.GATE}
        return {name: self[name] for name, call in every.items() if call.axes and isinstance(call.axes[1], Channels)}

    def routers(self) -> dict[str, AttentionMap]:
        """The shares of experts in mixtures of experts, by the module that forms them: (batch, tokens, experts) each.

        They are no attention: `names`, rollout and relevance leave them out. Where a model weighs only the experts that
        it chose, the rest have 0.
        """
        self._axes.replay.advance()
        return self._axes.list_routers()

    def _number(self, name: str | int) -> int:
        names = self.names
        if not names:
            raise explain_nothing_seen()
        if isinstance(name, int):
            if not -len(names) <= name < len(names):
                raise JumokError(f"call {name} is outside the {len(names)} attention calls that were seen")
            return name % len(names)
        if name not in names:
            raise JumokError(f"no attention call {name!r} was seen: {suggest(name, names)}")
        return names.index(name)

    def attended(self, name: str | int) -> Attended:
        """What can be asked of one call.

        Raises:
            JumokError: no such call.
        """
        return self._calls[self._number(name)].attended

    def axes(self, name: str | int) -> tuple[Axis, Axis]:
        """Who looks and what is seen in one call; of keys that differ by image, those of the first.

        Raises:
            JumokError: no such call, or the tokens fit no grid that was seen.
        """
        call = self._calls[self._number(name)]
        if call.axes is None:
            return self._axes.of(call)
        queries, keys = call.axes
        return queries, take_first(keys)

    # -- a part of what was seen ----------------------------------------------------------------

    def only(self, prefix: str) -> Self:
        """The calls of the modules whose path begins so, such as "encoder" of an encoder-decoder.

        Raises:
            JumokError: there are none.
        """
        calls = [
            call for call in self._calls if call.module == prefix or call.module.startswith(prefix.rstrip(".") + ".")
        ]
        if not calls:
            raise JumokError(f"no attention call of a module {prefix!r} was seen: {suggest(prefix, self.names)}")
        part = self._part(calls)
        part._chosen = len(calls) < len(self._calls) or self._chosen
        return part

    def single(self, name: str | int) -> Self:
        """One call alone, whose weights can be followed from its queries to its keys.

        Raises:
            JumokError: no such call.
        """
        part = self._part([self._calls[self._number(name)]])
        part._chosen = True
        return part

    def has_windows(self, name: str | int) -> bool:
        """Whether a call attends within windows, each a part of an image or of a text.

        Raises:
            JumokError: no such call.
        """
        return "window" in self._calls[self._number(name)].lead

    @property
    def passes(self) -> list[Self]:
        """What was seen, by forward passes of the model: one `Seen` each."""
        runs = sorted({call.run for call in self._calls})
        return [self._part([call for call in self._calls if call.run == run]) for run in runs]

    def _part(self, calls: list[Call]) -> Self:
        return type(self)(calls, self._fed, self._maps, self._axes, self._filling)
