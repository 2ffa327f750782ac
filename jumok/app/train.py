"""`jumok train`: from a folder of images to a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jumok.app.options import with_settings
from jumok.errors import Interrupted, JumokError
from jumok.memory import keep_freed
from jumok.tasks.config import DataConfig, RunConfig, Settings, TrainingConfig

if TYPE_CHECKING:
    from rich.console import Console

    from jumok.data.batches import PixelStore
    from jumok.data.folders import ImageSet
    from jumok.tasks.fit import Outcome
    from jumok.tasks.prepare import Loaders

MACHINE = ("device", "threads")
"""What a resumed run may have otherwise than before."""


@with_settings({"data": DataConfig, "training": TrainingConfig}, leave_out=("images",))
def command(
    images: Annotated[
        Path | None,
        typer.Argument(help="Folder of class folders, or of train/ val/ test/ with class folders.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run (default runs/NAME-OF-IMAGES).", show_default=False)
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", help="The model to train (default vit-tiny).", show_default=False)
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="An option of the system, as key=value; may be repeated.", show_default=False),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="YAML file of settings, such as a run's config.yaml; flags win over it."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Go on with this run, exactly where it stopped.", show_default=False)
    ] = None,
    *,
    settings: Mapping[str, Mapping[str, Any]],
) -> None:
    """Train a model on a folder of images; what was killed goes on with --resume RUN."""
    keep_freed()
    if resume is not None:
        given = {"IMAGES": images, "--out": out, "--system": system, "--option": option, "--config": config}
        _refuse([name for name, value in given.items() if value], settings)
        _go_on(resume, dict(settings["training"]))
        return
    flags: dict[str, Any] = {"data": dict(settings["data"]), "training": dict(settings["training"])}
    flags |= {"system": system} if system else {}
    flags |= {"options": parse_options(option)} if option else {}
    flags["data"] |= {"images": str(images)} if images else {}
    wanted = Settings.read(config, flags)
    _begin(wanted, out or Path("runs") / Path(wanted.data.images or "run").resolve().name)


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


@dataclass(frozen=True)
class _Job:
    """One training run, about to start."""

    config: RunConfig
    folder: Path
    console: Console


def _begin(settings: Settings, out: Path) -> None:
    """Start a new run."""
    from jumok.tasks import fit, prepare
    from jumok.tasks.run import CONFIG

    first = fit.World.found().first
    if first:
        _check_free(out)
    console = _console(first)
    threads = fit.set_threads(settings.training.threads)
    training = settings.training.model_copy(update={"threads": threads})
    settings = settings.model_copy(update={"training": training})
    fit.check_machine(training)
    sets = prepare.find(settings.data, training.seed)
    size, why = prepare.choose_size(settings.data, sets["train"])
    prepare.system_options(settings.system, settings.options, len(sets["train"].classes), size)  # before the long part
    train, val = _decoded(settings.data, sets, size, console)
    config = prepare.configure(settings, sets, size, train)
    console.print(f"images brought to {size[0]} x {size[1]} pixels: {why}")
    job = _Job(config, out, console)
    loaders = prepare.loaders(config, sets, train, val)
    if first:
        from jumok.files import write_atomically

        write_atomically(out / CONFIG, config.to_yaml())
    _train(job, loaders)


def _go_on(folder: Path, machine: Mapping[str, Any]) -> None:
    """Resume a run."""
    from jumok.tasks import fit, prepare
    from jumok.tasks.run import CONFIG, check_is_run

    check_is_run(folder)
    config = RunConfig.load(folder / CONFIG)
    training = TrainingConfig.model_validate({**config.training.model_dump(), **machine})
    config = config.model_copy(update={"training": training})
    fit.set_threads(training.threads)
    fit.check_machine(training)
    sets = prepare.find(config.data, training.seed)
    prepare.check_unchanged(config, sets)
    console = _console(fit.World.found().first)
    train, val = _decoded(config.data, sets, config.size, console)
    _train(_Job(config, folder, console), prepare.loaders(config, sets, train, val))


def _train(job: _Job, loaders: Loaders) -> None:
    """Train, and say how it went."""
    from jumok.app.progress import Bar
    from jumok.tasks import fit
    from jumok.tasks.classify import make_classifier
    from jumok.tasks.run import CARD

    module = make_classifier(job.config, steps_per_epoch=len(loaders.train))
    job.console.print(_about(job.config, module.size, len(loaders.train), fit.World.found().size))
    bar = Bar(job.console, job.config.training.epochs, len(loaders.train))
    try:
        outcome = fit.fit(module, loaders.train, loaders.val, job.folder, job.config.training, (bar,))
    except (Interrupted, KeyboardInterrupt) as stop:
        job.console.print(f"go on with: jumok train --resume {job.folder}")
        if isinstance(stop, Interrupted):
            raise
        raise KeyboardInterrupt from stop
    if fit.World.found().first:
        from jumok.app.card import write_card

        write_card(job.folder / CARD, job.config, outcome, module.size)
    _summary(job, outcome)


def _summary(job: _Job, outcome: Outcome) -> None:
    best, clock, images = outcome.best, outcome.clock, job.config.found.counts["val"]
    job.console.print(
        f"best epoch {best['epoch']:.0f} of {len(outcome.rows)}: "
        f"{best['val_accuracy']:.1%} of {images} validation images right"
    )
    job.console.print(
        f"{clock.rate:,.0f} images/s on {outcome.device}; {clock.share_waiting:.1%} of the time spent waiting for data"
    )
    job.console.print(f"saved in {job.folder}; next: jumok eval {job.folder} {job.config.data.images}")


def _decoded(
    data: DataConfig, sets: Mapping[str, ImageSet], size: tuple[int, int], console: Console
) -> tuple[PixelStore, PixelStore]:
    """Read the images that fit in memory now, so that a bad one is found before anything is written."""
    from jumok.app.progress import counting
    from jumok.tasks import prepare

    with counting(console, "reading images") as progress:
        train, val = prepare.stores(data, sets, size, progress)
        return train.load(), val.load()


def _console(first: bool) -> Console:
    from rich.console import Console

    return Console(quiet=not first, highlight=False, soft_wrap=True)


def _check_free(out: Path) -> None:
    if out.is_file():
        raise JumokError(f"{out} is a file: choose another --out")
    if out.is_dir() and any(out.iterdir()):
        raise JumokError(f"{out} is not empty: choose another --out, or go on with it by --resume {out}")


def _refuse(given: Sequence[str], settings: Mapping[str, Mapping[str, Any]]) -> None:
    """A resumed run keeps its settings, or it would not end where it should."""
    flags = ["--" + name.replace("_", "-") for part in settings.values() for name in part if name not in MACHINE]
    if extra := [*given, *flags]:
        raise JumokError(f"--resume goes on with the run's own settings: leave out {', '.join(extra)}")


def _about(config: RunConfig, parameters: int, steps: int, processes: int) -> str:
    counts, training = config.found.counts, config.training
    shared = f" in {processes} processes" if processes > 1 else ""
    return (
        f"{counts['train']:,} training and {counts['val']:,} validation images of {len(config.found.classes)} classes; "
        f"{config.system} with {parameters / 1e6:.2f} million weights; "
        f"{training.epochs} epochs of {steps} steps of {training.batch_size}; CPU threads: {training.threads}{shared}"
    )
