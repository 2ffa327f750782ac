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
from torch._C._functorch import is_batchedtensor

from jumok.watching.provenance import functions, mixed_maps, own_sums
from jumok.watching.provenance.last_pass import LastPass, Slots
from jumok.watching.provenance.ops import NOTHING, PLAIN, Kept, Notes, Op, Slot, State, Summed, walk_slots
from jumok.watching.provenance.pictures import TracedPixels

CLONED_VALUES = 4096
"""Indices up to this many are copied; of more a reference is kept, and a later change in place is noticed."""

LARGEST_CHOICE = 1 << 20
"""Elements of a mask that is kept where it chooses between two tensors, at most."""


class _Traits(NamedTuple):
    """What the tape must know of a function.

    Args:
        by_values: it takes indices or masks, whose values are kept.
        softmax: it makes weights.
        viewing: it gives a view.
        keeps_weights: what it makes of weights are weights.
        special: more than its arguments must be known of it.
        divides: it may divide by a sum.
        sums: it may give sums, or keep them.
        scores: it may make scores.
    """

    by_values: bool
    softmax: bool
    viewing: bool
    keeps_weights: bool
    special: bool
    divides: bool
    sums: bool
    scores: bool


_TRAITS: dict[str, _Traits] = {}


def _find_traits(name: str) -> _Traits:
    softmax, plain = name in functions.SOFTMAXES, functions.strip(name)[0]
    special = softmax or name in functions.BY_SIZES | functions.SORTING or name in ("as_strided", "grid_sample")
    laid_out = softmax or name in functions.WEIGHTS_LAID_OUT
    sums = name == "sum" or plain in own_sums.SUM_KEPT
    found = _Traits(
        name in functions.BY_VALUES, softmax, name in functions.VIEWS, laid_out, special,
        plain in own_sums.DIVISIONS, sums, name in functions.SCORING,
    )  # fmt: skip
    return _TRAITS.setdefault(name, found)


@dataclass
class Tape:
    """What ran, in order.

    Args:
        constants: ids of the model's buffers.
        own: ids of the model's parameters; another may be an image that is optimised.
        is_argument: tells whether a tensor was handed to the model, which runs now, or which nobody runs; of one that
            was made in a forward, its number says in which.
        number_forward: tells the number of the forward that runs now.
        find_path: tells which module runs.
        expect_weights: is called where weights were made by something else than a softmax.
        ops: what ran; while the last pass is repeated, nothing.
        states: of the tensors that each of them made, right after it.
        lengths: over how many things each softmax went, by its number.
        traced: inputs of which it was said where their numbers lie in images.
        known: passes that may be repeated.
        last: the one of them that is, so far.
        batched: whether something ran inside `torch.func.vmap`.
        items: of the batch that the model was given; 0 as long as that is not known.
    """

    constants: frozenset[int]
    own: frozenset[int]
    is_argument: Callable[..., bool]
    number_forward: Callable[[], int]
    find_path: Callable[[], str]
    expect_weights: Callable[[], None] = lambda: None
    ops: list[Op] = field(default_factory=list)
    states: list[tuple[State, ...]] = field(default_factory=list)
    lengths: list[int] = field(default_factory=lambda: [0])
    traced: Sequence[TracedPixels] = ()
    known: Sequence[LastPass] = ()
    last: LastPass | None = None
    _begun: bool = False
    _slots: Slots = field(default_factory=dict)
    _soft: int = 0
    _fixed: bool = True
    _scored: bool = False
    _summed: Summed | None = None
    _given: bool = False
    _pure: bool = True
    _turned: bool = False
    batched: bool = False
    items: int = 0
    _found: Any = None

    # -- repeating ------------------------------------------------------------------------------

    def compare_with(self, known: Sequence[LastPass]) -> None:
        """Write nothing down as long as that is what was done in one of these passes, the one that begins alike."""
        self.known = known

    def _begin(self, name: str, made: Sequence[Tensor]) -> None:
        """Choose by the first operation which pass may be repeated."""
        self.last = next((last for last in self.known if last.begins_with(name, made)), None)
        self.known = [last for last in self.known if last is not self.last]
        self._begun = True
        if self.last is not None:
            self.lengths = self.last.lengths
            self.last.begin(self._slots, self.slot, self.is_argument, self.number_forward)
            if len(self.lengths) > 1:
                self.expect_weights()

    def stop_comparing(self) -> None:
        """Have on the tape what ran, be it what ran in the last pass."""
        if self.last is not None:
            for op, states in self.last.repeated:
                self.ops.append(op)
                self.states.append(states)
            self.lengths = self.lengths[: 1 + max((soft for each in self.states for soft, *_ in each), default=0)]
            self.last = None

    def look_up(self) -> Any:
        """What the replay of the last pass gave, if this one has done the same; else None, and all is on the tape."""
        if self.last is None:
            return self._found
        if self.last.complete:
            return self.last.found
        self.stop_comparing()
        return None

    def copy_as_last(self, found: Any) -> LastPass | None:
        """The pass so far, for the next one to be compared with; None where comparing would not be enough.

        Args:
            found: what its replay gave.
        """
        return None if self._turned or self.batched else LastPass.of(self.ops, self.states, list(self.lengths), found)

    # -- writing --------------------------------------------------------------------------------

    def note(self, name: str, args: Sequence[Any], kwargs: dict[str, Any], result: Any, notes: Notes = NOTHING) -> None:
        """Write down that a function ran, if it made a tensor or wrote into one."""
        if isinstance(result, Tensor):
            made: tuple[Tensor, ...] = (result,)
        elif isinstance(result, tuple | list):
            made = tuple([each for each in result if isinstance(each, Tensor)])
        else:
            made = ()
        if made or name in functions.WRITES:
            self.write(name, args, kwargs, made, notes)

    def write(
        self, name: str, args: Sequence[Any], kwargs: dict[str, Any], made: Sequence[Tensor], notes: Notes = NOTHING
    ) -> None:
        """As `note`, of something that has a name here."""
        if not self._begun:
            self._begin(name, made)
        if self.last is not None:
            if self.last.repeats(name, args, kwargs, made, notes):
                return
            self.stop_comparing()
        if name in functions.NAMED_BY_PLACE and not notes.path:
            notes = notes._replace(path=self.find_path())
        op = self._make_op(name, args, kwargs, made, notes)
        self.ops.append(op)
        self.states.append(tuple([out.state for out in op.outs]))

    def _make_op(
        self, name: str, args: Sequence[Any], kwargs: dict[str, Any], made: Sequence[Tensor], notes: Notes
    ) -> Op:
        traits = _TRAITS.get(name) or _find_traits(name)
        by_values, softmax, viewing, _, special = traits[:5]
        self._soft, self._fixed, self._given, self._pure = 0, True, False, True
        self._scored, self._summed = False, None
        more: dict[str, Any] = {}
        if special:
            args, kwargs, more = self._read_special(name, args, kwargs, made)
        keep = by_values or (name == "where" and _is_small(args))
        frozen = tuple([arg if type(arg) in PLAIN else self._freeze(arg, keep) for arg in args])
        named = {key: self._freeze(value, keep) for key, value in kwargs.items()} if kwargs else kwargs
        if traits.divides and not self._soft and (self._summed or name == "normalize"):
            softmax = self._divide(functions.strip(name)[0], frozen, named)
        if softmax:
            self._soft = len(self.lengths) - 1
        if name in functions.TURNED_IN_PLACE:
            self._slots.pop(id(args[0]), None)  # by what it is from now on, it is another tensor
        outs = tuple([self._make(each, viewing) for each in made])
        op = Op(name, frozen, {**named, **more} if more else named, outs, notes)
        if notes.calls:
            kept = mixed_maps.find_kept(op, self.lengths)
            for out in outs:
                out.soft, out.scored = kept, False
        else:
            self._tell_weights(op, traits, fresh=softmax)
        return op

    def _tell_weights(self, op: Op, traits: _Traits, *, fresh: bool) -> None:
        """Whether what an operation made are weights, scores or sums still; `fresh`: weights it made itself."""
        if self._soft and not (traits.keeps_weights or fresh):
            self._stop_softness(op)
        if self._scored or traits.scores:
            self._find_scores(op)
        if op.name == "exp" and op.outs:
            op.outs[0].power = op.args[0] if op.args and isinstance(op.args[0], Slot) else None
        elif op.name == "sum" and op.outs:
            op.outs[0].summed = own_sums.read_sum(op)
        elif self._summed and traits.sums and op.outs and own_sums.keeps_sum(op):
            op.outs[0].summed = self._summed

    def _divide(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether a tensor is divided by its own sum: as a softmax, that makes weights of scores."""
        found = own_sums.find_divided(name, args, kwargs)
        if found is None:
            return False
        self.lengths.append(found[0].shape[found[1]])
        self.expect_weights()
        return True

    def _find_scores(self, op: Op) -> None:
        """What comes out of a product of tokens is scores until it gets another shape."""
        name = functions.strip(op.name)[0]
        scored = own_sums.is_scoring(op, name) or (self._scored and own_sums.keeps_scores(op, name))
        for out in op.outs:
            out.scored = scored and out.floating

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
        if name in functions.SORTING:
            return args, kwargs, self._keep_order(args[0] if args else kwargs["input"], made)
        self.lengths.append(_find_length(args, kwargs, made[0]))
        return args, kwargs, {}

    def _keep_order(self, given: Tensor, made: Sequence[Tensor]) -> dict[str, Any]:
        """Which keys weights or scores were chosen of, or in which order they are."""
        slot = self.slot(given)
        if len(made) != 2 or not (slot.soft or slot.scored):
            return {}
        return {"chosen": _keep_values(slot, made[1])}

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
        if isinstance(tensor, nn.Parameter) and (id(tensor) in self.own or not self.is_argument(tensor, True)):
            slot.parameter, slot.fixed = tensor, True
        elif id(tensor) in self.constants:
            slot.constant = slot.fixed = True
        else:
            slot.argument = self.is_argument(tensor, True)
            self.items = self.items or (tensor.size(0) if slot.argument and tensor.dim() > 1 else 0)
            slot.hidden = "" if slot.argument or not slot.floating else self._find_hidden(tensor)
            if slot.hidden and self.is_argument(tensor, False, objects=True):
                slot.hidden, slot.argument = "", True
            slot.traced = next((each for each in self.traced if each.tensor is tensor), None)
        self._slots[id(tensor)] = (weakref.ref(tensor), slot)
        return slot

    def _find_hidden(self, tensor: Tensor) -> str:
        """What made a tensor without being seen, if it was made of what the model was given."""
        if self.batched:
            return "what torch.func.vmap made"
        whole = tensor.dim() > 2 and tensor.size(0) == self.items > 1
        return "something that was not seen (TorchScript, NumPy, another thread?)" if whole or tensor.grad_fn else ""

    def known_slot(self, tensor: object) -> Slot | None:
        """The number of a tensor, if it has one."""
        known = self._slots.get(id(tensor))
        return known[1] if known is not None and known[0]() is tensor else None

    def forget(self) -> Sequence[LastPass]:
        """Let go of what only mattered while the model ran. Returns the passes that may be repeated again."""
        self._slots.clear()
        self.look_up()
        last, known = self.last, self.known
        self.last, self.known = None, ()
        if last is None:
            return known
        self._found = last.found
        last.end()
        return [last, *known]

    def _make(self, tensor: Tensor, viewing: bool) -> Slot:
        known = self._slots.get(id(tensor))
        if known is not None and known[0]() is tensor:  # written in place, or handed on as it was
            slot = known[1]
        else:
            slot = Slot(tensor, made=True)
            self.batched = self.batched or is_batchedtensor(tensor)
            self._slots[id(tensor)] = (weakref.ref(tensor), slot)
        slot.soft = self._soft if slot.floating else 0
        slot.fixed = self._fixed and self._given and viewing
        slot.pure = self._pure and not slot.fixed
        slot.made_in = self.number_forward() if slot.pure else 0
        slot.scored = self._scored and slot.floating
        slot.summed = None
        return slot

    def _freeze(self, value: Any, keep: bool) -> Any:
        if isinstance(value, Tensor):
            known = self._slots.get(id(value))
            slot = known[1] if known is not None and known[0]() is value else self.slot(value)
            self._given = True
            if slot.soft > self._soft:
                self._soft = slot.soft
            if slot.scored:
                self._scored = True
            if slot.summed is not None:
                self._summed = slot.summed
            if slot.pure and self.is_argument(value, False, slot.made_in):  # made in the block, then given to the model
                slot.argument, slot.pure = True, False
                self._turned = True
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
        return type(value).__name__ if getattr(value, "ndim", 0) else value  # an array of another library is not kept


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
