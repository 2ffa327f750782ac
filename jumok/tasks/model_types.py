"""What kind of model `hf:` names: told by its configuration alone, before anything is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jumok.errors import JumokError, foreign
from jumok.tasks.foreign_files import advise, read_config, without_remarks

__all__ = ["PREFIX", "is_listed", "read_settings"]

PREFIX = "hf:"


def read_settings(model: str) -> dict[str, Any]:
    """The values of a model's configuration.

    Args:
        model: `hf:` and a folder, or a name on the hub.
    Raises:
        JumokError: there is no configuration, or a damaged one, or it cannot be reached; or nothing is named.
    """
    from transformers import PretrainedConfig

    name = model.removeprefix(PREFIX)
    if not name.strip():
        raise JumokError(f"{PREFIX} names no model: wanted {PREFIX} and a folder, or a name on the hub")
    folder = Path(name)
    if folder.is_dir():
        return read_config(folder, model)
    with foreign(f"cannot open {model}", advise(name)), without_remarks():
        values, _ = PretrainedConfig.get_config_dict(name)
    return dict(values)


def is_listed(model: str, *lists: str) -> bool:
    """Whether a model is of a type in one of the lists of `transformers`.

    Args:
        model: as the user gave it; without `hf:` it is in none.
        lists: by what their models are for, as in MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES.
    Raises:
        JumokError: as `read_settings`.
    """
    if not model.startswith(PREFIX):
        return False
    from transformers.models.auto import modeling_auto

    kind = read_settings(model).get("model_type")
    return any(kind in getattr(modeling_auto, f"MODEL_FOR_{each}_MAPPING_NAMES", {}) for each in lists)
