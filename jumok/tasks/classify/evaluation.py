"""What a run of images is judged on, and what some models are held against beside their baseline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from jumok.data.images.batches import Batches, PixelStore
from jumok.data.images.folders import ImageSet
from jumok.tasks.classify.kinds import AnswerKind

__all__ = ["Controlled", "Judged", "controls_of", "read_batches"]


@runtime_checkable
class Controlled(Protocol):
    """A model whose accuracy says little by itself, such as one that chooses where to look."""

    def controls(self) -> dict[str, nn.Module]:
        """The same weights put to use in another way, by name: what the accuracy is to be held against."""


class Judged(Protocol):
    """A model of images that knows what is done to them, and what it answers."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of its images."""

    @property
    def bits(self) -> int | None:
        """That 16-bit images use; None: what each image's values need."""

    @property
    def kind(self) -> AnswerKind:
        """What it answers."""

    def normalise(self, images: Tensor) -> Tensor:
        """(n, 3, height, width) uint8 to what it takes, on its device."""


def read_batches(run: Judged, images: ImageSet, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches that a run is judged on: normalised pixels and encoded labels, on its device; all are read once."""
    store = PixelStore(images.paths, *run.size, bits=run.bits, memory_limit=0)
    labels = run.kind.encode(images.labels)
    for batch in Batches(store, labels, batch_size=size, shuffle=False, drop_last=False):
        pixels = run.normalise(batch.images)
        yield pixels, batch.labels.to(pixels.device)


def controls_of(model: nn.Module) -> dict[str, nn.Module]:
    """What a model's accuracy is to be held against; for most models, nothing."""
    return {name: control.eval() for name, control in model.controls().items()} if isinstance(model, Controlled) else {}
