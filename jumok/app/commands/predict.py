"""`jumok predict`: what a model says of many inputs, as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from jumok.app.engine.settings import OF_MANY, EngineSettings, split_off_engine
from jumok.app.options import Panels, options_of, refuse, with_settings
from jumok.app.outputs import check_writable
from jumok.app.predictions import predict_all
from jumok.app.progress import show_progress
from jumok.app.session import Report, Session, in_session
from jumok.errors import JumokError
from jumok.tasks import TASKS

DEFAULT_FILE = Path("predictions.csv")


def build(_: Sequence[str]) -> Callable[..., int]:
    """The command, with the options of every task."""
    verbs = {task.title: task.verb("predict") for task in TASKS.values() if "predict" in task.verbs}
    panels: Panels = {"Options": (), **{title: (verb.Options,) for title, verb in verbs.items()}, **OF_MANY}
    return in_session("predict", "device", "threads")(with_settings(panels)(command))


def command(
    model: Annotated[str, typer.Argument(help="Folder of a run, hf:NAME-OR-FOLDER or timm:NAME.", show_default=False)],
    inputs: Annotated[
        list[Path],
        typer.Argument(
            help="Images and folders of images; text files with a sentence or a text per line; tables of questions or "
            "texts. -: names of them on standard input.",
            show_default=False,
        ),
    ],
    csv: Annotated[
        Path | None, typer.Option("--csv", help="File to write (default predictions.csv).", show_default=False)
    ] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", help="File to write.", show_default=False)] = None,
    jsonl: Annotated[
        Path | None, typer.Option("--jsonl", help="File of JSON lines to write.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="With --engine: folder of the data set.", show_default=False)
    ] = None,
    *,
    session: Session,
    settings: Mapping[str, Any],
) -> Report:
    """Write a row per input: the prediction, its probability and that of every class.

    An input that cannot be used has its reason in the column error; the exit status is then 1. With --json alone no
    file is written: the object has all rows.
    """
    from jumok.tasks.running.run import task_of_model

    files = _name_files({".csv": csv, ".parquet": parquet, ".jsonl": jsonl})
    engine, settings = split_off_engine(EngineSettings, settings)
    if engine.engine is not None:
        return _predict_many(model, inputs, files, out, engine, settings, session)
    why = "it is the folder of a data set, which --engine writes"
    refuse({"--out": out}, why)
    task = task_of_model(model)
    verb = task.verb("predict")
    options = options_of(verb.Options, settings, f"{model} is trained to {task.does}")
    predictor = verb.open_predictor(model, _read_names(inputs), options, session)
    files = files or ([] if session.json else [DEFAULT_FILE])
    with show_progress(session.console, "predicting") as progress:
        return predict_all(model, predictor, files, keep=session.json, progress=progress)


def _predict_many(
    model: str,
    inputs: Sequence[Path],
    files: Sequence[Path],
    out: Path | None,
    engine: EngineSettings,
    settings: Mapping[str, Any],
    session: Session,
) -> Report:
    """Write the predictions of a source's inputs as a data set."""
    from jumok.app.engine.many import make_predictions

    if files or len(inputs) != 1 or out is None:
        raise JumokError("--engine wants one source of images, and --out for the data set in place of --csv and others")
    return make_predictions(inputs[0], model, out, engine, settings, session)


def _name_files(given: Mapping[str, Path | None]) -> list[Path]:
    """The files to write.

    Raises:
        JumokError: one whose name says that it is of another kind, or whose folder cannot be written to.
    """
    for suffix, path in given.items():
        if path is not None and path.suffix.lower() != suffix:
            raise JumokError(f"--{suffix[1:]} writes a {suffix} file, got {path}: name it so")
        if path is not None:
            check_writable(path.parent)
    return [path for path in given.values() if path is not None]


def _read_names(inputs: Sequence[Path]) -> list[Path]:
    """The inputs themselves, or those named on standard input, one per line.

    Raises:
        JumokError: none are named there.
    """
    if list(map(str, inputs)) != ["-"]:
        return list(inputs)
    from jumok.app.sentences import stream_standard_input

    names = [Path(line) for line in stream_standard_input() if line.strip()]
    if not names:
        raise JumokError("nothing to predict: standard input is empty; wanted the name of a file or folder per line")
    return names
