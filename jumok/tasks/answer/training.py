"""A model that answers questions, in training: its loss and the figures of its validation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jumok.data.questions.batches import QuestionBatch
from jumok.tasks.answer.run import build_model
from jumok.tasks.answer.settings import QuestionTraining, RunConfig
from jumok.tasks.preprocessing import normalise, to_unit
from jumok.tasks.running.training_module import TrainingModule, seed_everything


class Answerer(TrainingModule):
    """A model that scores answers, in training.

    Args:
        model: (pixels, questions, pairs) -> (asked, answers) logits.
        mean, std: (3,) each, of the training images' channels, for pixels in [0, 1].
        training: the settings.
        steps: of the whole training, for the learning rate's schedule.
    """

    figure_names = ("val_loss", "val_accuracy")
    training_config: QuestionTraining

    def __init__(self, model: nn.Module, *, mean: Tensor, std: Tensor, training: QuestionTraining, steps: int) -> None:
        super().__init__(model, training=training, steps=steps)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", mean.reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", std.reshape(3, 1, 1), persistent=False)

    def goodness(self, figures: dict[str, float]) -> tuple[float, ...]:
        """The more right answers the better; of the same number, the surer."""
        return figures["val_accuracy"], -figures["val_loss"]

    def count(self, batch: QuestionBatch) -> int:
        return len(batch.indices)

    def forward(self, batch: QuestionBatch) -> Tensor:
        pixels = normalise(to_unit(batch.images), self.mean, self.std)
        logits: Tensor = self.model(pixels, batch.questions, batch.pairs)
        return logits

    def loss(self, batch: QuestionBatch) -> Tensor:
        """The smoothed cross-entropy with the answers that were given, each by how right it is."""
        return F.cross_entropy(self(batch).float(), shares(batch), label_smoothing=self.training_config.label_smoothing)

    def validation_step(self, batch: QuestionBatch, _: int) -> None:
        """Loss, of the questions that can be answered rightly; and how right the answers are, of all."""
        logits = self(batch).float()
        answerable = batch.scores.sum(1) > 0
        losses = F.cross_entropy(logits, shares(batch), reduction="none")[answerable]
        if losses.numel():
            self.note("val_loss", losses)
        self.note("val_accuracy", batch.scores.gather(1, logits.argmax(-1, keepdim=True))[:, 0])


def shares(batch: QuestionBatch) -> Tensor:
    """How right each answer is, as shares: each row sums to 1, or to 0 where no answer is right."""
    return batch.scores / batch.scores.sum(1, keepdim=True).clamp_min(1e-9)


def make_answerer(config: RunConfig, *, steps_per_epoch: int) -> Answerer:
    """Build a run's model, with weights that the seed decides, ready to be trained.

    Raises:
        JumokError: the configuration does not make a model.
    """
    training = config.training
    seed_everything(training.seed)
    return Answerer(
        build_model(config),
        mean=torch.tensor(config.found.mean),
        std=torch.tensor(config.found.std),
        training=training,
        steps=training.epochs * steps_per_epoch,
    )
