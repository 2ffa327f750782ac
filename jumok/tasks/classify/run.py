"""A classifier's run, ready to use: from pictures to probabilities, or to numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from jumok import systems
from jumok.errors import JumokError
from jumok.tasks.classify.kinds import AnswerKind, kind_of
from jumok.tasks.classify.settings import RunConfig
from jumok.tasks.image_run import SeeingRun
from jumok.tasks.preprocessing import Preprocessing
from jumok.tasks.running.run import CONFIG, configure_system, load_weights_into


@dataclass(frozen=True)
class ImageRun(SeeingRun):
    """A trained classifier with what is needed to use it.

    Args:
        config: how it was made.
        model: in eval mode: (batch, 3, height, width) float, normalised -> (batch, classes) logits, or (batch, 1)
            standardised numbers.
        folder: where it lies.
    """

    config: RunConfig

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or labels, in the order of the model's outputs."""
        return self.config.found.classes

    @cached_property
    def kind(self) -> AnswerKind:
        """What its model answers."""
        return kind_of(self.config, self.folder)

    @torch.no_grad()
    def predict(self, pixels: Tensor) -> Tensor:
        """Give each class's or label's probability, or the number.

        Args:
            pixels: (n, 3, height, width) float32, as `prepare` gives.
        Returns:
            (n, classes), of classes each row summing to 1; of numbers (n, 1), in the unit of the table.
        """
        return self.kind.read(self.model(pixels))

    @classmethod
    def read(cls, folder: Path) -> ImageRun:
        config = RunConfig.load(folder / CONFIG)
        return cls(config, load_weights_into(build_model(config), folder), folder)

    @property
    def _preprocessing(self) -> Preprocessing:
        return Preprocessing(
            self.config.data.size, self.config.found.mean, self.config.found.std, self.config.data.bits
        )


def build_model(config: RunConfig) -> nn.Module:
    """Build a run's model, with fresh weights.

    Raises:
        JumokError: a system that is not known, options that it does not take, or another number of classes.
    """
    system = configure_system(config.system, config.options)
    classes = getattr(system, "classes", None)
    if classes != len(config.found.classes):
        raise JumokError(f"config.yaml gives the model {classes} classes but names {len(config.found.classes)}")
    return systems.build(config.system, system)


RUN = ImageRun
