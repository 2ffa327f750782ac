"""Notice attention calls while a model runs, without changing what it computes.

A `TorchFunctionMode` sees each torch call of its own thread. The model's calls run as they would; references to what
went into attention are kept. PyTorch's inference fast path steps aside when such a mode is on, so its three modules run
with the mode off and are recorded from their inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from jumok.attention import Channels, Scale
from jumok.attention.attended import Attended
from jumok.watching import flex_kernel, fused_kernel, gates, torch_multi_head
from jumok.watching.calls import Axes, Fed, Noted
from jumok.watching.dot_product import DotProduct
from jumok.watching.feature_maps import FeatureMaps
from jumok.watching.gates import Gates
from jumok.watching.kept_values import KeptValues
from jumok.watching.provenance import functions
from jumok.watching.provenance.axis_order import add_head_axis, to_four_axes, to_one_row
from jumok.watching.provenance.ops import NOTHING, Notes, Slot
from jumok.watching.provenance.tape import Tape
from jumok.watching.record_parts import Unchanged
from jumok.watching.records import Given
from jumok.watching.routers import CHOOSING_CALLS, Choices, Routed, may_route
from jumok.watching.running import Running
from jumok.watching.weighed import PRODUCT_CALLS, SUMMING_CALLS, Products, find_weights

Handler = Callable[["Recorder", Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]

SOFTMAX_CALLS = (F.softmax, torch.softmax, Tensor.softmax, torch.special.softmax, F.gumbel_softmax)
MOST_IDS = 1 << 20  # indices of one embedding call that are kept: 8 MiB


class Recorder(TorchFunctionMode):
    """The mode that is on while a model is watched."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        super().__init__()
        self.calls: list[Noted] = []
        self.fed: list[Fed] = []
        self.routed: list[Routed] = []
        self.maps = FeatureMaps()
        self.running = Running(modules)
        buffers = frozenset(id(each) for module in modules.values() for each in module._buffers.values())
        own = frozenset(id(each) for module in modules.values() for each in module._parameters.values())
        running = self.running
        self.tape = Tape(
            buffers, own, running.is_argument, running.number_forward, running.innermost, self._expect_weights
        )
        self._weights: Tensor | None = None
        self._factors: tuple[Slot, Slot] | None = None
        self._gate: Slot | None = None
        self._choices = Choices()
        self._route: int | None = None
        self._products = Products(self.tape)
        self._handlers = HANDLERS
        self._gates = Gates()
        self._muted = False
        self._kept = KeptValues()
        self._fast_source: Tensor | None = None

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        # This runs beside each operation of a model: what is usual is told without another call.
        given = kwargs or {}
        if torch._C._current_graph_task_id() != -1:  # a backward pass is running
            return func(*args, **given)
        name, writes, idle = functions.find(func)
        if writes or given:
            self._kept.save_before(writes, args, given)
        if name == functions.SKIPPED:  # of a shape or another property
            return func(*args, **given)
        handler, before = None if self._muted else self._handlers.get(func), len(self.calls)
        result = func(*args, **given) if handler is None else handler(self, func, args, given)
        if idle and args and result is args[0]:
            return result
        if isinstance(result, Tensor) and result.dim() == 4:
            self._saw_four_axes(func, args, result)
        if not self._muted:
            found = NOTHING if handler is None and len(self.calls) == before else self._take_notes(before)
            self.tape.note(name, args, given, result, found)
        return result

    def _take_notes(self, before: int) -> Notes:
        """What was found out about the operation that ran just now.

        Args:
            before: how many calls there were before it.
        """
        numbers = () if len(self.calls) == before else tuple(c.number for c in self.calls[before:] if c.axes is None)
        if not numbers and self._gate is None and self._route is None and self._weights is None:
            return NOTHING
        path = self.calls[-1].module if numbers else ""
        heads = self.running.count_heads(path) if numbers else 0
        weights = None if self._weights is None else self.tape.known_slot(self._weights)
        notes = Notes(numbers, path, heads, weights, self._factors, self._gate, self._route)
        self._weights = self._factors = self._gate = self._route = None
        return notes

    def forget(self) -> None:
        """Let go of everything that only mattered while the model ran."""
        self.running.forget()
        self._gates.clear()
        self._products.clear()
        self._kept.forget()
        self._choices = Choices()
        self.maps.forget()

    # -- what is noticed ------------------------------------------------------------------------

    def saw_fused(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """`scaled_dot_product_attention`: keep query, key and mask, and the log-sum-exp where the kernel tells it."""
        given = dict(zip(fused_kernel.ARGUMENTS, args, strict=False)) | kwargs
        query, key = given["query"], given["key"]
        output, log_sum_exp = fused_kernel.run_fused(func, args, kwargs, given)
        if fused_kernel.is_batched(query):
            return output
        scale = given.get("scale")
        query, key, mask = fused_kernel.fill(query, key, given.get("attn_mask"))
        traced = isinstance(output, Tensor) and output.requires_grad and not output.is_nested
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
        if not traced and fused_kernel.may_be_written(query, key):
            # A step of decoding: the next one may write to its cache, so its few weights are computed now.
            attended = Given(attended.weights(), to_four_axes)
        self._keep(attended, query.dim())
        return output

    def saw_multi_head(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """`multi_head_attention_forward`, which projects its inputs itself."""
        result = func(*args, **kwargs)
        self._keep(torch_multi_head.record_function(args, kwargs, result[0]), 4)
        return result

    def saw_sigmoid(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A sigmoid: gates if it is multiplied onto a feature map."""
        result = func(*args, **kwargs)
        if self._gates.start(result):
            self._handlers = {**self._handlers, **GATE_HANDLERS}
        return result

    def saw_softmax(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A softmax: weights, if values are multiplied by it, and be it one by one."""
        self._expect_weights()
        result = func(*args, **kwargs)
        spread = self._choices.spread(args[0] if args else kwargs.get("input"), result)
        if spread is not None:
            self._keep_route(spread)
        return result

    def _expect_weights(self) -> None:
        self._handlers = {**self._handlers, **WEIGHT_HANDLERS}

    def saw_choice(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The largest of several; of a softmax over experts, or such a softmax follows."""
        result = func(*args, **kwargs)
        scores = args[0] if args else kwargs.get("input")
        if isinstance(scores, Tensor) and may_route(scores):
            if self.tape.slot(scores).soft:
                self._keep_route(scores)
            else:
                self._choices.keep(scores, result)
        return result

    def _keep_route(self, weights: Tensor) -> None:
        path, _ = self.running.find_place()
        if path:
            self._route = len(self.routed)
            self.routed.append(Routed(path, weights.detach().clone()))

    def saw_reshaped(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A step that may bring gates into the shape of what they are multiplied onto."""
        result = func(*args, **kwargs)
        if args:
            self._gates.carry(args[0], result)
        return result

    def saw_times(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A product of numbers, one by one."""
        found = self._gates.find_applied((*args, *kwargs.values())[:2])
        if found is not None:
            gate, axes, factor = found
            self._gate = self.tape.known_slot(factor) if isinstance(axes[1], Channels) else None
            self._keep(Given(gate, to_one_row), 3, axes=axes, scale=Scale.GATE)
        result = func(*args, **kwargs)
        self._products.start((*args, *kwargs.values())[:2], result)
        return result

    def saw_sum(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A sum; over a product of weights with values, one by one, it is attention."""
        found = self._products.find_summed(args, kwargs)
        if found is not None:
            self._keep_by_hand(found.weights)
            self._factors = found.factors
        return func(*args, **kwargs)

    def saw_product(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A product; with weights as one side of it, it is attention that the model computed by hand.

        Weights came out of a softmax, or else out of a product of tokens with tokens.
        """
        operands = [item for arg in args for item in (arg if isinstance(arg, list | tuple) else (arg,))]
        operands = [item for item in operands if isinstance(item, Tensor)]
        slots = [self.tape.slot(operand) for operand in operands]
        number = find_weights(slots)
        if number is not None and operands[number].dim() and not fused_kernel.is_batched(operands[number]):
            self._keep_by_hand(operands[number])
        return func(*args, **kwargs)

    def _keep_by_hand(self, weights: Tensor) -> None:
        self._weights = weights
        scale = Scale.DISTRIBUTION if self.tape.slot(weights).soft else Scale.SCORE
        self._keep(Given(weights, to_four_axes), weights.dim(), scale=scale, by_hand=True)

    def saw_embedding(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """`embedding`: its indices are a sequence of tokens."""
        given = dict(zip(_EMBEDDING_ARGUMENTS[func], args, strict=False)) | kwargs
        ids, table = given.get("input", given.get("indices")), given["weight"]
        if isinstance(ids, Tensor) and ids.dim() == 2 and ids.numel() <= MOST_IDS:
            slot = self.tape.slot(ids)
            own = slot.fixed or slot.constant or (slot.pure and not self.running.is_argument(ids, False, slot.made_in))
            self.fed.append(Fed(ids.clone(), id(table), given.get("padding_idx"), len(self.calls), not own))
        return func(*args, **kwargs)

    def _saw_four_axes(self, func: Callable[..., Any], args: tuple[Any, ...], result: Tensor) -> None:
        """Keep a feature map, where a graph is made."""
        if not torch.is_grad_enabled():
            self.maps.untraced = True
        elif self.maps.is_map(func, args, result):
            self.maps.keep(self.running.innermost(), result, len(self.calls))

    # -- PyTorch's inference fast path ----------------------------------------------------------

    def run_fast(self, forward: Callable[..., Any], module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """Run one of PyTorch's own modules as it runs when nobody watches, and record it from its inputs."""
        path = self.running.path(module)
        muted, self._muted = self._muted, self._muted or not isinstance(module, nn.TransformerEncoder)
        if isinstance(module, nn.TransformerEncoder):
            self._fast_source = args[0] if args else kwargs["src"]
        try:
            with torch._C.DisableTorchFunction():
                result = forward(module, *args, **kwargs)
        finally:
            self._muted = muted
        if isinstance(module, nn.MultiheadAttention):
            given = torch_multi_head.bind_module(module, args, kwargs)
            self._keep(torch_multi_head.record_module(module, args, kwargs), 4, path)
            extra = int(module.bias_k is not None) + int(module.add_zero_attn)
            inputs = given["query"], given["key"], given["value"]
            self._note_fast(inputs, result[0], module.batch_first, extra_keys=extra)
        elif isinstance(module, nn.TransformerEncoderLayer):
            inner = f"{path}.self_attn" if path else "self_attn"
            self._keep(torch_multi_head.record_encoder_layer(module, args, kwargs), 4, inner)
            source = args[0] if args else kwargs["src"]
            self._note_fast((source,) * 3, result, module.self_attn.batch_first, residual=True)
        elif not muted and self.tape.known_slot(result) is None and self._fast_source is not None:
            self.tape.write("contiguous", (self._fast_source,), {}, (result,))  # normed, or sentences unpacked again
        return result

    def run_flex(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run `flex_attention`, or another package's kernel, as when nobody watches; record it from its inputs."""
        with self.looking_away(), torch._C.DisableTorchFunction():
            output = original(*args, **kwargs)
            found = flex_kernel.record_call(original.__name__, args, kwargs, output)
        if found is None:
            return output
        before = len(self.calls)
        kept = Given(found.attended.weights(), to_four_axes) if found.passing else found.attended
        self._keep(kept, found.query.dim())
        for name, given, made in found.steps:
            self.tape.write(name, given, {}, (made,))
        notes = Notes((self.calls[-1].number,), self.calls[-1].module) if len(self.calls) > before else NOTHING
        self._write_kernel(found, output[0] if isinstance(output, tuple) else output, notes)
        return output

    def _write_kernel(self, found: flex_kernel.Recorded, output: Tensor, notes: Notes) -> None:
        """Put a kernel on the tape, with heads before tokens, whatever its own order is."""
        given = found.query, found.key, found.value
        if not (found.attended.tokens_first and found.query.dim() == 4):
            return self.tape.write("scaled_dot_product_attention", given, {}, (output,), notes)
        with torch._C.DisableTorchFunction():
            whole = output[None] if found.attended.joined else output
            inner = [each.transpose(1, 2) for each in (*given, whole)]
        for outer, each in zip(given, inner, strict=False):
            self.tape.write("transpose", (outer, 1, 2), {}, (each,))
        self.tape.write("scaled_dot_product_attention", inner[:3], {}, (inner[3],), notes)
        self.tape.write("transpose", (inner[3], 1, 2), {}, (whole,))
        if whole is not output:
            self.tape.write("select", (whole, 0, 0), {}, (output,))
        return None

    def _note_fast(self, inputs: Sequence[Tensor], result: Tensor, batch_first: bool, **more: int) -> None:
        """Put a module that ran as a whole on the tape, with its query, key and value."""
        query = inputs[0]
        if query.is_nested and self.tape.known_slot(query) is None and self._fast_source is not None:
            query = self._fast_source
            inputs = (query,) * 3  # padded sentences, packed by the encoder around it
        how = {"batch_first": batch_first, "extra_keys": 0, "residual": False, **more}
        notes = Notes((self.calls[-1].number,), self.calls[-1].module)
        self.tape.write("attended_module", inputs, how, (result,), notes)
        if result.is_nested:
            self.tape.slot(result).shape = self.tape.slot(query).shape
        if self._fast_source is not None:
            self._fast_source = result

    @property
    def muted(self) -> bool:
        """Whether an outer module is being recorded as a whole."""
        return self._muted

    # -- mechanisms that tell of themselves -----------------------------------------------------

    def saw_reported(self, found: Tensor | Attended, axes: Axes | None, scale: Scale) -> None:
        """What a mechanism of ours tells of itself; see `report`."""
        if isinstance(found, Tensor):
            self._keep(Given(found, add_head_axis), found.dim(), axes=axes, scale=scale, told=True)
        else:
            self._keep(found, 4 if found.shape[1] > 1 else 3, axes=axes, scale=scale, told=True)

    @contextmanager
    def looking_away(self) -> Iterator[None]:
        """Notice nothing in the block."""
        muted, self._muted = self._muted, True
        try:
            yield
        finally:
            self._muted = muted

    # -- keeping --------------------------------------------------------------------------------

    def _keep(
        self,
        attended: Attended,
        rank: int,
        path: str | None = None,
        axes: Axes | None = None,
        scale: Scale = Scale.DISTRIBUTION,
        *,
        by_hand: bool = False,
        told: bool = False,
    ) -> None:
        place, frame = self.running.find_place()
        if place is None:  # another model, which nobody asked about
            return
        module, number = place if path is None else path, self.running.enter(frame)
        guard = getattr(attended, "unchanged", None)
        if isinstance(guard, Unchanged):
            self._kept.add(guard)
        self.calls.append(Noted(module, attended, rank, number, len(self.calls), axes, scale, by_hand, told))


_EMBEDDING_ARGUMENTS: dict[Callable[..., Any], tuple[str, ...]] = {
    F.embedding: ("input", "weight", "padding_idx"),
    torch.embedding: ("weight", "indices", "padding_idx"),
}


HANDLERS: dict[Callable[..., Any], Handler] = {
    F.scaled_dot_product_attention: Recorder.saw_fused,
    F.multi_head_attention_forward: Recorder.saw_multi_head,
    F.embedding: Recorder.saw_embedding,
    torch.embedding: Recorder.saw_embedding,
    **dict.fromkeys(PRODUCT_CALLS, Recorder.saw_product),
    **dict.fromkeys(gates.SIGMOID_CALLS, Recorder.saw_sigmoid),
    **dict.fromkeys(SOFTMAX_CALLS, Recorder.saw_softmax),
    **dict.fromkeys(CHOOSING_CALLS, Recorder.saw_choice),
}
GATE_HANDLERS: dict[Callable[..., Any], Handler] = {  # once there is a sigmoid to follow
    **dict.fromkeys(gates.RESHAPING_CALLS, Recorder.saw_reshaped),
    **dict.fromkeys(gates.MULTIPLYING_CALLS, Recorder.saw_times),
}
WEIGHT_HANDLERS: dict[Callable[..., Any], Handler] = {  # once there is a softmax to follow
    **dict.fromkeys(gates.MULTIPLYING_CALLS, Recorder.saw_times),
    **dict.fromkeys(SUMMING_CALLS, Recorder.saw_sum),
}
