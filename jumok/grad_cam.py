"""Grad-CAM: which places of a feature map spoke for one output, by the gradient that reaches each channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from jumok.axes import Patches
from jumok.calls import Call
from jumok.errors import JumokError, suggest
from jumok.feature_maps import FeatureMaps, Mapped

__all__ = ["channel", "choose", "heat", "weigh"]

_TRACED = "with an input that requires gradients (pixels.requires_grad_())"


def weigh(features: Tensor, gradient: Tensor) -> Tensor:
    """Add the channels up, each by the mean gradient that it gets, and keep what speaks for the target.

    L = relu(sum_k alpha_k A^k), alpha_k = 1/Z sum_ij dy/dA^k_ij.

    Args:
        features: (batch, channels, rows, columns), A.
        gradient: the same shape, dy/dA.
    Returns:
        (batch, places), 0 or more.
    Source: Selvaraju et al. 2017, arXiv 1610.02391, equations 1 and 2.

    >>> weigh(torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]]), torch.tensor([[[[1.0, 1.0]], [[0.0, -1.0]]]]))
    tensor([[0., 2.]])
    """
    alpha = gradient.float().mean((2, 3))
    return torch.einsum("bk,bkhw->bhw", alpha, features.float()).clamp_(min=0).flatten(1)


def choose(maps: Mapping[str, Mapped], calls: Sequence[Call], layer: str | None) -> tuple[str, Mapped]:
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
        raise _nothing(maps)
    if layer is not None:
        inside = [path for path in maps if path == layer or path.startswith(f"{layer.rstrip('.')}.")]
        if not inside:
            raise JumokError(f"no feature map of a module {layer!r} was seen: {suggest(layer, _shown(maps))}")
        return layer, maps[inside[-1]]
    placed = [path for path, found in maps.items() if _places(found) > 1]
    if not placed:
        raise JumokError("every feature map that was seen has 1 x 1 places: show the model larger images")
    last = placed[-1]
    after = next((call for call in calls if call.axes is None and call.number >= maps[last].before), None)
    if after is not None:
        raise JumokError(
            f"after its last feature map the model goes on with tokens ({after.module or 'the model'} attends to "
            "them): use rollout or relevance, or name the layer whose feature map is meant"
        )
    return last, maps[last]


def heat(target: Tensor, found: Mapped, path: str, *, allow_empty: bool = False) -> tuple[Tensor, Patches]:
    """Grad-CAM of one feature map for a target.

    Args:
        target: one number, or one per image, of the forward pass that the map was seen in, with gradients.
        found: the map.
        path: of the module that made it, for messages.
        allow_empty: give zeros for an image in which no place speaks for the target.
    Returns:
        (batch, places), 0 or more; and the places.
    Raises:
        JumokError: the map has 1 x 1 places, or they are not the image's; it was written over; no gradient reaches it;
            or no place of some image speaks for the target.
    """
    features = _need_usable(target, found, path)
    (gradient,) = torch.autograd.grad(target.sum(), [features], retain_graph=True, allow_unused=True)
    if gradient is None or not bool(gradient.any()):
        raise JumokError(
            f"the target does not depend on the feature map of {path}: no gradient reaches it; compute the target from "
            "the last forward pass in the block, and choose a layer that leads to it"
        )
    weighed = weigh(features.detach(), gradient)
    empty = (~weighed.any(1)).nonzero()[:, 0].tolist()
    if empty and not allow_empty:
        raise JumokError(
            f"no place of the feature map of {path} speaks for the target in {_images(empty, len(weighed))}: all of "
            "its channels that are active there speak against it; ask for another target or layer"
        )
    return weighed, Patches(*features.shape[2:])


def channel(found: Mapped, path: str, number: int) -> tuple[Tensor, Patches]:
    """One channel of a feature map: (batch, places), any sign; and the places.

    Raises:
        JumokError: the map was not kept or cannot be laid over the image, or has no such channel.
    """
    features = _need_places(found, path).detach()
    count = features.shape[1]
    if not -count <= number < count:
        raise JumokError(f"channel {number} is outside the {count} of the feature map of {path}")
    return features[:, number].float().flatten(1), Patches(*features.shape[2:])


def _need_usable(target: Tensor, found: Mapped, path: str) -> Tensor:
    """The map's tensor, if a gradient can be asked for."""
    if not target.requires_grad:
        raise _untraced("the target")
    features = _need_places(found, path)
    if target.dim() and target.shape[0] not in (1, len(features)):
        raise JumokError(
            f"the target has shape {tuple(target.shape)} for a feature map of {len(features)} images: wanted one "
            "number per image, or one in all"
        )
    return features


def _need_places(found: Mapped, path: str) -> Tensor:
    """The map's tensor, if it was kept and its places are those of the image."""
    features = found.features
    if features is None:
        raise _untraced(f"the feature map of {path}")
    if features._version != found.version:
        raise JumokError(
            f"the feature map of {path} was written over by a later layer: choose that one, or the block around both"
        )
    if _places(found) == 1:
        raise JumokError(f"the feature map of {path} has 1 x 1 places: choose an earlier layer, or show larger images")
    if found.moved:
        raise JumokError(
            f"the feature map of {path} is of an image that the model sampled anew, so its places are not the image's: "
            "choose a layer before that"
        )
    return features


def _untraced(what: str) -> JumokError:
    return JumokError(
        f"{what} carries no gradient: run the model outside torch.no_grad() and inference_mode, {_TRACED}"
    )


def _places(found: Mapped) -> int:
    return found.rows * found.columns


def _images(numbers: list[int], count: int) -> str:
    if len(numbers) == count:
        return "any image"
    shown = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
    return f"{len(numbers)} of {count} images (number {shown})"


def _shown(maps: Mapping[str, Mapped]) -> list[str]:
    """The paths, those that were made last first, as a suggestion."""
    return list(reversed(list(maps)))


def _nothing(maps: Mapping[str, Mapped]) -> JumokError:
    if isinstance(maps, FeatureMaps) and maps.untraced:
        return _untraced("every feature map that was seen")
    return JumokError("no feature map was seen in the `with` block: Grad-CAM needs a model of 2-D convolutions")
