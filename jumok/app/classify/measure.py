"""Whether a classifier looks at the right place, and how sure that is: its maps against masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from jumok.app.scored_maps import MeasuredMaps, verdicts
from jumok.app.session import Session, write_report
from jumok.errors import JumokError
from jumok.tasks.running.config import Strict

if TYPE_CHECKING:
    from jumok.app.classify.maps import MapMaker
    from jumok.data.images.folders import ImageSet
    from jumok.measures.report import Report


class Options(Strict):
    """Options of `jumok measure` for images."""

    masks: str | None = Field(default=None, description="Folder of masks, named as the images.")
    split: str = Field(default="auto", description="auto | train | val | test | all; auto: test, or else all.")
    tolerance: int = Field(default=0, ge=0, description="Slack of the pointing game, in pixels.")
    batch_size: int = Field(default=16, ge=1, description="Images or questions at a time.")


def measure(
    model: str, data: Sequence[Path], options: Options, *, methods: tuple[str, ...], out: Path, session: Session
) -> MeasuredMaps:
    """Score where a model looks against masks, beside a random, a centre and an edge baseline.

    Args:
        model: folder of a run, or the name of a model from elsewhere; "": none, what stands out is measured.
        data: one folder of images.
        options: of images.
        methods: ways to read where it looked, and saliency methods; none for all that fit.
        out: folder for the figures.
        session: of the command.
    Raises:
        JumokError: images or masks that cannot be read, or a model that cannot be asked.
    """
    from jumok.app.classify.maps import open_maps
    from jumok.data.images.masks import MaskFolder
    from jumok.views.pictures.charts import draw_scores

    if options.masks is None:
        raise JumokError(
            f"measure needs ground truth: give masks of the images, as in jumok measure {model} photos --masks masks"
        )
    if len(data) != 1:
        raise JumokError(f"masks are of one folder of images, got {len(data)} paths")
    chosen = choose(data[0], options.split)
    truth = MaskFolder(Path(options.masks), chosen)
    maps = open_maps(model, methods, session.device)
    report = _score_images(maps, chosen, truth, options, session)
    about = {"model": model or None, "data": [str(data[0])], "masks": options.masks}
    notes = [f"classes without masks, not measured: {', '.join(truth.without)}"] if truth.without else []
    written = {"figures": out / "measure.json", "picture": out / "measure.png"}
    found = MeasuredMaps(about, report, notes, verdicts(report), written)
    write_report(written["figures"], found)
    draw_scores(report, written["picture"])
    return found


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


def _score_images(maps: MapMaker, images: ImageSet, truth: Any, options: Options, session: Session) -> Report:
    """Look at every image that has a mask, batch by batch; only scores are kept."""
    import torch

    from jumok.app.progress import show_progress
    from jumok.data.images.reading import read_image
    from jumok.measures.localisation_meter import LocalisationMeter

    size = options.batch_size
    meter = LocalisationMeter(tolerance=options.tolerance, seed=session.seed, blank_is_chance=True)
    with show_progress(session.console, "measuring") as count:
        for start in range(0, len(images), size):
            every = images.paths[start : start + size]
            paths = [path for path in every if truth.find(path) is not None]
            for _ in range(len(every) - len(paths)):
                meter.add(torch.empty(0), None, {})
            pictures = [read_image(path) for path in paths]
            marks = [truth.get(path, *picture.shape[1:]) for path, picture in zip(paths, pictures, strict=True)]
            found = maps.make(pictures)
            for path, picture, mask, heats in zip(paths, pictures, marks, found, strict=True):
                meter.add(picture, mask, heats, name=str(path))
            count(min(start + size, len(images)), len(images))
    for method, blank in meter.blank.items():
        session.remark(f"{method}: {blank} images have an empty map, which counts as chance")
    return meter.report()
