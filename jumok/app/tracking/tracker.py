"""What every experiment tracker can do, and what it takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

__all__ = ["DEFAULT_PROJECT", "DONE", "FAILED", "STOPPED", "Tracker", "flatten", "pick_figures"]

DONE, STOPPED, FAILED = "done", "stopped", "failed"
"""How what was logged ended."""
DEFAULT_PROJECT = "jumok"
"""What the runs lie under where neither MLFLOW_EXPERIMENT_NAME nor WANDB_PROJECT names it."""


class Tracker(Protocol):
    """One run of an experiment tracker."""

    id: str
    """By which the tracker knows the run."""

    def note(self, settings: Mapping[str, Any]) -> None:
        """Write down how the run was made."""

    def log(self, figures: Mapping[str, float], step: int | None) -> None:
        """Log figures of a step of training, or of what followed it."""

    def keep(self, path: Path) -> None:
        """Keep a copy of a file."""

    def end(self, state: str) -> None:
        """Close the run: DONE, STOPPED or FAILED."""


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The plain values of nested dictionaries, by the names on the way to them; lists are left out.

    >>> dict(flatten({"a": {"b": 1, "c": [2]}, "d": "e"}))
    {'a/b': 1, 'd': 'e'}
    """
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}/")
        elif isinstance(value, str | int | float | bool) or value is None:
            yield f"{prefix}{name}", value


def pick_figures(values: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers among nested values."""
    plain = ((name, value) for name, value in flatten(values) if isinstance(value, int | float))
    return {name: float(value) for name, value in plain if not isinstance(value, bool) and math.isfinite(value)}
