"""The weights that a run begins with, where these are not random: another run's, or those of a model from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.tasks.running.checkpoint import read_tensors, write_tensors
from jumok.tasks.running.config import Begun, Settings

__all__ = [
    "INITIAL",
    "TUNING_RATES",
    "begin_with",
    "check_system",
    "describe_begun",
    "keep_data",
    "note_beginning",
    "read_initial",
    "take_options",
    "write_initial",
]

C = TypeVar("C", bound=Settings)

INITIAL = "initial.safetensors"
"""The weights that a run began with, in its folder."""
LEAST_SHARE = 0.5
"""Share of a network's weights that must be found elsewhere; with fewer it is another network."""
TUNING_RATES = (3e-5, 1e-4, 3e-4)
"""Peak learning rates that are tried for weights that were trained before; the higher ones of others spoil them."""
MOST_NAMED = 4
"""Weights that are named, of those that are new."""


def check_system(system: str, first: Settings, folder: Path) -> None:
    """Make sure that a run has the system of the one that it begins with.

    Raises:
        JumokError: another system was asked for.
    """
    if system != first.system:
        raise JumokError(f"--init {folder} is a {first.system}, and --system asks for {system}: leave --system out")


def take_options(settings: Settings, first: Settings, folder: Path) -> dict[str, Any]:
    """The options of a system that begins with another run's weights: that run's, and those that were chosen.

    Args:
        settings: of the new run.
        first: those of the run to begin with.
        folder: of that run.
    Raises:
        JumokError: another system was asked for.
    """
    check_system(settings.system, first, folder)
    own = {name: value for name, value in first.options.items() if name not in settings.from_data}
    return {**own, **settings.options}


def keep_data(settings: Settings, first: Settings, names: Sequence[str], folder: Path, what: str) -> dict[str, Any]:
    """The settings of the data that a run has from the one that it begins with.

    Args:
        settings: of the new run.
        first: those of the run to begin with.
        names: of the settings of its data that are kept.
        folder: of that run.
        what: they make, as a person calls it.
    Raises:
        JumokError: one was asked for otherwise.
    """
    own, kept = settings.data, {name: getattr(first.data, name) for name in names}
    clash = [name for name in kept if name in own.model_fields_set and getattr(own, name) != kept[name]]
    if clash:
        flags = ", ".join("--" + name.replace("_", "-") for name in clash)
        raise JumokError(f"--init {folder} brings its {what} along: leave out {flags}")
    return kept


def begin_with(model: nn.Module, weights: Mapping[str, Tensor], origin: str) -> Begun:
    """Give a model the weights that have its names and shapes; the others stay as they are.

    Returns:
        which were taken.
    Raises:
        JumokError: fewer than half of its weights are found.
    """
    own = model.state_dict()
    fits = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    taken, whole = sum(own[name].numel() for name in fits), sum(value.numel() for value in own.values())
    if taken < LEAST_SHARE * whole:
        raise JumokError(
            f"{origin} has only {taken / whole:.0%} of the weights of such a network: it is no checkpoint of it, or "
            "was trained with other options"
        )
    model.load_state_dict({**own, **fits})
    return Begun(origin=origin, taken=len(fits), new=tuple(name for name in own if name not in fits))


def note_beginning(config: C, model: nn.Module, weights: Mapping[str, Tensor], origin: Path) -> tuple[C, str]:
    """Note in a run's configuration which weights it begins with.

    Args:
        config: of the run.
        model: that it makes.
        weights: from the run to begin with.
        origin: the folder of that run.
    Returns:
        the configuration, and a line that says so.
    Raises:
        JumokError: fewer than half of the model's weights are there.
    """
    begun = begin_with(model, weights, str(origin))
    found = config.found.model_copy(update={"begun": begun})  # type: ignore[attr-defined]
    return config.model_copy(update={"found": found}), f"weights: {describe_begun(begun)}"


def describe_begun(begun: Begun) -> str:
    """Which weights a run began with."""
    more = f" and {len(begun.new) - MOST_NAMED} more" if len(begun.new) > MOST_NAMED else ""
    new = f"; new: {', '.join(begun.new[:MOST_NAMED])}{more}" if begun.new else ""
    return f"{begun.taken} of {begun.taken + len(begun.new)} tensors from {begun.origin}{new}"


def write_initial(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Keep the weights that a run begins with, so that it can be resumed from its folder alone."""
    write_tensors(weights, folder / INITIAL, {"format": "jumok-weights/1"})


def read_initial(folder: Path, begun: Begun | None) -> dict[str, Tensor]:
    """The weights that a run began with; none where it began with random ones.

    Raises:
        JumokError: the file is missing or damaged.
    """
    return {} if begun is None else read_tensors(folder / INITIAL)[1]
