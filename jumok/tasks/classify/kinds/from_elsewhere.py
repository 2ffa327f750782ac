"""What models from elsewhere answer, of whose training images nothing is known: labels, a number, a logit by itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from jumok.tasks.classify.kinds.kind import Model, Report, Said, read_all
from jumok.tasks.classify.kinds.one_number import OneNumber
from jumok.tasks.classify.kinds.several_labels import SeveralLabels
from jumok.tasks.classify.settings import Scale
from jumok.wording import write_percent

__all__ = ["GivenLabels", "GivenNumber", "OneLogit"]

AS_GIVEN = Scale(mean=0.0, std=1.0, median=0.0, low=0.0, high=0.0)
"""Of numbers that are given in their own unit."""


class GivenLabels(SeveralLabels):
    """Any number of labels, each with a probability of its own, by the sigmoid; those from one half on are given.

    Args:
        names: of the labels.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(names, {}, {})

    def evaluate(self, models: Mapping[str, Model], batches: Iterable[tuple[Tensor, Tensor]]) -> Mapping[str, Report]:
        """Held against the labels that are the most frequent ones of the images that are judged."""
        from jumok.tasks.classify.kinds.label_scores import LabelReport, choose_constant

        values, labels = read_all(self, models, batches)
        constant = choose_constant(labels.sum(0).tolist(), len(labels))
        return {
            name: LabelReport(self.names, self.thresholds, found.double().numpy(), labels.bool().numpy(), constant)
            for name, found in values.items()
        }


class GivenNumber(OneNumber):
    """A number for each image, in the unit that the model gives it in.

    Args:
        names: of the number.
    """

    measured = "the number"

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(names, AS_GIVEN)

    def facts(self) -> dict[str, Any]:
        return {"answer": self.name}

    def evaluate(self, models: Mapping[str, Model], batches: Iterable[tuple[Tensor, Tensor]]) -> Mapping[str, Report]:
        """Held against the median of the images that are judged."""
        from jumok.tasks.classify.kinds.number_scores import NumberReport

        values, labels = read_all(self, models, batches)
        true = self.read(labels).numpy()
        return {name: NumberReport(found[:, 0].numpy(), true, float(np.median(true))) for name, found in values.items()}

    def summary(self) -> str:
        return "a number"

    def describe(self) -> str:
        return "with numbers"


class OneLogit(GivenNumber):
    """A single logit of which its model does not say what it is: the number, and what the sigmoid makes of it."""

    figure = "probability"

    def say(self, values: Sequence[float]) -> Said:
        said = super().say(values)
        probability = 1 / (1 + math.exp(-min(max(values[0], -700.0), 700.0)))
        share = write_percent(probability, 1)
        return said._replace(share=probability, text=f"{said.text} ({self.names[0]} {share} by the sigmoid)")

    def summary(self) -> str:
        return "a number, which may be the logit of a probability: the model does not say"
