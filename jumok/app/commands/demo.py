"""`jumok demo`: a tour of the main job, or of another one, on generated data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from jumok.app.outputs import check_named
from jumok.language import translate

Name = Literal["images", "dates", "shapes", "compare", "all"]


def command(
    tour: Annotated[
        Name,
        typer.Argument(
            help="images: train, look and measure on a folder of images; dates: translation; shapes: questions about "
            "images; compare: all vision systems; or all of them."
        ),
    ] = "images",
    out: Annotated[Path, typer.Option(help="Where to write it all.")] = Path("demo"),
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of each training (default: each tour's own).", min=1, show_default=False)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads (default: all available).", min=1, show_default=False)
    ] = None,
) -> None:
    """Take a tour on generated data: train, look, measure, and one page that shows it."""
    from jumok.app.demo.comparison_tour import ComparisonTour
    from jumok.app.demo.dates_tour import DatesTour
    from jumok.app.demo.images_tour import ImagesTour
    from jumok.app.demo.shapes_tour import ShapesTour
    from jumok.app.demo.taking import Demo

    check_named(out)
    tours = [make(out / make.name) for make in (ImagesTour, DatesTour, ShapesTour, ComparisonTour)]
    demo = Demo(out, tours, [] if threads is None else ["--threads", str(threads)], typer.echo)
    typer.echo(translate("page: {page} (open it now; it grows with every step)", page=demo.page.resolve()))
    for each in tours:
        if tour in (each.name, "all"):
            demo.take(each, [] if epochs is None else ["--epochs", str(epochs)])
    others = ", ".join(f"jumok demo {each.name}" for each in tours if each.name not in demo.done)
    more = translate("; more tours: {others}", others=others) if others else ""
    typer.echo(translate("done: {page}", page=demo.page.resolve()) + more)
