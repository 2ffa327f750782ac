"""Fine-tuning: a run that begins with weights from elsewhere, of which some may stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from jumok.data.images.batches import PixelStore
from jumok.errors import JumokError, first_line
from jumok.machine import device_name
from jumok.tasks.classify.adapted import AdaptedClassifier
from jumok.tasks.classify.features import Features, HeadClassifier, compute_features
from jumok.tasks.classify.own_training import OwnLoss
from jumok.tasks.classify.preparation import Processed
from jumok.tasks.classify.run import build_model
from jumok.tasks.classify.settings import ImageTraining, RunConfig
from jumok.tasks.classify.starting import Start
from jumok.tasks.classify.training import Classifier, classifier_options
from jumok.tasks.preprocessing import to_three
from jumok.tasks.running.beginning import begin_with
from jumok.tasks.running.class_training import ClassTraining
from jumok.tasks.running.figures import Progress
from jumok.tasks.running.layers import find_head, freeze
from jumok.tasks.running.training_module import seed_everything

__all__ = ["begin", "describe_learning", "keep_features", "make_module", "settle_training"]

UNVARIED: dict[str, Any] = {"augment": False, "flips": "none", "mixup": 0.0}
"""Settings with which an image gives the same features each time."""
TUNING_RATE = 1e-4
"""The usual peak learning rate for weights that were trained before."""


def settle_training(training: ImageTraining, start: Start | None) -> ImageTraining:
    """What follows for the training from where it begins, unless it was asked for otherwise.

    With a frozen backbone images are not varied: their features are then computed only once.

    Raises:
        JumokError: weights are to stay as they are that were never trained, or in two ways.
    """
    training.check_tuning(begun=start is not None)
    usual = {} if start is None or training.freeze == "backbone" else {"lr": TUNING_RATE}
    usual |= UNVARIED if training.freeze == "backbone" else {}
    left = {name: value for name, value in usual.items() if name not in training.model_fields_set}
    return training.model_copy(update=left)


def begin(config: RunConfig, start: Start, processed: Processed | None) -> tuple[RunConfig, dict[str, Tensor]]:
    """Settle how a run begins with weights from elsewhere.

    Args:
        config: of the run.
        start: what it begins with.
        processed: what brings its images to their size; None: they are stretched.
    Returns:
        its configuration, and the weights.
    Raises:
        JumokError: the network does not take images of this size, the weights are of another network, or what should
            be frozen cannot be told from the rest.
    """
    weights = start.weights_for(config.found.classes)
    model = build_model(config)
    begun = begin_with(model, weights, start.origin)
    head = _find_head(model, config)
    freeze(model, config.training.freeze, head)
    mean, std = (to_three(values) for values in (start.preparation.mean, start.preparation.std))
    found = {"begun": begun, "mean": mean, "std": std, "head": head, "processor": processed and processed.kept}
    return config.model_copy(update={"found": config.found.model_copy(update=found)}), weights


def _find_head(model: nn.Module, config: RunConfig) -> str | None:
    """The head of a network; None where there is no single layer, or the network has a training of its own."""
    if isinstance(model, OwnLoss):
        return None
    try:
        return find_head(model, len(config.found.classes), config.size)
    except (ValueError, RuntimeError, AssertionError) as error:
        size = " x ".join(map(str, config.size))
        raise JumokError(f"{config.system} does not take images of {size} pixels: {first_line(error)}") from error


def describe_learning(module: ClassTraining, *, kept: bool, noun: str = "image") -> list[str]:
    """What to say of a model of which only a part learns; nothing of others."""
    learnt = sum(value.numel() for value in module.model.parameters() if value.requires_grad)
    if learnt == module.size:
        return []
    once = f"; what the others make of each {noun} is computed once and kept" if kept else ""
    return [f"learning: {learnt:,} of {module.size:,} weights{once}"]


def keep_features(
    config: RunConfig, initial: Mapping[str, Tensor], stores: Mapping[str, PixelStore], progress: Progress | None
) -> dict[str, Features] | None:
    """What the frozen part of a model makes of each image; None where images vary, or more than the head learns."""
    training, head = config.training, config.found.head
    varied = {name for name, value in UNVARIED.items() if getattr(training, name) != value}
    if training.freeze != "backbone" or varied or head is None:
        return None
    module = make_module(config, 1, initial, None).to(device_name(training.device))
    mean, std = module.mean.flatten(), module.std.flatten()
    return {
        part: compute_features(module.model, head, store, mean, std, progress if part == "train" else None)
        for part, store in stores.items()
    }


def make_module(
    config: RunConfig, steps: int, initial: Mapping[str, Tensor], features: Mapping[str, Features] | None
) -> Classifier:
    """The model in training, with the weights that it begins with, and with those frozen that should be.

    Args:
        config: of the run.
        steps: of the whole training.
        initial: weights from elsewhere; the seed decides the others.
        features: of the images, where a head is trained alone.
    """
    training, head = config.training, config.found.head
    seed_everything(training.seed)
    model = build_model(config)
    if initial and config.found.begun:
        begin_with(model, initial, config.found.begun.origin)
    options = classifier_options(config, steps=steps)
    if features is not None and head is not None:
        return HeadClassifier(model, head, **options)
    if training.lora is not None:
        return AdaptedClassifier(model, head, training.lora, **options)
    frozen = freeze(model, training.freeze, head)
    module = Classifier(model, **options)
    module.frozen = frozen
    return module
