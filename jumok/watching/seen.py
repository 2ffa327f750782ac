"""See inside any torch module: who attends to what, while it runs its own fused kernels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from jumok.attention import AttentionMap, Axis, Channels, One, Patches, Place, Scale, Tokens
from jumok.attention.attended import Attended
from jumok.attention.word_alignment import shift as next_step
from jumok.errors import JumokError, suggest
from jumok.watching.call_axes import CallAxes, find_said_axes, take_first, words_axis
from jumok.watching.calls import Call, Fed
from jumok.watching.chain import MEAN, start_row, take_gradients
from jumok.watching.decoder_steps import Filling, join, join_generated
from jumok.watching.feature_maps import Mapped, choose_feature_map, take_channel
from jumok.watching.provenance.pictures import TracedPixels
from jumok.watching.provenance.replay import Replay
from jumok.watching.recorder import Recorder
from jumok.watching.token_axes import is_mixed, make_names, number_tokens
from jumok.watching.token_flow import Flow, follow, leave_out_others
from jumok.watching.token_streams import (
    WORDS,
    Bimodal,
    Streams,
    explain_nothing_seen,
    take_one_pass,
    take_two_streams,
)
from jumok.watching.watchers import record_modules
from jumok.watching.word_tables import holds_words

__all__ = ["MEAN", "Seen", "watch"]


@contextmanager
def watch(
    model: nn.Module, *, tokens: Axis | Sequence[str] | None = None, pixels: Sequence[TracedPixels] = ()
) -> Iterator[Seen]:
    """Record the attention of a model while it runs in the `with` block.

    The model is not edited, runs its own kernels and gives bit for bit what it gives unwatched. Weights are computed
    later, those that are asked for. When the block ends nothing stays behind but what the `Seen` holds.

    Args:
        model: any torch module that attends by PyTorch's own functions or by a softmax and a product.
        tokens: what the tokens stand for, where it is to be said: the words of a text, or `Patches` for a grid that
            cannot be found from the input.
        pixels: where the numbers of inputs lie in the images that they were made from, as `jumok.trace_pixels` gives
            it: for images that are cut into patches or tiles before the model sees them.
    Yields:
        `Seen`, filled as the model runs; read it in the block or after it.
    Raises:
        JumokError: the model is compiled or scripted, so its calls cannot be seen.

    >>> attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    >>> words = torch.randn(1, 3, 8)
    >>> with watch(attention, tokens=["the", "cat", "sat"]) as seen:
    ...     _ = attention(words, words, words, need_weights=False)
    >>> seen[0].at(batch=0).mean("head").row("cat").weights.sum().round(decimals=3)
    tensor(1.)
    """
    modules = dict(model.named_modules())
    _refuse_compiled(modules)
    recorder = Recorder(modules)
    recorder.tape.traced = tuple(pixels)
    axes = CallAxes(Replay(recorder.tape, make_names(modules), model), find_said_axes(tokens))
    axes.routed = recorder.routed
    seen = Seen(_Pass(recorder, axes), recorder.fed, recorder.maps, axes, Filling.of(model))
    with record_modules(recorder):
        yield seen


def find_method(name: str) -> Any:
    """A method of `jumok.attribution`, found by its name, for those build on what stands here.

    Raises:
        JumokError: there is none of that name.
    """
    methods = import_module("jumok.attribution").METHODS
    if name not in methods:
        raise JumokError(f"no method {name!r}: {suggest(name, methods)}")
    return methods[name]


def _refuse_compiled(modules: dict[str, nn.Module]) -> None:
    for path, module in modules.items():
        where = f"submodule {path!r}" if path else "the model"
        if type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None:
            raise JumokError(
                f"{where} is compiled, and a compiled model hides its attention: watch the uncompiled one "
                "(model._orig_mod of torch.compile's result; after model.compile(), a copy made before)"
            )
        if isinstance(module, torch.jit.ScriptModule):
            raise JumokError(
                f"{where} is a TorchScript module, which hides its attention: watch the Python module it was made from"
            )


class _Pass:
    """The calls that a recorder noted, with their tokens: as many as there are by now."""

    def __init__(self, recorder: Recorder, axes: CallAxes) -> None:
        self._recorder, self._axes = recorder, axes
        self._resolved: list[Call] = []
        self._done = 0

    @property
    def calls(self) -> list[Call]:
        """All of them, in order."""
        noted = self._recorder.calls[self._done :]
        if noted:
            self._axes.replay.advance()
            resolved = (self._axes.resolve(call, self._recorder.calls) for call in noted)
            self._resolved += [call for call in resolved if call is not None]
            self._done += len(noted)
        return self._resolved


class Seen:
    """What a model looked at: one entry per attention call, in the order in which they ran.

    A module that attended several times has entries "name", "name@2", "name@3", ...
    """

    def __init__(
        self, found: _Pass | list[Call], fed: list[Fed], maps: Mapping[str, Mapped], axes: CallAxes, filling: Filling
    ) -> None:
        self._found, self._fed, self._maps, self._axes, self._filling = found, fed, maps, axes, filling
        self._chosen = False

    @property
    def _calls(self) -> list[Call]:
        return self._found if isinstance(self._found, list) else self._found.calls

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
        return AttentionMap(weights, queries, keys, call.lead, call.scale, source)

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
        return [AttentionMap(own, queries, axis, lead, call.scale, source) for own, axis in pairs]

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

    def only(self, prefix: str) -> Seen:
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

    def single(self, name: str | int) -> Seen:
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
    def passes(self) -> list[Seen]:
        """What was seen, by forward passes of the model: one `Seen` each."""
        runs = sorted({call.run for call in self._calls})
        return [self._part([call for call in self._calls if call.run == run]) for run in runs]

    def _part(self, calls: list[Call]) -> Seen:
        return Seen(calls, self._fed, self._maps, self._axes, self._filling)

    # -- the steps of a decoder -----------------------------------------------------------------

    def alignment(
        self,
        output: Tensor,
        *,
        source: Sequence[str] | None = None,
        target: Sequence[str] | None = None,
        shift: bool = False,
        padding: int | None = None,
    ) -> AttentionMap:
        """Where an encoder-decoder looked for each token that its `generate()` gave, all steps in one map.

        Greedy or beam search, several outputs per sentence, with a key/value cache or without; and in the same way one
        teacher-forced pass over the output. Each output is found among the hypotheses by its tokens.

        Args:
            output: (batch x outputs per sentence, tokens) of ids as `generate()` returns them: the decoder's start
                token first, ends filled with padding.
            source: the source's tokens, for the map's keys.
            target: the output's tokens, for the map's queries; with or without the start token.
            shift: read each token off the step at which it was fed, not the one that produced it; see
                `word_alignment.shift`. The last token is then left out.
            padding: the id that fills the ends of outputs; None: as the model's config or embedding has it.
        Returns:
            (batch, layer, head, tokens after the start token, source tokens): row i was computed by the step that
            produced that token. Zeros where an output has ended.
        Raises:
            JumokError: no decoder was seen, an output is not among its hypotheses, or words that do not fit.
        """
        weights, call = join(self._calls, self._fed, output, self._check_output(output, padding))
        keys = self._axes.of(call)[1] if source is None else words_axis(source, weights.shape[-1], "source")
        wanted = weights.shape[-2]
        words = target[1:] if target is not None and len(target) == wanted + 1 else target
        queries = number_tokens(wanted) if words is None else words_axis(words, wanted, "target")
        joined = AttentionMap(
            weights, queries, keys, ("batch", "layer", "head"), Scale.DISTRIBUTION, "cross-attention of all steps"
        )
        return next_step(joined) if shift else joined

    def generated(
        self, output: Tensor, *, tokens: Sequence[str] | None = None, padding: int | None = None
    ) -> AttentionMap:
        """Where a decoder-only model looked for each token that its `generate()` gave, all steps in one map.

        Args:
            output: (outputs, tokens) of ids as `generate()` returns them: the prompt first, ends filled with padding.
            tokens: the words of all of them, for the map's axes.
            padding: as for `alignment`.
        Returns:
            (batch, layer, head, tokens after the prompt, all tokens): row i was computed by the step that produced that
            token. Zeros where an output has ended. Where the prompt holds images, `.on("image")` lays the keys over
            one of them.
        Raises:
            JumokError: no decoder was seen, an output is not among its hypotheses, or words that do not fit.
        """
        weights, prompt, known = join_generated(self._calls, self._fed, output, self._check_output(output, padding))
        said = None if tokens is None else words_axis(tokens, output.shape[1], "output").labels()
        keys = self._axes.name_output(known, output.shape[1], said)
        queries = Tokens(tuple(keys.labels()[prompt:]))
        lead = ("batch", "layer", "head")
        return AttentionMap(weights, queries, keys, lead, Scale.DISTRIBUTION, "self-attention of all steps")

    def _check_output(self, output: Tensor, padding: int | None) -> Filling:
        """How ends of outputs are filled, if these are ids of a model that was seen."""
        if not self._calls:
            raise explain_nothing_seen()
        _check_ids(output)
        return self._filling if padding is None else replace(self._filling, padding=padding)

    # -- from the layers to the input -----------------------------------------------------------

    @property
    def queries(self) -> Axis:
        """The tokens of the last call, for choosing a query of `rollout` and `relevance`."""
        return self.flow(None, partial=True).queries

    def relevance(
        self, target: Tensor, query: Place | None = None, *, method: str = "chefer", **options: Any
    ) -> AttentionMap:
        """How much each part of the input contributed to a target, by a method of `jumok.attribution`.

        Args:
            target: one number, or one per image such as `logits[:, 207]`, of this forward pass, with gradients.
            query: the token that a method starts from, where it starts from one: "cls", a patch as (row, column), a
                word, an index, or "mean" for the average over places; None: as the method has it.
            method: its name, such as "chefer", "libra", "lrp" or "integrated-gradients".
            options: the method's own; see its function.
        Returns:
            (batch, 1, parts of the input): 0 or more, or of any sign, as the method has it.
        Raises:
            JumokError: no such method or option, or what the method says.
        """
        chosen = options if query is None else {"query": query, **options}
        found: AttentionMap = find_method(method).run(self, target, **chosen)
        return found

    def rollout(self, query: Place | None = None, **options: Any) -> AttentionMap:
        """Where one query looked in the input, through all layers; see `attribution.rollout`.

        Args:
            query: "cls", a patch as (row, column), a word, an index, or "mean" for the average over places; None: the
                class token, where one is known by name.
            options: `residual`, `end` and `partial`, as there.
        Returns:
            (batch, 1, tokens), a distribution; less than that where a sink took a part of it.
        Raises:
            JumokError: nothing was seen, the calls do not form one chain, weights are no shares, or no such query.
        """
        return self.relevance(torch.zeros(()), query, method="rollout", **options)

    def bimodal_relevance(
        self, target: Tensor, query: Place = 0, *, streams: Streams | None = None, allow_empty: bool = False
    ) -> Bimodal:
        """How much each word and each place contributed to a target, of a model whose words look at an image.

        Also of any other two streams, such as the target and the source of an encoder-decoder: the words are then the
        stream that the query belongs to. See `attribution.bimodal_relevance`.

        Args:
            target: as for `relevance`, one number per pair of an image and a text.
            query: a word, its index, or "mean".
            streams: which calls are whose, where the inputs that tokens come from cannot tell it, as in {"reader":
                "words", "eye": "places", "fusion.*.attn": "words", "fusion.*.cross": "words->places"}; see
                `token_streams.take_two_streams`.
            allow_empty: give zeros for an image of which no place has evidence for the target.
        Returns:
            `words`, (batch, 1, words), and `places`, (batch, 1, places), 0 or more.
        Raises:
            JumokError: as `relevance`, the two streams cannot be told, or no place of some image has any relevance.
        """
        two = take_two_streams(self._named, self._axes, streams)
        layers = [look.layer for look in two.looks]
        asking = next(look.layer for look in two.looks if look.looking == WORDS)
        start, label = start_row(query, two.words, asking.shape[0], asking.device)
        gradients = take_gradients(target, layers, asking.shape[0])
        spread = import_module("jumok.attribution.bimodal_relevance").bimodal_relevance
        words, places = spread(two.looks, gradients, start)
        if not allow_empty and not bool(places.any(-1).all()):
            raise JumokError("in some image no place has any relevance for this target: allow_empty=True gives zeros")
        return Bimodal(
            _make_row(words, two.words, label, "relevance of words"),
            _make_row(places, two.places, label, "relevance of places"),
        )

    def grad_cam(self, target: Tensor, layer: str | None = None, **options: Any) -> AttentionMap:
        """Which places of a feature map hold evidence for a target, of a model of convolutions; see
        `attribution.grad_cam`.

        Args:
            target: as for `relevance`.
            layer: path of a module, such as "layer3.1": the last feature map that it made. None: the last one of the
                model that has places, which enters the final pooling.
            options: `allow_empty`, as there.
        Returns:
            (batch, 1, places of the feature map), 0 or more.
        Raises:
            JumokError: no such feature map; it has no places, or none of the image; no gradient reaches it; or the map
                holds no evidence for the target in some image.
        """
        return self.relevance(target, method="grad-cam", layer=layer, **options)

    def channel(self, number: int, layer: str | None = None) -> AttentionMap:
        """One channel of a feature map, laid over the image: what that channel answers to.

        Args:
            number: of the channel.
            layer: as for `grad_cam`; the path of a gate gives the map after it.
        Returns:
            (batch, 1, places of the feature map), any sign.
        Raises:
            JumokError: as `grad_cam`, or no such channel.
        """
        path, found = self.find_feature_map(layer)
        values, keys = take_channel(found, path, number)
        return AttentionMap(values[:, None], One("image"), keys, ("batch",), Scale.SCORE, f"channel {number} of {path}")

    def feature_map(self) -> str:
        """The module that made the last feature map with places, which `grad_cam` reads.

        Raises:
            JumokError: there is none, or the model went on from it with tokens.
        """
        return self.find_feature_map(None)[0]

    def find_feature_map(self, layer: str | None) -> tuple[str, Mapped]:
        """The feature map of a module, with the module's path.

        Args:
            layer: as for `grad_cam`.
        Raises:
            JumokError: there is none, or the model went on from it with tokens.
        """
        return choose_feature_map(self._maps, self._calls, layer)

    def flow(self, end: str | int | None = None, *, partial: bool = False) -> Flow:
        """The calls that lead to the last one, and how their tokens lead to one another.

        Args:
            end, partial: as for `rollout`.
        Raises:
            JumokError: nothing was seen, or the calls do not form one chain.
        """
        named = self._named if end is None else self._named[: self._number(end) + 1]
        calls = take_one_pass(named)
        if end is not None:
            calls = leave_out_others(calls, self._axes.replay.known)
        axes = self._axes
        return follow(calls, axes.replay.known, axes.name, axes.said, part=self._chosen, partial=partial)

    @property
    def _named(self) -> list[tuple[str, Call]]:
        return list(zip(self.names, self._calls, strict=True))

    # -- what the model was given ---------------------------------------------------------------

    def is_parameter(self, tensor: Tensor) -> bool:
        """Whether a tensor is a parameter of the model."""
        return id(tensor) in self._axes.replay.names

    def patches(self) -> Patches | None:
        """The patches that the model cuts an image into; None where it does not, or where they are not known."""
        try:
            keys = self.flow(partial=True).keys
        except JumokError:
            return None
        return Patches(keys.rows, keys.columns) if isinstance(keys, Patches) else None

    def words(self, count: int) -> Axis:
        """The axis of so many tokens of a text, in the words that the user said where there are as many."""
        return self._axes.name_words(count)

    def is_text(self, ids: Tensor, table: Tensor) -> bool:
        """Whether a table was asked for the words that the model was given."""
        return holds_words(self._axes.replay.model, self._fed, ids, table)


def _make_row(row: Tensor, axis: Axis, label: str, method: str) -> AttentionMap:
    return AttentionMap(row[:, None].float(), One(label), axis, ("batch",), Scale.RELEVANCE, f"{method}({label})")


def _check_ids(output: Tensor) -> None:
    if not isinstance(output, Tensor):
        hint = ": give its .sequences" if hasattr(output, "sequences") else ""
        raise JumokError(f"the output is a tensor of token ids, got {type(output).__name__}{hint}")
    shape = tuple(output.shape)
    if output.is_floating_point() or output.dim() != 2 or shape[0] < 1 or shape[1] < 2:
        raise JumokError(
            f"the output is (batch, tokens) of ids, the start token and at least one more, got {output.dtype} of shape "
            f"{shape}"
        )
