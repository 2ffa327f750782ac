"""See inside any torch module: who attends to what, while it runs its own fused kernels."""

from __future__ import annotations

import sys
import types
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor, nn

from jumok import flow
from jumok.alignment import shift as next_step
from jumok.attention import AttentionMap, Scale
from jumok.axes import Axis, One, Patches, Place, Tokens
from jumok.calls import Call, Fed
from jumok.errors import JumokError, suggest
from jumok.geometry import Special, find_specials, image_axis, mismatch, patches_of_image, special_names, text_axis
from jumok.joining import Filling, join
from jumok.recorder import Recorder, recording
from jumok.records import Attended

__all__ = ["Seen", "watch"]

MEAN = "mean"
"""The query that stands for the average over all tokens that cover pixels (or, in a text, all words)."""


@contextmanager
def watch(model: nn.Module, *, tokens: Axis | Sequence[str] | None = None) -> Iterator[Seen]:
    """Record the attention of a model while it runs in the `with` block.

    The model is not edited, runs its own kernels and gives bit for bit what it gives unwatched. Weights are computed
    later, those that are asked for. When the block ends nothing stays behind but what the `Seen` holds.

    Args:
        model: any torch module that attends by PyTorch's own functions or by a softmax and a product.
        tokens: what the tokens stand for, where it is to be said: the words of a text, or `Patches` for a grid that
            cannot be found from the input.
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
    seen = Seen(recorder.calls, recorder.fed, find_specials(modules), _known_axes(tokens), Filling.of(model))
    with recording(recorder):
        yield seen


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


def _known_axes(tokens: Axis | Sequence[str] | None) -> list[Axis]:
    if tokens is None:
        return []
    if isinstance(tokens, str):
        raise JumokError(f"tokens is an axis or a sequence of words, got the one string {tokens!r}: split it")
    return [tokens] if isinstance(tokens, Axis) else [Tokens(tuple(tokens))]


class Seen:
    """What a model looked at: one entry per attention call, in the order in which they ran.

    A module that attended several times has entries "name", "name@2", "name@3", ...
    """

    def __init__(
        self, calls: list[Call], fed: list[Fed], specials: list[Special], known: list[Axis], filling: Filling
    ) -> None:
        self._calls, self._fed, self._specials, self._known, self._filling = calls, fed, specials, known, filling

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
        lead, (queries, keys) = self._lead(call), self._axes(call)
        if query is not None:
            index = queries.index(query)
            queries = One(queries.label(index))
        weights = call.attended.weights(None if query is None else [index])
        weights = weights.reshape(*self._lead_sizes(call), *weights.shape[-2:])
        return AttentionMap(weights, queries, keys, lead, call.scale, source)

    def of_image(self, name: str | int, batch: int) -> AttentionMap:
        """The weights of one call for one image of the batch, whose axis may be its own, as glimpses are.

        Args:
            name: of the call.
            batch: number of the image.
        Returns:
            ([head,] queries, keys).
        Raises:
            JumokError: no such call, or no such image.
        """
        number = self._number(name)
        call = self._calls[number]
        queries, keys = call.axes or (None, None)
        if queries is None or not isinstance(keys, tuple):
            return self._map(name, None).at(batch=batch)
        if not -len(keys) <= batch < len(keys):
            raise JumokError(f"batch={batch} is outside the {len(keys)} images of this map")
        weights = call.attended.weights()[batch].float()
        lead = ("head",) if call.rank >= 4 else ()
        weights = weights if lead else weights[0]
        return AttentionMap(weights, queries, keys[batch], lead, call.scale, self.names[number])

    def in_image(self) -> list[str]:
        """The calls that their mechanism itself placed in the image: glimpses, windows, gates over places."""
        return [
            name
            for name, call in zip(self.names, self._calls, strict=True)
            if call.axes is not None and _of_first(call.axes[1]).in_image
        ]

    def _number(self, name: str | int) -> int:
        names = self.names
        if not names:
            raise _nothing_seen()
        if isinstance(name, int):
            if not -len(names) <= name < len(names):
                raise JumokError(f"call {name} is outside the {len(names)} attention calls that were seen")
            return name % len(names)
        if name not in names:
            raise JumokError(f"no attention call {name!r} was seen: {suggest(name, names)}")
        return names.index(name)

    def axes(self, name: str | int) -> tuple[Axis, Axis]:
        """Who looks and what is seen in one call; of keys that differ by image, those of the first.

        Raises:
            JumokError: no such call, or the tokens fit no grid that was seen.
        """
        call = self._calls[self._number(name)]
        if call.axes is None:
            return self._axes(call)
        queries, keys = call.axes
        return queries, _of_first(keys)

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
        return self._part(calls)

    @property
    def passes(self) -> list[Seen]:
        """What was seen, by forward passes of the model: one `Seen` each."""
        runs = sorted({call.run for call in self._calls})
        return [self._part([call for call in self._calls if call.run == run]) for run in runs]

    def _part(self, calls: list[Call]) -> Seen:
        return Seen(calls, self._fed, self._specials, self._known, self._filling)

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
                `alignment.shift`. The last token is then left out.
            padding: the id that fills the ends of outputs; None: as the model's config or embedding has it.
        Returns:
            (batch, layer, head, tokens after the start token, source tokens): row i was computed by the step that
            produced that token. Zeros where an output has ended.
        Raises:
            JumokError: no decoder was seen, an output is not among its hypotheses, or words that do not fit.
        """
        if not self._calls:
            raise _nothing_seen()
        _need_ids(output)
        filling = self._filling if padding is None else replace(self._filling, padding=padding)
        weights, call = join(self._calls, self._fed, output, filling)
        keys = self._axes(call)[1] if source is None else _words(source, weights.shape[-1], "source")
        wanted = weights.shape[-2]
        words = target[1:] if target is not None and len(target) == wanted + 1 else target
        queries = text_axis(wanted, None) if words is None else _words(words, wanted, "target")
        joined = AttentionMap(
            weights, queries, keys, ("batch", "layer", "head"), Scale.DISTRIBUTION, "cross-attention of all steps"
        )
        return next_step(joined) if shift else joined

    # -- from the layers to the input -----------------------------------------------------------

    @property
    def queries(self) -> Axis:
        """The tokens of the self-attention chain, for choosing a query of `rollout` and `relevance`."""
        return self._chain[1]

    def rollout(self, query: Place = "cls", *, residual: float = 0.5) -> AttentionMap:
        """Where one query looked in the input, through all layers; see `flow.rollout`.

        Args:
            query: "cls", a patch as (row, column), a word, an index, or "mean" for the average over places.
            residual: the share of a token that passes each layer unmixed.
        Returns:
            (batch, 1, tokens), a distribution.
        Raises:
            JumokError: nothing was seen, the calls do not form one chain, or there is no such query.
        """
        layers, axis = self._chain
        start, label = _start(query, axis, layers[0])
        return self._through(flow.rollout(layers, start, residual=residual), axis, label, "rollout", Scale.DISTRIBUTION)

    def relevance(self, target: Tensor, query: Place = "cls") -> AttentionMap:
        """How much each input token contributed to a target, seen from one query; see `flow.relevance`.

        Args:
            target: one number, or one per image such as `logits[:, 207]`, of this forward pass, with gradients.
            query: as for `rollout`.
        Returns:
            (batch, 1, tokens), 0 or more.
        Raises:
            JumokError: as `rollout`; also if the pass kept no gradients, or the target does not depend on attention.
        """
        layers, axis = self._chain
        start, label = _start(query, axis, layers[0])
        row = flow.relevance(layers, _gradients(target, layers), start)
        if torch.equal(row, start):
            raise JumokError("no gradient at any attention weight is positive: this target has no relevance to show")
        return self._through(row, axis, label, "relevance", Scale.RELEVANCE)

    def _through(self, row: Tensor, axis: Axis, label: str, method: str, scale: Scale) -> AttentionMap:
        return AttentionMap(row[:, None].float(), One(label), axis, ("batch",), scale, f"{method}({label})")

    @cached_property
    def _chain(self) -> tuple[list[Attended], Axis]:
        """The self-attention layers of one forward pass, which all have the same tokens."""
        calls = [call for call in self._calls if call.axes is None]
        if not calls:
            raise _nothing_seen()
        if len({call.run for call in calls}) > 1:
            raise JumokError(
                f"the model ran {len(self.passes)} times in the block, and a chain is of one pass: "
                "choose with seen.passes[number]"
            )
        named = zip(self.names, self._calls, strict=True)
        sizes = {name: call.attended.shape[2:] for name, call in named if call.axes is None}
        if len(set(sizes.values())) > 1 or any(queries != keys for queries, keys in sizes.values()):
            listed = ", ".join(f"{name} {q} x {k}" for name, (q, k) in list(sizes.items())[:6])
            raise JumokError(
                f"these calls are not one chain of self-attention over the same tokens ({listed}): choose a part with "
                "seen.only(prefix), or read single maps with seen[name]; call model.eval() if it is in training mode, "
                "where it may compute only some of the tokens"
            )
        windowed = next((c for c in calls if "window" in self._lead(c)), None)
        if windowed is not None:
            raise JumokError(
                f"{windowed.module} attends inside {windowed.attended.shape[0]} windows, each with tokens of its own, "
                "and a chain over windows is not supported: read the maps of single windows with seen[name]"
            )
        return [call.attended for call in calls], self._axes(calls[0])[0]

    # -- axes -----------------------------------------------------------------------------------

    def _lead(self, call: Call) -> tuple[str, ...]:
        batch = ("batch", "window") if _windows(call) > 1 else ("batch",)
        return (*batch, "head") if call.rank >= 4 else batch

    def _lead_sizes(self, call: Call) -> tuple[int, ...]:
        batch, heads, *_ = call.attended.shape
        windows = _windows(call)
        sizes = (batch // windows, windows) if windows > 1 else (batch,)
        return (*sizes, heads) if call.rank >= 4 else sizes

    def _axes(self, call: Call) -> tuple[Axis, Axis]:
        if call.axes is not None:
            said, seen = call.axes
            if isinstance(seen, tuple):
                if len(seen) > 1:
                    raise JumokError("each image has keys of its own here: choose one with seen.of_image(name, batch)")
                (seen,) = seen
            return said, seen
        queries, keys = call.attended.shape[2:]
        if queries == keys:
            axis = self._axis(call, queries)
            return axis, axis
        return self._axis(call, queries, strict=False), self._axis(call, keys, strict=False)

    def _axis(self, call: Call, count: int, *, strict: bool = True) -> Axis:
        for axis in self._known:
            if len(axis) == count:
                return axis
        names = special_names(self._specials, call.module)
        patches: Patches | None = image_axis(count, call.grids, names) if _windows(call) == 1 else None
        if patches is None and call.pixels is not None:
            patches = patches_of_image(count, *call.pixels, names)
        if patches is not None:
            return patches
        is_image = bool(call.grids) and not call.text
        pooled = any(count < grid.rows * grid.columns for grid in call.grids)  # fewer than the patches: no grid to find
        if strict and is_image and not pooled:
            raise mismatch(count, call.grids, names, call.module or "the model")
        return text_axis(count, None)


def _of_first(keys: Axis | tuple[Axis, ...]) -> Axis:
    return keys[0] if isinstance(keys, tuple) else keys


def _windows(call: Call) -> int:
    """How many windows each image was cut into: a multiple of the input's batch came to the call.

    Once a text was seen beside the image, such a multiple is the hypotheses of a caption.
    """
    batch = call.attended.shape[0]
    if call.axes is not None:
        return 1
    return batch // call.batch if call.batch and call.grids and not call.text and batch % call.batch == 0 else 1


def _need_ids(output: Tensor) -> None:
    if not isinstance(output, Tensor):
        hint = ": give its .sequences" if hasattr(output, "sequences") else ""
        raise JumokError(f"the output is a tensor of token ids, got {type(output).__name__}{hint}")
    shape = tuple(output.shape)
    if output.is_floating_point() or output.dim() != 2 or shape[0] < 1 or shape[1] < 2:
        raise JumokError(
            f"the output is (batch, tokens) of ids, the start token and at least one more, got {output.dtype} of shape "
            f"{shape}"
        )


def _words(words: Sequence[str], count: int, side: str) -> Axis:
    if isinstance(words, str):
        raise JumokError(f"the {side} words are a sequence, got the one string {words!r}: split it first")
    if len(words) != count:
        raise JumokError(f"got {len(words)} {side} words for {count} {side} tokens: give one word for each")
    return Tokens(tuple(words))


def _nothing_seen() -> JumokError:
    return JumokError(
        "no attention call was seen in the `with` block: run the model inside it; attention by flex_attention, "
        "xFormers, flash-attn or a kernel of its own hides its weights: choose the model's `sdpa` or `eager` attention"
    )


def _start(query: Place, axis: Axis, layer: Attended) -> tuple[Tensor, str]:
    """(batch, tokens) with the query's 1, and the query's name."""
    batch, _, count, _ = layer.shape
    start = torch.zeros(batch, count, device=layer.device)
    if query == MEAN:
        first = len(axis.special) if isinstance(axis, Patches) else 0
        start[:, first:] = 1 / (count - first)
        return start, MEAN
    try:
        index = axis.index(query)
    except JumokError as error:
        raise JumokError(f'{error}; a query is also an index, a patch as (row, column), or "mean"') from error
    start[:, index] = 1
    return start, axis.label(index)


def _gradients(target: Tensor, layers: Sequence[Attended]) -> list[Tensor | None]:
    traced = [layer.traced for layer in layers]
    if not target.requires_grad or any(tensor is None for tensor in traced):
        raise JumokError(
            "relevance needs gradients and this forward pass kept none: run the model outside torch.no_grad() and "
            "inference_mode, with parameters (or an input) that require gradients"
        )
    gradients = torch.autograd.grad(
        target.sum(), [tensor for tensor in traced if tensor is not None], retain_graph=True, allow_unused=True
    )
    if all(gradient is None for gradient in gradients):
        raise JumokError("the target does not depend on any attention that was seen: compute it from this forward pass")
    return list(gradients)


class _CallableModule(types.ModuleType):
    """`jumok.watch` is this module and, as the name of the verb, the function."""

    __call__ = staticmethod(watch)


sys.modules[__name__].__class__ = _CallableModule
