"""What a tape holds: operations, and the tensors of a forward pass by their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from jumok.watching.provenance.pictures import TracedPixels

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
State = tuple[int, bool, bool, bool]
"""Of a tensor, after an operation: `soft`, `fixed`, `pure` and `scored` of its `Slot`."""
COLOURS = 3
"""Channels of an image without an axis of the batch."""
PLAIN = frozenset([int, float, bool, str, type(None), torch.dtype, torch.device])
"""Kinds of arguments that are kept as they are: most are, so they are told first."""


def holds_numbers(tensor: Tensor) -> bool:
    """Whether a tensor holds real or complex numbers, or the bytes of images: no indices, ids of words or masks."""
    if tensor.dtype not in WHOLE_NUMBERS:
        return True
    shape = tensor.shape if tensor.dtype == torch.uint8 and not tensor.is_nested else ()
    return len(shape) in (4, 5) or (len(shape) == 3 and COLOURS in (shape[0], shape[-1]))


class Slot:
    """One tensor of the forward pass, by identity.

    Args:
        shape, dtype: of the tensor.
        floating: whether it holds real or complex numbers, or the bytes of images.
        parameter: the tensor itself, where it is a parameter of the model.
        constant: a buffer of the model, or not made by anything that depends on the input.
        argument: whether it was handed to the model (of a tensor that nothing on the tape made).
        made: whether something on the tape made it.
        soft: the number of the last softmax among what made it, without a product with values since; 0: none. Any
            other division of a tensor by its own sum over an axis counts as one.
        scored: whether it came, element by element, out of a product of two tensors that depend on the input.
        summed: of which tensor it holds the sums, and over which axis.
        power: of which tensor it is the exponential.
        fixed: whether it is a parameter or a buffer, or a view of one.
        pure: whether it depends on nothing that was given to the model, as far as is known: it was made in the block.
        made_in: the number of the forward that made it, of a pure one; 0: none did.
        hidden: what made it without being seen, of a tensor that was made of what the model was given; else "".
        traced: where its numbers lie in images, of an input for which that was said.
        nested: whether it holds items of different lengths, and has no shape here.
    """

    __slots__ = (
        "argument", "constant", "dtype", "fixed", "floating", "hidden", "made", "made_in", "nested", "parameter",
        "power", "pure", "scored", "shape", "soft", "summed", "traced",
    )  # fmt: skip

    def __init__(self, tensor: Tensor, *, made: bool) -> None:
        self.nested = tensor.is_nested
        self.shape: tuple[int, ...] = () if self.nested else tensor.shape
        self.dtype = tensor.dtype
        self.floating = holds_numbers(tensor)
        self.parameter: Tensor | None = None
        self.constant = False
        self.argument = False
        self.made = made
        self.made_in = self.soft = 0
        self.hidden = ""
        self.fixed = self.pure = self.scored = False
        self.summed: Summed | None = None
        self.power: Slot | None = None
        self.traced: TracedPixels | None = None

    @property
    def state(self) -> State:
        """As it is now."""
        return self.soft, self.fixed, self.pure, self.scored

    @state.setter
    def state(self, state: State) -> None:
        self.soft, self.fixed, self.pure, self.scored = state

    @property
    def kind(self) -> tuple[object, ...]:
        """What tells apart tensors that nothing on the tape made."""
        return (
            self.shape,
            self.floating,
            self.constant,
            self.argument,
            self.hidden,
            self.parameter is None,
            id(self.traced),
        )

    def copy(self) -> Slot:
        """Another slot that says the same."""
        other = Slot.__new__(Slot)
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        return other


Summed = tuple[Slot, int]
"""A tensor, and the axis over which it was summed."""


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


class Notes(NamedTuple):
    """What the recorder found out about an operation.

    Args:
        calls: numbers of the attention calls that the function was.
        path: the module that ran, where it may have to be named.
        heads: how many heads the module says that it has; 0 where it does not.
        weights: which operand holds the weights, of a product that the model formed by hand.
        factors: of a sum over products of weights with values, element by element: the weights and the values.
        gate: which factor is one gate for each channel of an image, of a product with a feature map.
        route: the number of the shares of experts that were noted with the function.
    """

    calls: tuple[int, ...] = ()
    path: str = ""
    heads: int = 0
    weights: Slot | None = None
    factors: tuple[Slot, Slot] | None = None
    gate: Slot | None = None
    route: int | None = None


NOTHING = Notes()


@dataclass(slots=True)
class Op:
    """One function that ran.

    Args:
        name: of the function, as `functions.find_name` gives it.
        args, kwargs: as they were given, with a `Slot` or `Kept` in the place of each tensor.
        outs: the tensors that it returned, in order.
        notes: what the recorder found out about it.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outs: tuple[Slot, ...]
    notes: Notes = NOTHING

    @property
    def where(self) -> str:
        """The module that ran, for a message."""
        return f" in {self.notes.path}" if self.notes.path else ""

    def given(self, number: int, name: str, default: Any = None) -> Any:
        """An argument by its place or its name."""
        return self.args[number] if len(self.args) > number else self.kwargs.get(name, default)


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


def clone_index(values: Tensor) -> Tensor:
    """Indices on the processor, where identities live."""
    return values.cpu() if values.device != torch.device("cpu") else values
