"""From which probability on an image is said to have a label: chosen on validation data, and kept in the run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jumok.errors import JumokError
from jumok.files import write_atomically
from jumok.tasks.running.config import Strict, parse, read_yaml

__all__ = ["HALF", "THRESHOLDS", "Thresholds", "choose_threshold", "read_thresholds", "write_thresholds"]

THRESHOLDS = "thresholds.yaml"
"""In the run's folder."""
HALF = 0.5
"""Of a label that no validation image has, and before any was chosen."""


class Thresholds(Strict):
    """What was chosen.

    Args:
        of: by label.
        images: of the validation.
    """

    of: dict[str, float]
    images: int


def choose_threshold(shares: NDArray[np.float64], held: NDArray[np.bool_]) -> float:
    """The threshold with the highest F1 score; of several the one nearest to one half.

    Thresholds lie in the middle between probabilities that differ, so that rounding changes no answer.

    Args:
        shares: (images,), the label's probability.
        held: (images,), whether they have it.

    >>> choose_threshold(np.array([0.1, 0.2, 0.4, 0.3]), np.array([False, False, True, True]))
    0.25
    """
    if not held.any():
        return HALF
    order = np.argsort(-shares, kind="stable")
    falling, hits = shares[order], np.cumsum(held[order])
    last = np.append(falling[:-1] > falling[1:], True)  # the last of those that are equal
    below = np.append(falling[1:], 0.0)
    scores = (2 * hits / (np.arange(1, len(hits) + 1) + held.sum()))[last]
    places = ((falling + below) / 2)[last]
    best = places[scores >= scores.max() - 1e-12]
    return float(best[np.abs(best - HALF).argmin()])


def write_thresholds(folder: Path, names: Sequence[str], thresholds: Sequence[float], images: int) -> None:
    """Keep them in the run's folder.

    Raises:
        JumokError: it cannot be written.
    """
    found = Thresholds(of=dict(zip(names, thresholds, strict=True)), images=images)
    write_atomically(folder / THRESHOLDS, found.to_yaml())


def read_thresholds(folder: Path, names: Sequence[str]) -> tuple[float, ...] | None:
    """What a run's folder says, in the order of the labels; None where nothing was chosen yet.

    Raises:
        JumokError: the file is damaged, or of other labels.
    """
    path = folder / THRESHOLDS
    if not path.is_file():
        return None
    found = parse(Thresholds, read_yaml(path), str(path)).of
    if set(found) != set(names):
        raise JumokError(f"{path} has thresholds of other labels than config.yaml: restore it, or remove it")
    return tuple(found[name] for name in names)
