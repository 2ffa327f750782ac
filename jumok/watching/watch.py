"""See inside any torch module: who attends to what, while it runs its own fused kernels."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from jumok.attention import Axis
from jumok.errors import JumokError
from jumok.watching.call_axes import CallAxes, find_said_axes
from jumok.watching.calls import Call
from jumok.watching.decoder_steps import Filling
from jumok.watching.provenance.memory import borrow, give_back
from jumok.watching.provenance.pictures import TracedPixels
from jumok.watching.provenance.replay import Replay
from jumok.watching.recorder import Recorder
from jumok.watching.seen import Seen
from jumok.watching.token_axes import make_names
from jumok.watching.watchers import record_modules


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
        JumokError: it is no torch module, or is compiled or scripted, so that its calls cannot be seen.

    >>> attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    >>> words = torch.randn(1, 3, 8)
    >>> with watch(attention, tokens=["the", "cat", "sat"]) as seen:
    ...     _ = attention(words, words, words, need_weights=False)
    >>> seen[0].at(batch=0).mean("head").row("cat").weights.sum().round(decimals=3)
    tensor(1.)
    """
    _check_is_module(model)
    modules = dict(model.named_modules())
    _refuse_compiled(modules)
    recorder = Recorder(modules)
    recorder.tape.traced = tuple(pixels)
    axes = CallAxes(Replay(recorder.tape, functools.cache(lambda: make_names(modules)), model), find_said_axes(tokens))
    axes.routed = recorder.routed
    seen = Seen(_Pass(recorder, axes), recorder.fed, recorder.maps, axes, Filling.of(model))
    with _comparing(recorder, model), record_modules(recorder):
        yield seen


@contextmanager
def _comparing(recorder: Recorder, model: nn.Module) -> Iterator[None]:
    """Have a recorder compare the pass with the model's last ones, which nobody else does meanwhile."""
    recorder.tape.compare_with(borrow(model))
    try:
        yield
    finally:
        give_back(model, recorder.tape.forget())


def _check_is_module(model: object) -> None:
    if isinstance(model, nn.Module):
        return
    inner = isinstance(getattr(model, "model", None), nn.Module)
    advice = "watch its .model" if inner else "give the module itself, as you call it on inputs"
    raise JumokError(f"watch takes a torch.nn.Module, got {type(model).__name__}: {advice}")


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
