"""`jumok compare`: several systems, one data set, one budget: how right they are, what they cost, where they look."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jumok.app.options import Panels, with_settings
from jumok.errors import JumokError
from jumok.tasks.answer.settings import QuestionData, QuestionTraining
from jumok.tasks.classify.settings import ImageData, ImageTraining
from jumok.tasks.running.config import Training

if TYPE_CHECKING:
    from rich.console import Console

    from jumok.tasks.running.comparison import Comparison, Result
    from jumok.tasks.running.config import Settings

PANELS: Panels = {
    "Training": (Training,),
    "Images": (ImageData, ImageTraining),
    "Questions": (QuestionData, QuestionTraining),
}
REPORTS = {"classify": "classify.compare", "answer": "answer.compare"}
"""By task, the module of `jumok.app` that shows how its systems did."""
TIMES = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")
TERMS = "terms.json"
"""Settings and budget of what lies in the folder."""


@with_settings(PANELS, leave_out=("images", "questions", "epochs", "patience"))
def command(
    data: Annotated[
        list[Path],
        typer.Argument(
            help="Folder of images, or questions (then with --images), as for training.", show_default=False
        ),
    ],
    images: Annotated[
        Path | None,
        typer.Option("--images", help="With questions: folder of the images they are about.", show_default=False),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Folder of masks of what should be looked at; of questions those that their column mask names.",
            show_default=False,
        ),
    ] = None,
    systems: Annotated[
        str, typer.Option("--systems", help="Names with commas between, or all: one for each mechanism.")
    ] = "all",
    budget: Annotated[str, typer.Option("--budget", help="Time to train each, such as 90s, 2m or 1h30m.")] = "2m",
    shown: Annotated[int, typer.Option("--shown", help="Test images or questions on the page.", min=1, max=200)] = 12,
    out: Annotated[Path, typer.Option("--out", help="Folder for the runs, the page and the figures.")] = Path(
        "compare"
    ),
    *,
    settings: Mapping[str, Any],
) -> int:
    """Train several systems on the same data for the same time, and show how right they are and where they look."""
    from rich.console import Console

    from jumok.machine import keep_freed
    from jumok.tasks.running.comparison import chosen

    keep_freed()
    task = _task_of(data, images)
    names, seconds = chosen(systems, task), seconds_of(budget)
    wanted = _settings(task, data, images, settings)
    comparison, truth = _begin(task, wanted, names[0], seconds, masks, out)
    console = Console(highlight=False, soft_wrap=True)
    results, errors = _enter(comparison, names, console)
    report = _shown_by(task).REPORT(comparison, results, errors, truth, shown)
    report.write(out, budget, console)
    return 1 if errors else 0


def seconds_of(text: str) -> float:
    """Read a time such as 90, 90s, 2m or 1h30m.

    >>> [seconds_of(text) for text in ("45", "2m", "1h30m", "1m30s")]
    [45.0, 120.0, 5400.0, 90.0]

    Raises:
        JumokError: none of these, or no time at all.
    """
    found = TIMES.fullmatch(text.strip().lower())
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if not total:
        raise JumokError(f"--budget {text!r} is no time: give one such as 90s, 2m or 1h30m")
    return float(total)


def _task_of(data: Sequence[Path], images: Path | None) -> str:
    """What can be learned from data that looks so: to answer questions, which lie in files, or to classify images.

    Raises:
        JumokError: several folders.
    """
    from jumok.data.questions.parts import SUFFIXES, holds_questions

    if images is not None or any(path.suffix.lower() in SUFFIXES or holds_questions(path) for path in data):
        return "answer"
    if len(data) > 1:
        raise JumokError(f"systems that classify images are compared on one folder of them, got {len(data)} paths")
    return "classify"


def _settings(task: str, data: Sequence[Path], images: Path | None, given: Mapping[str, Any]) -> Settings:
    """What the flags say, as for a training.

    Raises:
        JumokError: a flag that the task has no use for, or a value out of range.
    """
    from jumok import machine
    from jumok.tasks import settings_class
    from jumok.tasks.running import fit

    kind = settings_class(task)
    paths: dict[str, Any] = {"images": str(data[0])} if task == "classify" else {"questions": [*map(str, data)]}
    sections = {"data": paths | ({} if images is None else {"images": str(images)}), "training": {}}
    for name, value in given.items():
        home = next((part for part in sections if name in type(kind.model_fields[part].default).model_fields), None)
        if home is None:
            raise JumokError(f"no use for --{name.replace('_', '-')}: systems that {task} are compared")
        sections[home][name] = value
    wanted = kind.read(None, sections)
    training = wanted.training.model_copy(update={"threads": machine.set_threads(wanted.training.threads)})
    fit.check_machine(training)
    return wanted.model_copy(update={"training": training})


def _begin(
    task: str, wanted: Settings, system: str, seconds: float, masks: Path | None, out: Path
) -> tuple[Comparison[Any], Any]:
    """Read the data, once for all systems, and the masks; and write down on what terms they are compared."""
    from jumok import machine
    from jumok.files import write_atomically
    from jumok.tasks import part

    settings = wanted.model_dump(mode="json")
    terms = json.dumps({"settings": settings, "budget": seconds}, indent=2, ensure_ascii=False)
    _check_folder(out, terms)
    first = wanted.model_copy(update={"system": system})
    comparison = part(task, "comparison").begin(first, seconds, out, machine.device_name(wanted.training.device))
    truth = None if masks is None else _shown_by(task).TRUTH(masks, comparison)
    write_atomically(out / TERMS, terms)
    return comparison, truth


def _check_folder(out: Path, terms: str) -> None:
    """Make sure that what lies in the folder was made on the same terms, so that it can be gone on with.

    Raises:
        JumokError: it was not.
    """
    place = out / TERMS
    if place.exists():
        if place.read_text("utf-8") != terms:
            raise JumokError(f"{out} holds a comparison with other settings or another budget: choose another --out")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise JumokError(f"{out} holds something that is no comparison: choose another --out")


def _enter(comparison: Comparison[Any], names: Sequence[str], console: Console) -> tuple[list[Result], dict[str, str]]:
    """Train each; what one system cannot do does not keep the others from it."""
    results: list[Result] = []
    errors: dict[str, str] = {}
    for name in names:
        try:
            result = comparison.enter(name, lambda line: console.print(line, markup=False))
        except JumokError as error:
            errors[name] = str(error)
            console.print(f"{name}: {error}", style="red", markup=False)
            continue
        results.append(result)
        said = f"{result.accuracy:.1%} of {result.tested:,} test {result.unit} after {result.seconds:.0f} s"
        console.print(f"{name}: {said}", markup=False)
    if not results:
        raise JumokError(f"no system could be trained: {next(iter(errors.values()))}")
    return results, errors


def _shown_by(task: str) -> Any:
    return import_module(f"jumok.app.{REPORTS[task]}")
