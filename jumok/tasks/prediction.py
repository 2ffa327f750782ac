"""What a model says of one input, in the same form for every task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Prediction"]


@dataclass(frozen=True)
class Prediction:
    """A class, with the probability of every class.

    Args:
        label: the most probable class.
        probability: its probability.
        probabilities: of all classes, the most probable first; they sum to 1.

    >>> Prediction.of(("cat", "dog"), (0.25, 0.75))
    Prediction(label='dog', probability=0.75, probabilities={'dog': 0.75, 'cat': 0.25})
    """

    label: str
    probability: float
    probabilities: Mapping[str, float]

    @classmethod
    def of(cls, classes: Sequence[str], probabilities: Sequence[float]) -> Prediction:
        """From the probabilities in the order of the classes."""
        ranked = sorted(zip(classes, probabilities, strict=True), key=lambda each: -each[1])
        return cls(*ranked[0], dict(ranked))
