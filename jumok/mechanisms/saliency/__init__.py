"""Saliency: attention over pixels that asks for no model, only for what stands out in the image itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import torch
from torch import Tensor

from jumok.attention import AttentionMap, One, Pixels, Scale
from jumok.errors import JumokError, suggest
from jumok.mechanisms.example import Example
from jumok.mechanisms.saliency.pixels import to_batch
from jumok.watching.watchers import is_watched, report, unseen

__all__ = ["DEFAULT_METHOD", "METHODS", "Method", "example", "saliency", "saliency_map"]


@dataclass(frozen=True)
class Method:
    """A way to find what is salient, and what it goes by."""

    about: str


METHODS = {
    "spectral-residual": Method("what the smoothed spectrum does not foretell (Hou & Zhang 2007)"),
    "fine-grained": Method("brighter or darker than the surround (Montabone & Soto 2010)"),
    "itti-koch-niebur": Method("brightness, colour, orientation over scales (Itti, Koch & Niebur 1998)"),
    "frequency-tuned": Method("far from the image's mean colour (Achanta et al. 2009)"),
    "boolean-maps": Method("surrounded regions (Zhang & Sclaroff 2013)"),
}
"""By name; a method's file and function bear it too, with underscores, and are imported when first used."""
DEFAULT_METHOD = "boolean-maps"


def saliency(images: Tensor, method: str = DEFAULT_METHOD) -> Tensor:
    """Tell how salient each pixel is; watchers are told. No gradient flows.

    Args:
        images: (batch, channels, height, width), (channels, height, width) or (height, width); channels 1 (grey),
            3 (RGB) or 4 (RGBA, laid over white); uint8 from 0 to 255, or float from 0 to 1. Any size from 1 x 1 on.
        method: a name in `METHODS`.
    Returns:
        (batch, height, width), or (height, width) for one image; float32, 0 or more, on the device of the images.
        Raw values: each method has a scale of its own.
    Raises:
        JumokError: no such method, or images of another shape, type or range.

    >>> image = torch.zeros(1, 40, 60)
    >>> image[:, 10:15, 20:25] = 1
    >>> divmod(int(saliency(image, "frequency-tuned").argmax()), 60)
    (12, 22)
    """
    if method not in METHODS:
        raise JumokError(f"no saliency method {method!r}: {suggest(method, METHODS)}")
    batch = to_batch(images)
    with unseen(), torch.no_grad():
        found = _find_function(method)(batch).to(images.device)
    if is_watched():
        report(found.flatten(1)[:, None], (One("image"), Pixels(*found.shape[1:])), Scale.RELEVANCE)
    return found if images.dim() == 4 else found[0]


def saliency_map(images: Tensor, method: str = DEFAULT_METHOD) -> AttentionMap:
    """The same as a map: how the image as a whole looks at its pixels.

    Args:
        images, method: as of `saliency`.
    Returns:
        one query, keys `Pixels`, raw; with a leading axis "batch" where the images have one.
    Raises:
        JumokError: as `saliency`.

    >>> saliency_map(torch.zeros(3, 4, 6), "fine-grained")
    AttentionMap(queries 1 x keys 24, One -> Pixels, relevance, 'saliency/fine-grained')
    """
    found = saliency(images, method)
    lead = ("batch",) if images.dim() == 4 else ()
    keys = Pixels(*found.shape[-2:])
    return AttentionMap(
        found.flatten(-2)[..., None, :], One("image"), keys, lead, Scale.RELEVANCE, f"saliency/{method}"
    )


def _find_function(method: str) -> Callable[[Tensor], Tensor]:
    name = method.replace("-", "_")
    function: Callable[[Tensor], Tensor] = getattr(import_module(f"jumok.mechanisms.saliency.{name}"), name)
    return function


def example() -> Example:
    """Two photographs of nothing but noise."""
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 20, 30), generator=draw, dtype=torch.uint8)
    return Example(
        output=lambda images: saliency(images, "spectral-residual"),
        weights=lambda images: saliency_map(images, "spectral-residual").weights,
        inputs={"images": images},
        wrong={"images": torch.zeros(2, 5, 20, 30)},
        scale=Scale.RELEVANCE,
        hard=True,
    )
