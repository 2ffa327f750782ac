"""Notice attention calls while a model runs, without changing what it computes.

A `TorchFunctionMode` sees each torch call of its own thread. The model's calls run as they would; references to what
went into attention are kept. PyTorch's inference fast path steps aside when such a mode is on, so its three modules run
with the mode off and are recorded from their inputs.
"""

from __future__ import annotations

import functools
import math
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from jumok.attention import Scale
from jumok.attention.attended import Attended
from jumok.watching import fused_kernel, gates, torch_multi_head
from jumok.watching.axis_order import add_head_axis, mark_keys, split_by_heads, to_four_axes, to_one_row
from jumok.watching.calls import Axes, Call, Fed, Sight
from jumok.watching.feature_maps import FeatureMaps
from jumok.watching.gates import Gates
from jumok.watching.module_paths import IMAGE_CHANNELS, find_first_argument, find_innermost, image_size, walk_outwards
from jumok.watching.records import DotProduct, Given
from jumok.watching.token_grid import Grid

Handler = Callable[["Recorder", Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]

SOFTMAX_CALLS = (F.softmax, torch.softmax, Tensor.softmax, torch.special.softmax)
PRODUCT_CALLS = (torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm, torch.einsum, torch.baddbmm)
# What may stand between a softmax and the product with the values, and leaves the weights what they are.
PASSING_CALLS = (
    F.dropout, torch.dropout, Tensor.to, Tensor.type, Tensor.type_as, Tensor.float, Tensor.half, Tensor.bfloat16,
    Tensor.double, Tensor.view, Tensor.reshape, torch.reshape, Tensor.contiguous, Tensor.clone, Tensor.transpose,
    torch.transpose, Tensor.permute, torch.permute, Tensor.flatten, Tensor.unflatten, Tensor.unsqueeze, Tensor.squeeze,
    Tensor.mul, Tensor.__mul__, torch.mul, torch.nan_to_num, Tensor.nan_to_num, Tensor.masked_fill,
)  # fmt: skip
MOST_IDS = 1 << 20  # indices of one embedding call that are kept: 8 MiB
HEAD_COUNTS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "heads")


class Recorder(TorchFunctionMode):
    """The mode that is on while a model is watched."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.fed: list[Fed] = []
        self.maps = FeatureMaps()
        self._modules = modules
        self._paths = {id(module): path for path, module in modules.items()}
        self._sight = Sight()
        self._run = 0
        self._run_frame: FrameType | None = None
        self._handlers = HANDLERS
        self._softmaxes: dict[int, tuple[Tensor, _Softmax]] = {}
        self._gates = Gates()
        self._product: tuple[torch.Size, Tensor] | None = None
        self._muted = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if torch._C._current_graph_task_id() != -1:  # a backward pass is running
            return func(*args, **(kwargs or {}))
        handler = None if self._muted else self._handlers.get(func)
        result = func(*args, **(kwargs or {})) if handler is None else handler(self, func, args, kwargs or {})
        if isinstance(result, Tensor) and result.dim() == 4:
            self._saw_four_axes(func, args, result)
        return result

    def forget(self) -> None:
        """Let go of everything that only mattered while the model ran."""
        self._run_frame = None
        self._softmaxes.clear()
        self._gates.clear()
        self.maps.forget()
        self._product = None

    # -- what is noticed ------------------------------------------------------------------------

    def saw_fused(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """`scaled_dot_product_attention`: keep query, key and mask, and the log-sum-exp where the kernel tells it."""
        given = dict(zip(fused_kernel.ARGUMENTS, args, strict=False)) | kwargs
        query, key = given["query"], given["key"]
        output, log_sum_exp = fused_kernel.run_fused(func, args, kwargs, given)
        scale, mask = given.get("scale"), given.get("attn_mask")
        traced = isinstance(output, Tensor) and output.requires_grad
        attended: Attended = DotProduct(
            to_four_axes(query),
            to_four_axes(key),
            to_four_axes(given["value"]) if traced else None,
            None if mask is None else to_four_axes(mask.expand(*query.shape[:-1], key.shape[-2])),
            bool(given.get("is_causal", False)),
            1 / math.sqrt(query.shape[-1]) if scale is None else float(scale),
            log_sum_exp,
            output if traced else None,
            float(given.get("dropout_p", 0.0)),
        )
        marks = None
        if query.shape[-2] == 1 and not traced:
            # A step of decoding by a key/value cache. Its weights are small, and the cache may be a new tensor at each
            # step or written to in place: so they are computed now, and the keys are let go.
            attended, marks = Given(attended.weights(), to_four_axes), mark_keys(to_four_axes(key))
        self._keep(attended, query.dim(), marks=marks)
        return output

    def saw_multi_head(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """`multi_head_attention_forward`, which projects its inputs itself."""
        result = func(*args, **kwargs)
        self._keep(torch_multi_head.record_function(args, kwargs, result[0]), 4)
        return result

    def saw_softmax(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A softmax: weights of attention if a product with something follows."""
        result = func(*args, **kwargs)
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        if isinstance(dim, int) and result.dim() >= 3:
            self._softmaxes[id(result)] = (result, _Softmax(result, dim, self._marks_of_product(result)))
            self._handlers = FOLLOWING_HANDLERS
        return result

    def _marks_of_product(self, softmax: Tensor) -> Tensor | None:
        """The marks of the keys, if the last product was of one query with the keys: (batch, heads, size, keys)."""
        shape, key = self._product or (None, None)
        if key is None or shape != softmax.shape or softmax.dim() != 4 or softmax.shape[2] != 1 or key.dim() != 4:
            return None
        return mark_keys(key.transpose(-1, -2)) if key.shape[-1] == softmax.shape[-1] else None

    def saw_pass_on(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A step between the softmax and the product."""
        result = func(*args, **kwargs)
        known = self._softmaxes.get(id(args[0])) if args else None
        if known is not None and isinstance(result, Tensor):
            self._softmaxes[id(result)] = (result, known[1])
        return result

    def saw_sigmoid(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A sigmoid: gates if it is multiplied onto a feature map."""
        result = func(*args, **kwargs)
        if self._gates.start(result):
            self._handlers = FOLLOWING_HANDLERS
        return result

    def saw_reshaped(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A step that may bring gates into the shape of what they are multiplied onto."""
        result = self.saw_pass_on(func, args, kwargs) if func in PASSING_CALLS else func(*args, **kwargs)
        if args:
            self._gates.carry(args[0], result)
        return result

    def saw_times(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A product of numbers, one by one."""
        found = self._gates.find_applied((*args, *kwargs.values())[:2])
        if found is not None:
            gate, axes = found
            self._keep(Given(gate, to_one_row), 3, axes=axes, scale=Scale.GATE)
        return self.saw_pass_on(func, args, kwargs) if func in PASSING_CALLS else func(*args, **kwargs)

    def saw_product(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A product; with a softmax as one side of it, it is attention that the model computed by hand."""
        operands = [item for arg in args for item in (arg if isinstance(arg, list | tuple) else (arg,))]
        for operand in operands:
            known = self._softmaxes.get(id(operand))
            if known is not None:
                self._saw_by_hand(known[1])
                self._softmaxes = {key: entry for key, entry in self._softmaxes.items() if entry[1] is not known[1]}
        result = func(*args, **kwargs)
        if isinstance(operands[-1], Tensor):
            self._product = (result.shape, operands[-1])
        return result

    def saw_convolution(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """`conv2d`: the last one before the tokens is the patch embedding."""
        result = func(*args, **kwargs)
        pixels = args[0] if args else kwargs["input"]
        if pixels.dim() == 4:
            if pixels.shape[1] in IMAGE_CHANNELS:  # another image: what was seen of the one before is over
                self._sight = Sight(batch=pixels.shape[0])
            self._sight.grids.append(Grid(*pixels.shape[-2:], *result.shape[-2:]))
        return result

    def saw_embedding(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """`embedding`: its indices are a sequence of tokens."""
        given = dict(zip(_EMBEDDING_ARGUMENTS[func], args, strict=False)) | kwargs
        ids, table = given.get("input", given.get("indices")), given["weight"]
        if isinstance(ids, Tensor) and ids.dim() == 2:
            self._sight.text = True
            self._sight.batch = self._sight.batch or ids.shape[0]
            if ids.numel() <= MOST_IDS:
                self.fed.append(Fed(ids.clone(), id(table), given.get("padding_idx"), len(self.calls)))
        return func(*args, **kwargs)

    def _saw_four_axes(self, func: Callable[..., Any], args: tuple[Any, ...], result: Tensor) -> None:
        """Keep a feature map, where a graph is made."""
        if not torch.is_grad_enabled():
            self.maps.untraced = True
        elif self.maps.is_map(func, args, result):
            self.maps.keep(find_innermost(sys._getframe(2), self._paths), result, len(self.calls))

    # -- PyTorch's inference fast path ----------------------------------------------------------

    def run_fast(self, forward: Callable[..., Any], module: nn.Module, args: Any, kwargs: Any) -> Any:
        """Run one of PyTorch's own modules as it runs when nobody watches, and record it from its inputs."""
        path = self._paths.get(id(module), "")
        muted, self._muted = self._muted, self._muted or not isinstance(module, nn.TransformerEncoder)
        try:
            with torch._C.DisableTorchFunction():
                result = forward(module, *args, **kwargs)
        finally:
            self._muted = muted
        if isinstance(module, nn.MultiheadAttention):
            self._keep(torch_multi_head.record_module(module, args, kwargs), 4, path)
        elif isinstance(module, nn.TransformerEncoderLayer):
            inner = f"{path}.self_attn" if path else "self_attn"
            self._keep(torch_multi_head.record_encoder_layer(module, args, kwargs), 4, inner)
        return result

    @property
    def muted(self) -> bool:
        """Whether an outer module is being recorded as a whole."""
        return self._muted

    # -- mechanisms that tell of themselves -----------------------------------------------------

    def saw_reported(self, found: Tensor | Attended, axes: Axes | None, scale: Scale) -> None:
        """What a mechanism of ours tells of itself; see `report`."""
        if isinstance(found, Tensor):
            self._keep(Given(found, add_head_axis), found.dim(), axes=axes, scale=scale)
        else:
            self._keep(found, 4 if found.shape[1] > 1 else 3, axes=axes, scale=scale)

    @contextmanager
    def looking_away(self) -> Iterator[None]:
        """Notice nothing in the block."""
        muted, self._muted = self._muted, True
        try:
            yield
        finally:
            self._muted = muted

    # -- keeping --------------------------------------------------------------------------------

    def _saw_by_hand(self, seen: _Softmax) -> None:
        path, _ = self._place()
        softmax = seen.weights
        heads = next((n for name in HEAD_COUNTS if (n := getattr(self._modules.get(path), name, None))), None)
        heads = heads if softmax.dim() == 3 and isinstance(heads, int) and softmax.shape[0] % heads == 0 else None
        arrange = functools.partial(split_by_heads, dim=seen.dim, heads=heads)
        self._keep(Given(softmax, arrange), softmax.dim() if heads is None else 4, path, seen.marks)

    def _keep(
        self,
        attended: Attended,
        rank: int,
        path: str | None = None,
        marks: Tensor | None = None,
        axes: Axes | None = None,
        scale: Scale = Scale.DISTRIBUTION,
    ) -> None:
        place, frame = self._place()
        if frame is not None and frame is not self._run_frame:
            if self._run_frame is not None:
                self._run += 1
            self._run_frame = frame
            if not self._sight.grids:
                self._sight.pixels = image_size(frame)
        sight = self._sight
        self.calls.append(
            Call(
                place if path is None else path, attended, rank, self._run,
                tuple(sight.grids), sight.text, sight.pixels, sight.batch, len(self.calls), marks, axes, scale,
            )
        )  # fmt: skip

    def _place(self) -> tuple[str, FrameType | None]:
        """The path of the innermost module that is running, and the outermost forward pass it belongs to."""
        path: str | None = None
        outermost: FrameType | None = None
        for frame in walk_outwards(sys._getframe(2)):
            running = frame.f_code.co_name == "forward"
            if path is None or running:
                found = self._paths.get(id(find_first_argument(frame)))
                path = found if path is None else path
                outermost = frame if running and found is not None else outermost
            if frame is self._run_frame:  # the pass is known: what lies further out does not matter
                break
        return path or "", outermost


@dataclass(frozen=True)
class _Softmax:
    """A softmax that the model took: along which axis, and the marks of the keys where they are known."""

    weights: Tensor
    dim: int
    marks: Tensor | None


_EMBEDDING_ARGUMENTS: dict[Callable[..., Any], tuple[str, ...]] = {
    F.embedding: ("input", "weight", "padding_idx"),
    torch.embedding: ("weight", "indices", "padding_idx"),
}


HANDLERS: dict[Callable[..., Any], Handler] = {
    F.scaled_dot_product_attention: Recorder.saw_fused,
    F.multi_head_attention_forward: Recorder.saw_multi_head,
    torch.conv2d: Recorder.saw_convolution,
    F.conv2d: Recorder.saw_convolution,
    F.embedding: Recorder.saw_embedding,
    torch.embedding: Recorder.saw_embedding,
    **dict.fromkeys(SOFTMAX_CALLS, Recorder.saw_softmax),
    **dict.fromkeys(PRODUCT_CALLS, Recorder.saw_product),
    **dict.fromkeys(gates.SIGMOID_CALLS, Recorder.saw_sigmoid),
}
FOLLOWING_HANDLERS: dict[Callable[..., Any], Handler] = {  # once there is a softmax or a sigmoid to follow
    **HANDLERS,
    **dict.fromkeys(PASSING_CALLS, Recorder.saw_pass_on),
    **dict.fromkeys(gates.RESHAPING_CALLS, Recorder.saw_reshaped),
    **dict.fromkeys(gates.MULTIPLYING_CALLS, Recorder.saw_times),
}


# -- turning it on and off ----------------------------------------------------------------------

FAST_MODULES = (nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.MultiheadAttention)
_originals = {cls: cls.forward for cls in FAST_MODULES}
_eyes = threading.local()
_lock = threading.Lock()
_open_eyes = 0


@contextmanager
def record_modules(recorder: Recorder) -> Iterator[None]:
    """Have a recorder see what this thread runs, until the block ends, however it ends."""
    outer = getattr(_eyes, "recorder", None)
    _count_eyes(1)
    _eyes.recorder = recorder
    try:
        with recorder:
            yield
    finally:
        _eyes.recorder = outer
        _count_eyes(-1)
        recorder.forget()


def report(found: Tensor | Attended, axes: Axes | None = None, scale: Scale = Scale.DISTRIBUTION) -> None:
    """Report weights that no call shows: for mechanisms with a kernel or a loop of their own.

    Costs nothing when nobody watches; where the axes cost something to make, ask `is_watched()` first.

    Args:
        found: (batch, queries, keys) or (batch, heads, queries, keys), or a record that gives these when asked.
        axes: who looks and what is seen; keys one axis for all images or a tuple of one for each. None: tokens, whose
            meaning is found from the input, as for any call of attention.
        scale: what the weights mean.
    """
    recorder: Recorder | None = getattr(_eyes, "recorder", None)
    if recorder is not None and not recorder.muted:
        recorder.saw_reported(found, axes, scale)


def is_watched() -> bool:
    """Whether anybody in this thread watches and would hear what is reported now."""
    recorder: Recorder | None = getattr(_eyes, "recorder", None)
    return recorder is not None and not recorder.muted


def unseen() -> AbstractContextManager[None]:
    """Hide the calls in a `with` block from watchers: for a mechanism that will `report` them as one."""
    recorder: Recorder | None = getattr(_eyes, "recorder", None)
    return nullcontext() if recorder is None else recorder.looking_away()


def _count_eyes(change: int) -> None:
    """Stand in front of the fast modules' forward while any thread watches; take the originals back after the last."""
    global _open_eyes
    with _lock:
        before, _open_eyes = _open_eyes, _open_eyes + change
        if before == 0 and _open_eyes == 1:
            for cls in FAST_MODULES:
                cls.forward = _make_watched_forward(_originals[cls])  # type: ignore[method-assign]
        elif _open_eyes == 0:
            for cls in FAST_MODULES:
                cls.forward = _originals[cls]  # type: ignore[method-assign]


def _make_watched_forward(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        recorder: Recorder | None = getattr(_eyes, "recorder", None)
        if recorder is None or recorder.muted or not torch_multi_head.may_take_fast_path(self, args, kwargs):
            return original(self, *args, **kwargs)
        return recorder.run_fast(original, self, args, kwargs)

    return forward
