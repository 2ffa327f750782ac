"""What figures depend on: while it stays the same, a measurement that was stopped can go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.version import __version__

if TYPE_CHECKING:
    from jumok.app.classify.maps import MapMaker
    from jumok.tasks.classify.any_classifier import AnyClassifier

__all__ = ["hash_model", "identify"]


def identify(maps: MapMaker, paths: Sequence[Path], settings: Mapping[str, Any]) -> dict[str, str]:
    """What the figures depend on, by what a person calls it.

    Args:
        maps: the model and its methods.
        paths: of the images that are measured, in their order.
        settings: how they are measured, and the seed of what is drawn; how long that may take makes no difference.
    Raises:
        JumokError: an image that cannot be read.
    """
    import torch

    from jumok.data.images.contents import hash_file

    assert maps.model is not None
    images = hashlib.sha256("".join(map(hash_file, paths)).encode())
    return {
        "weights": hash_model(maps.model),
        "images": images.hexdigest(),
        "methods": json.dumps([*maps.options.methods, *maps.saliency]),
        "settings": json.dumps(settings, sort_keys=True),
        "versions": f"jumok {__version__}, torch {torch.__version__}",
    }


def hash_model(model: AnyClassifier) -> str:
    """The hash of a model's weights, structure, and preparation of images."""
    import torch

    given = model.preparation
    about = (model.model, model.classes, given.described, given.size, given.mean, given.std, given.bits)
    digest = hashlib.sha256(repr(about).encode(errors="surrogateescape"))
    for name, value in model.model.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
