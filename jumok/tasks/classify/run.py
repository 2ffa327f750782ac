"""A classifier's run, ready to use: from pictures to probabilities."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from jumok import systems
from jumok.data.images import read_image, resize
from jumok.errors import JumokError
from jumok.tasks.classify.settings import RunConfig
from jumok.tasks.run import CONFIG, Run, configure_system, with_weights

Picture = Tensor | Image.Image | str | os.PathLike[str]


@dataclass(frozen=True)
class ImageRun(Run):
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

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images that the model was trained on."""
        return self.config.size

    def prepare(self, images: Sequence[Picture]) -> Tensor:
        """Bring pictures to the model's size and range.

        Args:
            images: paths, Pillow images, or (3, any, any) uint8 tensors.
        Returns:
            (n, 3, height, width) float32, on the model's device.
        Raises:
            JumokError: no image, or one that cannot be read.
        """
        if isinstance(images, str | os.PathLike | Image.Image) or not len(images):
            raise JumokError("prepare needs a list of at least one image: paths, Pillow images or uint8 tensors")
        return self.normalise(torch.stack([self._sized(image) for image in images]))

    def normalise(self, images: Tensor) -> Tensor:
        """(n, 3, height, width) uint8 to float32 of about zero mean and unit spread, on the model's device."""
        device = next(self.model.parameters()).device
        mean, std = (torch.tensor(values, device=device).reshape(3, 1, 1) for values in self._statistics())
        return (images.to(device).to(torch.float32) / 255 - mean) / std

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
        return cls(config, with_weights(build_model(config), folder), folder)

    def _statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return self.config.found.mean, self.config.found.std

    def _sized(self, image: Picture) -> Tensor:
        if isinstance(image, str | os.PathLike):
            return read_image(image, self.size)
        if isinstance(image, Image.Image):
            image = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
        return resize(image, *self.size)


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
