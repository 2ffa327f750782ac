"""What models are trained for.

A task is a package here with a record, `task.py`, and modules of agreed names:
settings.py   Settings, what a person may choose, and RunConfig, what a run records (no torch)
prepare.py    prepare(settings, progress) and resume(config, folder, progress) -> Prepared
run.py        RUN, the kind of run that it leaves
comparison.py begin(settings, budget, folder, device) -> Comparison, where its systems can be compared.
Its commands lie in `jumok.app` under the same name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from jumok.errors import JumokError, suggest
from jumok.tasks.answer.task import ANSWER
from jumok.tasks.classify.task import CLASSIFY
from jumok.tasks.task import Task
from jumok.tasks.translate.task import TRANSLATE

__all__ = ["TASKS", "Task", "recognise", "register", "task_named", "task_of_system"]

TASKS: dict[str, Task] = {}
"""By name. The later ones are asked first whether data is theirs, so that the first takes what nobody knows."""


def register(task: Task) -> Task:
    """Make a task known to every command.

    Raises:
        JumokError: there is one of that name.
    """
    if task.name in TASKS:
        raise JumokError(f"there is a task {task.name!r} already")
    TASKS[task.name] = task
    return task


for _task in (CLASSIFY, TRANSLATE, ANSWER):
    register(_task)


def task_named(name: str) -> Task:
    """The task of that name.

    Raises:
        JumokError: there is none.
    """
    if name not in TASKS:
        raise JumokError(f"no task {name!r}: {suggest(name, TASKS)}")
    return TASKS[name]


def recognise(paths: Sequence[Path], flags: Iterable[str] = ()) -> Task:
    """The task that data looks made for.

    Args:
        paths: of the data.
        flags: settings that were given.
    """
    given = set(flags)
    sure = (task for task in TASKS.values() if task.claims(paths))
    told = (task for task in TASKS.values() if given & set(task.told_by))
    seen = (task for task in reversed(TASKS.values()) if task.recognises(paths))
    return next(sure, None) or next(told, None) or next(seen, next(iter(TASKS.values())))


def task_of_system(name: str) -> Task:
    """The task that a system is trained for.

    Raises:
        JumokError: no system of that name.
    """
    found = next((task for task in TASKS.values() if name in task.systems or name.startswith(task.opens)), None)
    if found is None:
        raise JumokError(
            f"no system {name!r}: {suggest(name, [each for task in TASKS.values() for each in task.systems])}"
        )
    return found
