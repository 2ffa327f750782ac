"""Frequency-tuned saliency: how far each pixel's colour is from the mean colour of the image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from jumok.mechanisms.saliency.lab import to_lab
from jumok.mechanisms.saliency.pixels import Band, blur_binomial, cut_bands, cut_chunks, lay_upright, to_unit

__all__ = ["frequency_tuned"]

BLUR_REACH = 2
"""Pixels to either side that `blur_binomial` goes by."""


def frequency_tuned(images: Tensor) -> Tensor:
    """Measure the distance of each pixel, slightly blurred, to the mean of all: S(x) = |I_mean - I_blurred(x)|.

    Args:
        images: (batch, 1 or 3, height, width), uint8, or float from 0 to 1.
    Returns:
        (batch, height, width) float32, 0 or more: a distance in CIE L*a*b*, where L goes from 0 to 100.
    Source: Achanta, Hemami, Estrada & Susstrunk 2009, Frequency-tuned Salient Region Detection, eq. 4.
    """
    return cut_chunks(images, lambda few: lay_upright(few, _process_few))


def _process_few(images: Tensor) -> Tensor:
    bands = cut_bands(images.shape[2], images.shape[3], BLUR_REACH)
    if len(bands) > 1:
        return _process_bands(images, bands)
    found = to_lab(to_unit(images))
    return _measure_distance(found, found.double().mean((2, 3), keepdim=True).float())


def _process_bands(images: Tensor, bands: Sequence[Band]) -> Tensor:
    """A large image some rows at a time, once for its mean and once for the distances."""
    total = images.new_zeros(*images.shape[:2], 1, 1, dtype=torch.float64)
    for band in bands:
        total = total + to_lab(to_unit(images[:, :, band.top : band.end])).double().sum((2, 3), keepdim=True)
    mean = (total / images[0, 0].numel()).float()
    found = torch.empty(images.shape[0], *images.shape[2:])
    for band in bands:
        distance = _measure_distance(to_lab(to_unit(images[:, :, band.wide])), mean)
        found[:, band.top : band.end] = distance[:, band.core]
    return found


def _measure_distance(pixels: Tensor, mean: Tensor) -> Tensor:
    distance: Tensor = blur_binomial(pixels).sub_(mean).square_().sum(1).sqrt_()
    return distance
