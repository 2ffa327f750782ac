"""The processes that train together."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class World:
    """The processes that train together, as torchrun tells them; one where it did not start us."""

    rank: int = 0
    size: int = 1
    here: int = 1
    """Processes on this machine."""

    @staticmethod
    def found() -> World:
        """Read the environment."""
        value = os.environ.get
        size = int(value("WORLD_SIZE", "1"))
        return World(int(value("RANK", "0")), size, int(value("LOCAL_WORLD_SIZE", str(size))))

    @property
    def first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0
