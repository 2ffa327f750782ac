"""A classifier's run, ready to use: from pictures to probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from jumok import systems
from jumok.errors import JumokError
from jumok.tasks.classify.settings import RunConfig
from jumok.tasks.image_run import SeeingRun
from jumok.tasks.preprocessing import Preprocessing
from jumok.tasks.running.run import CONFIG, configure_system, read_model


@dataclass(frozen=True)
class ImageRun(SeeingRun):
    """A trained classifier with what is needed to use it.

    Args:
        config: how it was made.
        model: in eval mode: (batch, 3, height, width) float, normalised -> (batch, classes) logits.
        folder: where it lies.
    """

    config: RunConfig

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the model's outputs."""
        return self.config.found.classes

    @torch.no_grad()
    def predict(self, pixels: Tensor) -> Tensor:
        """Give each class's probability.

        Args:
            pixels: (n, 3, height, width) float32, as `prepare` gives.
        Returns:
            (n, classes), each row summing to 1.
        """
        logits: Tensor = self.model(pixels)
        return logits.float().softmax(-1)

    @classmethod
    def read(cls, folder: Path) -> ImageRun:
        config = RunConfig.load(folder / CONFIG)
        return cls(config, read_model(lambda: build_model(config), folder), folder)

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
