"""A spectrogram as a picture: time to the right, high frequencies at the top, louder is lighter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from torch import Tensor

from jumok.errors import JumokError
from jumok.views.palette import QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["RULER_INCHES", "draw_spectrogram", "list_ticks", "rule_time"]

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


RULER_INCHES = 0.24
"""What marks of time and their numbers take under a picture."""
MOST_TICKS = 8
STEPS = (1, 2, 2.5, 5)


def list_ticks(seconds: float) -> list[float]:
    """Round moments from 0 to the end, evenly apart, so few that their numbers have room.

    >>> list_ticks(2.0), list_ticks(30.0)
    ([0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0], [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0])
    """
    least = max(seconds, 1e-3) / MOST_TICKS
    power = 10.0 ** np.floor(np.log10(least))
    step = next(each * power for each in (*STEPS, 10) if each * power >= least * (1 - 1e-9))
    return [round(float(number * step), 6) for number in range(int(seconds / step + 1e-9) + 1)]


def rule_time(axes: Axes, seconds: float, width: int) -> None:
    """Put marks of time under a spectrogram that is drawn pixel by pixel.

    Args:
        axes: that it is drawn in.
        seconds: from its left edge to its right one.
        width: of the picture, in pixels.
    """
    ticks = list_ticks(seconds)
    axes.set_axis_on()
    axes.spines[:].set_visible(False)
    labels = [f"{tick:g}" for tick in ticks]
    axes.set_xticks([tick / seconds * width - 0.5 for tick in ticks], [*labels[:-1], f"{labels[-1]} s"])
    axes.tick_params(axis="x", labelsize=8, labelcolor=QUIET, color=QUIET, length=3, pad=2)
