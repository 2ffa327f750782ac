"""What figures depend on: while it stays the same, a measurement that was stopped can go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jumok.version import __version__

if TYPE_CHECKING:
    from torch import nn

__all__ = ["identify"]


def identify(
    model: nn.Module,
    about: object,
    inputs: Mapping[str, Iterable[str]],
    methods: Sequence[str],
    settings: Mapping[str, Any],
) -> dict[str, str]:
    """What the figures depend on, by what a person calls it.

    Args:
        model: that is measured.
        about: whose `repr` says what else it is: how it was made, its classes, its vocabulary.
        inputs: by what they are, the texts or the hashes of all that is measured, in their order.
        methods: whose maps are measured.
        settings: how they are measured, and the seed of what is drawn; how long that may take makes no difference.
    """
    import torch

    return {
        "weights": _hash_model(model, about),
        **{name: _hash_texts(texts) for name, texts in inputs.items()},
        "methods": json.dumps(list(methods)),
        "settings": json.dumps(settings, sort_keys=True),
        "versions": f"jumok {__version__}, torch {torch.__version__}",
    }


def _hash_texts(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode(errors="surrogateescape")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()


def _hash_model(model: nn.Module, about: object) -> str:
    """The hash of a model's weights and structure, and of what is known about it."""
    import torch

    digest = hashlib.sha256(repr((model, about)).encode(errors="surrogateescape"))
    for name, value in model.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
