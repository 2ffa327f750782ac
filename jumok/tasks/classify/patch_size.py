"""How large a patch of a classifier is: an image that is smaller would only be looked at as stretched pixels."""

from __future__ import annotations

import math

import torch

from jumok.tasks.classify.any_classifier import AnyClassifier
from jumok.watching.watch import watch

__all__ = ["find_patch_size"]


@torch.no_grad()
def find_patch_size(model: AnyClassifier) -> tuple[int, int]:
    """The pixels that one patch of a classifier covers.

    Args:
        model: as `open_model` gives it; it is run once.
    Returns:
        height and width in pixels of the model's own size; 1 x 1 of a model that cuts its images into no patches.
    """
    height, width = model.size
    with watch(model.model) as seen:
        model(model.blank())
    patches = seen.patches()
    return (1, 1) if patches is None else (math.ceil(height / patches.rows), math.ceil(width / patches.columns))
