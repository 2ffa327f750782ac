"""A spectrogram as a picture: time to the right, high frequencies at the top, louder is lighter."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor

from jumok.errors import JumokError

__all__ = ["draw_spectrogram"]

LEAST_WIDTH, MOST_WIDTH = 480, 1600
"""Pixels of the picture: short sounds are stretched, long ones are shrunk."""
HEIGHT = 200


def draw_spectrogram(values: Tensor) -> Image.Image:
    """Shades linear in the values, from the least to the largest.

    Args:
        values: (bands, frames), the lowest band first; any unit.
    Raises:
        JumokError: not that shape.
    """
    if values.dim() != 2 or not values.numel():
        raise JumokError(f"a spectrogram is (bands, frames), got {tuple(values.shape)}")
    low, high = float(values.min()), float(values.max())
    shades = ((values.float() - low) / max(high - low, 1e-12) * 255).round().to("cpu").numpy().astype(np.uint8)
    width = min(max(values.shape[1] * 4, LEAST_WIDTH), MOST_WIDTH)
    return Image.fromarray(shades[::-1].copy()).resize((width, HEIGHT), Image.Resampling.BILINEAR).convert("RGB")
