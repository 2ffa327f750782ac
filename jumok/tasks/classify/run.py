"""A classifier's run, ready to use: from pictures to probabilities, or to numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import overload

import torch
from torch import Tensor, nn

from jumok import systems
from jumok.attention import AttentionMap
from jumok.data.images.given import GivenImage, GivenImages, split_given
from jumok.errors import JumokError
from jumok.tasks.classify.kinds import AnswerKind, kind_of
from jumok.tasks.classify.preparation import Fitted, Stretched
from jumok.tasks.classify.processors import open_kept
from jumok.tasks.classify.settings import RunConfig
from jumok.tasks.classify.task import CLASSIFY
from jumok.tasks.image_run import SeeingRun
from jumok.tasks.prediction import Prediction, check_answered
from jumok.tasks.preprocessing import Preprocessing
from jumok.tasks.running.run import CONFIG, configure_system, read_model


@dataclass(frozen=True, repr=False)
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

    @property
    def bits(self) -> int | None:
        """That 16-bit images use, as it was trained; None: what each image's values need."""
        return self.config.data.bits

    @overload
    def predict(self, images: GivenImage, *, batch_size: int = ...) -> Prediction: ...  # type: ignore[overload-overlap]
    @overload
    def predict(self, images: Iterable[GivenImage], *, batch_size: int = ...) -> list[Prediction]: ...
    def predict(self, images: GivenImages, *, batch_size: int = 64) -> Prediction | list[Prediction]:
        """Say what an image is, or each of several: its class, labels or number, with the probability of every class.

        Args:
            images: a path, a Pillow image, an array (height, width, 3), a tensor (3, height, width), or a list of
                these. Numbers are uint8, or fractions from 0 to 1. An axis in front of an array or tensor makes it
                several images.
            batch_size: images at a time.
        Returns:
            one prediction for one image, a list for several.
        Raises:
            JumokError: an image that cannot be read.
        """
        given, alone = split_given(images)
        _check_batch_size(batch_size)
        found = [
            self.kind.predict(values)
            for start in range(0, len(given), batch_size)
            for values in self.probabilities(self.prepare(given[start : start + batch_size])).tolist()
        ]
        return found[0] if alone else found

    @overload
    def look(  # type: ignore[overload-overlap]
        self, images: GivenImage, *, method: str | None = ..., target: str | None = ..., batch_size: int = ...
    ) -> AttentionMap: ...
    @overload
    def look(
        self, images: Iterable[GivenImage], *, method: str | None = ..., target: str | None = ..., batch_size: int = ...
    ) -> list[AttentionMap]: ...
    def look(
        self, images: GivenImages, *, method: str | None = None, target: str | None = None, batch_size: int = 16
    ) -> AttentionMap | list[AttentionMap]:
        """Where the model looked, as `jumok look` shows it: `run.look("a.jpg").draw("a.jpg", "heat.png")`.

        Args:
            images: as for `predict`.
            method: how to read it; None: the one that was the most faithful for this model, where that was measured
                after its training, else the most telling of those that fit it.
            target: the class or label that is explained; None: the predicted one.
            batch_size: images at a time.
        Returns:
            one map of one row for one image, a list for several; its source names the method.
        Raises:
            JumokError: an image that cannot be read, no such method or class, or one that does not fit the model.
        """
        _check_batch_size(batch_size)
        how = {"method": method, "target": target, "batch_size": batch_size}
        found: AttentionMap | list[AttentionMap] = CLASSIFY.part("run_looks").look_at(self, images, **how)
        return found

    @torch.no_grad()
    def probabilities(self, pixels: Tensor) -> Tensor:
        """Give each class's or label's probability, or the number.

        Args:
            pixels: (n, 3, height, width) float32, as `prepare` gives.
        Returns:
            (n, classes), of classes each row summing to 1; of numbers (n, 1), in the unit of the table.
        """
        return check_answered(self.kind.read(self.model(pixels)), str(self.folder))

    def _describe(self) -> str:
        return kind_of(self.config).summary()

    @classmethod
    def read(cls, folder: Path) -> ImageRun:
        config = RunConfig.load(folder / CONFIG)
        return cls(config, read_model(lambda: build_model(config), folder), folder)

    @property
    def _preprocessing(self) -> Preprocessing:
        return self.preparation.preprocessing

    @cached_property
    def preparation(self) -> Stretched:
        """What is done to images before its model sees them."""
        return make_preparation(self.config, str(self.folder))


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise JumokError(f"batch_size is how many images are taken at a time, wanted 1 or more, got {batch_size}")


def make_preparation(config: RunConfig, name: str) -> Stretched:
    """What is done to images before a run's model sees them.

    Args:
        config: of the run.
        name: of it, for messages.
    Raises:
        JumokError: the image processor that it keeps cannot be opened, or brings images to another size than the run's.
    """
    found, size = config.found, config.size
    if found.processor is None:
        return Stretched(Preprocessing(size, found.mean, found.std, config.data.bits))
    processed = open_kept(found.processor, name)
    if processed.size != size:
        got, wanted = (" x ".join(map(str, each)) for each in (processed.size, size))
        raise JumokError(
            f"{name} keeps an image processor that brings images to {got} pixels, and its model takes {wanted}: "
            f"restore its {CONFIG}"
        )
    return Fitted(Preprocessing(size, found.mean, found.std, config.data.bits, processed.fit), processed)


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
