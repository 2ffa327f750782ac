"""A text classifier in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from jumok.data.images.batches import Batch
from jumok.data.labelled.batches import TextBatch
from jumok.systems.pretrained_texts import HEAD
from jumok.tasks.classify.features import Features
from jumok.tasks.label.run import build_model
from jumok.tasks.label.settings import RunConfig, TextTraining
from jumok.tasks.running.adapters import add_adapters, merge_adapters
from jumok.tasks.running.beginning import begin_with
from jumok.tasks.running.class_figures import ClassFigures
from jumok.tasks.running.class_training import ClassTraining
from jumok.tasks.running.layers import freeze
from jumok.tasks.running.training_module import seed_everything

__all__ = ["AdaptedTextClassifier", "TextClassifier", "TextHeadClassifier", "make_module", "text_classes"]


class TextClasses(ClassFigures):
    """One class for each text."""

    noun = "texts"
    may_help = "--freeze none (all weights learn), or another encoder"


class TextClassifier(ClassTraining):
    """A text encoder with a head, in training."""

    training_config: TextTraining

    def count(self, batch: TextBatch) -> int:
        return len(batch.labels)

    def forward(self, batch: TextBatch) -> Tensor:
        logits: Tensor = self.model(batch.tokens, batch.there)
        return logits

    def loss(self, batch: TextBatch) -> Tensor:
        """The smoothed cross-entropy."""
        return self.answer_loss(self(batch), batch.labels)

    def validation_step(self, batch: TextBatch, _: int) -> None:
        self.note_answers(self(batch), batch.labels)


class AdaptedTextClassifier(TextClassifier):
    """A text classifier of which adapters and the head alone learn.

    Args:
        model: whose other weights stay as they are.
        rank: of the adapters.
        options: as for `TextClassifier`.
    """

    def __init__(self, model: nn.Module, rank: int, **options: Any) -> None:
        add_adapters(model, HEAD, rank)
        super().__init__(model, **options)

    def complete(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return merge_adapters(weights)


class TextHeadClassifier(TextClassifier):
    """A head in training, by what the encoder made of each text in place of the text.

    Args:
        whole: the model that it belongs to, whose other weights stay as they are.
        options: as for `TextClassifier`.
    """

    def __init__(self, whole: nn.Module, **options: Any) -> None:
        super().__init__(whole.get_submodule(HEAD), **options)
        self._rest = {name: value for name, value in whole.state_dict().items() if not name.startswith(f"{HEAD}.")}

    @property
    def size(self) -> int:
        return sum(value.numel() for value in (*self._rest.values(), *self.model.parameters()))

    def complete(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {**self._rest, **{f"{HEAD}.{name}": value for name, value in weights.items()}}

    def forward(self, batch: Batch) -> Tensor:  # type: ignore[override]
        """Features stand in the place of images."""
        logits: Tensor = self.model(batch.images)
        return logits


def text_classes(config: RunConfig) -> TextClasses:
    """What the model of a run answers."""
    found = config.found
    return TextClasses(found.classes, found.per_class, uneven=config.uneven, balance=config.training.balance)


def make_module(
    config: RunConfig, steps: int, initial: Mapping[str, Tensor], features: Mapping[str, Features] | None
) -> TextClassifier:
    """The model in training, with the weights that it begins with, and with those frozen that should be.

    Args:
        config: of the run.
        steps: of the whole training.
        initial: weights from elsewhere; the seed decides the others.
        features: of the texts, where a head is trained alone.
    """
    training = config.training
    seed_everything(training.seed)
    model = build_model(config)
    if initial and config.found.begun:
        begin_with(model, initial, config.found.begun.origin)
    options: dict[str, Any] = {"kind": text_classes(config), "training": training, "steps": steps}
    if features is not None:
        return TextHeadClassifier(model, **options)
    if training.lora is not None:
        return AdaptedTextClassifier(model, training.lora, **options)
    frozen = freeze(model, training.freeze, HEAD)
    module = TextClassifier(model, **options)
    module.frozen = frozen
    return module


def compute_features(module: TextClassifier, batches: Any, progress: Any = None) -> Features:
    """What the head is given for each text.

    Args:
        module: in whose model the texts run, in eval mode.
        batches: of the texts, in their order.
        progress: called with (texts done, texts in all).
    """
    from jumok.tasks.running.layers import still

    found: list[Tensor] = []
    head, place = module.model.get_submodule(HEAD), next(module.model.parameters()).device
    hook = head.register_forward_pre_hook(lambda _, given: found.append(given[0].float().cpu()))
    try:
        with still(module.model):
            for batch in batches:
                module.model(batch.tokens.to(place), batch.there.to(place))
                if progress:
                    progress(sum(map(len, found)), batches.deal.total)
    finally:
        hook.remove()
    return Features(torch.cat(found))
