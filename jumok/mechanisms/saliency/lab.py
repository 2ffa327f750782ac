"""CIE L*a*b*: colours whose distances are about those that people see."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["to_lab"]

TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
"""Linear sRGB to X, Y and Z, by rows; IEC 61966-2-1."""
D65 = (0.95047, 1.0, 1.08883)
"""X, Y and Z of white."""
DARKEST_CURVED = 0.04045
"""sRGB values up to this are linear in the light."""
CUBE_ROOT_FROM = 0.008856
"""Below this share of white, a line stands for the cube root."""


def to_lab(images: Tensor) -> Tensor:
    """CIE L*a*b* of sRGB images under D65: L from 0 to 100.

    Written out, as the package that has it takes longer to import than a saliency map to make.

    Args:
        images: (batch, 1 or 3, height, width), float32 from 0 to 1.
    Returns:
        (batch, 3, height, width).
    Source: ISO/CIE 11664-4:2019, 4.1 and 4.2.

    >>> to_lab(torch.ones(1, 3, 1, 1)).flatten().round().abs().tolist()
    [100.0, 0.0, 0.0]
    """
    light = torch.where(images > DARKEST_CURVED, ((images + 0.055) / 1.055).pow(2.4), images / 12.92)
    of_white = torch.tensor(TO_XYZ) / torch.tensor(D65)[:, None]
    x, y, z = _bend(torch.einsum("xc,bchw->bxhw", of_white.to(light), light.expand(-1, 3, -1, -1))).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def _bend(shares: Tensor) -> Tensor:
    """f(t): the cube root, and near black a line of the same slope."""
    root = shares.clamp(min=CUBE_ROOT_FROM).pow(1 / 3)
    return torch.where(shares > CUBE_ROOT_FROM, root, 7.787 * shares + 4 / 29)
