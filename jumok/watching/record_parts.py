"""What records of attention calls have in common, whatever form the weights have."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.errors import JumokError

Method = TypeVar("Method", bound=Callable[..., Any])


def aside(method: Method) -> Method:
    """Have a method of a record compute without a graph, in the precision of its tensors whatever `autocast` says."""

    @functools.wraps(method)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        kind = self.device.type
        if not torch.is_autocast_enabled(kind):
            with torch.no_grad():
                return method(self, *args, **kwargs)
        with torch.no_grad(), torch.autocast(kind, enabled=False):
            return method(self, *args, **kwargs)

    return cast(Method, run)


class Unchanged:
    """Tensors that must not be written to between a call and the use of its record.

    Args:
        tensors: these.
        copy: has the record keep copies of them from now on, and gives these back.
        origin: of the record that this one was made from, and whose tensors its own may be views of.
    """

    def __init__(
        self,
        *tensors: Tensor | None,
        copy: Callable[[], Sequence[Tensor | None]] | None = None,
        origin: Unchanged | None = None,
    ) -> None:
        self._copy, self._origin, self._saved = copy, origin, False
        self._origin_was_saved = origin is not None and origin._saved
        self._mark(tensors)

    def _mark(self, tensors: Sequence[Tensor | None]) -> None:
        self.tensors = [tensor for tensor in tensors if tensor is not None]
        self._marks = [(tensor, tensor._version) for tensor in self.tensors if not tensor.is_inference()]

    def __deepcopy__(self, memo: dict[int, Any]) -> Unchanged:
        """A copy whose tensors are copies, which nobody has written to yet."""
        found = memo[id(self)] = Unchanged.__new__(Unchanged)
        found.__dict__.update({name: copy.deepcopy(value, memo) for name, value in vars(self).items()})
        if not self._is_changed():
            found._mark(found.tensors)
        return found

    def save(self) -> None:
        """Keep copies, as something is about to write into the tensors."""
        if self._copy is not None and not self._saved and not self._is_changed():
            self._saved = True
            with torch._C.DisableTorchFunction(), torch.no_grad():
                self._mark(self._copy())

    def _is_changed(self) -> bool:
        moved = self._origin is not None and self._origin._saved and not self._origin_was_saved
        return moved or any(tensor._version != version for tensor, version in self._marks)

    def check(self) -> None:
        """Raise if one of them was changed in place."""
        if self._origin is not None and not self._origin_was_saved:
            self._origin.check()
        if self._is_changed():
            raise JumokError(
                "a query, key or mask was changed in place after the attention call (a static cache?), so its weights "
                "are lost: read the map before that, or turn the in-place update off"
            )


class OfHeads:
    """What records of a query, a key and an output have in common."""

    query: Tensor
    key: Tensor
    output: Tensor | None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As in `Attended`."""
        batch, heads, queries, _ = self.query.shape
        return batch, heads, queries, self.key.shape[2]

    @property
    def traced(self) -> Tensor | None:
        """As in `Attended`."""
        return self.output

    @property
    def device(self) -> torch.device:
        """As in `Attended`."""
        return self.query.device


def widen(tensor: Tensor) -> Tensor:
    """Half precision to float32; the rest as it is."""
    return tensor.detach().float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor.detach()


def repeat_heads(tensor: Tensor, heads: int) -> Tensor:
    """(batch, key heads, ...) to (batch, heads, ...): grouped-query attention shares each key head."""
    return tensor if tensor.shape[1] == heads else tensor.repeat_interleave(heads // tensor.shape[1], 1)


def safe_softmax(scores: Tensor) -> Tensor:
    """Softmax over keys; a row that may attend to nothing gets zeros, as PyTorch's fused kernels give it."""
    nothing = (scores == -math.inf).all(-1, keepdim=True)
    return F.softmax(scores.masked_fill(nothing, 0.0), -1).masked_fill(nothing, 0.0)


def clone(tensor: Tensor | None) -> Tensor | None:
    """A copy of its own."""
    return None if tensor is None else tensor.detach().clone()
