"""What models are trained for.

A task is a package here, whose modules have agreed names:
settings.py   Settings, what a person may choose, and RunConfig, what a run records (no torch)
prepare.py    prepare(settings, progress) and resume(config, folder, progress) -> Prepared
run.py        RUN, the kind of run that it leaves.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jumok.errors import JumokError, suggest

if TYPE_CHECKING:
    from jumok.tasks.running.config import Settings
    from jumok.tasks.running.run import Run

__all__ = ["TASKS", "part", "run_class", "settings_class"]

TASKS = ("classify", "translate", "answer")


def part(task: str, name: str) -> Any:
    """A module of a task, imported when it is first asked for.

    Raises:
        JumokError: no such task.
    """
    if task not in TASKS:
        raise JumokError(f"no task {task!r}: {suggest(task, TASKS)}")
    return import_module(f"jumok.tasks.{task}.{name}")


def settings_class(task: str) -> type[Settings]:
    """What a person may choose for a task."""
    found: type[Settings] = part(task, "settings").Settings
    return found


def run_class(task: str) -> type[Run]:
    """The kind of run that a task leaves."""
    found: type[Run] = part(task, "run").RUN
    return found
