"""A translator in training: its loss, and the figures of its validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jumok.data.pairs.batches import PairBatch
from jumok.machine import World
from jumok.special_tokens import EOS, PAD, SOS
from jumok.tasks.running.training_module import TrainingModule, seed_everything
from jumok.tasks.translate.decoding import Writer, search
from jumok.tasks.translate.run import build_model
from jumok.tasks.translate.scores import sentence_chrf
from jumok.tasks.translate.settings import PairTraining, RunConfig


class Decodes(Protocol):
    """What ids are turned into text by."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids."""


class Translator(TrainingModule):
    """A model that gives the next word, in training.

    Args:
        model: a sequence system, with `decode` and `readout`.
        words: turns the target's ids into text, to score translations of the validation sentences.
        training: the settings.
        steps: of the whole training, for the schedules.
        sentences: of the validation.
    """

    figure_names = ("val_loss", "val_accuracy", "val_chrf", "val_exact")
    training_config: PairTraining

    def __init__(self, model: nn.Module, words: Decodes, *, training: PairTraining, steps: int, sentences: int) -> None:
        super().__init__(model, training=training, steps=steps)
        self._words, self._sentences = words, sentences

    def goodness(self, figures: dict[str, float]) -> tuple[float, ...]:
        """The better the translations; of the same quality, the surer."""
        return figures["val_chrf"], -figures["val_loss"]

    def count(self, batch: PairBatch) -> int:
        return batch.count

    def loss(self, batch: PairBatch) -> Tensor:
        """The smoothed cross-entropy per target token."""
        logits, wanted = self._predict(batch, self._draw_own_words(batch.target[:, 1:]))
        total = F.cross_entropy(
            logits.float(), wanted, label_smoothing=self.training_config.label_smoothing, reduction="sum"
        )
        return total * World.found().size / batch.total  # each token counts alike, whichever process it is in

    def validation_step(self, batch: PairBatch, _: int) -> None:
        """Loss and share of right words, knowing those before; and translations of some of the sentences."""
        logits, wanted = self._predict(batch, None)
        self.note("val_loss", F.cross_entropy(logits.float(), wanted, reduction="none"))
        self.note("val_accuracy", (logits.argmax(-1) == wanted).float())
        chosen = self._select_translated(batch.indices)
        if bool(chosen.any()):
            self._translate(batch.source[chosen], batch.target[chosen])

    def _select_translated(self, indices: Tensor) -> Tensor:
        """Which sentences are translated: at even distances, for batches go by length and the first are the longest."""
        return indices * self.training_config.validate_with % self._sentences < self.training_config.validate_with

    def _translate(self, source: Tensor, target: Tensor) -> None:
        """Translate greedily, and compare with what is wanted."""
        found = [self._words.decode(best.tokens) for best, *_ in search(cast(Writer, self.model), source)]
        wanted = [self._words.decode(ids) for ids in without_symbols(target)]
        scores = [sentence_chrf(got, text) for got, text in zip(found, wanted, strict=True)]
        same = [float(got == text) for got, text in zip(found, wanted, strict=True)]
        self.note("val_chrf", torch.tensor(scores, device=self.device))
        self.note("val_exact", torch.tensor(same, device=self.device))

    def _predict(self, batch: PairBatch, own: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits (tokens, vocabulary) and the ids (tokens,) that are wanted, of all places that are no padding."""
        target_in, wanted = batch.target[:, :-1], batch.target[:, 1:]
        real = wanted != PAD
        given = {} if own is None else {"own": own}
        hidden = self.model.decode(batch.source, target_in, **given)  # type: ignore[operator]
        logits: Tensor = self.model.readout(hidden[real])  # type: ignore[operator]
        return logits, wanted[real]

    def _draw_own_words(self, wanted: Tensor) -> Tensor | None:
        """Where the model is fed its own words: in some sentences everywhere, and in the others ever more often."""
        settings = self.training_config
        if settings.teacher_forcing == 1 and settings.sampling == 0:
            return None
        chance = settings.sampling * self.global_step / max(self.steps, 1)
        free = torch.rand(len(wanted), 1, device=wanted.device) >= settings.teacher_forcing
        return free | (torch.rand(wanted.shape, device=wanted.device) < chance)


def make_translator(config: RunConfig, words: Decodes, *, steps: int, sentences: int) -> Translator:
    """Build a run's model, with weights that the seed decides, ready to be trained.

    Raises:
        JumokError: the configuration does not make a model.
    """
    training = config.training
    seed_everything(training.seed)
    return Translator(build_model(config), words, training=training, steps=steps, sentences=sentences)


def without_symbols(ids: Tensor) -> list[list[int]]:
    """Rows of (batch, tokens) ids as lists, without padding, start and end."""
    return [[token for token in row if token not in (PAD, SOS, EOS)] for row in ids.tolist()]
