"""`jumok train`: from images, sentence pairs or questions to a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jumok.app.options import Panels, with_settings
from jumok.errors import Interrupted, JumokError
from jumok.memory import keep_freed
from jumok.tasks.answer.settings import QuestionData, QuestionTraining
from jumok.tasks.classify.settings import ImageData, ImageTraining
from jumok.tasks.config import Training, read_yaml
from jumok.tasks.translate.settings import PairData, PairTraining

if TYPE_CHECKING:
    from rich.console import Console

    from jumok.tasks.config import Settings
    from jumok.tasks.fit import Outcome
    from jumok.tasks.prepared import Prepared

MACHINE = ("device", "threads")
"""What a resumed run may have otherwise than before."""
PANELS: Panels = {
    "Training": (Training,),
    "Images": (ImageData, ImageTraining),
    "Sentence pairs": (PairData, PairTraining),
    "Questions": (QuestionData, QuestionTraining),
}
INPUTS = {"classify": "images", "translate": "pairs", "answer": "questions"}
"""The setting of the data that the command's argument stands for, by task."""
TEXTS = (".tsv", ".txt", ".gz")
"""Endings by which a file of sentences is known where it cannot be looked at."""
ASKING = (".csv", ".jsonl", ".json")
"""Endings of files of questions."""
USUAL = {"classify": "vit-tiny", "translate": "seq2seq", "answer": "vqa-stacked"}
"""The system for a task where none was named."""


@with_settings(PANELS, leave_out=tuple(INPUTS.values()))
def command(
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folder of class folders, or of train/ val/ test/ with class folders; sentence pairs: a TSV, two "
            "line-aligned files, or a folder of train, val and test; or questions: CSV, JSONL, the two JSON files of "
            "VQA, or a folder of train, val and test.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", help="With questions: folder of the images they are about.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run (default runs/NAME-OF-DATA).", show_default=False)
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(
            "--system",
            help="The model to train (default vit-tiny, seq2seq for pairs, vqa-stacked for questions).",
            show_default=False,
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="An option of the system, as key=value; may be repeated.", show_default=False),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="YAML file of settings, such as a run's config.yaml; flags win over it.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Go on with this run, exactly where it stopped.", show_default=False)
    ] = None,
    *,
    settings: Mapping[str, Any],
) -> None:
    """Train a model on images, sentence pairs or questions; what was killed goes on with --resume RUN."""
    keep_freed()
    if resume is not None:
        given: dict[str, object] = {"DATA": data, "--images": images, "--out": out, "--system": system}
        given |= {"--option": option, "--config": config}
        _refuse([name for name, value in given.items() if value], settings)
        _go_on(resume, settings)
        return
    paths = data or []
    name = system or _named(config) or USUAL[_task_of(paths, images)]
    flags = {"system": name, **({"options": parse_options(option)} if option else {})}
    wanted = _read(name, config, flags, paths, {**settings, **({} if images is None else {"images": str(images)})})
    _begin(wanted, out or Path("runs") / _title(wanted))


def _named(config: Path | None) -> str | None:
    """The system that a file of settings names."""
    name = read_yaml(config).get("system") if config else None
    return name if isinstance(name, str) else None


def _task_of(paths: Sequence[Path], images: Path | None) -> str:
    """What can be learned from data that looks so."""
    if images is not None or any(_asks(path) for path in paths):
        return "answer"
    return "translate" if _are_pairs(paths) else "classify"


def _asks(path: Path) -> bool:
    """Whether this is a file of questions, or a folder that has one to train on."""
    names = [path.name] if not path.is_dir() else [each.name for each in path.glob("train.*") if each.is_file()]
    return any(Path(name).suffix.lower() in ASKING for name in names)


def _are_pairs(paths: Sequence[Path]) -> bool:
    """Whether the data looks like sentence pairs: files, several of them, or a folder with files of train alone."""
    return len(paths) > 1 or any(path.is_file() or _is_named_as_text(path) or _holds_text(path) for path in paths)


def _is_named_as_text(path: Path) -> bool:
    """Whether what is not there would have been a file of sentences."""
    return not path.exists() and path.suffix.lower() in TEXTS


def _holds_text(folder: Path) -> bool:
    named = [path for path in folder.glob("train*") if path.is_dir() or path.suffix]
    return bool(named) and all(path.is_file() for path in named)


def _read(
    system: str, config: Path | None, flags: dict[str, Any], paths: Sequence[Path], settings: Mapping[str, Any]
) -> Settings:
    """The settings of the system's task.

    Raises:
        JumokError: no such system, a flag that its task has no use for, or a value out of range.
    """
    from jumok import systems
    from jumok.tasks import settings_class

    task = systems.task_of(system)
    kind = settings_class(task)
    sections: dict[str, dict[str, Any]] = {"data": {}, "training": {}}
    for name, value in settings.items():
        home = next((part for part in sections if name in type(kind.model_fields[part].default).model_fields), None)
        if home is None or (name == "images" and INPUTS[task] == "images"):
            raise JumokError(f"{system} has no use for --{name.replace('_', '-')}: it is trained on {INPUTS[task]}")
        sections[home][name] = value
    if task == "classify" and len(paths) > 1:
        raise JumokError(f"{system} is trained on one folder of images, got {len(paths)} paths")
    if paths:
        sections["data"][INPUTS[task]] = str(paths[0]) if task == "classify" else [str(path) for path in paths]
    return kind.read(config, {**flags, **sections})


def _title(settings: Settings) -> str:
    """A name for the run, after its data."""
    given = next((found for name in reversed(INPUTS.values()) if (found := getattr(settings.data, name, None))), None)
    first = given[0] if isinstance(given, tuple) else given
    return Path(first or "run").resolve().name.partition(".")[0] or "run"


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Read key=value pairs; the values as YAML reads them.

    >>> parse_options(["patch=8", "pool=mean"])
    {'patch': 8, 'pool': 'mean'}

    Raises:
        JumokError: a pair without a key or an equals sign, or a key given twice.
    """
    import yaml

    options: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not key or not sign:
            raise JumokError(f"--option takes key=value such as patch=8, got {pair!r}")
        if key in options:
            raise JumokError(f"--option {key} is given twice")
        try:
            options[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise JumokError(f"--option {key}: cannot read {text!r}") from error
    return options


def _begin(settings: Settings, out: Path) -> None:
    """Start a new run."""
    from jumok import systems
    from jumok.app.progress import counting
    from jumok.tasks import fit, part
    from jumok.tasks.world import World

    first = World.found().first
    if first:
        _check_free(out)
    console = _console(first)
    training = settings.training.model_copy(update={"threads": fit.set_threads(settings.training.threads)})
    settings = settings.model_copy(update={"training": training})
    fit.check_machine(training)
    with counting(console, "reading") as progress:
        prepared = part(systems.task_of(settings.system), "prepare").prepare(settings, progress)
    for line in prepared.remarks:
        console.print(line, markup=False)
    if first:
        prepared.write(out)
    _train(prepared, out, console)


def _go_on(folder: Path, machine: Mapping[str, Any]) -> None:
    """Resume a run."""
    from jumok.app.progress import counting
    from jumok.tasks import fit, part
    from jumok.tasks.run import CONFIG, task_of
    from jumok.tasks.world import World

    task = task_of(folder)
    config = part(task, "settings").RunConfig.load(folder / CONFIG)
    training = type(config.training).model_validate({**config.training.model_dump(), **machine})
    config = config.model_copy(update={"training": training})
    fit.set_threads(training.threads)
    fit.check_machine(training)
    console = _console(World.found().first)
    with counting(console, "reading") as progress:
        prepared = part(task, "prepare").resume(config, folder, progress)
    _train(prepared, folder, console)


def _train(prepared: Prepared, folder: Path, console: Console) -> None:
    """Train, and say how it went."""
    from jumok.app.progress import Bar
    from jumok.tasks import fit
    from jumok.tasks.run import CARD
    from jumok.tasks.world import World

    module, world = prepared.module(), World.found()
    shared = f" in {world.size} processes" if world.size > 1 else ""
    console.print(f"{prepared.about(module.size)}; CPU threads: {prepared.training.threads}{shared}", markup=False)
    for line in fit.precision_remarks(module.model, prepared.training.precision, prepared.training.device):
        console.print(line, markup=False)
    bar = Bar(console, prepared.training.epochs, len(prepared.train))
    try:
        outcome = fit.fit(module, prepared.train, prepared.val, folder, prepared.training, (bar,))
    except (Interrupted, KeyboardInterrupt) as stop:
        console.print(f"go on with: jumok train --resume {folder}", markup=False)
        if isinstance(stop, Interrupted):
            raise
        raise KeyboardInterrupt from stop
    if world.first:
        from jumok.app.card import write_card

        write_card(folder / CARD, prepared, outcome, module.size)
    for line in _summary(prepared, outcome, folder):
        console.print(line, markup=False)


def _summary(prepared: Prepared, outcome: Outcome, folder: Path) -> list[str]:
    best, clock = outcome.best, outcome.clock
    return [
        f"best epoch {best['epoch']:.0f} of {len(outcome.rows)}: {prepared.reached(best)}",
        f"{clock.rate:,.0f} {prepared.unit}/s on {outcome.device}; "
        f"{clock.share_waiting:.1%} of the time spent waiting for data",
        f"saved in {folder}; next: {prepared.evaluate_with(folder)}",
    ]


def _console(first: bool) -> Console:
    from rich.console import Console

    return Console(quiet=not first, highlight=False, soft_wrap=True)


def _check_free(out: Path) -> None:
    if out.is_file():
        raise JumokError(f"{out} is a file: choose another --out")
    if out.is_dir() and any(out.iterdir()):
        raise JumokError(f"{out} is not empty: choose another --out, or go on with it by --resume {out}")


def _refuse(given: Sequence[str], settings: Mapping[str, Any]) -> None:
    """A resumed run keeps its settings, or it would not end where it should."""
    flags = ["--" + name.replace("_", "-") for name in settings if name not in MACHINE]
    if extra := [*given, *flags]:
        raise JumokError(f"--resume goes on with the run's own settings: leave out {', '.join(extra)}")
