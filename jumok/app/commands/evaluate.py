"""`jumok eval`: how good a trained model is on held-out data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from jumok.app.engine.settings import OF_MANY, EngineSettings, split_off_engine
from jumok.app.options import Panels, options_of, refuse, with_settings
from jumok.app.outputs import check_writable, marking_results
from jumok.app.session import Report, Session, in_session
from jumok.errors import JumokError, suggest
from jumok.tasks import TASKS

PARTS = ("auto", "train", "val", "test", "all")


def build(_: Sequence[str]) -> Callable[..., int]:
    """The command, with the options of every task."""
    verbs = {task.title: task.verb("evaluate") for task in TASKS.values() if "evaluate" in task.verbs}
    panels: Panels = {"Options": (), **{title: (verb.Options,) for title, verb in verbs.items()}, **OF_MANY}
    return in_session("eval", "device", "threads")(with_settings(panels)(command))


def command(
    run: Annotated[Path, typer.Argument(help="Folder of a run, hf:NAME-OR-FOLDER or timm:NAME.", show_default=False)],
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folder of images, as for training; sentence pairs, questions or texts: files (default: the "
            "run's own).",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(help="auto | train | val | test | all; auto: test/, the run's own test part, or else all."),
    ] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for the figures (default RUN/eval; eval for hf: and timm:).", show_default=False
        ),
    ] = None,
    *,
    session: Session,
    settings: Mapping[str, Any],
) -> Report:
    """Evaluate a trained model on held-out data.

    Classifiers of images and texts: accuracy and confusion; translators: BLEU and chrF; question answering: accuracy.
    """
    from jumok.tasks.running.run import task_of_model

    if split not in PARTS:
        raise JumokError(f"no split {split!r}: {suggest(split, PARTS)}")
    task = task_of_model(str(run))
    engine, settings = split_off_engine(EngineSettings, settings)
    if engine.engine is not None:
        return _judge_many(str(run), data or [], split, out, engine, settings, session)
    verb = task.verb("evaluate")
    options = options_of(verb.Options, settings, f"{run} is trained to {task.does}")
    place = out or (run / "eval" if run.is_dir() else Path("eval"))
    check_writable(place)
    with marking_results(place):
        report: Report = verb.evaluate(run, data or [], options, split=split, out=place, session=session)
    return report


def _judge_many(
    run: str,
    data: Sequence[Path],
    split: str,
    out: Path | None,
    engine: EngineSettings,
    settings: Mapping[str, Any],
    session: Session,
) -> Report:
    """Write the predictions of a folder's images as a data set, and judge them."""
    from jumok.app.engine.judged import check_labels, judge_rows
    from jumok.app.engine.many import make_predictions

    refuse({"--split": None if split == "auto" else split}, "with --engine all images of the folder are judged")
    if len(data) != 1 or out is None:
        raise JumokError("--engine wants one folder of images, and --out for the data set")
    return judge_rows(make_predictions(data[0], run, out, engine, settings, session, check_labels))
