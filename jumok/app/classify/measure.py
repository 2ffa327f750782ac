"""Whether a classifier looks at the right place, and how sure that is: its maps against masks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.errors import JumokError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from jumok.data.images.folders import ImageSet
    from jumok.measures.report import Report


def measure_places(
    model: str,
    images: Path,
    masks: Path,
    *,
    methods: Sequence[str],
    split: str,
    tolerance: int,
    out: Path,
    batch_size: int,
    seed: int,
    device: str,
    console: Console,
) -> None:
    """Score where a model looks against masks, beside a random, a centre and an edge baseline.

    Raises:
        JumokError: images or masks that cannot be read, or a model that cannot be asked.
    """
    from jumok.data.images.masks import MaskFolder
    from jumok.files import write_atomically
    from jumok.tasks.classify.any_classifier import open_model
    from jumok.tasks.classify.looking import Question
    from jumok.views.pictures.charts import draw_scores

    question = Question(tuple(dict.fromkeys(methods)))
    chosen = choose(images, split)
    truth = MaskFolder(masks, chosen)
    opened = open_model(model, device)
    report = _measured(opened, chosen, truth, question, batch_size, tolerance, seed, console)
    about = {"model": model, "images": str(images), "masks": str(masks), **report.to_dict()}
    write_atomically(out / "measure.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    draw_scores(report, out / "measure.png")
    console.print(report.summary())
    if truth.without:
        console.print(f"classes without masks, not measured: {', '.join(truth.without)}", markup=False)
    console.print(table(report.header(), report.rows()))
    for line in verdicts(report):
        console.print(line, markup=False)
    console.print(f"written: {out / 'measure.json'}, {out / 'measure.png'}", markup=False)


def choose(images: Path, split: str) -> ImageSet:
    """The images to measure on: a part of the folder, or all of it.

    Raises:
        JumokError: no such part, or no images.
    """
    from jumok.data.images.folders import scan, scan_folder
    from jumok.data.splits import SPLITS
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
    from jumok.data.images.reading import read_image
    from jumok.measures.localisation import LocalisationMeter
    from jumok.tasks.classify.looking import look

    meter = LocalisationMeter(tolerance=tolerance, seed=seed, blank_is_chance=True)
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
    for method, blank in meter.blank.items():
        console.print(f"{method}: nothing to see in {blank} images, which count as chance", style="yellow")
    return meter.report()


def verdicts(report: Report) -> list[str]:
    """For each method, the baselines that it beats for sure, by pointing and by AUPRC."""
    from jumok.measures.report import TITLES

    lines = []
    for method in report.methods:
        for score in ("pointing", "auprc"):
            gains = [gain for gain in report.differences if gain.method == method.method]
            beaten = [gain.baseline for gain in gains if gain.scores[score].low > 0]
            rest = [gain.baseline for gain in gains if gain.baseline not in beaten]
            better = f"better than {', '.join(beaten)}" if beaten else ""
            not_so = f"not surely better than {', '.join(rest)}" if rest else ""
            lines.append(f"{method.method}, {TITLES[score]}: {'; '.join(filter(None, (better, not_so)))}")
    return lines


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    """Figures with their intervals, a row per map."""
    from rich.table import Table

    shown = Table()
    for number, name in enumerate(header):
        shown.add_column(name, justify="left" if number == 0 else "right", no_wrap=number == 0)
    for row in rows:
        shown.add_row(*row)
    return shown
