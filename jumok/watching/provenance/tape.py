"""A light tape of a forward pass: which function made which tensor from which, with no tensor kept alive.

The tape holds numbers of tensors (`Slot`), never activations; of tensors only those that chose places (indices, masks
of indexing) and the model's own parameters. It is read by `Replay`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from jumok.watching.provenance import functions
from jumok.watching.provenance.pictures import TracedPixels

CLONED_VALUES = 4096
"""Indices up to this many are copied; of more a reference is kept, and a later change in place is noticed."""

LARGEST_CHOICE = 1 << 20
"""Elements of a mask that is kept where it chooses between two tensors, at most."""

WHOLE_NUMBERS = frozenset(
    [
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.uint16,
        torch.uint32,
        torch.uint64,
    ]
)
PLAIN = frozenset([int, float, bool, str, type(None), torch.dtype, torch.device])
"""Kinds of arguments that are kept as they are: most are, so they are told first."""


class Slot:
    """One tensor of the forward pass, by identity.

    Args:
        shape: of the tensor.
        floating: whether it holds real or complex numbers.
        parameter: the tensor itself, where it is a parameter of the model.
        constant: a buffer of the model, or not made by anything that depends on the input.
        argument: whether it was handed to the model (of a tensor that nothing on the tape made).
        made: whether something on the tape made it.
        soft: the number of the last softmax among what made it, without a product with values since; 0: none.
        fixed: whether it is a parameter or a buffer, or a view of one.
        pure: whether it depends on nothing that was given to the model, as far as is known: it was made in the block.
        traced: where its numbers lie in images, of an input for which that was said.
    """

    __slots__ = ("argument", "constant", "fixed", "floating", "made", "parameter", "pure", "shape", "soft", "traced")

    def __init__(self, tensor: Tensor, *, made: bool) -> None:
        self.shape: tuple[int, ...] = () if tensor.is_nested else tensor.shape
        self.floating = tensor.dtype not in WHOLE_NUMBERS
        self.parameter: Tensor | None = None
        self.constant = False
        self.argument = False
        self.made = made
        self.soft = 0
        self.fixed = self.pure = False
        self.traced: TracedPixels | None = None


@dataclass(frozen=True)
class Kept:
    """A tensor whose values chose places.

    Args:
        slot: of the tensor.
        values: itself or a copy.
        version: of the values when they were used; None for a copy.
    """

    slot: Slot
    values: Tensor
    version: int | None

    @property
    def changed(self) -> bool:
        """Whether the values were overwritten since."""
        return self.version is not None and self.values._version != self.version


@dataclass(slots=True)
class Op:
    """One function that ran.

    Args:
        name: of the function, as `functions.find_name` gives it.
        args, kwargs: as they were given, with a `Slot` or `Kept` in the place of each tensor.
        outs: the tensors that it returned, in order.
        calls: numbers of the attention calls that the function was.
        path: the module that ran, where it may have to be named.
        weights: which operand holds the weights, of a product that the model formed by hand.
        factors: of a sum over products of weights with values, element by element: the weights and the values.
        gate: which factor is one gate for each channel of an image, of a product with a feature map.
        route: the number of the shares of experts that were noted with the function.
        heads: how many heads the module says that it has; 0 where it does not.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outs: tuple[Slot, ...]
    calls: tuple[int, ...] = ()
    path: str = ""
    weights: Slot | None = None
    factors: tuple[Slot, Slot] | None = None
    gate: Slot | None = None
    route: int | None = None
    heads: int = 0

    @property
    def where(self) -> str:
        """The module that ran, for a message."""
        return f" in {self.path}" if self.path else ""

    def given(self, number: int, name: str, default: Any = None) -> Any:
        """An argument by its place or its name."""
        return self.args[number] if len(self.args) > number else self.kwargs.get(name, default)


class _Traits(NamedTuple):
    """What the tape must know of a function.

    Args:
        by_values: it takes indices or masks, whose values are kept.
        softmax: it makes weights.
        viewing: it gives a view.
        keeps_weights: what it makes of weights are weights.
        special: more than its arguments must be known of it.
    """

    by_values: bool
    softmax: bool
    viewing: bool
    keeps_weights: bool
    special: bool


_TRAITS: dict[str, _Traits] = {}


def _find_traits(name: str) -> _Traits:
    softmax = name in functions.SOFTMAXES
    special = softmax or name in functions.BY_SIZES or name in ("as_strided", "grid_sample")
    laid_out = softmax or name in functions.WEIGHTS_LAID_OUT
    found = _Traits(name in functions.BY_VALUES, softmax, name in functions.VIEWS, laid_out, special)
    return _TRAITS.setdefault(name, found)


@dataclass
class Tape:
    """What ran, in order.

    Args:
        constants: ids of the model's buffers.
        is_argument: tells whether a tensor was handed to the model, which runs now, or which nobody runs.
        lengths: over how many things each softmax went, by its number.
        traced: inputs of which it was said where their numbers lie in images.
    """

    constants: frozenset[int]
    is_argument: Callable[[Tensor, bool], bool]
    ops: list[Op] = field(default_factory=list)
    lengths: list[int] = field(default_factory=lambda: [0])
    traced: Sequence[TracedPixels] = ()
    _slots: dict[int, tuple[weakref.ref[Tensor], Slot]] = field(default_factory=dict)
    _soft: int = 0
    _fixed: bool = True
    _given: bool = False
    _pure: bool = True

    def note(self, name: str, args: Sequence[Any], kwargs: dict[str, Any], result: Any) -> Op | None:
        """Write down that a function ran. Returns what was written; None for a function that makes no tensor."""
        if isinstance(result, Tensor):
            made: tuple[Tensor, ...] = (result,)
        elif isinstance(result, tuple | list):
            made = tuple([each for each in result if isinstance(each, Tensor)])
        else:
            made = ()
        if not made and name not in functions.WRITES:
            return None
        return self.write(name, args, kwargs, made)

    def write(self, name: str, args: Sequence[Any], kwargs: dict[str, Any], made: Sequence[Tensor]) -> Op:
        """As `note`, of something that has a name here."""
        by_values, softmax, viewing, keeps_weights, special = _TRAITS.get(name) or _find_traits(name)
        self._soft, self._fixed, self._given, self._pure = 0, True, False, True
        more: dict[str, Any] = {}
        if special:
            args, kwargs, more = self._read_special(name, args, kwargs, made)
        keep = by_values or (name == "where" and _is_small(args))
        frozen = tuple([arg if type(arg) in PLAIN else self._freeze(arg, keep) for arg in args])
        named = {key: self._freeze(value, keep) for key, value in kwargs.items()} if kwargs else kwargs
        if softmax:
            self._soft = len(self.lengths) - 1
        op = Op(name, frozen, {**named, **more} if more else named, tuple([self._make(each, viewing) for each in made]))
        if self._soft and not keeps_weights:
            self._stop_softness(op)
        self.ops.append(op)
        return op

    def _read_special(
        self, name: str, args: Sequence[Any], kwargs: dict[str, Any], made: Sequence[Tensor]
    ) -> tuple[Sequence[Any], dict[str, Any], dict[str, Any]]:
        """The arguments of a function of which more must be known, and what that is."""
        if name in functions.BY_SIZES:
            return [_read_sizes(arg) for arg in args], {key: _read_sizes(each) for key, each in kwargs.items()}, {}
        if name == "as_strided":
            return args, kwargs, {"own_stride": args[0].stride(), "own_offset": args[0].storage_offset()}
        if name == "grid_sample":
            return args, kwargs, {"places": _keep_places(self, args[1] if len(args) > 1 else kwargs["grid"])}
        self.lengths.append(_find_length(args, kwargs, made[0]))
        return args, kwargs, {}

    def _stop_softness(self, op: Op) -> None:
        """Weights are none any more where they get another shape, or by an operation that does not change weights."""
        changes = functions.strip(op.name)[0] in functions.WEIGHTS_CHANGED
        shapes = (
            {slot.shape for arg in op.args for slot in walk_slots(arg) if slot.soft == self._soft} if changes else ()
        )
        for out in op.outs:
            if out.shape not in shapes:
                out.soft = 0

    def slot(self, tensor: Tensor) -> Slot:
        """The number of a tensor; one that nothing on the tape made is new."""
        known = self._slots.get(id(tensor))
        if known is not None and known[0]() is tensor:
            return known[1]
        slot = Slot(tensor, made=False)
        if isinstance(tensor, nn.Parameter):
            slot.parameter, slot.fixed = tensor, True
        elif id(tensor) in self.constants:
            slot.constant = slot.fixed = True
        else:
            slot.argument = self.is_argument(tensor, True)
            slot.traced = next((each for each in self.traced if each.tensor is tensor), None)
        self._slots[id(tensor)] = (weakref.ref(tensor), slot)
        return slot

    def known_slot(self, tensor: object) -> Slot | None:
        """The number of a tensor, if it has one."""
        known = self._slots.get(id(tensor))
        return known[1] if known is not None and known[0]() is tensor else None

    def forget(self) -> None:
        """Let go of what only mattered while the model ran."""
        self._slots.clear()

    def _make(self, tensor: Tensor, viewing: bool) -> Slot:
        known = self._slots.get(id(tensor))
        if known is not None and known[0]() is tensor:  # written in place, or handed on as it was
            slot = known[1]
        else:
            slot = Slot(tensor, made=True)
            self._slots[id(tensor)] = (weakref.ref(tensor), slot)
        slot.soft = self._soft if slot.floating else 0
        slot.fixed = self._fixed and self._given and viewing
        slot.pure = self._pure and not slot.fixed
        return slot

    def _freeze(self, value: Any, keep: bool) -> Any:
        if isinstance(value, Tensor):
            known = self._slots.get(id(value))
            slot = known[1] if known is not None and known[0]() is value else self.slot(value)
            self._given = True
            if slot.soft > self._soft:
                self._soft = slot.soft
            if slot.pure and self.is_argument(value, False):  # made in the block, then given to the model
                slot.argument, slot.pure = True, False
            if not slot.fixed:
                self._fixed = False
                self._pure = self._pure and slot.pure
            return _keep_values(slot, value) if keep and not slot.floating else slot
        if isinstance(value, tuple | list):
            return [each if type(each) in PLAIN else self._freeze(each, keep) for each in value]
        if isinstance(value, slice) and (isinstance(value.start, Tensor) or isinstance(value.stop, Tensor)):
            return slice(
                *(int(end) if isinstance(end, Tensor) else end for end in (value.start, value.stop, value.step))
            )
        return value


def _read_sizes(value: Any) -> Any:
    """Sizes as numbers, where some are tensors of one number."""
    if not isinstance(value, tuple | list):
        return value
    return [int(each) if isinstance(each, Tensor) and each.dim() == 0 else each for each in value]


def _find_length(args: Sequence[Any], kwargs: dict[str, Any], made: Tensor) -> int:
    """Over how many things a softmax went."""
    dim = kwargs.get("dim", args[1] if len(args) > 1 else -1)
    return made.shape[dim] if isinstance(dim, int) and -made.dim() <= dim < made.dim() else 0


def _keep_places(tape: Tape, grid: Tensor) -> Kept:
    """Where an image is sampled."""
    return Kept(tape.slot(grid), grid.detach(), None if grid.is_inference() else grid._version)


def _is_small(args: Sequence[Any]) -> bool:
    """Whether a choice between two tensors is small enough to be kept."""
    masks = [each for each in args if isinstance(each, Tensor) and each.dtype == torch.bool]
    return len(args) == 3 and len(masks) == 1 and masks[0].numel() <= LARGEST_CHOICE


def _keep_values(slot: Slot, values: Tensor) -> Kept:
    values = values.detach()
    if values.numel() <= CLONED_VALUES:
        return Kept(slot, values.clone(), None)
    return Kept(slot, values, None if values.is_inference() else values._version)


def walk_slots(value: Any) -> Sequence[Slot]:
    """All slots in an argument."""
    if isinstance(value, Slot):
        return [value]
    if isinstance(value, Kept):
        return [value.slot]
    if isinstance(value, tuple | list):
        return [slot for each in value for slot in walk_slots(each)]
    return []


def list_inputs(op: Op) -> list[Slot]:
    """All tensors of real numbers that a function was given."""
    return [slot for arg in (*op.args, *op.kwargs.values()) for slot in walk_slots(arg) if slot.floating]


def is_tensor_of_numbers(value: Any) -> bool:
    """Whether an argument stands for a tensor of real numbers."""
    return isinstance(value, Slot) and value.floating


def clone_index(values: Tensor) -> Tensor:
    """Indices on the processor, where identities live."""
    return values.cpu() if values.device != torch.device("cpu") else values
