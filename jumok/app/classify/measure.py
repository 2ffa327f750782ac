"""Whether a classifier's maps can be believed: whether they are faithful to it, and mark what masks mark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from jumok.app.classify.faithful import FEWEST
from jumok.app.scored_maps import MeasuredMaps, ScoredMaps, verdicts
from jumok.app.session import Session, write_report
from jumok.durations import parse_duration
from jumok.errors import JumokError
from jumok.tasks.running.config import Strict

if TYPE_CHECKING:
    from jumok.app.classify.chosen import Chosen
    from jumok.app.classify.faithful_page import Showing
    from jumok.app.classify.maps import MapMaker
    from jumok.data.images.folders import ImageSet
    from jumok.data.images.masks import ImageMasks
    from jumok.measures.report import Report
    from jumok.tasks.classify.any_classifier import AnyClassifier


FAITHFUL, HEALTH = "faithfulness", "health"
"""Keys of parts of the report."""


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
    faithful: bool = Field(default=True, description="Measure whether the maps are faithful to the model.")
    fillings: tuple[str, ...] = Field(
        default=("mean", "blur"),
        description="What replaces what is taken away: mean | blur | noisy-linear | zeros; may be repeated.",
        json_schema_extra={"usual": "mean and blur"},
    )
    most: int = Field(default=200, ge=2, description="Faithfulness: images at most.")
    steps: int = Field(default=12, ge=2, description="Faithfulness: parts in which an image is taken away.")
    time: str | None = Field(
        default="5m", description="Faithfulness: how long it may take, such as 90s or 5m; after that the rest is left."
    )
    shown: int = Field(default=12, ge=0, le=200, description="Faithfulness: images on the page; 0 writes no page.")
    without_sinks: bool = Field(
        default=False,
        description="Measure maps that come from attention also without sinks: patches all look at that tell nothing.",
    )
    health: bool = Field(
        default=True, description="Look for attention sinks, outlier tokens and heads that see positions only."
    )
    saco: bool = Field(default=False, description="Faithfulness: SaCo, too, which takes about half as long again.")


def measure(
    model: str, data: Sequence[Path], options: Options, *, methods: tuple[str, ...], out: Path, session: Session
) -> MeasuredMaps:
    """Measure maps beside a random, a centre and an edge map: against the model, and against masks where there are any.

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

    if len(data) != 1:
        raise JumokError(f"one folder of images is measured, got {len(data)} paths")
    maps = open_maps(model, methods, session.device, without_sinks=options.without_sinks)
    chosen = choose(data[0], options.split, model=model, options=options)
    truth = _find_truth(model, chosen.images, options)
    notes = [f"remark: {remark}" for remark in (*chosen.remarks, *chosen.images.notes)]
    about = {"model": model or None, "data": [str(data[0])], **chosen.to_dict(), "masks": None, "health": None}
    parts, written, showing = [], {"figures": out / "measure.json"}, None
    if truth is not None:
        about["masks"] = options.masks or "beside the images"
        notes += [f"classes without masks, not measured: {', '.join(truth.without)}"] if truth.without else []
        report = _score_images(maps, chosen.images, truth, options, session)
        parts.append(ScoredMaps(report, verdicts(report)))
        written["picture"] = out / "measure.png"
    if maps.model is not None and options.faithful:
        showing = _begin_page(maps.model, chosen.images, options.shown)
        faithful, remark = _measure_faithfulness(maps, chosen.images, options, session, showing)
        notes += [f"remark: {remark}"] if remark else []
        parts.append(faithful)
        written[FAITHFUL] = out / "faithfulness.png"
    if maps.model is not None and options.health:
        parts += _measure_health(maps.model, chosen.images, session)
    if showing is not None:
        written["page"] = out / "index.html"
        showing.report(parts, notes)
        showing.page.write(written["page"])
    found = MeasuredMaps(about, parts, notes, written)
    write_report(written["figures"], found)
    _draw(parts, written)
    return found


def _begin_page(model: AnyClassifier, images: ImageSet, shown: int) -> Showing | None:
    """The page of some images; None where none is wanted."""
    from jumok.app.classify.faithful_page import Showing
    from jumok.views.pages.faithful_page import FaithfulPage

    return Showing(FaithfulPage(f"Can the maps of {model.name} be believed?"), model, images, shown) if shown else None


def _draw(parts: Sequence[ScoredMaps], written: Mapping[str, Path]) -> None:
    """Write a picture of each kind of score."""
    from jumok.views.pictures.charts import draw_scores
    from jumok.views.pictures.faithfulness_curves import draw_curves

    for part in parts:
        if part.key == FAITHFUL:
            draw_curves(part.scores, written[FAITHFUL])
        elif not part.key:
            draw_scores(part.scores, written["picture"])


def _measure_health(model: AnyClassifier, images: ImageSet, session: Session) -> list[ScoredMaps]:
    """Of the images that are measured first; nothing of a model whose patches do not attend to each other."""
    from jumok.app.classify.faithful import draw_some
    from jumok.app.classify.health import IMAGES, read_health, tell_health

    card = read_health(model, draw_some(images.paths, IMAGES, session.seed))
    return [] if card is None else [ScoredMaps(card, tell_health(card), HEALTH, table=False)]


def _measure_faithfulness(
    maps: MapMaker, images: ImageSet, options: Options, session: Session, showing: Showing | None
) -> tuple[ScoredMaps, str]:
    """Measure some of the images, and say why not all, where it is so."""
    from jumok.app.classify.faithful import Plan, measure_faithfulness
    from jumok.app.progress import show_progress

    seconds = None if options.time is None else parse_duration(options.time, "--time")
    plan = Plan(options.fillings, options.steps, options.most, seconds, early=True, saco=options.saco)
    with show_progress(session.console, "taking parts away") as tell:
        report, why = measure_faithfulness(maps, images.paths, plan, seed=session.seed, tell=tell, show=showing)
    if report is None:
        raise JumokError(
            f"faithfulness: {why} before {FEWEST} images were measured: give more --time, or --no-faithful"
        )
    remark = f"faithfulness of {report.inputs} images: {why}" if why else ""
    return ScoredMaps(report, report.verdicts(), FAITHFUL), remark


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
    labelled = not (model and options.faithful and options.masks is None)
    return choose_images(judge, images, split, unseen=options.unseen, images=folder, labelled=labelled)


def _find_truth(model: str, images: ImageSet, options: Options) -> ImageMasks | None:
    """The masks of a folder, or those beside the images; None where there are none and the model is measured."""
    from jumok.data.images.masks import find_masks

    truth = find_masks(images, options.masks)
    if truth is None and not model:
        raise JumokError(
            f"without a model there is nothing to measure but masks, and none lie beside the images of {images.root}: "
            "give them, as in jumok measure photos --masks masks, or a model, as in jumok measure RUN photos"
        )
    if truth is None and not options.faithful:
        raise JumokError(
            f"no masks lie beside the images of {images.root}: give them with --masks, or leave out --no-faithful"
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
