"""What a run of images is judged on, and what some models are held against beside their baseline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from jumok.data.images.batches import Batches, PixelStore
from jumok.data.images.folders import ImageSet
from jumok.data.images.reading import read_image
from jumok.tasks.classify.any_classifier import group_by_size
from jumok.tasks.classify.kinds import AnswerKind
from jumok.tasks.classify.preparation import Preparation

__all__ = ["Controlled", "Judged", "controls_of", "read_batches"]


@runtime_checkable
class Controlled(Protocol):
    """A model whose accuracy says little by itself, such as one that chooses where to look."""

    def controls(self) -> dict[str, nn.Module]:
        """The same weights put to use in another way, by name: what the accuracy is to be held against."""


class Judged(Protocol):
    """A model of images that knows what is done to them, and what it answers."""

    @property
    def preparation(self) -> Preparation:
        """What is done to images before."""

    @property
    def bits(self) -> int | None:
        """That 16-bit images use; None: what each image's values need."""

    @property
    def device(self) -> torch.device:
        """That it is on."""

    @property
    def kind(self) -> AnswerKind:
        """What it answers."""


def read_batches(model: Judged, images: ImageSet, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """What a model is judged on: prepared pixels and encoded labels, on its device; every image is read once.

    Args:
        model: which is asked.
        images: with their labels.
        size: images at a time, of which those that are prepared to one size come together.
    """
    read = _read_stretched if model.preparation.stretched else _read_whole
    for pixels, labels in read(model, images, size):
        yield pixels, labels.to(model.device)


def _read_stretched(model: Judged, images: ImageSet, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    store = PixelStore(images.paths, *model.preparation.size, bits=model.bits, memory_limit=0)
    labels = model.kind.encode(images.labels)
    for batch in Batches(store, labels, batch_size=size, shuffle=False, drop_last=False):
        yield model.preparation.normalise(batch.images, model.device), batch.labels


def _read_whole(model: Judged, images: ImageSet, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    labels = model.kind.encode(images.labels)
    for start in range(0, len(images), size):
        pictures = (read_image(path, bits=model.bits) for path in images.paths[start : start + size])
        for numbers, pixels in group_by_size(model.preparation.prepare(pictures, model.device)):
            yield pixels, labels[[start + number for number in numbers]]


def controls_of(model: nn.Module) -> dict[str, nn.Module]:
    """What a model's accuracy is to be held against; for most models, nothing."""
    return {name: control.eval() for name, control in model.controls().items()} if isinstance(model, Controlled) else {}
