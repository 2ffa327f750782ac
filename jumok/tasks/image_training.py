"""What models in training share that see images: how pixels are normalised, and which epoch's weights are kept."""

from __future__ import annotations

from torch import Tensor, nn

from jumok.tasks.preprocessing import normalise, to_unit
from jumok.tasks.running.config import Training
from jumok.tasks.running.training_module import TrainingModule

__all__ = ["ImageTrainingModule"]


class ImageTrainingModule(TrainingModule):
    """A model of images in training, judged by how often it is right.

    Args:
        model: what is trained.
        mean, std: (3,) each, of the training images' channels, for pixels in [0, 1].
        training: the settings.
        steps: of the whole training, for the learning rate's schedule.
    """

    figure_names: tuple[str, ...] = ("val_loss", "val_accuracy")

    def __init__(self, model: nn.Module, *, mean: Tensor, std: Tensor, training: Training, steps: int) -> None:
        super().__init__(model, training=training, steps=steps)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", mean.reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", std.reshape(3, 1, 1), persistent=False)

    def normalise(self, images: Tensor) -> Tensor:
        """Images (batch, 3, height, width) of bytes as the model takes them."""
        return normalise(to_unit(images), self.mean, self.std)

    def goodness(self, figures: dict[str, float]) -> tuple[float, ...]:
        """The more right answers the better; of the same number, the surer."""
        return figures["val_accuracy"], -figures["val_loss"]
