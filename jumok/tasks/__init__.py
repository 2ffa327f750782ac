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
from typing import TYPE_CHECKING

from jumok.errors import JumokError, suggest
from jumok.tasks.answer.task import ANSWER
from jumok.tasks.classify.task import CLASSIFY
from jumok.tasks.label.task import LABEL
from jumok.tasks.task import Task
from jumok.tasks.translate.task import TRANSLATE

if TYPE_CHECKING:
    from jumok.tasks.running.config import Settings

__all__ = [
    "TASKS",
    "Task",
    "recognise",
    "register",
    "task_named",
    "task_of_settings",
    "task_of_system",
    "tasks_of_system",
]

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


for _task in (CLASSIFY, TRANSLATE, ANSWER, LABEL):
    register(_task)


def task_named(name: str) -> Task:
    """The task of that name.

    Raises:
        JumokError: there is none.
    """
    if name not in TASKS:
        raise JumokError(f"no task {name!r}: {suggest(name, TASKS)}")
    return TASKS[name]


def recognise(paths: Sequence[Path], flags: Iterable[str] = (), among: Iterable[Task] | None = None) -> Task:
    """The task that data looks made for.

    Args:
        paths: of the data.
        flags: settings that were given.
        among: tasks that come into question; None: all.
    Raises:
        JumokError: what the file holds is the data of several tasks alike.
    """
    tasks = list(TASKS.values() if among is None else among)
    given = set(flags)
    sure = [task for task in tasks if task.claims(paths)]
    told = [task for task in tasks if given & set(task.told_by)]
    seen = (task for task in reversed(tasks) if task.recognises(paths))
    clear = [task for task in sure if task in told] or sure
    if len(clear) > 1:
        words = " or ".join(f"jumok train {task.word} {paths[0]}" for task in clear)
        kinds = " and of ".join(task.word for task in clear)
        raise JumokError(f"{paths[0]} has the columns of {kinds}: say which is meant, with {words}")
    return next(iter(clear), None) or next(iter(told), None) or next(seen, tasks[0])


def tasks_of_system(name: str) -> list[Task]:
    """The tasks that a system is trained for; models from elsewhere may be trained for several.

    Raises:
        JumokError: no system of that name.
    """
    found = [task for task in TASKS.values() if name in task.systems or name.startswith(task.opens)]
    if not found:
        raise JumokError(
            f"no system {name!r}: {suggest(name, [each for task in TASKS.values() for each in task.systems])}"
        )
    return found


def task_of_system(name: str) -> Task:
    """The task that a system is trained for; of several the first.

    Raises:
        JumokError: no system of that name.
    """
    return tasks_of_system(name)[0]


def task_of_settings(settings: Settings) -> Task:
    """The task whose settings these are, or whose run they are of."""
    return next(task for task in TASKS.values() if isinstance(settings, task.settings))
