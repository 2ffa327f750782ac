"""Turn recorders on and off, each in its own thread, and tell them what no call shows."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _pop_mode, _push_mode

from jumok.attention import Scale
from jumok.attention.attended import Attended
from jumok.watching import flex_kernel, torch_multi_head
from jumok.watching.calls import Axes
from jumok.watching.recorder import Recorder

FAST_MODULES = (nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.MultiheadAttention)
_stood_before: dict[type[nn.Module], tuple[Callable[..., Any], Callable[..., Any]]] = {}
"""Of each fast module while any thread watches: the forward that was there, perhaps another library's, and ours."""
_eyes = threading.local()
_lock = threading.Lock()
_open_eyes = 0


@contextmanager
def record_modules(recorder: Recorder) -> Iterator[None]:
    """Have a recorder see what this thread runs, until the block ends, however and in whatever order it ends."""
    _count_eyes(1)
    _list_recorders().append(recorder)
    try:
        with _standing_on(recorder), flex_kernel.standing_in(recorder.running.modules, _make_watched_flex):
            yield
    finally:
        _eyes.recorders = [each for each in _list_recorders() if each is not recorder]
        _count_eyes(-1)
        recorder.forget()


@contextmanager
def _standing_on(mode: TorchFunctionMode) -> Iterator[None]:
    """A mode on the stack of modes; it leaves from where it stands by then: tasks and generators end in any order."""
    _push_mode(mode)
    try:
        yield
    finally:
        above: list[TorchFunctionMode] = []
        while torch._C._len_torch_function_stack() > 0 and (top := _pop_mode()) is not mode:
            above.append(top)
        for other in reversed(above):
            _push_mode(other)


def _list_recorders() -> list[Recorder]:
    """Those that watch in this thread, in the order in which they began."""
    if not hasattr(_eyes, "recorders"):
        _eyes.recorders = []
    found: list[Recorder] = _eyes.recorders
    return found


def _list_hearing() -> list[Recorder]:
    """Those whose model runs now, or where none runs all of them; none of those that look away."""
    recorders = _list_recorders()
    running = [recorder for recorder in recorders if recorder.running.is_any()] if len(recorders) > 1 else recorders
    return [recorder for recorder in running or recorders if not recorder.muted]


def _count_other_modes() -> int:
    """Modes on the stack that are not ours."""
    stack = (torch._C._get_function_stack_at(place) for place in range(torch._C._len_torch_function_stack()))
    return sum(not isinstance(mode, Recorder) for mode in stack)


def report(found: Tensor | Attended, axes: Axes | None = None, scale: Scale = Scale.DISTRIBUTION) -> None:
    """Report weights that no call shows: for mechanisms with a kernel or a loop of their own.

    Costs nothing when nobody watches; where the axes cost something to make, ask `is_watched()` first.

    Args:
        found: (batch, queries, keys) or (batch, heads, queries, keys), or a record that gives these when asked.
        axes: who looks and what is seen; keys one axis for all images or a tuple of one for each. None: tokens, whose
            meaning is found from the input, as for any call of attention.
        scale: what the weights mean.
    """
    for recorder in _list_hearing():
        recorder.saw_reported(found, axes, scale)


def is_watched() -> bool:
    """Whether anybody in this thread watches and would hear what is reported now."""
    return bool(_list_hearing())


def unseen() -> AbstractContextManager[object]:
    """Hide the calls in a `with` block from watchers: for a mechanism that will `report` them as one."""
    recorders = _list_recorders()
    if not recorders:
        return nullcontext()
    looking_away = ExitStack()
    for recorder in recorders:
        looking_away.enter_context(recorder.looking_away())
    return looking_away


def _count_eyes(change: int) -> None:
    """Stand in front of the fast modules' forward while any thread watches; put back what was there after the last.

    Where somebody has come to stand in front of us meanwhile, theirs stays: ours, behind it, only passes calls on.
    """
    global _open_eyes
    with _lock:
        before, _open_eyes = _open_eyes, _open_eyes + change
        if before == 0 and _open_eyes == 1:
            for cls in FAST_MODULES:
                _stood_before[cls] = cls.forward, _make_watched_forward(cls.forward)
                cls.forward = _stood_before[cls][1]  # type: ignore[method-assign]
        elif _open_eyes == 0:
            for patched, (original, ours) in _stood_before.items():
                if patched.forward is ours:
                    patched.forward = original
            _stood_before.clear()


def _make_watched_flex(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def flex(*args: Any, **kwargs: Any) -> Any:
        run = original
        for recorder in _list_hearing():
            run = functools.wraps(original)(functools.partial(recorder.run_flex, run))
        return run(*args, **kwargs)

    return flex


def _make_watched_forward(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        recorders = _list_recorders()
        muted = any(recorder.muted for recorder in recorders)
        if not recorders or muted or not torch_multi_head.may_take_fast_path(self, args, kwargs, _count_other_modes()):
            return original(self, *args, **kwargs)
        run = original
        for recorder in [recorder for recorder in recorders if recorder.running.is_any()]:
            run = functools.partial(recorder.run_fast, run)
        if run is original:  # of a model that nobody watches
            with torch._C.DisableTorchFunction():
                return original(self, *args, **kwargs)
        return run(self, *args, **kwargs)

    return forward
