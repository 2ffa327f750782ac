"""How large a model that answers questions is and how much it reads at a time, by how many questions there are."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from jumok.wording import write_count

__all__ = ["choose_batch", "choose_options"]

WIDTHS = ((100_000, 128), (2_000, 96), (0, 64))
"""From so many questions on, so large a state of each word and place."""
HEADS = 4
STEPS_PER_PASS, BATCH_MULTIPLE, LARGEST_BATCH = 200, 16, 256
"""Steps of a pass over the questions that the batch is chosen for."""


def choose_options(given: Collection[str], questions: int) -> tuple[dict[str, Any], str]:
    """Choose the options of a model.

    Args:
        given: options that someone chose, which are left out of what is given back.
        questions: to train on.
    Returns:
        options, and what was chosen with the reason; both empty where nothing was left to choose.
    """
    if {"width", "heads"} & set(given):
        return {}, ""
    width = next(width for least, width in WIDTHS if questions >= least)
    return {"width": width, "heads": HEADS}, f"model: width {width}: {write_count(questions, 'training question')}"


def choose_batch(questions: int, processes: int) -> tuple[int, str]:
    """Choose how many questions a batch has, so that a pass over them has a good number of steps.

    Args:
        questions: to train on.
        processes: that share a batch.

    >>> choose_batch(18_000, 1)
    (80, 'batch: 80 questions, so that a pass has about 225 steps')
    """
    size = min(questions // STEPS_PER_PASS // BATCH_MULTIPLE * BATCH_MULTIPLE, LARGEST_BATCH)
    size = max(size, BATCH_MULTIPLE, processes) // processes * processes
    steps = max(round(questions / size), 1)
    return size, f"batch: {size} questions, so that a pass has about {write_count(steps, 'step')}"
