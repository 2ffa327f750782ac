"""From a command's words to the settings of a task: which task is meant, and what its flags say."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.app.options import Panels, to_flag
from jumok.data.images.recognition import COLUMNS as IMAGE_COLUMNS
from jumok.data.labelled.recognition import COLUMNS as TEXT_COLUMNS
from jumok.data.other_kinds import refuse_binary, refuse_other_kinds
from jumok.data.table_heads import TABLE_SUFFIXES, read_column_names
from jumok.errors import JumokError
from jumok.tasks import TASKS, Task, recognise, tasks_of_system
from jumok.tasks.running.config import Training
from jumok.tasks.translate.task import TRANSLATE
from jumok.wording import one_line

if TYPE_CHECKING:
    from pydantic import BaseModel

    from jumok.tasks.running.config import Settings

__all__ = [
    "COMMON",
    "choose_task",
    "find_task_asked_for",
    "left_out",
    "read_settings",
    "settings_panels",
    "split_off_word",
]

COMMON = "Training"
"""Heading of the options that concern all tasks."""
SECTIONS = ("data", "training")
OF_PAIRS = ".tsv"
KNOWN_COLUMNS = (*IMAGE_COLUMNS.values(), *TEXT_COLUMNS.values(), ("question", "answer", "answers", "image"))
"""What columns of tables are called, of every kind of data that is a table."""
MOST_COLUMNS = 8
"""That are named."""


def settings_panels(tasks: Iterable[Task]) -> Panels:
    """The settings of tasks, each under its heading."""
    return {COMMON: (Training,), **{task.title: tuple(_section(task, name) for name in SECTIONS) for task in tasks}}


def left_out(tasks: Iterable[Task]) -> set[tuple[str, str]]:
    """The settings that the command's DATA stands for."""
    return {(task.title, task.word) for task in tasks}


def find_task_asked_for(arguments: Sequence[str], tasks: Collection[Task]) -> Task | None:
    """Whose options the help should show: the task named right after the command, or that of the data given.

    Args:
        arguments: as typed after the program's name, the command first.
        tasks: that the command knows.
    """
    words = {task.word: task for task in tasks}
    if len(arguments) > 1 and arguments[1] in words:
        return words[arguments[1]]
    paths = [Path(word) for word in arguments[1:] if not word.startswith("-") and Path(word).exists()]
    try:
        found = recognise(paths) if paths else None
    except JumokError:  # the command itself says so
        return None
    return found if found in tasks else None


def split_off_word(data: Sequence[Path], tasks: Iterable[Task]) -> tuple[Task | None, list[Path]]:
    """Take a task's word off the beginning of the data: `jumok train images PHOTOS`.

    Returns:
        the task that was named, or None; and the data.
    """
    paths = list(data)
    named = next((task for task in tasks if paths and str(paths[0]) == task.word), None)
    if named is None or (len(paths) == 1 and paths[0].exists()):
        return None, paths
    return named, paths[1:]


def choose_task(
    named: Task | None,
    paths: Sequence[Path],
    given: Iterable[str],
    *,
    system: str | None = None,
    earlier: str | None = None,
) -> Task:
    """The task that was named, that the system is trained for, or that data and flags look made for.

    Args:
        named: by its word.
        paths: what DATA was.
        given: names of the flags.
        system: that was named.
        earlier: the task of the run whose settings or weights are taken over.
    Raises:
        JumokError: no such system, one that is not trained for the task, data that does not tell its task, or a file
            that is the data of none.
    """
    if not any(task.recognises(paths) for task in TASKS.values() if task is not TRANSLATE):
        refuse_other_kinds(paths)
    task = _choose_task(named, paths, given, system, earlier)
    if task is TRANSLATE:  # which takes what nobody knows
        refuse_binary(paths)
    return task


def _choose_task(
    named: Task | None, paths: Sequence[Path], given: Iterable[str], system: str | None, earlier: str | None
) -> Task:
    able = list(TASKS.values()) if system is None else tasks_of_system(system)
    if named is not None:
        if named not in able:
            raise JumokError(f"{system} is trained on {able[0].word}, not on {named.word}")
        return named
    if system is None:
        _check_columns(paths, given)
    if system is None or len(able) == 1:
        return able[0] if len(able) == 1 else recognise(paths, given)
    before = next((task for task in able if task.name == earlier), None)
    if before is not None:
        return before
    _check_told(paths, given, able)
    return recognise(paths, given, able)


def _check_columns(paths: Sequence[Path], given: Iterable[str]) -> None:
    """Refuse a table none of whose columns says what it is: sentence pairs, perhaps, which are no CSV."""
    plain = len(paths) == 1 and paths[0].suffix.lower() in TABLE_SUFFIXES and paths[0].suffix.lower() != OF_PAIRS
    names = read_column_names(paths[0]) if plain else []
    told = set(given) & {flag for task in TASKS.values() for flag in task.told_by}
    if names and not told and not any(set(names) & {*columns} for columns in KNOWN_COLUMNS):
        raise JumokError(
            f"{paths[0]} has the columns {', '.join(map(one_line, names[:MOST_COLUMNS]))}: wanted image,label, or "
            "image,question,answer, or text,label; sentence pairs are two columns of a .tsv: save them with tabs"
        )


def _check_told(paths: Sequence[Path], given: Iterable[str], able: Sequence[Task]) -> None:
    """Refuse a table whose columns do not tell which task it is for."""
    flags = set(given)
    names = read_column_names(paths[0]) if len(paths) == 1 and paths[0].suffix.lower() in TABLE_SUFFIXES else []
    if names and not any(task.claims(paths) or flags & set(task.told_by) for task in able):
        kinds = ", or ".join(f"{task.example} ({task.word})" for task in able)
        raise JumokError(
            f"{paths[0]} has the columns {', '.join(names)}: wanted {kinds}; columns of texts with other names are "
            "told by --text-column and --label-column"
        )


def read_settings(
    task: Task,
    paths: Sequence[Path],
    given: Mapping[str, Any],
    *,
    who: str,
    config: Path | None = None,
    more: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings of a task.

    Args:
        task: whose.
        paths: what DATA was.
        given: settings of the data and the training by name, from flags.
        who: whose settings they are, for errors.
        config: a YAML file of settings; what is given wins over it.
        more: further settings, such as the system.
    Raises:
        JumokError: a flag that the task has no use for, too many paths, or a value out of range.
    """
    sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for flag, value in given.items():
        name = task.renames.get(flag, flag)
        home = next((section for section in SECTIONS if name in _section(task, section).model_fields), None)
        if home is None or name == task.word:
            raise JumokError(f"{who} has no use for {to_flag(flag)}: it is trained on {task.word}")
        sections[home][name] = value
    if len(paths) > 1 and not task.many:
        raise JumokError(f"{who} is trained on one folder of {task.word}, got {len(paths)} paths")
    if len(paths) > (most := _most_paths(task)):
        raise JumokError(f"{who} is trained on at most {most:.0f} files of {task.word}, got {len(paths)}")
    if paths:
        sections["data"][task.word] = [str(path) for path in paths] if task.many else str(paths[0])
    return task.settings.read(config, {**(more or {}), **sections})


def _most_paths(task: Task) -> float:
    """How many files its data may be."""
    limits = _section(task, "data").model_fields[task.word].metadata
    return next((limit.max_length for limit in limits if hasattr(limit, "max_length")), math.inf)


def _section(task: Task, name: str) -> type[BaseModel]:
    """The settings of a task's data or training."""
    return type(task.settings.model_fields[name].default)
