"""`jumok measure`: whether what a model looks at is right, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jumok.app.engine.settings import OF_MANY, EngineSettings, split_off_engine
from jumok.app.map_methods import HELP
from jumok.app.options import Panels, options_of, refuse, to_flag, with_settings
from jumok.app.outputs import check_writable
from jumok.app.session import Report, Session, in_session
from jumok.errors import JumokError
from jumok.tasks import TASKS
from jumok.tasks.classify.task import CLASSIFY

if TYPE_CHECKING:
    from jumok.app.scored_maps import MeasuredMaps

OF_ROWS = ("fillings", "steps", "saco", "without_sinks")
"""Options that also say how each row of a data set is measured."""


def build(_: Sequence[str]) -> Callable[..., int]:
    """The command, with the options of every task."""
    verbs = {task.title: task.verb("measure") for task in TASKS.values() if "measure" in task.verbs}
    panels: Panels = {"Options": (), **{title: (verb.Options,) for title, verb in verbs.items()}, **OF_MANY}
    return in_session("measure", "seed", "device", "threads")(with_settings(panels)(command))


def command(
    model: Annotated[
        str,
        typer.Argument(
            help="Folder of a run, hf:NAME-OR-FOLDER or timm:NAME; to measure saliency methods, which need no model, "
            "begin with the images.",
            show_default=False,
        ),
    ],
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folder of images, as for training; sentence pairs, questions or texts: files (default: the "
            "run's own).",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{HELP}, a saliency method such as boolean-maps, a reading of an alignment, or a look of questions "
            "such as hop 2; may be repeated (default: all that fit and are quick)."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for measure.json and measure.png (default RUN/measure, or measure).", show_default=False
        ),
    ] = None,
    log: Annotated[
        str | None,
        typer.Option("--log", help="Log the figures and the page to mlflow or wandb, too.", show_default=False),
    ] = None,
    *,
    session: Session,
    settings: Mapping[str, Any],
) -> Report:
    """Measure whether a model's maps are faithful to it; and against masks or true links, where there are any."""
    from jumok.tasks.running.run import task_of_model

    if not data and _is_no_run(model):
        model, data = "", [Path(model)]
    task = task_of_model(model) if model else CLASSIFY
    engine, settings = split_off_engine(EngineSettings, settings)
    if engine.engine is not None:
        if log is not None:
            raise JumokError("--log is for figures that are measured at once: leave out --engine")
        return _measure_many(model, data or [], tuple(dict.fromkeys(method or ())), out, engine, settings, session)
    verb = task.verb("measure")
    options = options_of(verb.Options, settings, f"{model} is trained to {task.does}")
    folder = out or (Path(model) / "measure" if model and Path(model).is_dir() else Path("measure"))
    check_writable(folder)
    methods = tuple(dict.fromkeys(method or ()))
    from jumok.app.tracking.log import logging_to

    with logging_to(log, Path(model) if model and Path(model).is_dir() else folder, session) as logged:
        report: MeasuredMaps = verb.measure(model, data or [], options, methods=methods, out=folder, session=session)
        logged.note(report.about)
        logged.log({"measure": report.to_dict()})
        logged.keep(report.written.values())
    return report


def _measure_many(
    model: str,
    data: Sequence[Path],
    methods: tuple[str, ...],
    out: Path | None,
    engine: EngineSettings,
    given: Mapping[str, Any],
    session: Session,
) -> Report:
    """Write how faithful maps of each image are as a data set, and average that."""
    from jumok.app.classify.measure import Options
    from jumok.app.engine.many import check_images, make_data_set
    from jumok.app.engine.measured import measure_rows
    from jumok.app.engine.measurer import Measurer, MeasureRecipe
    from jumok.app.faithful import OF_PLACES

    refuse({to_flag(name): value for name, value in given.items() if name not in OF_ROWS}, "--engine measures each row")
    if not model or len(data) != 1 or out is None:
        raise JumokError("--engine wants a model, one source of images, and --out for the data set")
    check_images(model)
    options = options_of(Options, given, "")
    plan, sinks = options.plan(OF_PLACES), options.without_sinks
    recipe = MeasureRecipe(model, methods, plan.fillings, plan.steps, plan.saco, session.seed, sinks)
    return measure_rows(make_data_set(data[0], Measurer(recipe), out, engine, session))


def _is_no_run(name: str) -> bool:
    """Whether what stands in the model's place are images, with no model before them."""
    from jumok.tasks.running.run import may_be_model

    return Path(name).exists() and not may_be_model(Path(name))
