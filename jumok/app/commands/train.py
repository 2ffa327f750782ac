"""`jumok train`: from images, sentence pairs, questions or texts to a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
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
from jumok.durations import parse_duration
from jumok.errors import Interrupted, JumokError
from jumok.files import write_atomically
from jumok.language import later
from jumok.machine import World, keep_freed, set_threads
from jumok.tasks import TASKS, Task, task_of_settings
from jumok.tasks.running.config import read_yaml

if TYPE_CHECKING:
    from jumok.tasks.running.config import Settings
    from jumok.tasks.running.fit import Outcome
    from jumok.tasks.running.prepared import Prepared
    from jumok.tasks.running.trust import Trust

MACHINE_SETTINGS = ("device", "threads")
"""What a resumed run may have otherwise than before, and still end as it would have."""
SHARE_FOR_TRUST = 0.05
"""Of the time of the training, for finding the most faithful map."""
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
        help="Images: a folder of class folders, or of train/ val/ test/ with class folders. Sentence pairs: a "
        "TSV, two line-aligned files, or a folder of train, val and test. Questions: CSV, JSONL, the two JSON "
        "files of VQA, or a folder of train, val and test. Texts: a table of text,label.",
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
    dry_run: DryRun = False,
    *,
    session: Session,
    settings: Mapping[str, Any],
) -> Report:
    """Train a model on images, sentence pairs, questions or texts; resume an interrupted run with --resume RUN."""
    keep_freed()
    if resume is not None:
        if dry_run:
            raise JumokError("--dry-run is for new runs: a run that is resumed has its settings in config.yaml")
        given: dict[str, object] = {"DATA": data, "--out": out, "--system": system}
        given |= {"--option": option, "--config": config}
        _refuse([name for name, value in given.items() if value], settings)
        return _go_on(resume, moved or (), settings, session, trust=trust, earlier=earlier)
    if earlier:
        raise JumokError("--earlier goes with --resume RUN: leave it out")
    if moved:
        raise JumokError(
            "--data goes with --resume, for data that was moved: give the data itself, as in jumok train DATA"
        )
    named, paths = split_off_word(data or [], TASKS.values())
    first = _find_config_of(settings.get("init"))
    name = system or _read_name("system", config) or _read_name("system", first)
    task_before = _read_name("task", config) or _read_name("task", first)
    task = choose_task(named, paths, settings, system=name, earlier=task_before)
    wanted = _read(task, name or task.default_system, config, option or (), paths, settings)
    out = out or Path("runs") / _name_run(wanted)
    if dry_run:
        from jumok.app.dry_run import foresee

        return foresee(_prepare(wanted, session, time.monotonic()), out)
    return _begin(wanted, out, session, trust=trust)


@dataclass(frozen=True)
class TrainedRun:
    """A run whose training has ended.

    Args:
        prepared: what was trained.
        outcome: how it went.
        folder: of the run.
        parameters: numbers that were learnt.
        trust: which of its maps is the most faithful, where that was measured.
    """

    prepared: Prepared
    outcome: Outcome
    folder: Path
    parameters: int
    trust: Trust | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        settings, clock = self.prepared.config, self.outcome.clock
        return {
            "run": str(self.folder),
            "system": settings.system,
            "parameters": self.parameters,
            "epochs": len(self.outcome.rows),
            "best": self.outcome.best,
            "seconds": clock.wall,
            "rate": clock.rate,
            "unit": self.prepared.unit,
            "waiting": clock.share_waiting,
            "device": self.outcome.device,
            "threads": settings.training.threads,
            "remarks": list(self.prepared.remarks),
            "shortfall": self.prepared.shortfall(self.outcome.best),
            "trust": None if self.trust is None else self.trust.model_dump(),
        }

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        from jumok.tasks.running.callbacks import PERFECT_VALIDATIONS

        best, clock = self.outcome.best, self.outcome.clock
        epochs, planned = len(self.outcome.rows), self.prepared.training.epochs
        yield f"kept epoch {best['epoch']:.0f} of {epochs}: {self.prepared.reached(best)}"
        if epochs < planned and self.prepared.training.patience is None:
            yield (
                f"ended after {epochs} of {planned} epochs: the last {PERFECT_VALIDATIONS} validations found no error, "
                "and their loss no longer fell"
            )
        if shortfall := self.prepared.shortfall(best):
            yield f"warning: {shortfall}"
        if self.trust is not None:
            yield f"maps: {self.trust.why()}"
        yield (
            f"{clock.rate:,.0f} {self.prepared.unit}/s on {self.outcome.device}; "
            f"{clock.share_waiting:.1%} of the time spent waiting for data"
        )
        yield f"saved in {self.folder}; next: {self.prepared.evaluate_with(self.folder)}"


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


def _begin(settings: Settings, out: Path, session: Session, *, trust: bool) -> TrainedRun:
    """Start a new run."""
    began = time.monotonic()
    _read_time(settings.training.model_dump(exclude_unset=True))  # before what takes long
    _import_loop()
    from jumok.tasks.running.claim import claim_new

    with claim_new(out) if session.first else nullcontext():
        prepared = _prepare(settings, session, began)
        for line in prepared.remarks:
            session.say(line)
        if session.first:
            prepared.write(out)
        return _train(prepared, out, session, trust=trust)


def _import_loop() -> None:
    from jumok.app.lean_imports import import_training_loop

    import_training_loop()


def _prepare(settings: Settings, session: Session, began: float) -> Prepared:
    """Read the data, and settle what was left open.

    Args:
        settings: as asked for.
        session: of the command.
        began: since when --time counts, by `time.monotonic`.
    """
    seconds = _read_time(settings.training.model_dump(exclude_unset=True))
    _import_loop()
    from jumok.app.progress import show_progress
    from jumok.tasks.running import fit, planning

    training = settings.training.model_copy(update={"threads": set_threads(settings.training.threads)})
    settings = settings.model_copy(update={"training": training})
    fit.check_machine(training)
    task = task_of_settings(settings)
    with show_progress(session.console, "reading") as progress:
        prepared: Prepared = task.part("prepare").prepare(settings, progress)
    if training.init and not prepared.initial:
        raise JumokError(f"systems that {task.does} do not begin with the weights of a run: leave --init out")
    with session.console.status("measuring speed, trying learning rates"):
        planned: Prepared = planning.plan(prepared, settings.training.model_fields_set, seconds=seconds, began=began)
    return planned


def _go_on(
    folder: Path, moved: Sequence[Path], given: Mapping[str, Any], session: Session, *, trust: bool, earlier: bool
) -> TrainedRun:
    """Resume a run, perhaps for longer or with its data in another place."""
    from jumok.app.lean_imports import import_training_loop

    import_training_loop()
    from jumok.tasks.running.checkpoint import CHECKPOINTS, LAST, go_back
    from jumok.tasks.running.claim import claim
    from jumok.tasks.running.run import task_of

    task = task_of(folder)
    with claim(folder) if session.first else nullcontext():
        if earlier and session.first:
            session.say(f"going back to the checkpoint of step {go_back(folder / CHECKPOINTS / LAST):,}")
        prepared = _reopen(task, folder, moved, given, session)
        return _train(prepared, folder, session, trust=trust)


def _reopen(task: Task, folder: Path, moved: Sequence[Path], given: Mapping[str, Any], session: Session) -> Prepared:
    """A run as it was left, perhaps with another length or its data in another place."""
    from jumok.app.progress import show_progress
    from jumok.tasks.running import fit
    from jumok.tasks.running.lengthening import find_step, lengthen, move_data
    from jumok.tasks.running.run import CONFIG

    config = task.part("settings").RunConfig.load(folder / CONFIG)
    seconds = _read_time(given)
    here = {name: value for name, value in given.items() if name in MACHINE_SETTINGS}
    training = type(config.training).model_validate({**config.training.model_dump(), **here})
    config, before = config.model_copy(update={"training": training}), config.changes
    step = find_step(folder) if moved or not {*given} <= {*MACHINE_SETTINGS} else 0
    if moved:
        config = move_data(config, task.word, moved, step)
    set_threads(training.threads)
    fit.check_machine(training)
    with show_progress(session.console, "reading") as progress:
        opened: Prepared = task.part("prepare").resume(config, folder, progress)
    prepared = lengthen(opened, step, epochs=given.get("epochs"), seconds=seconds)
    for change in prepared.changes[len(before) :]:
        session.say(change.told)
    if session.first and prepared.changes != before:
        write_atomically(folder / CONFIG, prepared.config.to_yaml())
    return prepared


def _train(prepared: Prepared, folder: Path, session: Session, *, trust: bool) -> TrainedRun:
    """Train, find the most faithful map, and write the run's card."""
    from jumok.app.run_card import write_card
    from jumok.app.training_bar import Bar
    from jumok.tasks.running import fit
    from jumok.tasks.running.precision import precision_remarks
    from jumok.tasks.running.run import CARD

    module, world = prepared.module(), World.found()
    module.schedule_start = prepared.schedule_start
    shared = f" in {world.size} processes" if world.size > 1 else ""
    session.say(f"{prepared.about(module.size)}; CPU threads: {prepared.training.threads}{shared}")
    for line in precision_remarks(module.model, prepared.training.precision, prepared.training.device):
        session.say(line)
    bar = Bar(session.console, prepared.training.epochs, prepared.steps_per_epoch)
    try:
        outcome = fit.fit(module, prepared.train, prepared.val, folder, prepared.training, (bar,))
    except (Interrupted, KeyboardInterrupt) as stop:
        session.say(f"Resume with: jumok train --resume {folder}")
        if isinstance(stop, Interrupted):
            raise
        raise KeyboardInterrupt from stop
    for line in prepared.settle(folder, outcome.device) if world.first else ():
        session.say(line)
    found = _judge_maps(prepared, outcome, folder, session) if trust and world.first else None
    if world.first:
        write_card(folder / CARD, prepared, outcome, module.size, found)
    return TrainedRun(prepared, outcome, folder, module.size, found)


def _judge_maps(prepared: Prepared, outcome: Outcome, folder: Path, session: Session) -> Trust | None:
    """Find the most faithful map, and keep what was found in the run; None where the task has no maps to judge."""
    from jumok.tasks.running.trust import write_trust

    task = task_of_settings(prepared.config)
    if "trust" not in task.verbs:
        return None
    seconds = outcome.clock.wall * SHARE_FOR_TRUST
    found: Trust | None = task.verb("trust").judge(folder, prepared.config, seconds, outcome.device, session)
    if found is not None:
        write_trust(folder, found)
    return found


def _read_time(given: Mapping[str, Any]) -> float | None:
    """The seconds that the command may take; None where nobody said.

    Raises:
        JumokError: no time, or one beside a number of epochs.
    """
    asked = given.get("time")
    if asked is None:
        return None
    if "epochs" in given:
        raise JumokError("--time and --epochs both say how long to train: leave one out")
    return parse_duration(asked, "--time")


def _refuse(given: Sequence[str], settings: Mapping[str, Any]) -> None:
    """A resumed run keeps its settings, or it would not end where it should."""
    flags = [to_flag(name) for name in settings if name not in MACHINE_SETTINGS + LENGTH_SETTINGS]
    if extra := [*given, *flags]:
        raise JumokError(f"--resume goes on with the run's own settings: leave out {', '.join(extra)}")
