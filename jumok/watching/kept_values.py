"""Keep what was recorded as it was: copy it before a function of the pass writes into its memory.

Seen are the calls of torch functions while the model runs, be it through `.data`, a view, `out=` or in inference mode,
where no version is counted. Not seen is what writes past these: through memory that was handed to another library
before the call, or, after the block, through `.data`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from jumok.watching.provenance import functions
from jumok.watching.record_parts import Unchanged

_GIVEN_AWAY = frozenset([Tensor.numpy, Tensor.__array__, Tensor.__dlpack__])
"""What lets others write into a tensor's memory."""
_ASSIGNED = Tensor.data.__set__  # type: ignore[attr-defined]
_writing: dict[Callable[..., Any], bool] = {}
"""Of functions that were called: whether they may write."""


class KeptValues:
    """The records of a pass, by the memory that they will be read from."""

    def __init__(self) -> None:
        self._by_memory: dict[int, list[Unchanged]] = {}

    def add(self, unchanged: Unchanged) -> None:
        """Guard what a record will be read from."""
        for tensor in unchanged.tensors:
            memory = _find_memory(tensor)
            if memory is not None:
                self._by_memory.setdefault(memory, []).append(unchanged)

    def forget(self) -> None:
        """Let go of everything."""
        self._by_memory.clear()

    def save_before(self, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Copy what a function is about to write into, if it was recorded."""
        if not self._by_memory:
            return
        writes = _writing.get(func)  # told once a function: this runs beside each operation of a model
        if writes is None:
            writes = _writing.setdefault(func, _may_write(func))
        if not writes and not (kwargs and ("out" in kwargs or kwargs.get("inplace"))):
            return
        for written in _list_tensors([*args[:1], kwargs.get("out"), kwargs.get("input")]):
            memory = _find_memory(written)
            for unchanged in self._by_memory.pop(memory, ()) if memory is not None else ():
                unchanged.save()


def _may_write(func: Callable[..., Any]) -> bool:
    """Whether a function writes into what it is given, or lets others do so, whatever its keywords are."""
    name = getattr(func, "__name__", "")
    if name == "__get__":
        return False
    inplace = (name.endswith("_") and not name.endswith("__")) or name.startswith("__i") or name == "__setitem__"
    return (inplace and name not in functions.UNCHANGING) or func == _ASSIGNED or func in _GIVEN_AWAY


def _list_tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [tensor for each in value for tensor in _list_tensors(each)] if isinstance(value, tuple | list) else []


def _find_memory(tensor: Tensor) -> int | None:
    """What is the same for all tensors that lie in the same memory; None for those that lie in none."""
    try:
        with torch._C.DisableTorchFunction():
            return int(tensor.untyped_storage()._cdata)
    except (RuntimeError, NotImplementedError):  # nested or sparse
        return None
