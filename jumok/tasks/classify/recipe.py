"""What a classifier's training takes from its data: batch size, mirrorings, balance, how strongly images are varied."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from jumok.data.images.batches import PixelStore, Source
from jumok.data.images.folders import ImageSet
from jumok.machine import World
from jumok.tasks.classify.kinds import KINDS, Choice
from jumok.tasks.classify.mirroring import choose_flips
from jumok.tasks.classify.settings import ImageTraining

__all__ = [
    "Repeated",
    "balance_order",
    "choose_batch_size",
    "choose_from_images",
    "choose_variation",
]

BATCH_SIZES = (64, 32, 16)
LEAST_STEPS_PER_PASS, LEAST_STEPS = 16, 500
"""The batch is as large as leaves so many steps in a pass, and in the whole training."""
FEW_PASSES, MANY_PASSES = 5, 25
"""Up to so many passes images are hardly varied, and from so many on fully."""
UNMIXED_PASSES, MIXED_PASSES = 40, 100
"""Up to so many passes images are not mixed, which slows learning, and from so many on as much as is usual."""
LEAST_STRENGTH = 0.3
USUAL_MIXUP, USUAL_SMOOTHING = 0.2, 0.1


class Repeated:
    """A set of images of which some are drawn more than once in a pass.

    Args:
        source: of the images.
        indices: (n,) int64, which image each of a pass is.
    """

    def __init__(self, source: Source, indices: Tensor) -> None:
        self._source, self._indices = source, indices

    def __len__(self) -> int:
        return len(self._indices)

    def get(self, indices: Tensor) -> Tensor:
        """The images of these places in the pass: (n, 3, height, width) uint8."""
        return self._source.get(self._indices[indices])


def balance_order(labels: Tensor) -> Tensor:
    """Which images a pass is made of, so that every class comes as often as the largest.

    Args:
        labels: (n,) int64.
    Returns:
        indices: (classes x largest,) int64; images of smaller classes come several times, none twice more than another.

    >>> balance_order(torch.tensor([0, 0, 0, 1]))
    tensor([0, 1, 2, 3, 3, 3])
    """
    members = [torch.nonzero(labels == label).flatten() for label in labels.unique()]
    most = max(len(each) for each in members)
    return torch.cat([each.repeat(-(-most // len(each)))[:most] for each in members])


def choose_batch_size(images: int, seen: float) -> int:
    """The largest usual batch that leaves enough steps in a pass and in the whole training.

    Args:
        images: of the training.
        seen: images that the time allows to be seen, each counted as often as it is.

    >>> [choose_batch_size(images, seen=1e6) for images in (20, 357, 900, 50_000)]
    [16, 16, 32, 64]
    >>> choose_batch_size(50_000, seen=20_000)
    32
    """
    enough = (size for size in BATCH_SIZES if images // size >= LEAST_STEPS_PER_PASS and seen // size >= LEAST_STEPS)
    return next(enough, BATCH_SIZES[-1])


def choose_from_images(
    training: ImageTraining, asked: Collection[str], images: ImageSet, store: PixelStore, *, seen: float
) -> Choice:
    """Settle what follows from the training images alone.

    Args:
        training: as asked for.
        asked: names of the settings that were given, which stay as they are.
        images, store: of the training.
        seen: images that the time allows to be seen, each counted as often as it is.
    """
    kind = KINDS[images.kind]
    settled = kind.settle(training, images, asked)
    settings = dict(settled.settings)
    remarks: list[str] = []
    if "batch_size" not in asked:
        processes = World.found().size
        settings["batch_size"] = max(choose_batch_size(len(images), seen) // processes, 1) * processes
    if "flips" not in asked:
        settings["flips"], why = choose_flips(store, kind.sort_out(images), images.classes)
        remarks.append(f"flips: {settings['flips']} ({why}; --flips changes it)")
    return Choice(settings, [*remarks, *settled.remarks])


def choose_variation(asked: Collection[str], passes: float) -> dict[str, Any]:
    """How strongly images and targets are varied, by how often each image will be seen.

    A network that sees its images few times must first learn them; one that sees them often learns them by heart
    unless they change.

    >>> choose_variation((), passes=5)
    {'augment_strength': 0.3, 'mixup': 0.0, 'label_smoothing': 0.0}
    >>> choose_variation(("mixup",), passes=100)
    {'augment_strength': 1.0, 'label_smoothing': 0.1}
    """
    share = _rise(passes, FEW_PASSES, MANY_PASSES)
    chosen = {
        "augment_strength": round(LEAST_STRENGTH + (1 - LEAST_STRENGTH) * share, 3),
        "mixup": round(USUAL_MIXUP * _rise(passes, UNMIXED_PASSES, MIXED_PASSES), 3),
        "label_smoothing": round(USUAL_SMOOTHING * share, 3),
    }
    return {name: value for name, value in chosen.items() if name not in asked}


def _rise(passes: float, first: int, last: int) -> float:
    """From 0 at the first number of passes to 1 at the last."""
    return min(max((passes - first) / (last - first), 0.0), 1.0)
