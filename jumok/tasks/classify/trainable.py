"""Whether a system can be trained on images as it is asked to: told before the long part of the preparation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jumok import systems
from jumok.data.images.folders import ImageSet
from jumok.errors import JumokError
from jumok.tasks.classify.kinds import KINDS
from jumok.tasks.classify.own_training import OwnFigures, OwnLoss
from jumok.tasks.classify.settings import Settings
from jumok.tasks.classify.system_options import system_options
from jumok.tasks.running.run import configure_system

__all__ = ["check_trainable"]


def check_trainable(settings: Settings, images: ImageSet, size: tuple[int, int]) -> None:
    """Refuse options that a system does not take, labels that it cannot learn, and weights that cannot be shared out.

    Args:
        settings: of the training.
        images: to train on.
        size: height and width that they are brought to.
    Raises:
        JumokError: one of these.
    """
    options = system_options(settings.system, settings.options, len(images.classes), size)
    if settings.training.strategy == "fsdp":
        _check_sharded(settings, options)
    if KINDS[images.kind].of_systems_with_own_loss:
        return
    if isinstance(systems.build(settings.system, configure_system(settings.system, options)), OwnLoss):
        raise JumokError(
            f"{settings.system} is trained in a way of its own, to tell the one class of each image, and each of these "
            f"has {images.each_has}: choose another --system"
        )


def _check_sharded(settings: Settings, options: Mapping[str, Any]) -> None:
    """Refuse what is not computed by calling the model as a whole, as weights of which each process holds a part need.

    Raises:
        JumokError: a system that is trained in a way of its own, or a part of the weights that is not to learn.
    """
    if settings.training.freeze != "none" or settings.training.lora is not None:
        raise JumokError("--strategy fsdp trains all weights: leave --freeze and --lora out")
    if settings.system in systems.SYSTEMS:
        model = systems.build(settings.system, configure_system(settings.system, dict(options)))
        if isinstance(model, OwnLoss | OwnFigures):
            raise JumokError(
                f"{settings.system} is trained in a way of its own, which --strategy fsdp does not know: use ddp"
            )
