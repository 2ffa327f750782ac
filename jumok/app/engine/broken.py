"""Errors after which a device does nothing more for this process."""

from __future__ import annotations

import torch

__all__ = ["BROKEN"]

BROKEN: tuple[type[BaseException], ...] = (torch.AcceleratorError,) if hasattr(torch, "AcceleratorError") else ()
"""Whoever catches them lets the process end: another one may have the device back."""
