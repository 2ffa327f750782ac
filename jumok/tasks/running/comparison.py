"""One data set, one budget of time, several systems: train each in turn, and time and judge it. Each task has its own.

A task's `comparison.py` says how a system is prepared from the data and how a trained one is judged: a `Comparison`.
"""

from __future__ import annotations

import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from pydantic import Field

from jumok import systems
from jumok.errors import JumokError
from jumok.files import write_atomically
from jumok.machine import PeakMemory
from jumok.tasks import Task, task_of_system
from jumok.tasks.running import fit
from jumok.tasks.running.config import Strict, load_config, parse, read_yaml
from jumok.tasks.running.planning import plan
from jumok.tasks.running.prepared import Prepared
from jumok.tasks.running.run import CONFIG

__all__ = [
    "RESULT",
    "USE_BATCH",
    "Comparison",
    "Result",
    "choose_systems",
    "list_compared",
    "use_rate",
]

RESULT = "result.json"
OF_MODELS = ("mean", "std", "begun", "head", "processor")
"""What is noted of the data, and follows from the model where it was trained before."""
USE_BATCH = 64
"""Images or questions at a time in use."""
USE_SECONDS = 0.7
"""How long use is timed."""

P = TypeVar("P", bound=Prepared)


class Result(Strict):
    """What became of one system.

    Args:
        system: its name.
        epochs, seconds: passes over the training data, and wall time of the training.
        parameters: numbers that it learnt.
        train_rate, use_rate: images or questions per second, in training and in use (batches of 64).
        memory: MiB held at most in training, beyond what was held before; None where it cannot be told.
        accuracy, low, high: how right it is on the test data, with its 95% interval.
    """

    system: str
    epochs: float = Field(gt=0)
    seconds: float
    parameters: int
    train_rate: float
    use_rate: float
    memory: float | None
    accuracy: float
    low: float
    high: float

    unit: ClassVar[str]
    """What is counted."""

    @property
    @abstractmethod
    def tested(self) -> int:
        """On how many the accuracy was taken."""


@dataclass(frozen=True)
class Comparison(ABC, Generic[P]):
    """Systems that are compared on the same data, with the same settings.

    Args:
        base: the data and the settings, as prepared for any of the systems.
        budget: seconds of training that each may take.
        asked: names of the settings of the training that were given, which are the same for all.
        folder: where the runs are written.
        device: of the training and use.
    """

    base: P
    budget: float
    asked: frozenset[str]
    folder: Path
    device: str

    result: ClassVar[type[Result]]
    """What becomes of a system."""

    @abstractmethod
    def options(self, name: str) -> dict[str, Any]:
        """All options of a system: those that follow from the data, and its defaults.

        Raises:
            JumokError: it does not take these data.
        """

    @abstractmethod
    def judge(self, place: Path) -> Mapping[str, Any]:
        """The figures of a trained system's result that are not of its training."""

    def of_system(self, name: str) -> P:
        """The same data and settings for another system.

        Raises:
            JumokError: it does not take these data.
        """
        config = self.base.config
        changed = {"system": name, "options": self.options(name)}
        return replace(self.base, config=config.model_copy(update=changed))

    def begun(self, place: Path) -> P:
        """The same data for a system whose run was begun in that folder."""
        return replace(self.base, config=load_config(type(self.base.config), place / CONFIG))

    def place(self, name: str) -> Path:
        """The folder of a system's run; a name from elsewhere, such as hf:google/vit, is one folder too."""
        return self.folder / (re.sub(r"[^\w.-]+", "-", name).strip("-.") or "system")

    def enter(self, name: str, tell: Callable[[str], None]) -> Result:
        """Train and judge one system, or read what became of it; what was stopped goes on where it was.

        Args:
            name: of the system.
            tell: is given a line on what is being done.
        Raises:
            JumokError: the system cannot be trained on these data.
        """
        place = self.place(name)
        if (place / RESULT).exists():
            tell(f"{name}: already there")
            return parse(self.result, read_yaml(place / RESULT), str(place / RESULT))
        trained = self._train(name, tell)
        result = parse(self.result, {"system": name, **trained, **self.judge(place)}, name)
        write_atomically(place / RESULT, json.dumps(result.model_dump(), indent=2, ensure_ascii=False) + "\n")
        return result

    def _train(self, name: str, tell: Callable[[str], None]) -> dict[str, Any]:
        """Train a system, or go on with it; gives what that took."""
        place = self.place(name)
        prepared = self._reopen(place) if (place / CONFIG).exists() else self._start(name)
        memory, device = PeakMemory(), torch.device(self.device)
        module = prepared.module()
        tell(f"{name}: {module.size / 1e6:.2f} million weights, {prepared.length()}")
        outcome = fit.fit(module, prepared.train, prepared.val, place, prepared.training)
        held = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else memory.mebibytes()
        return {
            "epochs": round(outcome.rows[-1]["step"] / len(prepared.train), 2),
            "seconds": round(outcome.clock.wall, 2),
            "parameters": module.size,
            "train_rate": round(outcome.clock.rate, 1),
            "memory": None if held is None else round(held, 1),
        }

    def _reopen(self, place: Path) -> P:
        """A run that was begun earlier, if it was begun with these data.

        Raises:
            JumokError: it was not.
        """
        prepared = self.begun(place)
        if not _same_data(prepared, self.base):
            unit = self.result.unit
            raise JumokError(
                f"{place} was begun with other {unit}, or by a version of jumok that dealt them out otherwise: put the "
                f"{unit} of then back, or choose another --out"
            )
        return prepared

    def _start(self, name: str) -> P:
        """A run of a system's own, as long as the budget."""
        prepared = plan(self.of_system(name), self.asked, seconds=self.budget)
        prepared.write(self.place(name))
        return prepared


def _same_data(first: Prepared, second: Prepared) -> bool:
    """Whether their data said the same when they began; what a pretrained model brought along is not of the data."""
    one, other = (each.config.model_dump(include={"found"}).get("found", {}) for each in (first, second))
    skipped = OF_MODELS if one.get("begun") or other.get("begun") else ()
    return all(one.get(name) == other.get(name) for name in {*one, *other}.difference(skipped))


# -- which systems ------------------------------------------------------------------------------


def list_compared(task: Task) -> list[str]:
    """The systems that stand for the mechanisms of a task, small enough to be trained beside each other."""
    return [name for name in systems.ATTENDS if name in task.systems]


def choose_systems(names: str, task: Task) -> list[str]:
    """The systems of a list such as "cnn,senet", or "all".

    Raises:
        JumokError: none, no such system, or one that is trained for something else.
    """
    every = list_compared(task)
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    found = every if "all" in wanted else wanted
    if not found:
        raise JumokError(
            f"no systems to compare: give their names, as in {','.join(every[:2])}, or all ({', '.join(every)})"
        )
    for name in found:
        other = task_of_system(name)
        if other != task:
            hint = f", or {other.example} and those that {other.does}" if "compare" in other.verbs else ""
            raise JumokError(f"{name} is trained to {other.does}: compare takes systems that {task.does}{hint}")
    return list(dict.fromkeys(found))


# -- time ---------------------------------------------------------------------------------------


@torch.no_grad()
def use_rate(run: Callable[[], object], count: int, device: torch.device) -> float:
    """How many per second a model takes in use.

    Args:
        run: lets the model take one batch that lies in memory.
        count: how many are in it.
        device: of the model.
    """
    run()
    _wait(device)
    began, done = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < USE_SECONDS:
        run()
        _wait(device)
        done += count
    return done / spent


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
