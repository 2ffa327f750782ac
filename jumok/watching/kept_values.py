"""Keep what was recorded as it was: copy it before a function of the pass writes into its memory.

Seen are the calls of torch functions while the model runs, be it through `.data`, a view, `out=` or in inference mode,
where no version is counted. Not seen is what writes past these: through memory that was handed to another library
before the call, or, after the block, through `.data`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from jumok.watching.record_parts import Unchanged


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

    def save_before(self, writes: bool, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Copy what a function is about to write into, if it was recorded.

        Args:
            writes: whether it does so whatever its keywords are.
            args, kwargs: what it is given.
        """
        if not self._by_memory or not (writes or "out" in kwargs or kwargs.get("inplace")):
            return
        for written in _list_tensors([*args[:1], kwargs.get("out"), kwargs.get("input")]):
            memory = _find_memory(written)
            for unchanged in self._by_memory.pop(memory, ()) if memory is not None else ():
                unchanged.save()


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
