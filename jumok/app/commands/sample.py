"""`jumok sample`: generated images, sentence pairs and questions to try everything on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Write generated images, sentence pairs or questions, with the truth about them.", no_args_is_help=True
)


@app.callback()
def _samples() -> None:
    """Write generated images, sentence pairs or questions, with the truth about them."""


@app.command("inspection")
def inspection(
    folder: Annotated[Path, typer.Argument(help="Where to write images/ and masks/.", show_default=False)],
    seed: Annotated[int, typer.Option(help="The same seed gives the same images.")] = 0,
    size: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 64,
    train: Annotated[int, typer.Option(help="Images to train on.")] = 1200,
    val: Annotated[int, typer.Option(help="Images to validate on.")] = 200,
    test: Annotated[int, typer.Option(help="Images to test on.")] = 400,
) -> None:
    """Write surfaces that are normal, scratched, dented or stained, with a mask for every defect."""
    from jumok.data.samples.image_folder import write_inspection

    write_inspection(folder, seed=seed, size=size, train=train, val=val, test=test)
    typer.echo(f"{train + val + test} images in {folder / 'images'}, masks in {folder / 'masks'}")
    typer.echo(f"next: jumok train {folder / 'images'} --out runs/inspection")


@app.command("shapes")
def shapes(
    folder: Annotated[
        Path,
        typer.Argument(help="Where to write train.csv, val.csv, test.csv, images/ and masks/.", show_default=False),
    ],
    seed: Annotated[int, typer.Option(help="The same seed gives the same images and questions.")] = 0,
    size: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 64,
    train: Annotated[int, typer.Option(help="Images to train on.")] = 3000,
    val: Annotated[int, typer.Option(help="Images to validate on.")] = 300,
    test: Annotated[int, typer.Option(help="Images to test on.")] = 500,
    questions: Annotated[
        int | None,
        typer.Option(help="Questions about each image, 1 to 7 (default 6, or all kinds).", show_default=False),
    ] = None,
    kinds: Annotated[
        str,
        typer.Option(
            help="Kinds of questions, with commas between: colour, shape, exists, count, beside, closest, farthest."
        ),
    ] = "all",
) -> None:
    """Write images of coloured shapes and questions about them in English and Korean, with masks of what is asked."""
    from jumok.data.samples.shape_folder import write_shapes
    from jumok.data.samples.shape_questions import KINDS

    chosen = KINDS if kinds == "all" else [kind.strip() for kind in kinds.split(",") if kind.strip()]
    write_shapes(folder, seed=seed, size=size, train=train, val=val, test=test, questions=questions, kinds=chosen)
    typer.echo(f"{train + val + test} images in {folder / 'images'}, questions in {folder}, masks beside them")
    out = f"runs/{folder.resolve().name}"
    typer.echo(f"next: jumok train {folder} --images {folder / 'images'} --system vqa-stacked --out {out}")


@app.command("dates")
def dates(
    folder: Annotated[Path, typer.Argument(help="Where to write train.tsv, val.tsv and test.tsv.", show_default=False)],
    seed: Annotated[int, typer.Option(help="The same seed gives the same dates.")] = 0,
    train: Annotated[int, typer.Option(help="Dates to train on.")] = 20_000,
    val: Annotated[int, typer.Option(help="Dates to validate on.")] = 1_000,
    test: Annotated[int, typer.Option(help="Dates to test on.")] = 1_000,
) -> None:
    """Write dates as people write them in Korean and English, beside ISO 8601, with alignments."""
    from jumok.data.samples.dates import write_dates

    write_dates(folder, seed=seed, train=train, val=val, test=test)
    _tell(folder, train + val + test, "--vocabulary characters")


@app.command("reversal")
def reversal(
    folder: Annotated[Path, typer.Argument(help="Where to write train.tsv, val.tsv and test.tsv.", show_default=False)],
    seed: Annotated[int, typer.Option(help="The same seed gives the same sentences.")] = 0,
    train: Annotated[int, typer.Option(help="Pairs to train on.")] = 10_000,
    val: Annotated[int, typer.Option(help="Pairs to validate on.")] = 500,
    test: Annotated[int, typer.Option(help="Pairs to test on.")] = 500,
    shortest: Annotated[int, typer.Option(help="Words of a sentence at least.")] = 3,
    longest: Annotated[int, typer.Option(help="Words of a sentence at most.")] = 12,
    words: Annotated[int, typer.Option(help="Different words.")] = 50,
) -> None:
    """Write sentences of made-up words and the same read backwards, with alignments."""
    from jumok.data.samples.toy_pairs import write_reversal

    write_reversal(folder, seed=seed, train=train, val=val, test=test, shortest=shortest, longest=longest, words=words)
    _tell(folder, train + val + test, "--vocabulary words")


@app.command("substitution")
def substitution(
    folder: Annotated[Path, typer.Argument(help="Where to write train.tsv, val.tsv and test.tsv.", show_default=False)],
    seed: Annotated[int, typer.Option(help="The same seed gives the same sentences.")] = 0,
    train: Annotated[int, typer.Option(help="Pairs to train on.")] = 10_000,
    val: Annotated[int, typer.Option(help="Pairs to validate on.")] = 500,
    test: Annotated[int, typer.Option(help="Pairs to test on.")] = 500,
) -> None:
    """Write sentences of made-up words, translated word by word and put in another order, with alignments."""
    from jumok.data.samples.toy_pairs import write_substitution

    write_substitution(folder, seed=seed, train=train, val=val, test=test)
    _tell(folder, train + val + test, "--vocabulary words")


def _tell(folder: Path, pairs: int, option: str) -> None:
    typer.echo(f"{pairs} pairs in {folder}, their alignments beside them")
    typer.echo(f"next: jumok train {folder} --system seq2seq {option} --out runs/{folder.resolve().name}")
