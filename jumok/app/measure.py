"""`jumok measure`: whether a model looks at the right place, and how sure that is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jumok.errors import JumokError

if TYPE_CHECKING:
    from rich.table import Table

    from jumok.data.folders import ImageSet
    from jumok.measures.report import Report


def command(
    model: Annotated[str, typer.Argument(help="Folder of a run, hf:NAME-OR-FOLDER or timm:NAME.", show_default=False)],
    images: Annotated[
        Path, typer.Argument(help="Folder of class folders, or of train/ val/ test/.", show_default=False)
    ],
    masks: Annotated[Path, typer.Option(help="Folder of masks, named as the images.", show_default=False)],
    method: Annotated[
        list[str] | None, typer.Option(help="relevance | rollout | raw; may be given several times (default: all).")
    ] = None,
    split: Annotated[
        str, typer.Option(help="auto | train | val | test | all; auto: test/, or else all images.")
    ] = "auto",
    tolerance: Annotated[int, typer.Option(help="Of the pointing game, in pixels.", min=0)] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for measure.json and measure.png (default RUN/measure, or measure).")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images at a time.", min=1)] = 16,
    seed: Annotated[int, typer.Option(help="Of the random baseline and the intervals.", min=0)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1, show_default=False)] = None,
) -> None:
    """Score where a model looks against masks, beside a random, a centre and an edge baseline."""
    from rich.console import Console

    from jumok.data.masks import MaskFolder
    from jumok.files import write_atomically
    from jumok.memory import keep_freed
    from jumok.tasks.classify.looking import METHODS, Question
    from jumok.tasks.classify.opened import open_model
    from jumok.tasks.fit import device_name, set_threads
    from jumok.views.charts import draw_localisation

    question = Question(tuple(dict.fromkeys(method)) if method else tuple(METHODS))
    chosen = choose(images, split)
    truth = MaskFolder(masks, chosen)
    set_threads(threads)
    keep_freed()
    opened = open_model(model, device_name(device))
    console = Console(highlight=False, soft_wrap=True)
    report = _measured(opened, chosen, truth, question, batch_size, tolerance, seed, console)
    folder = out or (Path(model) / "measure" if Path(model).is_dir() else Path("measure"))
    about = {"model": model, "images": str(images), "masks": str(masks), **report.to_dict()}
    write_atomically(folder / "measure.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    draw_localisation(report, folder / "measure.png")
    console.print(report.summary())
    if truth.without:
        console.print(f"classes without masks, not measured: {', '.join(truth.without)}", markup=False)
    console.print(table(report.header(), report.rows()))
    for line in verdicts(report):
        console.print(line, markup=False)
    console.print(f"written: {folder / 'measure.json'}, {folder / 'measure.png'}", markup=False)


def choose(images: Path, split: str) -> ImageSet:
    """The images to measure on: a part of the folder, or all of it.

    Raises:
        JumokError: no such part, or no images.
    """
    from jumok.data.folders import SPLITS, scan, scan_folder
    from jumok.errors import suggest

    if split not in ("auto", "all", *SPLITS):
        raise JumokError(f"no split {split!r}: {suggest(split, ('auto', 'all', *SPLITS))}")
    if split == "auto":
        split = "test" if (images / "train").is_dir() else "all"
    return scan_folder(images) if split == "all" else scan(images)[split]


def _measured(
    opened: Any, images: ImageSet, truth: Any, question: Any, size: int, tolerance: int, seed: int, console: Any
) -> Report:
    """Look at every image that has a mask, batch by batch; only scores are kept."""
    import torch

    from jumok.app.progress import counting
    from jumok.data.images import read_image
    from jumok.measures.localisation import LocalisationMeter
    from jumok.tasks.classify.looking import look

    meter = LocalisationMeter(tolerance=tolerance, seed=seed)
    with counting(console, "measuring") as count:
        for start in range(0, len(images), size):
            every = images.paths[start : start + size]
            paths = [path for path in every if truth.find(path) is not None]
            for _ in range(len(every) - len(paths)):
                meter.add(torch.empty(0), None, {})
            pictures = [read_image(path) for path in paths]
            marks = [truth.get(path, *picture.shape[1:]) for path, picture in zip(paths, pictures, strict=True)]
            answers = look(opened, pictures, question) if pictures else []
            for path, picture, mask, answer in zip(paths, pictures, marks, answers, strict=True):
                meter.add(picture, mask, answer.heats, name=str(path))
            count(min(start + size, len(images)), len(images))
    return meter.report()


def verdicts(report: Report) -> list[str]:
    """For each method, the baselines that it beats for sure, by pointing and by AUPRC."""
    from jumok.measures.report import BASELINES, TITLES

    lines = []
    for method in report.methods:
        for score in ("pointing", "auprc"):
            gains = [gain for gain in report.differences if gain.method == method.method]
            beaten = [gain.baseline for gain in gains if gain.scores[score].low > 0]
            rest = [name for name in BASELINES if name not in beaten]
            better = f"better than {', '.join(beaten)}" if beaten else ""
            not_so = f"not surely better than {', '.join(rest)}" if rest else ""
            lines.append(f"{method.method}, {TITLES[score]}: {'; '.join(filter(None, (better, not_so)))}")
    return lines


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    """Figures with their intervals, a row per map."""
    from rich.table import Table

    shown = Table()
    for number, name in enumerate(header):
        shown.add_column(name, justify="left" if number == 0 else "right")
    for row in rows:
        shown.add_row(*row)
    return shown
