"""What a run of images is judged on, and what some models are held against beside their baseline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from torch import Tensor, nn

from jumok.data.images.batches import Batches, PixelStore
from jumok.data.images.folders import ImageSet
from jumok.data.images.reading import read_image
from jumok.tasks.classify.kinds import AnswerKind

if TYPE_CHECKING:
    from jumok.tasks.classify.any_classifier import AnyClassifier

__all__ = ["Controlled", "Judged", "controls_of", "read_batches", "read_whole"]


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


def read_whole(model: AnyClassifier, images: ImageSet, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """As `read_batches`, for a model that has whole images prepared in its own way; those of one size together."""
    labels = model.kind.encode(images.labels)
    for start in range(0, len(images), size):
        pictures = (read_image(path, bits=model.bits) for path in images.paths[start : start + size])
        for numbers, pixels in model.prepare_groups(pictures):
            yield pixels, labels[[start + number for number in numbers]].to(pixels.device)


def controls_of(model: nn.Module) -> dict[str, nn.Module]:
    """What a model's accuracy is to be held against; for most models, nothing."""
    return {name: control.eval() for name, control in model.controls().items()} if isinstance(model, Controlled) else {}
