"""Training a head alone: what the frozen rest of a model makes of each image is computed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jumok.data.images.batches import Batch, PixelStore
from jumok.errors import JumokError
from jumok.tasks.classify.training import Classifier
from jumok.tasks.preprocessing import normalise, to_unit
from jumok.tasks.running.checkpoint import read_tensors, write_tensors
from jumok.tasks.running.layers import still

__all__ = ["FEATURES", "Features", "HeadClassifier", "compute_features", "read_features", "write_features"]

FEATURES = "features.safetensors"
"""What the frozen part of the model made of the images, in the run's folder."""
IMAGES_AT_ONCE = 32


class Features:
    """What a head is given for each image, in place of the image.

    Args:
        values: (images, size) float32.
    """

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def get(self, indices: Tensor) -> Tensor:
        """Those of these images: (n, size) float32."""
        return self.values[indices]


def compute_features(
    model: nn.Module,
    head: str,
    store: PixelStore,
    mean: Tensor,
    std: Tensor,
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Run every image through a model, and keep what its head is given.

    Args:
        model: (batch, 3, height, width) normalised pixels -> logits; it runs in eval mode.
        head: the name of its head.
        store: the images.
        mean, std: (3,) each.
        progress: called with (images done, images in all).
    """
    found: list[Tensor] = []
    place = next(model.parameters()).device
    hook = model.get_submodule(head).register_forward_pre_hook(lambda _, given: found.append(given[0].float().cpu()))
    middle, spread = (each.reshape(3, 1, 1).to(place) for each in (mean, std))
    try:
        with still(model):
            for some in torch.arange(len(store)).split(IMAGES_AT_ONCE):
                model(normalise(to_unit(store.get(some).to(place)), middle, spread))
                if progress:
                    progress(int(some[-1]) + 1, len(store))
    finally:
        hook.remove()
    return Features(torch.cat(found))


def write_features(folder: Path, features: Mapping[str, Features]) -> None:
    """Keep them in the run, by the part that they are of."""
    values = {part: each.values for part, each in features.items()}
    write_tensors(values, folder / FEATURES, {"format": "jumok-features/1"})


def read_features(folder: Path, counts: Mapping[str, int]) -> dict[str, Features] | None:
    """Those that a run keeps; None where it has none, or they are damaged or of other images.

    Args:
        folder: of the run.
        counts: images of each part.
    """
    if not (folder / FEATURES).exists():
        return None
    try:
        _, values = read_tensors(folder / FEATURES)
    except JumokError:  # they can be computed again
        return None
    fits = all(part in values and len(values[part]) == counts[part] for part in ("train", "val"))
    return {part: Features(each) for part, each in values.items()} if fits else None


class HeadClassifier(Classifier):
    """A head in training, by features in place of images.

    Args:
        whole: the model that it belongs to, whose other weights stay as they are.
        head: its name in there.
        options: as for `Classifier`.
    """

    def __init__(self, whole: nn.Module, head: str, **options: Any) -> None:
        super().__init__(whole.get_submodule(head), **options)
        self._head = head
        self._rest = {name: value for name, value in whole.state_dict().items() if not name.startswith(f"{head}.")}

    @property
    def size(self) -> int:
        return sum(value.numel() for value in (*self._rest.values(), *self.model.parameters()))

    def complete(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {**self._rest, **{f"{self._head}.{name}": value for name, value in weights.items()}}

    def normalise(self, images: Tensor) -> Tensor:
        """Features are what the head takes."""
        return images

    def vary(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return batch.images, self.kind.to_targets(batch.labels)
