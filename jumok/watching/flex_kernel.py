"""Watch `flex_attention` and kernels of other packages: run as when nobody watches, and recorded from their inputs.

They are no functions that a mode could see, and the first compiles itself, which a mode would break. So while a model
is watched, the name stands for a function that records the call, in every module where the model's code may have taken
it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from jumok.attention.attended import ALL, Rows
from jumok.errors import JumokError
from jumok.watching.packed_kernels import READERS, Read, Step
from jumok.watching.record_parts import OfHeads, Unchanged, aside, repeat_heads, safe_softmax, widen

HOME = "torch.nn.attention.flex_attention"
TRANSFORMERS = "transformers.integrations.flex_attention"
FLEX_NAMES = {HOME: "flex_attention", TRANSFORMERS: "compile_friendly_flex_attention"}
NAMES = (*FLEX_NAMES.items(), *READERS)
"""Functions that models call: the module that holds each, and its name there."""
HOMES = frozenset(home for home, _ in NAMES)
HIDDEN = (
    "the model calls flex_attention by a reference that watch does not find, and PyTorch cannot compile it while it is "
    "watched: let the model find it as a name of its file, or as an attribute of its module"
)
USUAL = frozenset(vars(nn.Module()))
"""Attributes that every module has, which hold nothing that a model calls: not looked into, each time it is watched."""
ROWS_AT_ONCE = 256


_lock = threading.Lock()


@dataclass
class _Stand:
    """A name that stands for a function that records, for as long as anyone watches.

    Args:
        holder: the file, or the module of a model, that has the name.
        name: in it.
        original: what stood there.
        ours: what stands there now.
        watchers: how many have it stand there.
    """

    holder: ModuleType | nn.Module
    name: str
    original: Any
    ours: Callable[..., Any]
    watchers: int = 0

    def leave(self) -> None:
        """Put the original back, when the last watcher leaves."""
        self.watchers -= 1
        if self.watchers == 0:
            del _standing[id(self.holder), self.name]
            names = vars(self.holder)
            if names.get(self.name) is self.ours:  # else another library stands before us
                names[self.name] = self.original


_standing: dict[tuple[int, str], _Stand] = {}
"""What was replaced, by the id of the holder and the name."""


@contextmanager
def standing_in(
    modules: Mapping[str, nn.Module], make: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Iterator[None]:
    """Have other functions stand where a model's code finds `flex_attention`, until the block ends.

    Args:
        modules: of the model.
        make: makes the function that is called instead of another.
    Raises:
        JumokError: it was called by a reference that is not found.
    """
    with _lock:
        stands = [_stand_in(*place, make) for place in list(_find_homes(modules))]
        stands += [_stand_in(*place, make) for place in list(_find_held(modules))]
    try:
        yield
    except Exception as error:
        if type(error).__module__.startswith("torch._dynamo") and "flex_attention" in str(error):
            raise JumokError(HIDDEN) from error
        raise
    finally:
        with _lock:
            for stand in stands:
                stand.leave()


def _stand_in(
    holder: ModuleType | nn.Module, name: str, original: Any, make: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> _Stand:
    stand = _standing.get((id(holder), name))
    if stand is None:
        stand = _standing[id(holder), name] = _Stand(holder, name, original, _make_for(original, make))
        vars(holder)[name] = stand.ours
    stand.watchers += 1
    return stand


def _find_homes(modules: Mapping[str, nn.Module]) -> Iterator[tuple[ModuleType, str, Callable[..., Any]]]:
    """Where the functions stand that a model may call: the module, the name there, and the function.

    Args:
        modules: of the model; the program's modules that define their classes are searched each time, and the main one,
            all others when they are new.
    """
    originals = []
    for home, name in NAMES:
        known = _standing.get((id(sys.modules.get(home)), name))
        found = known.original if known else getattr(sys.modules.get(home), name, None)
        if found is not None:
            originals.append(found)
            yield sys.modules[home], name, found
    if not originals:
        return
    numbers = {id(original) for original in originals}
    names = {type(module).__module__ for module in modules.values()} | {"__main__"} | _find_holders(frozenset(numbers))
    for module_name in [name for name in names if name not in HOMES and not name.startswith("torch.")]:
        place = sys.modules.get(module_name)
        held = {} if place is None else vars(place).copy()
        found = {name: value for name, value in held.items() if _is_one_of(value, numbers)}
        found |= {known.name: known.original for known in list(_standing.values()) if known.holder is place}
        for name, original in found.items():
            if place is not None and _is_one_of(original, numbers):
                yield place, name, original


def _find_held(modules: Mapping[str, nn.Module]) -> Iterator[tuple[nn.Module, str, Any]]:
    """Attributes of a model's modules that are one of the functions, perhaps with arguments of its own."""
    standing = list(_standing.values())
    wanted = {id(known.original) for known in standing}
    own = {id(module) for module in modules.values()} if wanted else set()
    for known in standing:
        if id(known.holder) in own and isinstance(known.holder, nn.Module):
            yield known.holder, known.name, known.original
    for module in modules.values() if wanted else ():
        own_names = vars(module)
        for name in own_names.keys() - USUAL:
            value = own_names.get(name)
            if callable(value) and (id(module), name) not in _standing and _is_one_of(value, wanted):
                yield module, name, value


def _make_for(value: Any, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Callable[..., Any]:
    return partial(make(value.func), *value.args, **value.keywords) if isinstance(value, partial) else make(value)


def _is_one_of(value: object, wanted: Container[int]) -> bool:
    """Whether a value is one of some functions, by their ids: as it is, compiled, or with arguments of its own."""
    if issubclass(type(value), partial):  # isinstance would ask the value itself, and some warn when they are asked
        return _is_one_of(value.func, wanted)  # type: ignore[attr-defined]
    if id(value) in wanted:
        return True
    known = vars(value) if type(value) is FunctionType else {}
    # What wraps a compiled function carries its marks, too, but for the wrapper that they are of.
    own = known.get("_torchdynamo_wrapper_id", id(value)) == id(value)
    return own and id(known.get("_torchdynamo_orig_callable")) in wanted


def _find_holders(wanted: frozenset[int]) -> set[str]:
    """The program's modules among whose names some functions are, by their ids; each is looked into once."""
    held = _holders.setdefault(wanted, _Holders())
    if held.count != len(sys.modules):
        held.count = len(sys.modules)
        for name, place in list(sys.modules.items()):
            if name not in held.searched and isinstance(place, ModuleType):
                held.searched.add(name)
                if any(_is_one_of(value, wanted) for value in list(vars(place).values())):
                    held.names.add(name)
    return held.names


@dataclass
class _Holders:
    """Modules that were looked into, and those that hold what was wanted; `count`: how many modules there were."""

    searched: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    count: int = 0


_holders: dict[frozenset[int], _Holders] = {}


@dataclass
class Flexed(OfHeads):
    """softmax(score_mod(scale q k^T)) where the block mask allows it; rows are computed when they are asked for.

    Args:
        query: (batch, heads, queries, size).
        key: (batch, key heads, keys, size).
        value: as the key, or None where no gradient will be asked for.
        score_mod: changes scores, given image, head, query and key; None: leaves them.
        block_mask: of `flex_attention`; None: all may be attended.
        scale: factor on the scores.
        output: part of the graph, or None.
        tokens_first: whether the output has its tokens before its heads.
        dropout: the probability that was used on the weights; they are given as they were before it.
        joined: whether the output has no axis of images, of several sequences that stand in one.
    """

    query: Tensor
    key: Tensor
    value: Tensor | None
    score_mod: Callable[..., Tensor] | None
    block_mask: Any
    scale: float
    output: Tensor | None
    tokens_first: bool = False
    dropout: float = 0.0
    joined: bool = False
    unchanged: Unchanged = field(init=False)

    def __post_init__(self) -> None:
        self.unchanged = Unchanged(self.query, self.key, copy=self._copy)

    def _copy(self) -> Sequence[Tensor]:
        self.query, self.key = self.query.detach().clone(), self.key.detach().clone()
        return self.query, self.key

    @aside
    def weights(self, rows: Rows = None) -> Tensor:
        """As in `Attended`."""
        self.unchanged.check()
        batch, heads, queries, keys = self.shape
        chosen = torch.arange(queries, device=self.device)[slice(None) if rows is None else rows]
        key = repeat_heads(widen(self.key), heads)
        scores = (widen(self.query[:, :, chosen]) * self.scale) @ key.transpose(-1, -2)
        places = (
            torch.arange(batch, device=self.device)[:, None, None, None],
            torch.arange(heads, device=self.device)[:, None, None],
            chosen[:, None],
            torch.arange(keys, device=self.device),
        )
        if self.score_mod is not None:
            scores = self.score_mod(scores, *places).expand(scores.shape)
        if self.block_mask is not None:
            scores = scores.masked_fill(~self._allowed(*places).expand(scores.shape), -torch.inf)
        return safe_softmax(scores).float()

    def _allowed(self, image: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """What the mask lets through: inside its blocks, where its function says so."""
        mask = self.block_mask
        blocks = mask.to_dense().bool()
        tall, wide = mask.BLOCK_SIZE
        image, head = image.clamp(max=blocks.shape[0] - 1), head.clamp(max=blocks.shape[1] - 1)
        inside = blocks[image, head, query // tall, key // wide]
        allowed: Tensor = inside if mask.mask_mod is None else inside & mask.mask_mod(image, head, query, key)
        return allowed

    def pull(self, row: Tensor) -> Tensor:
        """As in `Attended`."""
        return self._pull(row, None)

    def pull_relevance(self, row: Tensor, gradient: Tensor) -> Tensor:
        """As in `Attended`; dL/dA is dL/dO V^T."""
        return self._pull(row, gradient)

    def relevant(self, gradient: Tensor, images: slice = ALL) -> Tensor:
        """As in `Attended`."""
        parts = [self._block(list(rows), gradient).mean(1) for rows in self._rows()]
        return torch.cat(parts, 1)[images]

    def _pull(self, row: Tensor, gradient: Tensor | None) -> Tensor:
        total = torch.zeros(self.shape[0], self.shape[3], device=self.device)
        for rows in self._rows():
            part = row[:, rows.start : rows.stop].to(total)
            if bool(part.any()):
                total += (part[:, None, None] @ self._block(list(rows), gradient)).mean(1)[:, 0]
        return total

    def _rows(self) -> Iterator[range]:
        count = self.shape[2]
        yield from (range(first, min(first + ROWS_AT_ONCE, count)) for first in range(0, count, ROWS_AT_ONCE))

    @aside
    def _block(self, rows: list[int], gradient: Tensor | None) -> Tensor:
        """Weights of some queries, times (dL/dA)+ where a gradient is given."""
        weights = self.weights(rows)
        if gradient is None:
            return weights
        if self.value is None:
            raise JumokError("no gradient was traced through this attention call: run the model with gradients enabled")
        if self.dropout > 0:
            raise JumokError(
                f"relevance needs the weights that were used, and dropout {self.dropout} hid some: call model.eval()"
            )
        value = repeat_heads(widen(self.value), self.shape[1])
        gradient = gradient[None] if self.joined else gradient
        gradient = to_heads_first(gradient) if self.tokens_first else gradient
        change = widen(gradient[:, :, rows]) @ value.transpose(-1, -2)
        return weights * change.clamp(min=0)


def to_heads_first(tokens: Tensor) -> Tensor:
    """(batch, tokens, [heads,] size) to (batch, heads, tokens, size)."""
    return tokens.transpose(1, 2) if tokens.dim() == 4 else tokens[:, None]


class Recorded(NamedTuple):
    """A call that was recorded.

    Args:
        attended: its weights.
        query, key, value: as they stand in the call, in its own order of axes.
        steps: how these were made of what was given.
        passing: whether later steps write over the keys, so that the weights must be computed now.
    """

    attended: Flexed
    query: Tensor
    key: Tensor
    value: Tensor
    steps: tuple[Step, ...] = ()
    passing: bool = False


def record_call(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> Recorded | None:
    """Record a call from what went in and what came out; None where its form is not known.

    Args:
        name: of the function that was called.
        args, kwargs: as they were given.
        output: what it returned.
    """
    reader = next((reader for (_, known), reader in READERS.items() if known == name), None)
    if reader is None:
        query, key, value = (*args, *kwargs.values())[:3]
        return Recorded(_record_flex(name, args, kwargs, output), query, key, value)
    call = reader(args, kwargs)
    if call is None:
        return None
    attended = _record_read(call, output[0] if isinstance(output, tuple) else output)
    return Recorded(attended, call.query, call.key, call.value, call.steps, call.passing)


def _record_read(call: Read, output: Tensor) -> Flexed:
    traced = output if output.requires_grad else None
    return Flexed(
        to_heads_first(call.query.detach()),
        to_heads_first(call.key.detach()),
        None if traced is None else to_heads_first(call.value.detach()),
        call.modify,
        None,
        call.query.shape[-1] ** -0.5 if call.scale is None else float(call.scale),
        traced,
        tokens_first=True,
        dropout=call.dropout,
        joined=call.joined,
    )


def _record_flex(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> Flexed:
    """Record `flex_attention`, or what transformers calls it by."""
    names = ["query", "key", "value", "score_mod", "block_mask", "scale"]
    if name == FLEX_NAMES[TRANSFORMERS]:
        names = names[:3]
    given = dict(zip(names, args, strict=False)) | dict(kwargs)
    first = output[0] if isinstance(output, tuple) else output
    query, scale = given["query"], given.get("scale")
    traced = first if first.requires_grad else None
    return Flexed(
        query.detach(),
        given["key"].detach(),
        None if traced is None else given["value"].detach(),
        given.get("score_mod"),
        given.get("block_mask"),
        query.shape[-1] ** -0.5 if scale is None else float(scale),
        traced,
    )
