"""`jumok train`: from images, sentence pairs, questions or texts to a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jumok.app.options import to_flag, with_settings
from jumok.app.session import Report, Session, in_session
from jumok.app.task_settings import (
    COMMON,
    choose_task,
    find_task_asked_for,
    left_out,
    read_settings,
    settings_panels,
    split_off_word,
)
from jumok.app.training import MACHINE_SETTINGS, PLACE_SETTINGS, begin, go_on, prepare
from jumok.errors import JumokError
from jumok.language import later
from jumok.machine import keep_freed
from jumok.tasks import TASKS, Task, task_of_settings
from jumok.tasks.running.config import read_yaml
from jumok.tasks.running.restarts import is_restart

if TYPE_CHECKING:
    from jumok.tasks.running.config import Settings

LENGTH_SETTINGS = ("epochs", "time")
"""What makes it another run from there on."""


def build(arguments: Sequence[str]) -> Callable[..., int]:
    """The command, with the options of every task; the help shows those of one at a time."""
    tasks = list(TASKS.values())
    asked = find_task_asked_for(arguments, tasks)
    shown = [COMMON] if asked is None else [COMMON, asked.title]
    made = in_session("train")(with_settings(settings_panels(tasks), left_out(tasks), shown)(command))
    made.__doc__ = f"{command.__doc__}\n\n{_describe_more_help(tasks)}" if asked is None else command.__doc__
    return made


def _list_systems() -> str:
    """What to say of --system."""
    systems = "; ".join(f"{', '.join(_name_systems(task))} ({task.word})" for task in TASKS.values())
    return later("The model to train: {systems}.", systems=systems)


def _name_systems(task: Task) -> tuple[str, ...]:
    return (
        *task.systems,
        *(f"{prefix}NAME-OR-FOLDER" if prefix == "hf:" else f"{prefix}NAME" for prefix in task.opens),
    )


def _describe_more_help(tasks: Sequence[Task]) -> str:
    words = " | ".join(task.word for task in tasks)
    return later("Options of one kind of data: jumok train {words} --help, or jumok train DATA --help.", words=words)


Data = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Images: a folder of class folders, or of train/ val/ test/ with class folders, or of .parquet or .tar "
        "files. Sentence pairs: a TSV, two line-aligned files, or a folder of train, val and test. Questions: CSV, "
        "JSONL, the two JSON files of VQA, or a folder of train, val and test. Texts: a table of text,label.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder of the run (default runs/NAME-OF-DATA).", show_default=False)
]
SystemName = Annotated[str | None, typer.Option("--system", help=_list_systems(), show_default=False)]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", help="An option of the system, as key=value; may be repeated.", show_default=False),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", help="YAML file of settings, such as a run's config.yaml; flags win over it.", show_default=False
    ),
]
Resumed = Annotated[
    Path | None,
    typer.Option(
        "--resume",
        help="Resume this run exactly where it stopped; with --epochs or --time, train it for longer.",
        show_default=False,
    ),
]
Moved = Annotated[
    list[Path] | None,
    typer.Option("--data", help="With --resume: where the run's data lies now.", show_default=False),
]
Earlier = Annotated[
    bool,
    typer.Option("--earlier", help="With --resume: from the checkpoint before the last, where that one is damaged."),
]
Trusted = Annotated[
    bool,
    typer.Option(
        "--trust/--no-trust",
        help="After training, measure which map is the most faithful to the model, in a twentieth of the time.",
    ),
]


Logged = Annotated[
    str | None,
    typer.Option("--log", help="Log figures, settings and the card to mlflow or wandb, too.", show_default=False),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Say what would be trained, and what it would take in time and memory; write nothing."
    ),
]


def command(
    data: Data = None,
    out: Out = None,
    system: SystemName = None,
    option: Options = None,
    config: ConfigFile = None,
    resume: Resumed = None,
    moved: Moved = None,
    earlier: Earlier = False,
    trust: Trusted = True,
    log: Logged = None,
    dry_run: DryRun = False,
    *,
    session: Session,
    settings: Mapping[str, Any],
) -> Report:
    """Train a model on images, sentence pairs, questions or texts; resume an interrupted run with --resume RUN."""
    keep_freed()
    if resume is not None:
        given: dict[str, object] = {"DATA": data, "--out": out, "--system": system}
        _check_resumed(given | {"--option": option, "--config": config}, settings, dry_run=dry_run)
        return go_on(resume, moved or (), settings, session, trust=trust, earlier=earlier, log=log)
    _check_new(earlier, moved)
    wanted = _settle(data or [], system, config, option or (), settings)
    out = out or Path("runs") / _name_run(wanted)
    if dry_run:
        return _foresee(wanted, out, log, session)
    if is_restart(out):
        session.say(f"started anew by torchrun: going on with {out}")
        here = {name: value for name, value in settings.items() if name in MACHINE_SETTINGS}
        return go_on(out, (), here, session, trust=trust, earlier=False, log=log)
    return begin(wanted, out, session, trust=trust, log=log)


def _check_resumed(given: Mapping[str, object], settings: Mapping[str, Any], *, dry_run: bool) -> None:
    """Refuse what a run that is resumed has already."""
    if dry_run:
        raise JumokError("--dry-run is for new runs: a run that is resumed has its settings in config.yaml")
    _refuse([name for name, value in given.items() if value], settings)


def _check_new(earlier: bool, moved: Sequence[Path] | None) -> None:
    """Refuse what a run that is resumed alone has a use for."""
    if earlier:
        raise JumokError("--earlier goes with --resume RUN: leave it out")
    if moved:
        raise JumokError(
            "--data goes with --resume, for data that was moved: give the data itself, as in jumok train DATA"
        )


def _settle(
    data: Sequence[Path], system: str | None, config: Path | None, option: Sequence[str], given: Mapping[str, Any]
) -> Settings:
    """What is to be trained: the task and the system, by their flags, the file of settings or the run begun with."""
    named, paths = split_off_word(data, TASKS.values())
    first = _find_config_of(given.get("init"))
    name = system or _read_name("system", config) or _read_name("system", first)
    task_before = _read_name("task", config) or _read_name("task", first)
    task = choose_task(named, paths, given, system=name, earlier=task_before)
    return _read(task, name or task.default_system, config, option, paths, given)


def _foresee(wanted: Settings, out: Path, log: str | None, session: Session) -> Report:
    """Say what would be trained, and what it would take."""
    from jumok.app.dry_run import foresee

    if log is not None:
        from jumok.app.tracking.opening import check_tracker

        check_tracker(log)
        session.remark(later("--log {tracker}: a dry run logs nothing", tracker=log))
    return foresee(prepare(wanted, session, afterwards=0.0), out)


def _read_name(key: str, config: Path | None) -> str | None:
    """The system or the task that a file of settings names."""
    name = read_yaml(config).get(key) if config else None
    return name if isinstance(name, str) else None


def _find_config_of(run: str | None) -> Path | None:
    """The configuration of the run that is to be begun with.

    Raises:
        JumokError: it is none.
    """
    if run is None:
        return None
    from jumok.tasks.running.run import CONFIG, check_is_run

    check_is_run(Path(run))
    return Path(run) / CONFIG


def _read(
    task: Task,
    system: str,
    config: Path | None,
    options: Sequence[str],
    paths: Sequence[Path],
    given: Mapping[str, Any],
) -> Settings:
    """The settings of the task.

    Raises:
        JumokError: a flag that the task has no use for, or a value out of range.
    """
    more = {"system": system, **({"options": parse_options(options)} if options else {})}
    return read_settings(task, paths, given, who=system, config=config, more=more)


def _name_run(settings: Settings) -> str:
    """A name for the run, after its data."""
    given = getattr(settings.data, task_of_settings(settings).word, None)
    first = given[0] if isinstance(given, tuple) and given else given
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


def _refuse(given: Sequence[str], settings: Mapping[str, Any]) -> None:
    """A resumed run keeps its settings, or it would not end where it should."""
    flags = [to_flag(name) for name in settings if name not in MACHINE_SETTINGS + LENGTH_SETTINGS + PLACE_SETTINGS]
    if extra := [*given, *flags]:
        raise JumokError(f"--resume goes on with the run's own settings: leave out {', '.join(extra)}")
