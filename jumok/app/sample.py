"""`jumok sample`: generated images to try everything on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Write generated images, with the truth about them.", no_args_is_help=True)


@app.callback()
def _samples() -> None:
    """Write generated images, with the truth about them."""


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
    from jumok.data.samples import write_inspection

    write_inspection(folder, seed=seed, size=size, train=train, val=val, test=test)
    typer.echo(f"{train + val + test} images in {folder / 'images'}, masks in {folder / 'masks'}")
    typer.echo(f"next: jumok train {folder / 'images'} --out runs/inspection")
