"""A run on disk: a folder with one trained model and everything needed to build and use it again."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import BaseModel
from torch import nn

from jumok import systems
from jumok.errors import JumokError, suggest
from jumok.files import write_atomically
from jumok.tasks import TASKS, Task, task_named
from jumok.tasks.bounded import bound_of, building_within, sizes_alone
from jumok.tasks.running.checkpoint import RESTORE, read_tensors, write_tensors
from jumok.tasks.running.config import Recorded, plain_errors, read_run_config
from jumok.tasks.running.mark import MARK, is_held
from jumok.wording import typed

FOREIGN_CONFIG = "config.json"
"""Of a model of `transformers` or timm."""
CONFIG, WEIGHTS, CARD = "config.yaml", "weights.safetensors", "card.md"


@dataclass(frozen=True, repr=False)
class Run(ABC):
    """A trained model with what is needed to use it; each task has its own kind.

    Args:
        config: how it was made.
        model: in eval mode.
        folder: where it lies.
    """

    config: Recorded
    model: nn.Module
    folder: Path

    def __repr__(self) -> str:
        system = getattr(self.config, "system", "")
        parts = [repr(str(self.folder)), *filter(None, [system and f"system {system}", self._describe()])]
        return f"{type(self).__name__}({', '.join(parts)})"

    def _describe(self) -> str:
        """What it gives, in a few words."""
        return ""

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def predict(self, *inputs: Any, **options: Any) -> Any:
        """What the model says: of one input one answer, of a list a list; each has a `label`.

        Images: `predict(image)`; sentences and texts: `predict(text)`; questions: `predict(image, question)`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no way to predict")

    def look(self, *inputs: Any, **options: Any) -> Any:
        """Where the model looked in images, which a run on images can tell: of one image one map, of a list a list.

        Raises:
            JumokError: this one was trained to do something else.
        """
        raise self._lacks("look")

    def translate(self, *inputs: Any, **options: Any) -> Any:
        """Translate sentences, which a run on sentence pairs can.

        Raises:
            JumokError: this one was trained to do something else.
        """
        raise self._lacks("translate")

    def ask(self, *inputs: Any, **options: Any) -> Any:
        """Answer questions about an image, which a run on questions can.

        Raises:
            JumokError: this one was trained to do something else.
        """
        raise self._lacks("ask")

    def _lacks(self, verb: str) -> JumokError:
        does = next((task.does for task in TASKS.values() if isinstance(self, task.run)), "do something else")
        return JumokError(f"{self.folder} has no .{verb}(): it was trained to {does}; use .predict()")

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the configuration and the weights, each whole or not at all.

        Raises:
            JumokError: the folder cannot be written.
        """
        write_tensors(self.model.state_dict(), Path(folder) / WEIGHTS, {"format": "jumok-weights/1"})
        write_atomically(Path(folder) / CONFIG, self.config.to_yaml())

    @classmethod
    @abstractmethod
    def read(cls, folder: Path) -> Self:
        """Read a run of this kind, its model in eval mode on the CPU.

        Raises:
            JumokError: one of another version, a damaged file, or weights that do not fit.
        """

    @classmethod
    def load(cls, folder: str | os.PathLike[str], device: str = "cpu") -> Self:
        """Read a run; nothing in it is executed.

        Args:
            folder: of the run.
            device: to put the model on.
        Raises:
            JumokError: no run there, one of another task or version, a damaged file, or weights that do not fit.
        """
        place = Path(folder)
        task = task_of(place)
        kind = task.run
        if not issubclass(kind, cls):
            wanted = next((other.does for other in TASKS.values() if issubclass(other.run, cls)), "do something else")
            raise JumokError(
                f"{place} is a run that was trained to {task.does}: wanted one that was trained to {wanted}"
            )
        run: Self = kind.read(place)
        run.model.to(device)
        return run


def task_of(folder: Path) -> Task:
    """What a run was trained for.

    Raises:
        JumokError: no run there, or one of another version or of a task that is not known.
    """
    check_is_run(folder)
    return task_named(str(read_run_config(folder / CONFIG)["task"]))


def task_of_model(name: str) -> Task:
    """What a run was trained for, or models from elsewhere that are called so ("hf:...", "timm:...").

    Raises:
        JumokError: as `task_of`.
    """
    elsewhere = (task for task in TASKS.values() if name.startswith(task.opens))
    return next(elsewhere, None) or task_of(Path(name))


def read_model(build: Callable[[], nn.Module], folder: Path) -> nn.Module:
    """Build a run's model and give it the run's weights, in eval mode.

    Names and sizes are compared before the model is built: a configuration can ask for more memory than there is.

    Args:
        build: makes the model as the run's configuration says.
        folder: of the run.
    Raises:
        JumokError: there are no weights, they do not fit, or are no finite numbers.
    """
    if not (folder / WEIGHTS).exists():
        going_on = "its training goes on, and writes them when its first epoch ends"
        resume = f"resume its training with jumok train --resume {typed(folder)}"
        raise JumokError(f"{folder} has no weights yet: {going_on if is_held(folder) else resume}")
    with sizes_alone(), building_within(bound_of(folder / WEIGHTS)):
        wanted = build().state_dict()
    _, tensors = read_tensors(folder / WEIGHTS, wanted={name: value.shape for name, value in wanted.items()})
    for name, value in tensors.items():
        if value.dtype != wanted[name].dtype:
            raise JumokError(
                f"{folder / WEIGHTS} has {name!r} as {value.dtype}, wanted {wanted[name].dtype}: {RESTORE}"
            )
        if not bool(torch.isfinite(value).all()):
            raise JumokError(f"{folder / WEIGHTS} has NaN or infinity in {name!r}: {RESTORE}")
    model = build()
    model.load_state_dict(tensors)
    return model.eval()


def check_is_run(folder: Path) -> None:
    """Make sure that a folder holds a run.

    Raises:
        JumokError: it does not.
    """
    if (folder / CONFIG).is_file():
        return
    if not folder.exists():
        others = [path.name for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
        hint = suggest(folder.name, others) if others else ""
        hint = hint if hint.startswith("did") else guess_elsewhere(folder)
        raise JumokError(f"no run at {folder}{': ' + hint if hint else ''}")
    if is_held(folder):
        raise JumokError(f"a training is just beginning in {folder}: wait for its first epoch to end")
    if (folder / MARK).exists():
        raise JumokError(
            f"the start of {folder} was cut off before its training began: give the same command once more"
        )
    hint = guess_elsewhere(folder)
    raise JumokError(f"{folder} is not a run: {hint or f'it has no {CONFIG}'}")


def may_be_model(folder: Path) -> bool:
    """Whether a folder holds what a run, or a model from elsewhere, is made of; it may lack the rest."""
    return any((folder / name).is_file() for name in (CONFIG, WEIGHTS, FOREIGN_CONFIG)) or (folder / MARK).exists()


def guess_elsewhere(folder: Path) -> str:
    """What was probably meant by a folder that is no run, if it is a model of a library or of a hub; "" for nothing."""
    if (folder / FOREIGN_CONFIG).is_file():
        name = f"timm:local-dir:{folder}" if _is_timm(folder) else f"hf:{folder}"
        return f"did you mean {name}?"
    owner, *rest = folder.parts if not folder.is_absolute() else ("",)
    if len(rest) != 1 or owner in (".", "..") or Path(owner).exists():
        return ""
    return f"did you mean timm:{rest[0]}?" if owner == "timm" else f"did you mean hf:{owner}/{rest[0]}?"


def _is_timm(folder: Path) -> bool:
    """Whether a folder's config.json is one of timm, which names an architecture in the singular."""
    try:
        values = json.loads((folder / FOREIGN_CONFIG).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and "architecture" in values and "model_type" not in values


def configure_system(name: str, options: Mapping[str, Any]) -> BaseModel:
    """Make the configuration of a system.

    Raises:
        JumokError: a system that is not known, an option that it does not take, or a value out of range.
    """
    with plain_errors(systems.config_of(name), f"options of {name}"):
        return systems.configure(name, **options)
    raise AssertionError  # the block above returns or raises


def load(folder: str | os.PathLike[str], device: str = "cpu") -> Run:
    """Read a run of whatever task, ready to use.

    Args:
        folder: of the run, such as "runs/first".
        device: to put the model on.
    Returns:
        an `ImageRun`, a `PairRun`, a `QuestionRun` or a `TextRun`. Each has `predict`: one input gives one answer, a
        list a list.
    Raises:
        JumokError: as `Run.load`.
    """
    return Run.load(folder, device)
