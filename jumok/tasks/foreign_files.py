"""The files of models from elsewhere, looked at before a library opens them: nothing in them is run."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jumok.errors import JumokError, first_line
from jumok.files import regular_file
from jumok.tasks.other_libraries import describe_other

__all__ = [
    "ADVICE",
    "CODE",
    "MOST_PIXELS",
    "PROCESSOR",
    "advise",
    "check_hf_folder",
    "check_timm_folder",
    "pickled",
    "without_remarks",
]

ADVICE = "give another model, or mend its files"
CODE = (
    "{name} asks for code from a repository (auto_map), which is not run here: give a model whose architecture "
    "transformers has itself; in Python, use jumok.watch around it"
)
WEIGHTS = "model.safetensors"
"""Where timm looks first; what it would take instead are pickles."""
CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
SETTINGS = (CONFIG, PROCESSOR)
READ_WHOLE = (*SETTINGS, "processor_config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json")
"""Files that hold keys and values, as a library reads them: of one that is damaged it seldom says the name."""
SAY_KIND = ("model_type", "architecture")
"""Of the settings of a model: those that say what it is, here and in timm."""
SAY_HEADS = "architectures"
"""Of the settings of a model: the classes that it can be opened as."""
LARGEST_FILE = 4 << 20
"""Bytes that a file of settings may have."""
MOST_PIXELS = 1 << 26
"""Of the images that a model may be made for."""


def advise(name: str) -> str:
    """What to do where a model could not be opened."""
    if Path(name).is_dir():
        return ADVICE
    return f"no folder {name} is here, so it was looked for on the hub: correct the name, or connect to the internet"


def check_hf_folder(folder: Path, built_in: Container[str] = ()) -> None:
    """Refuse a folder that is none of `transformers`, asks for code, or holds no weights that can be opened safely.

    Args:
        folder: of the model.
        built_in: types of models that are opened without the code that their configurations ask for.
    Raises:
        JumokError: it is one; the message names what it is.
    """
    check_files(folder)
    values = read_config(folder, f"hf:{folder}")
    if "model_type" not in values and "architecture" in values:
        raise JumokError(f"{folder} is a model of timm: give it as timm:local-dir:{folder}")
    if "model_type" not in values:
        reason = describe_other(folder) or f"its {CONFIG} names no model_type, as those of transformers do; {ADVICE}"
        raise JumokError(f"cannot open hf:{folder}: {reason}")
    if values.get("model_type") not in built_in:
        check_code(f"hf:{folder}", values)
    _check_weights(f"hf:{folder}", folder, (".safetensors", ".safetensors.index.json"))


def check_timm_folder(folder: Path) -> None:
    """As `check_hf_folder`, of timm."""
    if not folder.is_dir():
        raise JumokError(f"no model folder at {folder}")
    check_files(folder)
    values = read_config(folder, f"timm:local-dir:{folder}")
    if "architecture" not in values and "model_type" in values:
        raise JumokError(f"{folder} is a model of transformers: give it as hf:{folder}")
    _check_weights(f"timm:local-dir:{folder}", folder, (WEIGHTS,))


def check_code(name: str, values: Mapping[str, Any]) -> None:
    """Refuse a configuration that asks for code of its own.

    Raises:
        JumokError: it does.
    """
    if values.get("auto_map"):
        raise JumokError(CODE.format(name=name))


def check_files(folder: Path) -> None:
    """Make sure that what a model's folder holds can be read to its end, and that none of its settings are damaged.

    Raises:
        JumokError: a file is no file, is damaged, or is larger than settings are; the message names it.
    """
    for path in folder.iterdir():
        if path.suffix in (".json", ".safetensors") and path.exists():
            regular_file(path)
        if path.name in READ_WHOLE:
            _read_values(path)


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """A model's config.json.

    Args:
        folder: of the model.
        name: of the model, for messages.
    Raises:
        JumokError: there is none, or it holds no settings.
    """
    path = folder / CONFIG
    if not path.exists():
        reason = describe_other(folder) or f"it has no {CONFIG}, so it is no model; {ADVICE}"
        raise JumokError(f"cannot open {name}: {reason}")
    values = _read_values(path)
    for key in SAY_KIND:
        if not isinstance(found := values.get(key, ""), str):
            raise JumokError(f"{path} has {found!r:.60} as {key}: wanted the name of one; {ADVICE}")
    found = values.get(SAY_HEADS)
    if found is not None and not (isinstance(found, list) and all(isinstance(each, str) for each in found)):
        raise JumokError(f"{path} has {found!r:.60} as {SAY_HEADS}: wanted a list of names; {ADVICE}")
    return values


def _read_values(path: Path) -> dict[str, Any]:
    """The keys and values of a file of settings."""
    if path.name in SETTINGS and regular_file(path).stat().st_size > LARGEST_FILE:
        raise JumokError(f"{path} is larger than {LARGEST_FILE >> 20} MiB: those are no settings")
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = first_line(error) if path.stat().st_size else "it is empty"
        raise JumokError(f"cannot read {path} ({reason}): {ADVICE}") from error
    if not isinstance(values, dict):
        raise JumokError(f"{path} holds no settings: wanted keys and values")
    return values


def pickled(name: str, file: str) -> JumokError:
    """What is said of a model whose weights are a pickle.

    Args:
        name: of the model.
        file: with its weights.
    """
    return JumokError(
        f"{name} has its weights as {file}, a pickle that can run code when it is opened: wanted {WEIGHTS}"
    )


def _check_weights(name: str, folder: Path, wanted: tuple[str, ...]) -> None:
    """Refuse a folder without a file whose name ends as wanted."""
    names = [path.name for path in folder.iterdir()]
    if any(each.endswith(wanted) for each in names):
        return
    if found := sorted(each for each in names if each.endswith((".bin", ".pt", ".pth", ".ckpt"))):
        raise pickled(name, found[0])
    reason = describe_other(folder) or f"it has no weights ({WEIGHTS}); {ADVICE}"
    raise JumokError(f"cannot open {name}: {reason}")


@contextmanager
def without_remarks() -> Iterator[None]:
    """Let `transformers` load without its progress bar and its remarks on standard error."""
    from transformers.utils import logging

    bar, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
