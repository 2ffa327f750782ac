"""`jumok compare`: several systems, one data set, one budget: how right they are, what they cost, where they look."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jumok.app.options import with_settings
from jumok.app.session import Report, Session, as_json, in_session
from jumok.app.task_settings import (
    COMMON,
    choose_task,
    find_task_asked_for,
    left_out,
    read_settings,
    settings_panels,
    split_off_word,
)
from jumok.durations import format_duration, parse_duration
from jumok.errors import JumokError
from jumok.machine import device_name, keep_freed, set_threads
from jumok.tasks import TASKS, Task

if TYPE_CHECKING:
    from jumok.tasks.running.comparison import Comparison, Result
    from jumok.tasks.running.config import Settings

TERMS_FILE = "terms.json"
"""Settings and budget of what lies in the folder."""
SETTINGS_OF_BUDGET = ("epochs", "patience", "time")
"""Settings that follow from the budget: a command that took them would pass them over without a word."""
SETTINGS_OF_ONE = ("init",)
"""Settings that are one system's own: no other system has such weights."""


def build(arguments: Sequence[str]) -> Callable[..., int]:
    """The command, with the options of every task that can be compared; the help shows those of one at a time."""
    tasks = _compared_tasks()
    asked = find_task_asked_for(arguments, tasks)
    panels = settings_panels(tasks)
    hidden = left_out(tasks) | {(title, name) for title in panels for name in (*SETTINGS_OF_BUDGET, *SETTINGS_OF_ONE)}
    shown = [COMMON] if asked is None else [COMMON, asked.title]
    return in_session("compare")(with_settings(panels, hidden, shown)(command))


def command(
    data: Annotated[
        list[Path],
        typer.Argument(
            help="Folder of images, or questions (then with --images), as for training.", show_default=False
        ),
    ],
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Folder of masks of what should be looked at; default: those beside the images. Of questions those "
            "that their column mask names.",
            show_default=False,
        ),
    ] = None,
    systems: Annotated[
        list[str] | None,
        typer.Option(
            "--systems",
            help="Names with commas between; may be repeated. Default: all, which is one of each mechanism.",
            show_default=False,
        ),
    ] = None,
    budget: Annotated[str, typer.Option("--budget", help="Time to train each, such as 90s, 2m or 1h30m.")] = "2m",
    shown: Annotated[int, typer.Option("--shown", help="Test images or questions on the page.", min=1, max=200)] = 12,
    out: Annotated[Path, typer.Option("--out", help="Folder for the runs, the page and the figures.")] = Path(
        "compare"
    ),
    *,
    session: Session,
    settings: Mapping[str, Any],
) -> Report:
    """Train several systems on the same data for the same time, and show how right they are and where they look.

    An interrupted comparison resumes. Systems that fail are reported and skipped.
    """
    from jumok.app.lean_imports import import_training_loop

    import_training_loop()
    from jumok.tasks.running.claim import hold
    from jumok.tasks.running.comparison import choose_systems

    keep_freed()
    named, paths = split_off_word(data, _compared_tasks())
    task = choose_task(named, paths, settings)
    if "compare" not in task.verbs:
        others = " or ".join(each.example for each in _compared_tasks())
        raise JumokError(f"systems that {task.does} cannot be compared: give {others}")
    names, seconds = choose_systems(",".join(systems or ["all"]), task), parse_duration(budget, "--budget")
    wanted = _read(task, paths, settings)
    comparison, truth = _begin(task, wanted, names[0], seconds, masks, out)
    with hold(out):
        results, errors = _enter(comparison, names, session)
        shown_by = task.verb("compare").REPORT
        report: Report = shown_by(comparison, results, errors, truth, shown, budget, out).made(session)
    return report


def _compared_tasks() -> list[Task]:
    return [task for task in TASKS.values() if "compare" in task.verbs]


def _read(task: Task, paths: Sequence[Path], given: Mapping[str, Any]) -> Settings:
    """What the flags say, as for a training.

    Raises:
        JumokError: a flag that the task has no use for, or a value out of range.
    """
    from jumok.tasks.running import fit

    wanted = read_settings(task, paths, given, who="a comparison")
    training = wanted.training.model_copy(update={"threads": set_threads(wanted.training.threads)})
    fit.check_machine(training)
    return wanted.model_copy(update={"training": training})


def _begin(
    task: Task, wanted: Settings, system: str, seconds: float, masks: Path | None, out: Path
) -> tuple[Comparison[Any], Any]:
    """Read the data, once for all systems, and the masks; and write down on what terms they are compared."""
    from jumok.files import write_atomically

    terms = as_json({"settings": wanted.model_dump(mode="json"), "budget": seconds}, indent=2)
    _check_folder(out, terms)
    first = wanted.model_copy(update={"system": system})
    comparison = task.part("comparison").begin(first, seconds, out, device_name(wanted.training.device))
    truth = task.verb("compare").TRUTH(masks, comparison)
    write_atomically(out / TERMS_FILE, terms)
    return comparison, truth


def _check_folder(out: Path, terms: str) -> None:
    """Make sure that what lies in the folder was made on the same terms, so that it can be resumed.

    Raises:
        JumokError: it was not.
    """
    place = out / TERMS_FILE
    if place.exists():
        if place.read_text("utf-8") != terms:
            raise JumokError(f"{out} holds a comparison with other settings or another budget: choose another --out")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise JumokError(f"{out} holds something other than a comparison: choose another --out")


def _enter(comparison: Comparison[Any], names: Sequence[str], session: Session) -> tuple[list[Result], dict[str, str]]:
    """Train each; what one system cannot do does not keep the others from it."""
    results: list[Result] = []
    errors: dict[str, str] = {}
    for name in names:
        try:
            result = comparison.enter(name, session.say)
        except JumokError as error:
            errors[name] = str(error)
            session.remark(f"{name}: {error}")
            continue
        results.append(result)
        session.say(
            f"{name}: {result.accuracy:.1%} of {result.tested:,} test {result.unit} "
            f"after {format_duration(result.seconds)}"
        )
    if not results:
        raise JumokError(f"no system could be trained: {next(iter(errors.values()))}")
    return results, errors
