"""What runs share whose models see images: from pictures to what the model takes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from jumok.tasks.preprocessing import ImageLike, Preprocessing
from jumok.tasks.running.run import Run

__all__ = ["SeeingRun"]


@dataclass(frozen=True, repr=False)
class SeeingRun(Run):
    """A trained model that sees images; each task has its own kind."""

    @property
    @abstractmethod
    def _preprocessing(self) -> Preprocessing:
        """What is done to images before the model sees them."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images that the model was trained on."""
        return self._preprocessing.size

    def prepare(self, images: Sequence[ImageLike]) -> Tensor:
        """Bring pictures to the model's size and range.

        Args:
            images: paths, Pillow images, or (3, any, any) uint8 tensors.
        Returns:
            (n, 3, height, width) float32, on the model's device.
        Raises:
            JumokError: no image, or one that cannot be read.
        """
        return self._preprocessing(images, self.device)

    def normalise(self, images: Tensor) -> Tensor:
        """(n, 3, height, width) uint8 to float32 of about zero mean and unit spread, on the model's device."""
        return self._preprocessing.normalise(images, self.device)
