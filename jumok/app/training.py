"""From settings to a trained run: begin one or resume one, train it, and judge its maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.app.session import Session
from jumok.app.telling import tell
from jumok.app.trained_run import TrainedRun
from jumok.durations import parse_duration
from jumok.errors import Interrupted, JumokError
from jumok.files import write_atomically
from jumok.machine import World, set_threads
from jumok.tasks import Task, task_of_settings
from jumok.wording import typed

if TYPE_CHECKING:
    from jumok.app.tracking.log import Log
    from jumok.tasks.running.config import Settings
    from jumok.tasks.running.fit import Outcome
    from jumok.tasks.running.prepared import Prepared
    from jumok.tasks.running.trust import Trust

__all__ = ["MACHINE_SETTINGS", "PLACE_SETTINGS", "begin", "go_on", "prepare"]

MACHINE_SETTINGS = ("device", "threads")
PLACE_SETTINGS = ("images", "image_folder")
"""Where the images lie that the data names."""
"""What a resumed run may have otherwise than before, and still end as it would have."""
SHARE_FOR_TRUST = 0.05
"""Of the time of the training, for finding the most faithful map."""


def begin(settings: Settings, out: Path, session: Session, *, trust: bool, log: str | None) -> TrainedRun:
    """Start a new run.

    Args:
        settings: as asked for.
        out: its folder, which is made.
        session: of the command.
        trust: measure after training which map is the most faithful.
        log: the experiment tracker that gets the figures, too.
    Raises:
        JumokError: data that cannot be used, a folder that holds something already, or a tracker that does not answer.
    """
    _read_time(settings.training.model_dump(exclude_unset=True))  # before what takes long
    _import_loop()
    from jumok.app.tracking.log import logging_to
    from jumok.tasks.running.claim import claim_new
    from jumok.tasks.running.restarts import note_job

    with claim_new(out) if session.first else nullcontext(), logging_to(log, out, session) as logged:
        prepared = prepare(settings, session, afterwards=_share_afterwards(trust=trust))
        for line in prepared.remarks:
            session.say(line)
        if session.first:
            note_job(out)
            prepared.write(out)
            logged.write(out)
        return _train(prepared, out, session, logged, trust=trust)


def _import_loop() -> None:
    from jumok.app.lean_imports import import_training_loop

    import_training_loop()


def prepare(settings: Settings, session: Session, *, afterwards: float) -> Prepared:
    """Read the data, and settle what was left open.

    Args:
        settings: as asked for.
        session: of the command.
        afterwards: what follows the training, as a share of its time.
    Raises:
        JumokError: data that cannot be used, or settings that it or the machine does not allow.
    """
    seconds = _read_time(settings.training.model_dump(exclude_unset=True))
    _import_loop()
    from jumok.app.progress import show_progress
    from jumok.tasks.running import fit, planning

    training = settings.training.model_copy(update={"threads": set_threads(settings.training.threads)})
    settings = settings.model_copy(update={"training": training})
    fit.check_machine(training)
    task = task_of_settings(settings)
    if training.strategy == "fsdp" and task.name != "classify":
        raise JumokError(f"--strategy fsdp is for models that classify images, and this one is to {task.does}")
    with show_progress(session.console, "reading") as progress:
        prepared: Prepared = task.part("prepare").prepare(settings, progress)
    if training.init and not prepared.initial:
        raise JumokError(f"systems that {task.does} do not begin with the weights of a run: leave --init out")
    with session.console.status(tell("measuring speed, trying learning rates")):
        planned: Prepared = planning.plan(
            prepared,
            settings.training.model_fields_set,
            seconds=seconds,
            began=session.began,
            afterwards=afterwards,
        )
    return planned


def go_on(
    folder: Path,
    moved: Sequence[Path],
    given: Mapping[str, Any],
    session: Session,
    *,
    trust: bool,
    earlier: bool,
    log: str | None,
) -> TrainedRun:
    """Resume a run, perhaps for longer or with its data in another place.

    Args:
        folder: of the run.
        moved: where its data lies now; empty: where it was.
        given: settings of the machine and of its length that were asked for.
        session: of the command.
        trust: measure after training which map is the most faithful.
        earlier: go back to the checkpoint before the last.
        log: the experiment tracker that gets the figures, too; None: where they went before, if anywhere.
    Raises:
        JumokError: no run that can be resumed, or data that has changed.
    """
    _import_loop()
    from jumok.app.tracking.log import logging_to
    from jumok.tasks.running.checkpoint import CHECKPOINTS, LAST, go_back
    from jumok.tasks.running.claim import claim
    from jumok.tasks.running.run import task_of

    task = task_of(folder)
    with claim(folder) if session.first else nullcontext():
        if earlier and session.first:
            session.say(f"going back to the checkpoint of step {go_back(folder / CHECKPOINTS / LAST):,}")
        prepared = _reopen(task, folder, moved, given, session, afterwards=_share_afterwards(trust=trust))
        with logging_to(log, folder, session, resumed=True) as logged:
            logged.write(folder)
            return _train(prepared, folder, session, logged, trust=trust)


def _reopen(
    task: Task, folder: Path, moved: Sequence[Path], given: Mapping[str, Any], session: Session, *, afterwards: float
) -> Prepared:
    """A run as it was left, perhaps with another length or its data in another place."""
    from jumok.app.progress import show_progress
    from jumok.tasks.running import fit
    from jumok.tasks.running.lengthening import find_step, lengthen, move_data, move_images
    from jumok.tasks.running.run import CONFIG

    config = task.part("settings").RunConfig.load(folder / CONFIG)
    seconds = _read_time(given)
    here = {name: value for name, value in given.items() if name in MACHINE_SETTINGS}
    training = type(config.training).model_validate({**config.training.model_dump(), **here})
    config, before = config.model_copy(update={"training": training}), config.changes
    step = find_step(folder) if moved or not {*given} <= {*MACHINE_SETTINGS} else 0
    if moved:
        config = move_data(config, task.word, moved, step)
    for place in (Path(str(given[name])) for name in PLACE_SETTINGS if given.get(name) is not None):
        config = move_images(config, task.word, place, step)
    set_threads(training.threads)
    fit.check_machine(training)
    with show_progress(session.console, "reading") as progress:
        opened: Prepared = task.part("prepare").resume(config, folder, progress)
    epochs, since = given.get("epochs"), session.began
    prepared = lengthen(opened, step, epochs=epochs, seconds=seconds, began=since, afterwards=afterwards)
    for change in prepared.changes[len(before) :]:
        session.say(change.told)
    if session.first and prepared.changes != before:
        write_atomically(folder / CONFIG, prepared.config.to_yaml())
    return prepared


def _train(prepared: Prepared, folder: Path, session: Session, logged: Log, *, trust: bool) -> TrainedRun:
    """Train, find the most faithful map, and write the run's card."""
    from jumok.app.run_card import write_card
    from jumok.app.tracking.training_log import TrainingLog, keep_run
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
    logged.note(prepared.config.model_dump(mode="json"))
    watchers = (Bar(session.console, prepared.training.epochs, prepared.steps_per_epoch), TrainingLog(logged))
    try:
        outcome = fit.fit(module, prepared.train, prepared.val, folder, prepared.training, watchers)
    except (Interrupted, KeyboardInterrupt) as stop:
        session.say(f"Resume with: jumok train --resume {typed(folder)}")
        if isinstance(stop, Interrupted):
            raise
        raise KeyboardInterrupt from stop
    for line in prepared.settle(folder, outcome.device) if world.first else ():
        session.say(line)
    found = _judge_maps(prepared, outcome, folder, session) if trust and world.first else None
    if world.first:
        write_card(folder / CARD, prepared, outcome, module.size, found)
        keep_run(logged, folder)
    return TrainedRun(prepared, outcome, folder, module.size, found)


def _share_afterwards(*, trust: bool) -> float:
    """What follows a training, as a share of its time."""
    return SHARE_FOR_TRUST if trust else 0.0


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
