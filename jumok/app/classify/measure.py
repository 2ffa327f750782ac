"""Whether a classifier looks at the right place, and how sure that is: its maps against masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from jumok.app.scored_maps import MeasuredMaps, verdicts
from jumok.app.session import Session, write_report
from jumok.errors import JumokError
from jumok.tasks.running.config import Strict

if TYPE_CHECKING:
    from jumok.app.classify.chosen import Chosen
    from jumok.app.classify.maps import MapMaker
    from jumok.data.images.folders import ImageSet
    from jumok.data.images.masks import ImageMasks
    from jumok.measures.report import Report


class Options(Strict):
    """Options of `jumok measure` for images."""

    masks: str | None = Field(
        default=None, description="Folder of masks, named as the images; default: the masks that lie beside these."
    )
    images: str | None = Field(default=None, description="Folder of the images that a table or questions name.")
    split: str = Field(default="auto", description="auto | train | val | test | all; auto: test, or else all.")
    unseen: bool = Field(default=False, description="Leave out images that the run was trained or validated on.")
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
    from jumok.views.pictures.charts import draw_scores

    if len(data) != 1:
        raise JumokError(f"masks are of one folder of images, got {len(data)} paths")
    maps = open_maps(model, methods, session.device)
    chosen = choose(data[0], options.split, model=model, options=options)
    truth = _find_truth(model, chosen.images, options)
    report = _score_images(maps, chosen.images, truth, options, session)
    masks = options.masks or "beside the images"
    about = {"model": model or None, "data": [str(data[0])], **chosen.to_dict(), "masks": masks}
    notes = [f"remark: {remark}" for remark in chosen.remarks]
    notes += [f"classes without masks, not measured: {', '.join(truth.without)}"] if truth.without else []
    written = {"figures": out / "measure.json", "picture": out / "measure.png"}
    found = MeasuredMaps(about, report, notes, verdicts(report), written)
    write_report(written["figures"], found)
    draw_scores(report, written["picture"])
    return found


def choose(images: Path, split: str, *, model: str = "", options: Options | None = None) -> Chosen:
    """The images to measure on; see `choose_images`.

    Args:
        images: folder or table.
        split: of it.
        model: folder of a run, or the name of a model from elsewhere.
        options: which images are left out.
    Raises:
        JumokError: no such part, or no images.
    """
    from jumok.app.classify.chosen import Judge, choose_images

    options = options or Options()
    judge = Judge.of_run(Path(model)) if Path(model).is_dir() and model else Judge()
    folder = None if options.images is None else Path(options.images)
    return choose_images(judge, images, split, unseen=options.unseen, images=folder)


def _find_truth(model: str, images: ImageSet, options: Options) -> ImageMasks:
    """The masks of a folder, or those beside the images."""
    from jumok.data.images.masks import find_masks

    truth = find_masks(images, options.masks)
    if truth is None:
        raise JumokError(
            f"measure needs ground truth, and no masks lie beside the images of {images.root}: give masks, as in "
            f"jumok measure {model} photos --masks masks"
        )
    return truth


def _score_images(maps: MapMaker, images: ImageSet, truth: ImageMasks, options: Options, session: Session) -> Report:
    """Look at every image that has a mask, batch by batch; only scores are kept."""
    import torch

    from jumok.app.progress import show_progress
    from jumok.data.images.batches import take_turns
    from jumok.data.images.reading import read_image
    from jumok.measures.localisation_meter import LocalisationMeter

    meter = LocalisationMeter(tolerance=options.tolerance, seed=session.seed, blank_is_chance=True)
    with show_progress(session.console, "measuring") as count:
        done = 0
        for every in take_turns(images.paths, options.batch_size):
            paths = [path for path in every if truth.find(path) is not None]
            for _ in range(len(every) - len(paths)):
                meter.add(torch.empty(0), None, {})
            pictures = [read_image(path, bits=maps.bits) for path in paths]
            marks = [truth.get(path, *picture.shape[1:]) for path, picture in zip(paths, pictures, strict=True)]
            found = maps.make(pictures)
            for path, picture, mask, heats in zip(paths, pictures, marks, found, strict=True):
                meter.add(picture, mask, heats, name=str(path))
            done += len(every)
            count(done, len(images))
    for method, blank in meter.blank.items():
        session.remark(f"{method}: {blank} images have an empty map, which counts as chance")
    return meter.report()
