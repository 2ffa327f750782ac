"""A run on disk: a folder with one trained model and everything needed to build and use it again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel
from torch import Tensor, nn

from jumok import systems
from jumok.data.images import read_image, resize
from jumok.errors import JumokError, suggest
from jumok.files import write_atomically
from jumok.tasks.checkpoint import read_tensors, write_tensors
from jumok.tasks.config import RunConfig, plain_errors

CONFIG, WEIGHTS, CARD = "config.yaml", "weights.safetensors", "card.md"

Picture = Tensor | Image.Image | str | os.PathLike[str]


@dataclass(frozen=True)
class Run:
    """A trained model with what is needed to use it.

    Args:
        config: how it was made.
        model: in eval mode: (batch, 3, height, width) float, normalised -> (batch, classes) logits.
        folder: where it lies.
    """

    config: RunConfig
    model: nn.Module
    folder: Path

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

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the configuration and the weights, each whole or not at all.

        Raises:
            JumokError: the folder cannot be written.
        """
        write_tensors(self.model.state_dict(), Path(folder) / WEIGHTS, {"format": "jumok-weights/1"})
        write_atomically(Path(folder) / CONFIG, self.config.to_yaml())

    @staticmethod
    def load(folder: str | os.PathLike[str], device: str = "cpu") -> Run:
        """Read a run; nothing in it is executed.

        Args:
            folder: of the run.
            device: to put the model on.
        Raises:
            JumokError: no run there, one of another version, a damaged file, or weights that do not fit.
        """
        place = Path(folder)
        check_is_run(place)
        config = RunConfig.load(place / CONFIG)
        if not (place / WEIGHTS).exists():
            raise JumokError(f"{place} has no weights yet: go on training it with jumok train --resume {place}")
        model = build_model(config)
        shapes = {name: value.shape for name, value in model.state_dict().items()}
        _, tensors = read_tensors(place / WEIGHTS, wanted=shapes)
        model.load_state_dict(tensors)
        return Run(config, model.to(device).eval(), place)

    def _statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return self.config.found.mean, self.config.found.std

    def _sized(self, image: Picture) -> Tensor:
        if isinstance(image, str | os.PathLike):
            return read_image(image, self.size)
        if isinstance(image, Image.Image):
            image = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
        return resize(image, *self.size)


def check_is_run(folder: Path) -> None:
    """Make sure that a folder holds a run.

    Raises:
        JumokError: it does not.
    """
    if (folder / CONFIG).is_file():
        return
    if not folder.exists():
        others = [path.name for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
        hint = suggest(folder.name, others) if others else ""
        raise JumokError(f"no run at {folder}{': ' + hint if hint.startswith('did') else ''}")
    raise JumokError(f"{folder} is no run: it has no {CONFIG}")


def configure_system(name: str, options: Mapping[str, Any]) -> BaseModel:
    """Make the configuration of a system.

    Raises:
        JumokError: a system that is not known, an option that it does not take, or a value out of range.
    """
    known = systems.configure(name, classes=2) if name in systems.names() else None
    with plain_errors(type(known) if known else BaseModel, f"options of {name}"):
        return systems.configure(name, **options)
    raise AssertionError  # the block above returns or raises


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


def load(folder: str | os.PathLike[str], device: str = "cpu") -> Run:
    """Read a run, ready to use; the same as `Run.load`.

    Args:
        folder: of the run, such as "runs/first".
        device: to put the model on.
    Raises:
        JumokError: as `Run.load`.
    """
    return Run.load(folder, device)
