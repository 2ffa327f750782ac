"""How well a trained classifier tells its classes apart, on images that it has not learned from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jumok.errors import JumokError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from torch import Tensor

    from jumok.data.images.folders import ImageSet
    from jumok.tasks.classify.evaluation import Evaluation
    from jumok.tasks.classify.run import ImageRun

RUN = "run"


def evaluate_images(
    run: Path, images: Path, *, split: str, out: Path, batch_size: int, device: str, console: Console
) -> None:
    """Print accuracy, precision, recall and the confusion matrix; write JSON and a picture.

    Raises:
        JumokError: images that cannot be read, or of classes other than the run's.
    """
    from jumok.files import write_atomically
    from jumok.tasks.classify.evaluation import controls_of, evaluate_each
    from jumok.tasks.classify.regions import Regions
    from jumok.tasks.classify.run import ImageRun
    from jumok.views.pictures.charts import draw_confusion

    trained = ImageRun.load(run, device)
    chosen, part = select(trained, images, split)
    models = {RUN: trained.model, **controls_of(trained.model)}
    regions = Regions()
    batches = regions.counting(trained.model, _batches(trained, chosen, batch_size))
    reports = evaluate_each(models, batches, trained.classes)
    report = reports.pop(RUN)
    about = {"run": str(run), "images": str(images), "split": part, **report.to_dict()}
    if reports:
        about["controls"] = {name: _short(control) for name, control in reports.items()}
    write_atomically(out / "eval.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    draw_confusion(report.confusion.numpy(), trained.classes, out / "confusion.png")
    low, high = report.interval
    console.print(f"{report.images} images of {images} ({part})")
    console.print(f"accuracy {report.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%})")
    for name, control in reports.items():
        low, high = control.interval
        console.print(f"  same weights, {name}: {control.accuracy:.1%} ({low:.1%} to {high:.1%})")
    console.print(table(report))
    for remark in regions.remarks():
        console.print(f"remark: {remark}", style="yellow", markup=False)
    console.print(f"written: {out / 'eval.json'}, {out / 'confusion.png'}")


def _short(report: Evaluation) -> dict[str, float | list[float]]:
    """What is kept of a control."""
    return {"accuracy": report.accuracy, "accuracy_95": list(report.interval), "loss": report.loss}


def select(run: ImageRun, images: Path, split: str) -> tuple[ImageSet, str]:
    """Choose the images to judge.

    Returns:
        the images, and the name of the part that they are.
    Raises:
        JumokError: no images there, or classes other than the run's.
    """
    from jumok.data.images.folders import scan, scan_folder
    from jumok.tasks.classify.prepare import find

    own = run.config.data.images is not None and images.resolve() == Path(run.config.data.images)
    if split == "auto":
        split = "test" if own or _is_split(images) else "all"
    if split == "all":
        chosen = scan_folder(images)
    else:
        sets = find(run.config.data, run.config.training.seed) if own else scan(images)
        chosen = sets[split]
    if chosen.classes != run.classes:
        raise JumokError(
            f"{images} has the classes {', '.join(chosen.classes)}, but the run knows {', '.join(run.classes)}: "
            "give images of the same classes"
        )
    if not len(chosen):
        raise JumokError(f"{images} has no {split} images: choose another --split")
    return chosen, split


def _is_split(images: Path) -> bool:
    return images.is_dir() and any(place.name.casefold() == "train" for place in images.iterdir())


def _batches(run: ImageRun, images: ImageSet, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Normalised pixels and labels, each image read once."""
    import torch

    from jumok.data.images.batches import Batches, PixelStore

    store = PixelStore(images.paths, *run.size, memory_limit=0)
    for batch in Batches(store, torch.tensor(images.labels), batch_size=size, shuffle=False, drop_last=False):
        pixels = run.normalise(batch.images)
        yield pixels, batch.labels.to(pixels.device)


def table(report: Evaluation) -> Table:
    """Precision, recall and confusion of each class."""
    from rich.table import Table

    wide = len(report.classes) <= 8
    shown = Table(caption="rows: what it is; columns on the right: what it was taken for" if wide else None)
    shown.add_column("class")
    for name in ("images", "precision", "recall", *(report.classes if wide else ())):
        shown.add_column(name, justify="right")
    for row, counts in zip(report.per_class(), report.confusion.tolist(), strict=True):
        shares = ("-" if row[key] is None else f"{row[key]:.1%}" for key in ("precision", "recall"))
        shown.add_row(row["class"], str(row["images"]), *shares, *(map(str, counts) if wide else ()))
    return shown
