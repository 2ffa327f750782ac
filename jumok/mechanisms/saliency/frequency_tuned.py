"""Frequency-tuned saliency: how far each pixel's colour is from the mean colour of the image."""

from __future__ import annotations

from torch import Tensor

from jumok.mechanisms.saliency.pixels import blur_binomial, cut_chunks, to_lab, to_unit

__all__ = ["frequency_tuned"]


def frequency_tuned(images: Tensor) -> Tensor:
    """Measure the distance of each pixel, slightly blurred, to the mean of all: S(x) = |I_mean - I_blurred(x)|.

    Args:
        images: (batch, 1 or 3, height, width), uint8, or float from 0 to 1.
    Returns:
        (batch, height, width) float32, 0 or more: a distance in CIE L*a*b*, where L goes from 0 to 100.
    Source: Achanta, Hemami, Estrada & Susstrunk 2009, Frequency-tuned Salient Region Detection, eq. 4.
    """
    return cut_chunks(images, _process_few)


def _process_few(images: Tensor) -> Tensor:
    found = to_lab(to_unit(images))
    mean = found.double().mean((2, 3), keepdim=True).float()
    distance: Tensor = blur_binomial(found).sub_(mean).square_().sum(1).sqrt_()
    return distance
