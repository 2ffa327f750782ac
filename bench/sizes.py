"""Sizes that several benches measure."""

from __future__ import annotations

from typing import NamedTuple


class Size(NamedTuple):
    """Features of a batch: (batch, channels, side, side)."""

    batch: int
    channels: int
    side: int

    def __str__(self) -> str:
        return f"{self.batch} x {self.channels} x {self.side} x {self.side}"
