"""Models of `transformers` from elsewhere: where one lies, and how it is opened with all of its weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jumok.errors import JumokError, foreign
from jumok.tasks.bounded import bound_of_folder, building_within
from jumok.tasks.foreign_files import ADVICE, advise, check_hf_folder, without_remarks
from jumok.tasks.model_types import PREFIX
from jumok.wording import join_names

__all__ = [
    "advise",
    "is_folder",
    "list_fresh",
    "load_weights",
    "open_config",
    "open_network",
    "read_problem",
    "remark_unnamed",
]

PROBLEMS = ("single_label_classification", "multi_label_classification", "regression")
"""What the logits of a classifier may be for."""
MOST_NAMED = 4
"""Weights that are named, of those that are not there."""


def is_folder(name: str) -> bool:
    """Whether a model is a folder, and not a name on the hub.

    Raises:
        JumokError: a path at which there is none.
    """
    local = Path(name).is_dir()
    if not local and (Path(name).is_absolute() or name.startswith(".")):
        raise JumokError(f"no model folder at {name}")
    return local


def list_fresh(missing: Iterable[str], *, pooler: bool = False) -> str:
    """The weights that a checkpoint lacks, the first few by name; empty where it has all that is read.

    Args:
        missing: names of weights.
        pooler: whether those of the layer for the next-sentence task are read.
    """
    fresh = sorted(key for key in missing if pooler or ".pooler." not in f".{key}")
    return ", ".join(fresh[:MOST_NAMED]) + (", ..." if len(fresh) > MOST_NAMED else "")


def open_config(model: str) -> Any:
    """A model's configuration, after a look at its folder.

    Args:
        model: `hf:` and a folder, or a name on the hub.
    Raises:
        JumokError: there is no such model, it asks for code of its own, or its files are damaged.
    """
    import transformers

    name = model.removeprefix(PREFIX)
    local = is_folder(name)
    if local:
        check_hf_folder(Path(name))
    with foreign(f"cannot open {model}", advise(name)), without_remarks():
        return transformers.AutoConfig.from_pretrained(name, local_files_only=local, trust_remote_code=False)


def load_weights(loader: Any, model: str) -> tuple[Any, frozenset[str]]:
    """A model with its weights: from safetensors only, all of them, and no code of the model's own.

    Args:
        loader: the class of `transformers` that opens it.
        model: `hf:` and a folder, or a name on the hub.
    Returns:
        network: as the library makes it.
        missing: names of the weights that its checkpoint lacks, and that are random.
    Raises:
        JumokError: its weights are of another size than its configuration says, of more layers, or no finite numbers.
    """
    name = model.removeprefix(PREFIX)
    network, found = loader.from_pretrained(
        name,
        local_files_only=is_folder(name),
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # told below by name: the library speaks of a report that nobody sees
    )
    advice = f"the two contradict each other: {ADVICE}"
    for key, stored, built in sorted(found["mismatched_keys"]):
        sizes = [" x ".join(map(str, shape)) or "one number" for shape in (stored, built)]
        raise JumokError(
            f"{model} has {key} as {sizes[0]} in its weights, and its configuration says {sizes[1]}; {advice}"
        )
    empty = [
        f"{path}." for path, part in network.named_modules() if type(part).__name__ == "ModuleList" and not len(part)
    ]
    if more := list_more_layers([*network.state_dict(), *empty], found["unexpected_keys"]):
        raise JumokError(f"{model} has weights of layers that its configuration leaves out, {more}; {advice}")
    if damaged := next((key for key, value in network.named_parameters() if not bool(value.isfinite().all())), None):
        raise JumokError(f"{model} has NaN or infinity in its weights, in {damaged}: {ADVICE}")
    return network, frozenset(found["missing_keys"])


def list_more_layers(built: Iterable[str], unread: Iterable[str]) -> str:
    """The weights that were not read although others like them were, of another layer: the first few by name.

    Args:
        built: the names of those that the model has; of a list of layers that is empty its own, with a dot behind it.
        unread: names of weights.

    >>> list_more_layers(["layers.0.weight"], ["layers.1.weight", "head.weight"])
    'layers.1.weight'
    >>> list_more_layers(["layers.", "norm.weight"], ["layers.0.weight", "head.weight"])
    'layers.0.weight'
    """
    kinds = {_without_numbers(key) for key in built}
    empty = tuple(key for key in kinds if key.endswith("."))
    numbered = (key for key in unread if re.search(r"\d", key))
    return list_fresh((k for k in numbered if _without_numbers(k) in kinds or k.startswith(empty)), pooler=True)


def _without_numbers(key: str) -> str:
    return re.sub(r"(?<=\.)\d+(?=\.)", "#", key)


def read_problem(model: str, config: Any) -> str:
    """What a classifier's logits are for, by its configuration; "" where that does not say.

    Raises:
        JumokError: it says something that `transformers` has no loss for.
    """
    said = config.problem_type or ""
    if said and said not in PROBLEMS:
        raise JumokError(f"{model} has {said!r:.60} as problem_type: wanted {join_names(PROBLEMS, 'or')}; {ADVICE}")
    return str(said)


def open_network(model: str, loader: str, device: str) -> tuple[Any, str]:
    """A model's network: weights from safetensors only, no larger than these, and no code of the model's own.

    Args:
        model: `hf:` and a folder, or a name on the hub.
        loader: name of the class of `transformers` that opens it.
        device: to compute on.
    Returns:
        network: in float32 and eval mode, without gradients.
        fresh: weights that its checkpoint lacks, see `list_fresh`.
    Raises:
        JumokError: it cannot be opened, or its configuration asks for more than its weights hold, or for less.
    """
    import transformers

    name = model.removeprefix(PREFIX)
    with foreign(f"cannot open {model}", advise(name)), without_remarks(), building_within(bound_of_folder(name)):
        network, missing = load_weights(getattr(transformers, loader), model)
    return network.float().to(device).eval().requires_grad_(False), list_fresh(missing, pooler=True)


def remark_unnamed(classes: Sequence[str]) -> list[str]:
    """What to do about classes that a configuration only numbers; nothing where it names some, or gives one number.

    >>> remark_unnamed(["LABEL_0", "dent"]), remark_unnamed(["LABEL_0"]), len(remark_unnamed(["LABEL_0", "LABEL_1"]))
    ([], [], 1)
    """
    if len(classes) < 2 or any(name != f"LABEL_{number}" for number, name in enumerate(classes)):
        return []
    return ["its configuration does not name its classes: write their names into id2label in its config.json"]
