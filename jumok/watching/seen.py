"""What a watched model looked at: its calls, its generated tokens, and what its layers make of the input together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from jumok.attention import AttentionMap, Axis, One, Patches, Place, Scale, Tokens
from jumok.attention.word_alignment import shift as next_step
from jumok.errors import JumokError, suggest
from jumok.watching.call_axes import words_axis
from jumok.watching.chain import MEAN, start_row, take_gradients
from jumok.watching.decoder_steps import Filling, join
from jumok.watching.feature_maps import Mapped, choose_feature_map, take_channel
from jumok.watching.flow import Flow
from jumok.watching.generated_steps import join_generated
from jumok.watching.learnt_tokens import list_readers, roll_back
from jumok.watching.seen_calls import SeenCalls
from jumok.watching.token_axes import number_tokens
from jumok.watching.token_flow import follow, leave_out_others, list_heads
from jumok.watching.token_streams import (
    WORDS,
    Bimodal,
    Streams,
    explain_nothing_seen,
    take_one_pass,
    take_two_streams,
)
from jumok.watching.word_tables import holds_words

__all__ = ["MEAN", "Seen"]


def find_method(name: str) -> Any:
    """A method of `jumok.attribution`, found by its name, for those build on what stands here.

    Raises:
        JumokError: there is none of that name.
    """
    methods = import_module("jumok.attribution").METHODS
    if name not in methods:
        raise JumokError(f"no method {name!r}: {suggest(name, methods)}")
    return methods[name]


class Seen(SeenCalls):
    """What a model looked at: one entry per attention call, in the order in which they ran.

    A module that attended several times has entries "name", "name@2", "name@3", ...
    """

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
            one of them; where learnt tokens stand for an image, `through` follows them to it.
        Raises:
            JumokError: no decoder was seen, an output is not among its hypotheses, or words that do not fit.
        """
        weights, prompt, known = join_generated(self._calls, self._fed, output, self._check_output(output, padding))
        said = None if tokens is None else words_axis(tokens, output.shape[1], "output").labels()
        keys = self._axes.name_output(known, output.shape[1], said)
        queries = Tokens(tuple(keys.labels()[prompt:]))
        lead = ("batch", "layer", "head")
        return AttentionMap(weights, queries, keys, lead, Scale.DISTRIBUTION, "self-attention of all steps")

    def through(self, found: AttentionMap) -> AttentionMap:
        """Follow keys that are learnt tokens, as those of a Q-Former, to the places of the image that they read.

        A product of two maps: of the weight on a learnt token, each place gets the share that the token's
        cross-attention gave it, the mean over layers and heads. How those tokens read one another is left aside.

        Args:
            found: a map whose keys hold learnt tokens by name, such as `generated(output)` or `alignment(output)` of a
                BLIP-2.
        Returns:
            The same with `Patches` or `Regions` behind all other tokens; its source names both maps.
        Raises:
            JumokError: no key is a learnt token that was seen to read an image, or the image was read more than once.
        """
        names = list_readers(self._named, self._axes.of, found.keys.labels())
        maps = [each.mean(*each.lead[1:]) for each in (self[name] for name in names)]
        weights = torch.stack([each.weights for each in maps]).mean(0)
        source = names[0] if len(names) == 1 else f"the mean of {names[0]} to {names[-1]}"
        return roll_back(found, replace(maps[0], weights=weights, source=source))

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

    def heads(self) -> list[str]:
        """The names of the last call and of those beside it that are heads of the same layer, one call each.

        Raises:
            JumokError: nothing was seen.
        """
        self._number(-1)
        return list_heads(self._named, self._axes.replay.known)

    # -- what the model was given ---------------------------------------------------------------

    def is_parameter(self, tensor: Tensor) -> bool:
        """Whether a tensor is a parameter of the model."""
        return id(tensor) in self._axes.replay.find_names()

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
