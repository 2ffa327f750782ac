"""What a training tells of itself, by type: light, for those who only read it."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "Row"]

Row = dict[str, float]
"""The figures of an epoch, by name."""
Progress = Callable[[int, int], None]
"""Called with how much is done, and how much there is in all."""
