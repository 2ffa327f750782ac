"""Masks and maps for tests of scores."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st

SEEDS = st.integers(0, 10_000)
fast = settings(deadline=None, max_examples=40)


def a_mask(random: np.random.Generator, height: int = 16, width: int = 20) -> torch.Tensor:
    """A box that covers a part of the image."""
    top, left = int(random.integers(0, height - 2)), int(random.integers(0, width - 2))
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[top : top + int(random.integers(1, 6)), left : left + int(random.integers(1, 6))] = True
    return mask


def tied_heat(random: np.random.Generator, height: int = 16, width: int = 20, levels: int = 12) -> torch.Tensor:
    """Few different values, so that many pixels tie; at least two."""
    heat = torch.from_numpy(random.integers(0, levels, (height, width))).float()
    heat[0, 0], heat[-1, -1] = levels, 0
    return heat
