"""Grad-CAM: which places of a feature map hold evidence for one output, by the gradient that reaches each channel."""

from __future__ import annotations

import torch
from torch import Tensor

from jumok.attention import AttentionMap, One, Patches, Scale
from jumok.errors import JumokError
from jumok.watching.chain import check_target, needing_graph
from jumok.watching.feature_maps import check_gradient, name_module
from jumok.watching.seen import Seen

__all__ = ["grad_cam", "weigh"]


def weigh(features: Tensor, gradient: Tensor) -> Tensor:
    """Add the channels up, each by the mean gradient that it gets, and keep the evidence for the target.

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


def grad_cam(seen: Seen, target: Tensor, *, layer: str | None = None, allow_empty: bool = False) -> AttentionMap:
    """Which places of a feature map hold evidence for a target.

    Args:
        seen: of the pass that the target is of.
        target: one number, or one per image, with gradients.
        layer: path of a module, whose last feature map is meant; None: the last one of the model that has places.
        allow_empty: give zeros for an image that holds no evidence for the target, where others may.
    Returns:
        (batch, 1, places of the feature map), 0 or more.
    Raises:
        JumokError: no such feature map; a target of another shape; no gradient reaches the map; or no evidence for the
            target in some image.
    Source: Selvaraju et al. 2017, arXiv 1610.02391.
    """
    path, found = seen.find_feature_map(layer)
    check_gradient(target)
    heat = _weigh_map(target, found.usable(path), path, allow_empty=allow_empty)
    keys = Patches(found.rows, found.columns)
    return AttentionMap(heat[:, None], One("image"), keys, ("batch",), Scale.RELEVANCE, f"grad-cam({path})")


def _weigh_map(target: Tensor, features: Tensor, path: str, *, allow_empty: bool) -> Tensor:
    """(batch, places) of the feature map that a module made."""
    check_target(target, len(features))
    path = name_module(path)
    with needing_graph("Grad-CAM"):
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
            f"the feature map of {path} holds no evidence for the target in {_name_images(empty, len(weighed))}: all "
            "of its active channels speak against it; ask for another target or layer"
        )
    return weighed


def _name_images(numbers: list[int], count: int) -> str:
    if len(numbers) == count:
        return "any image"
    shown = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
    return f"{len(numbers)} of {count} images (number {shown})"
