"""What a model says of one input, in the same form for every task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from jumok.errors import JumokError

__all__ = ["Prediction", "check_answered"]


@dataclass(frozen=True)
class Prediction:
    """A class, several labels or a number, with the probability of every class or label.

    Args:
        label: the most probable class; of several labels those above their thresholds, with `|` between them; of a
            number its digits.
        probability: of the class, or of the most probable label; None of a number.
        probabilities: of all classes, the most probable first, summing to 1; of labels each by itself; of a number
            none.
        labels: those above their thresholds, where an input may have several.
        number: in the unit of the table, where the model gives one.

    >>> Prediction("dog", 0.75, {"dog": 0.75, "cat": 0.25})
    Prediction(label='dog', probability=0.75, probabilities={'dog': 0.75, 'cat': 0.25})
    """

    label: str
    probability: float | None
    probabilities: Mapping[str, float]
    labels: tuple[str, ...] = field(default=(), repr=False)
    number: float | None = field(default=None, repr=False)


def check_answered(values: Tensor, model: str) -> Tensor:
    """What a model answered, where these are numbers.

    Args:
        values: probabilities, or numbers, of any shape.
        model: as the user gave it.
    Raises:
        JumokError: one is NaN or infinite.
    """
    if not bool(torch.isfinite(values).all()):
        raise JumokError(
            f"{model} answers NaN or infinity: its weights or its settings are damaged, or its input is too large for "
            "its precision; give another model, or mend its files"
        )
    return values
