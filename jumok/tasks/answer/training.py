"""A model that answers questions, in training: its loss and the figures of its validation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.data.questions.batches import QuestionBatch
from jumok.tasks.answer.run import build_model
from jumok.tasks.answer.settings import QuestionTraining, RunConfig
from jumok.tasks.image_training import ImageTrainingModule
from jumok.tasks.running.training_module import seed_everything


class Answerer(ImageTrainingModule):
    """A model that scores answers, in training.

    Args:
        model: (pixels, questions, pairs) -> (asked, answers) logits.
        mean, std: (3,) each, of the training images' channels, for pixels in [0, 1].
        training: the settings.
        steps: of the whole training, for the learning rate's schedule.
    """

    training_config: QuestionTraining

    def count(self, batch: QuestionBatch) -> int:
        return len(batch.indices)

    def forward(self, batch: QuestionBatch) -> Tensor:
        logits: Tensor = self.model(self.normalise(batch.images), batch.questions, batch.pairs)
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


def make_answerer(config: RunConfig, *, steps: int) -> Answerer:
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
        steps=steps,
    )
