"""Keep the feature maps of a forward pass, so that Grad-CAM can ask any of them afterwards.

A feature map is what a convolution gave, and what was made of that by calls that leave it a map. In a pass that makes a
graph for gradients the last map of each module is kept; in any other, nothing.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.attention import Patches
from jumok.errors import JumokError, suggest_some
from jumok.watching.calls import Call

CONVOLUTION_CALLS: frozenset[Callable[..., Any]] = frozenset({torch.conv2d, F.conv2d})
HOOKED = "BackwardHookFunctionBackward"
"""The node that modules with backward hooks put behind what goes in and out of them: other tensors, the same values."""
SAMPLING_CALLS: frozenset[Callable[..., Any]] = frozenset({F.grid_sample, torch.grid_sampler, torch.grid_sampler_2d})
# What puts other axes where the channels or the places were.
TURNING_CALLS: frozenset[Callable[..., Any]] = frozenset({
    Tensor.permute, torch.permute, Tensor.transpose, torch.transpose, Tensor.movedim, torch.movedim, Tensor.view,
    Tensor.reshape, torch.reshape, Tensor.swapaxes, torch.swapaxes, Tensor.unflatten, torch.unflatten, torch.matmul,
    Tensor.matmul, Tensor.__matmul__, torch.einsum, F.linear, F.unfold, F.fold,
})  # fmt: skip


@dataclass(frozen=True)
class Mapped:
    """One feature map.

    Args:
        features: (batch, channels, rows, columns), part of the graph; None where it carries no gradient.
        rows, columns: its places.
        version: of the tensor when it was kept: a later one was written over.
        moved: whether the image was resampled on the way, so that the map's places are not those of the image.
        before: how many attention calls had been seen.
    """

    features: Tensor | None
    rows: int
    columns: int
    version: int
    moved: bool
    before: int

    @property
    def places(self) -> int:
        """How many there are."""
        return self.rows * self.columns

    def usable(self, path: str) -> Tensor:
        """The features, if they were kept and their places are those of the image.

        Args:
            path: of the module that made them, for messages.
        Raises:
            JumokError: they carry no gradient, were written over, have 1 x 1 places, or places of another image.
        """
        path = name_module(path)
        if self.features is None:
            raise explain_untraced(f"the feature map of {path}")
        if self.features._version != self.version:
            raise JumokError(
                f"the feature map of {path} was written over by a later layer: choose that one, or the block around "
                "both"
            )
        if self.places == 1:
            raise JumokError(
                f"the feature map of {path} has 1 x 1 places: choose an earlier layer, or show larger images"
            )
        if self.moved:
            raise JumokError(
                f"the feature map of {path} is of an image that the model resampled, so its places are not the "
                "image's: choose a layer before that"
            )
        return self.features


class FeatureMaps(Mapping[str, Mapped]):
    """The last feature map of each module, by its path, in the order in which they were made."""

    def __init__(self) -> None:
        self._kept: dict[str, Mapped] = {}
        self._known: dict[int, tuple[weakref.ref[Tensor], bool]] = {}  # by id: a map, and whether it was moved
        self.untraced = False
        """Whether a convolution ran that made no graph."""

    def __getitem__(self, path: str) -> Mapped:
        return self._kept[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def forget(self) -> None:
        """Let go of what only mattered while the model ran."""
        self._known.clear()

    def is_map(self, func: Callable[..., Any], args: tuple[Any, ...], result: Tensor) -> bool:
        """Whether a call gave a feature map; if so, it is known as one from now on."""
        if func in TURNING_CALLS:
            return False
        sources = [found for each in _find_operands(args) if (found := self._find_moved(each)) is not None]
        sampled = func in SAMPLING_CALLS
        if not sources and not sampled and func not in CONVOLUTION_CALLS:
            return False
        self._known[id(result)] = (weakref.ref(result), sampled or any(sources))
        return not sampled

    def keep(self, path: str, result: Tensor, before: int) -> None:
        """Keep a map as the last one of its module; what its own pooling leaves of it is none."""
        rows, columns = result.shape[2:]
        if rows * columns == 1 and path in self._kept and self._kept[path].places > 1:
            return
        self._kept.pop(path, None)  # so that the order is that of the last maps
        traced = result if result.requires_grad else None
        moved = bool(self._find_moved(result))
        version = result._version if traced is not None else 0
        self._kept[path] = Mapped(traced, rows, columns, version, moved, before)

    def _find_moved(self, tensor: object) -> bool | None:
        """Whether a known map was moved; None for what is no map."""
        known = self._known.get(id(tensor))
        if known is not None and known[0]() is tensor:
            return known[1]
        if not isinstance(tensor, Tensor) or tensor.grad_fn is None or tensor.grad_fn.name() != HOOKED:
            return None
        return next((moved for kept, moved in reversed(self._known.values()) if _is_same(kept(), tensor)), None)


def _is_same(one: Tensor | None, other: Tensor) -> bool:
    """Whether two tensors are the same values at the same place in memory."""
    return (
        one is not None
        and one.data_ptr() == other.data_ptr()
        and one.shape == other.shape
        and one.stride() == other.stride()
    )


def _find_operands(args: tuple[Any, ...]) -> Iterator[object]:
    """The first two arguments, and what is in them where they are lists."""
    for arg in args[:2]:
        yield from arg if isinstance(arg, list | tuple) else (arg,)


# -- which one is asked for ---------------------------------------------------------------------


def choose_feature_map(maps: Mapping[str, Mapped], calls: Sequence[Call], layer: str | None) -> tuple[str, Mapped]:
    """The feature map that is asked for: the last one that a layer made, or the last of all that has places.

    Args:
        maps: by the path of the module that made them, in their order.
        calls: the attention calls that were seen.
        layer: the path; None: the last.
    Returns:
        the path of the module that made it, and the map.
    Raises:
        JumokError: there is none, or the model went on from it with tokens.
    """
    if not maps:
        raise _explain_nothing(maps)
    if layer is not None:
        whole = layer.rstrip(".")
        inside = [path for path in maps if path == layer or path.startswith(f"{whole}.")]
        if not inside:
            raise JumokError(f"no feature map of a module {layer!r} was seen: {_suggest_layer(layer, maps)}")
        last = inside[-1]
        if last != whole and (after := _find_after(maps[last], calls, within=whole)):
            raise JumokError(
                f"after its last feature map {whole} continues with tokens ({name_module(after.module)} attends to "
                f"them): name that map, {last}"
            )
        return layer, maps[last]
    placed = [path for path, found in maps.items() if found.places > 1]
    if not placed:
        raise JumokError("every feature map that was seen has 1 x 1 places: show the model larger images")
    last = placed[-1]
    if after := _find_after(maps[last], calls):
        raise JumokError(
            f"after its last feature map the model continues with tokens ({name_module(after.module)} attends to "
            f"them): use rollout or relevance, or name the layer whose feature map is meant (--layer), such as "
            f"{name_module(last)}"
        )
    return last, maps[last]


def _find_after(found: Mapped, calls: Sequence[Call], within: str = "") -> Call | None:
    """The first call that attends to tokens after a map was made, in the model or within one of its modules."""
    inside = (call for call in calls if f"{call.module}.".startswith(f"{within}." if within else ""))
    return next((call for call in inside if call.axes is None and call.number >= found.before), None)


def take_channel(found: Mapped, path: str, number: int) -> tuple[Tensor, Patches]:
    """One channel of a feature map: (batch, places), any sign; and the places.

    Raises:
        JumokError: the map was not kept or cannot be laid over the image, or has no such channel.
    """
    features = found.usable(path).detach()
    count = features.shape[1]
    if not -count <= number < count:
        raise JumokError(f"channel {number} is outside the {count} of the feature map of {name_module(path)}")
    return features[:, number].float().flatten(1), Patches(*features.shape[2:])


def name_module(path: str) -> str:
    """What a module is called; "" is the path of the model itself."""
    return path or "the model"


def _suggest_layer(layer: str, maps: Iterable[str]) -> str:
    """Which layers there are near one that was not seen; the model itself is none, as its path is empty."""
    named = [path for path in maps if path]
    return suggest_some(layer, named) if named else "no module of this model makes one of its own: leave the layer out"


def _explain_nothing(maps: Mapping[str, Mapped]) -> JumokError:
    if isinstance(maps, FeatureMaps) and maps.untraced:
        return explain_untraced("every feature map that was seen")
    return JumokError("no feature map was seen in the `with` block: Grad-CAM needs a model of 2-D convolutions")


def check_gradient(target: Tensor) -> None:
    """Refuse a target of a pass that kept no gradients.

    Raises:
        JumokError: it is one.
    """
    if not target.requires_grad:
        raise explain_untraced("the target")


def explain_untraced(what: str) -> JumokError:
    """What to say of something that should carry a gradient."""
    return JumokError(
        f"{what} carries no gradient: run the model outside torch.no_grad() and inference_mode, with an input that "
        "requires gradients (pixels.requires_grad_()), and checkpointing with use_reentrant=False"
    )
