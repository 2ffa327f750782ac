"""`jumok measure`: whether what a model looks at is right, and how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jumok.app.options import refuse
from jumok.errors import JumokError


def command(
    model: Annotated[str, typer.Argument(help="Folder of a run, hf:NAME-OR-FOLDER or timm:NAME.", show_default=False)],
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folder of images, as for training; sentence pairs or questions: files (default for questions: the "
            "run's own).",
            show_default=False,
        ),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Of images: folder of masks, named as the images; of questions: as their column `mask` names them.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Of questions: folder of their images (default: the run's own).", show_default=False),
    ] = None,
    alignments: Annotated[
        Path | None, typer.Option(help="Of sentence pairs: Pharaoh file of the true links.", show_default=False)
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="relevance | rollout | raw | attention | grad-cam, a reading of an alignment, or a look of questions "
            "such as hop 2; may be repeated (default: all that fit)."
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Of images and questions: auto | train | val | test | all; auto: test, or else all (default auto).",
            show_default=False,
        ),
    ] = None,
    tolerance: Annotated[
        int | None,
        typer.Option(help="Of masks: slack of the pointing game, in pixels (default 0).", min=0, show_default=False),
    ] = None,
    characters: Annotated[
        bool, typer.Option("--characters", help="Of sentence pairs: the links are between characters, not words.")
    ] = False,
    one_based: Annotated[bool, typer.Option("--one-based", help="Of sentence pairs: the links count from 1.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for measure.json and measure.png (default RUN/measure, or measure).", show_default=False
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Images (default 16) or questions (default 32) at a time.", min=1, show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random baseline and the intervals.", min=0)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1, show_default=False)] = None,
) -> None:
    """Score where a model looks against masks of what is there, or asked about; or alignments against true links."""
    from rich.console import Console

    from jumok.machine import device_name, keep_freed, set_threads

    if (masks is None) == (alignments is None):
        raise JumokError(
            "measure needs the truth: --masks of images or questions, or --alignments of sentence pairs, one of the two"
        )
    set_threads(threads)
    keep_freed()
    folder = out or (Path(model) / "measure" if Path(model).is_dir() else Path("measure"))
    console, methods = Console(highlight=False, soft_wrap=True), method or []
    given = {"--characters": characters or None, "--one-based": one_based or None}
    if masks is not None and _answers(model):
        from jumok.app.answer.measure import AT_ONCE, measure_questions

        refuse(given, "they are of alignments, and masks are measured")
        measure_questions(
            Path(model),
            data or [],
            images,
            masks,
            methods=methods,
            split=split or "auto",
            tolerance=tolerance or 0,
            out=folder,
            batch_size=batch_size or AT_ONCE,
            seed=seed,
            device=device_name(device),
            console=console,
        )
        return
    refuse({"--images": images}, f"it is of questions, and {model} answers none")
    if not data:
        raise JumokError("measure needs data: a folder of images, or files of sentence pairs")
    if masks is not None:
        from jumok.app.classify.measure import measure_places

        refuse(given, "they are of alignments, and masks are measured")
        if len(data) > 1:
            raise JumokError(f"masks are of one folder of images, got {len(data)} paths")
        measure_places(
            model,
            data[0],
            masks,
            methods=methods,
            split=split or "auto",
            tolerance=tolerance or 0,
            out=folder,
            batch_size=batch_size or 16,
            seed=seed,
            device=device_name(device),
            console=console,
        )
    elif alignments is not None:
        from jumok.app.translate.measure import measure_alignments

        refuse(
            {"--split": split, "--tolerance": tolerance, "--batch-size": batch_size},
            "they are of masks, and alignments are measured",
        )
        measure_alignments(
            Path(model),
            data,
            alignments,
            methods=methods,
            characters=characters,
            one_based=one_based,
            out=folder,
            seed=seed,
            device=device_name(device),
            console=console,
        )


def _answers(model: str) -> bool:
    """Whether this is a run that answers questions."""
    from jumok.tasks.running.run import CONFIG, task_of

    return (Path(model) / CONFIG).is_file() and task_of(Path(model)) == "answer"
