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
        list[Path],
        typer.Argument(help="Folder of images, as for training; or sentence pairs: a TSV or two files."),
    ],
    masks: Annotated[
        Path | None, typer.Option(help="Of images: folder of masks, named as the images.", show_default=False)
    ] = None,
    alignments: Annotated[
        Path | None, typer.Option(help="Of sentence pairs: Pharaoh file of the true links.", show_default=False)
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="relevance | rollout | raw | attention | grad-cam, or a reading of an alignment; may be repeated "
            "(default: all that fit)."
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Of images: auto | train | val | test | all; auto: test/, or else all (default auto).",
            show_default=False,
        ),
    ] = None,
    tolerance: Annotated[
        int | None,
        typer.Option(help="Of images: slack of the pointing game, in pixels (default 0).", min=0, show_default=False),
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
        int | None, typer.Option(help="Images at a time (default 16).", min=1, show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random baseline and the intervals.", min=0)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1, show_default=False)] = None,
) -> None:
    """Score where a model looks against masks of what is there, or its alignments against true links."""
    from rich.console import Console

    from jumok.memory import keep_freed
    from jumok.tasks.fit import device_name, set_threads

    if (masks is None) == (alignments is None):
        raise JumokError(
            "measure needs the truth: --masks of images, or --alignments of sentence pairs, one of the two"
        )
    set_threads(threads)
    keep_freed()
    folder = out or (Path(model) / "measure" if Path(model).is_dir() else Path("measure"))
    console, methods = Console(highlight=False, soft_wrap=True), method or []
    if masks is not None:
        from jumok.app.measure_places import measure_places

        flags = {"--characters": characters or None, "--one-based": one_based or None}
        refuse(flags, "they are of alignments, and masks are measured")
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
        from jumok.app.measure_alignments import measure_alignments

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
