"""Image classifiers of timm with their weights, from safetensors alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jumok.errors import JumokError, foreign, suggest_some
from jumok.systems.pretrained import import_timm
from jumok.tasks.bounded import bound_of, building_within
from jumok.tasks.classify.foreign import ADVICE, Foreign
from jumok.tasks.classify.processors import open_timm_transform
from jumok.tasks.foreign_files import check_timm_folder, pickled, read_config

__all__ = ["load_timm"]

SAFE: Mapping[str, Any] = {"url": "", "hf_hub_filename": "model.safetensors"}
"""Where weights may come from, of what timm has of them: it would take a pickle from either where this is not there."""
NO_ARGUMENTS = ("num_classes", "pretrained")


def load_timm(name: str) -> Foreign:
    """Load an image classifier of timm.

    Args:
        name: of a pretrained model; "local-dir:" and a folder as timm saves it; or "hf-hub:" and a repository.
    Raises:
        JumokError: there is no such model, its weights are a pickle, or its images cannot be prepared as it wants.
        ModuleNotFoundError: timm is not installed.
    """
    source, _, place = name.partition(":")
    local = source == "local-dir"
    if local:
        check_timm_folder(Path(place))
    timm = import_timm()
    bound = bound_of(Path(place)) if local else None
    with foreign(f"cannot open timm:{name}", ADVICE), building_within(bound):
        from timm.data import resolve_model_data_config

        if not place:
            _check_name(name)
        model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=None if local else dict(SAFE))
        data = resolve_model_data_config(model)
        options = {"architecture": model.pretrained_cfg["architecture"], "arguments": _find_arguments(name)}
        classes = _name_classes(model)
    return Foreign(model, options, classes, open_timm_transform(name, data))


def _check_name(name: str) -> None:
    """Refuse a name that timm has not, or of which it has a pickle alone."""
    from timm.models import get_pretrained_cfg, is_model, list_models

    architecture = name.partition(".")[0]
    if not is_model(architecture):
        raise JumokError(f"timm has no model {architecture!r}: {suggest_some(architecture, list_models())}")
    known = get_pretrained_cfg(name, allow_unregistered=True)
    if known is not None and known.url and not known.hf_hub_id:
        raise pickled(f"timm:{name}", known.url.rpartition("/")[2])


def _name_classes(model: Any) -> tuple[str, ...]:
    from timm.data import ImageNetInfo

    count, named = int(model.num_classes), model.pretrained_cfg.get("label_names") or ()
    if len(named) == count > 0:
        return tuple(map(str, named))
    if count == 1000:
        info = ImageNetInfo()
        return tuple(info.index_to_description(number) for number in range(count))
    return tuple(str(number) for number in range(count))


def _find_arguments(name: str) -> dict[str, Any]:
    """What a model saved in a folder or a repository is made with, beside its name."""
    source, _, place = name.partition(":")
    if source == "local-dir":
        arguments = read_config(Path(place), f"timm:{name}").get("model_args") or {}
    elif place:
        from timm.models import load_model_config_from_hf

        arguments = load_model_config_from_hf(place)[2] or {}
    else:
        arguments = {}
    return {key: value for key, value in arguments.items() if key not in NO_ARGUMENTS}
