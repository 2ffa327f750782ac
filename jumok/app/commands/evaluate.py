"""`jumok eval`: how good a trained model is, on data that it has not learned from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jumok.app.options import refuse
from jumok.errors import JumokError, suggest

PARTS = ("auto", "train", "val", "test", "all")


def command(
    run: Annotated[Path, typer.Argument(help="Folder of the run.", show_default=False)],
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folder of images, as for training; sentence pairs or questions: files (default: the run's own).",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images", help="Of questions: folder of their images (default: the run's own).", show_default=False
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(help="auto | train | val | test | all; auto: test/, the run's own test part, or else all."),
    ] = "auto",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the figures (default RUN/eval).", show_default=False)
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Images (default 64) or questions (default 256) at a time.", min=1, show_default=False),
    ] = None,
    beam: Annotated[
        int | None,
        typer.Option(
            help="Hypotheses that are followed in translating; 1: greedy (default 5).", min=1, show_default=False
        ),
    ] = None,
    length_penalty: Annotated[
        float | None,
        typer.Option(
            help="The larger, the longer the translations: scores are divided by length to its power (default 1).",
            show_default=False,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1, show_default=False)] = None,
) -> None:
    """Judge a classifier by accuracy and confusion, a translator by BLEU and chrF, answers by how right they are."""
    from rich.console import Console

    from jumok.machine import device_name, keep_freed, set_threads
    from jumok.tasks.running.run import task_of

    if split not in PARTS:
        raise JumokError(f"no split {split!r}: {suggest(split, PARTS)}")
    task = task_of(run)
    set_threads(threads)
    keep_freed()
    console, folder = Console(highlight=False, soft_wrap=True), out or run / "eval"
    if task == "answer":
        from jumok.app.answer.evaluate import evaluate_questions

        refuse({"--beam": beam, "--length-penalty": length_penalty}, f"{run} answers questions")
        evaluate_questions(
            run,
            data or [],
            images,
            split=split,
            out=folder,
            batch_size=batch_size or 256,
            device=device_name(device),
            console=console,
        )
        return
    refuse({"--images": images}, "it is of questions")
    if task == "translate":
        from jumok.app.translate.evaluate import evaluate_pairs

        refuse({"--batch-size": batch_size}, f"{run} translates, in batches of its own")
        search = {"beam": beam or 5, "length_penalty": 1.0 if length_penalty is None else length_penalty}
        evaluate_pairs(
            run, data or [], split=split, out=folder, search=search, device=device_name(device), console=console
        )
        return
    from jumok.app.classify.evaluate import evaluate_images

    refuse({"--beam": beam, "--length-penalty": length_penalty}, f"{run} tells images apart")
    if not data or len(data) > 1:
        raise JumokError(f"{run} tells images apart: give one folder of images, got {len(data or [])} paths")
    evaluate_images(
        run, data[0], split=split, out=folder, batch_size=batch_size or 64, device=device_name(device), console=console
    )
