"""Whether a classifier's maps can be believed: whether they are faithful to it, and mark what masks mark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from jumok.app.faithful import (
    FAITHFUL,
    OF_PLACES,
    PARTIAL,
    FaithfulOptions,
    draw_some,
    explain_early_end,
    explain_too_few,
    show_faithfulness,
)
from jumok.app.measuring import FEWEST, INTERRUPTED
from jumok.app.scored_maps import MeasuredMaps, ScoredMaps, verdicts
from jumok.app.session import Session, write_report
from jumok.errors import JumokError
from jumok.language import later, later_count, translate
from jumok.wording import typed, write_count

if TYPE_CHECKING:
    from jumok.app.classify.chosen import Chosen, Judge
    from jumok.app.classify.faithful_page import Showing
    from jumok.app.classify.maps import MapMaker
    from jumok.app.partial import PartialFile
    from jumok.data.images.folders import ImageSet
    from jumok.data.images.masks import ImageMasks
    from jumok.measures.report import Report
    from jumok.tasks.classify.any_classifier import AnyClassifier


HEALTH, SANITY = "health", "sanity"
"""Keys of parts of the report."""
MOSTLY_MARKED = 0.6
"""Masks that mark more of an image may be inverted."""


class Options(FaithfulOptions):
    """Options of `jumok measure` for images."""

    masks: str | None = Field(
        default=None, description="Folder of masks, named as the images; default: the masks that lie beside these."
    )
    images: str | None = Field(default=None, description="Folder of the images that a table or questions name.")
    split: str = Field(default="auto", description="auto | train | val | test | all; auto: test, or else all.")
    unseen: bool = Field(default=False, description="Leave out images that the run was trained or validated on.")
    tolerance: int = Field(default=0, ge=0, description="Slack of the pointing game, in pixels.")
    batch_size: int = Field(default=16, ge=1, description="Images or questions at a time.")
    shown: int = Field(default=12, ge=0, le=200, description="Faithfulness: images on the page; 0 writes no page.")
    without_sinks: bool = Field(
        default=False,
        description="Measure maps that come from attention also without sinks: patches all look at that tell nothing.",
    )
    health: bool = Field(
        default=True, description="Look for attention sinks, outlier tokens and heads that see positions only."
    )
    sanity: bool = Field(
        default=False,
        description="Check each method, too: do its maps depend on the class and on what was learnt, are they stable?",
    )
    sanity_images: int = Field(default=16, ge=2, description="Sanity checks: images at most.")


def measure(
    model: str, data: Sequence[Path], options: Options, *, methods: tuple[str, ...], out: Path, session: Session
) -> MeasuredMaps:
    """Measure maps beside a random, a centre and an edge map: against the model, and against masks where there are any.

    Args:
        model: folder of a run, or the name of a model from elsewhere; "": none, what stands out is measured.
        data: one folder of images; none: that of the run.
        options: of images.
        methods: ways to read where it looked, and saliency methods; none for all that fit.
        out: folder for the figures.
        session: of the command.
    Raises:
        JumokError: images or masks that cannot be read, or a model that cannot be asked.
    """
    from jumok.app.classify.chosen import find_own
    from jumok.app.classify.fitting_images import leave_out
    from jumok.app.classify.maps import open_maps
    from jumok.data.images.how_read import describe_reading

    data = data or find_own(_open_judge(model), Path(model), "measure")
    if len(data) != 1:
        raise JumokError(
            f"one folder of images is measured, got {len(data)} paths: give it, as in jumok measure {typed(model)} "
            "photos/test"
        )
    if "random" in methods and (options.faithful or options.masks is not None):
        raise JumokError("a random map stands beside every method as a baseline: leave out --method random")
    maps = open_maps(model, methods, session.device, without_sinks=options.without_sinks)
    if options.sanity and maps.model is None:
        raise JumokError("sanity checks ask a model: name it first, as in jumok measure RUN IMAGES --sanity")
    chosen = choose(data[0], options.split, model=model, options=options)
    images, left_out = (chosen.images, []) if maps.model is None else leave_out(chosen.images, maps.model)
    truth, deep = _find_truth(model, images, options), describe_reading(images.paths, maps.bits)
    notes = [f"remark: {remark}" for remark in (*chosen.remarks, *images.notes, *left_out, *deep)]
    measuring = _Measuring(maps, images, options, out, session, notes)
    if truth is not None:
        measuring.compare_with_masks(truth)
    if maps.model is not None and not measuring.unfinished:
        measuring.ask(maps.model)
    masks = None if truth is None else options.masks or "beside the images"
    return measuring.finish({"model": model or None, "data": [str(data[0])], **chosen.to_dict(), "masks": masks})


@dataclass
class _Measuring:
    """Some maps on some images, and what was found so far.

    Args:
        maps, images, options, out, session: as for `measure`.
        notes: lines above the tables.
        parts: one for each kind of score.
        written: files, by what they hold.
        showing: the page of some images; None where none is wanted.
        checked: the sanity checks, which stand behind all other parts.
        kept: from where the sanity checks go on; it stays while anything is not measured.
        unfinished: whether something was not measured, for Ctrl-C or the time.
    """

    maps: MapMaker
    images: ImageSet
    options: Options
    out: Path
    session: Session
    notes: list[str]
    parts: list[ScoredMaps] = field(default_factory=list)
    written: dict[str, Path] = field(default_factory=dict)
    showing: Showing | None = None
    checked: list[ScoredMaps] = field(default_factory=list)
    kept: PartialFile | None = None
    unfinished: bool = False

    def compare_with_masks(self, truth: ImageMasks) -> None:
        """Whether the maps mark what the masks mark."""
        from jumok.views.pictures.charts import draw_scores

        report, done = _score_images(self.maps, self.images, truth, self.options, self.session)
        if done < len(self.images):
            self.unfinished = True
            count = f"{done:,} of {write_count(len(self.images), 'image')} were looked at"
            self.notes.append(f"remark: {INTERRUPTED}: {count}, and nothing else was measured")
        lines = []
        if truth.without:
            lines.append(later("classes without masks, left out here: {names}", names=", ".join(truth.without)))
        if report.area > MOSTLY_MARKED:
            text = later(
                "remark: the masks mark {share} of an image: what is neither black nor transparent counts as marked; "
                "invert them if the background is white"
            )
            lines.append(later(text, share=f"{report.area:.0%}"))
        self.parts.append(ScoredMaps(report, [*lines, *verdicts(report)]))
        self.written["picture"] = self.out / "measure.png"
        draw_scores(report, self.written["picture"])

    def ask(self, model: AnyClassifier) -> None:
        """Whether the maps are faithful to the model, and fit to be read at all."""
        try:
            if self.options.sanity:
                self._check_sanity()
            self._read_maps(model)
        except KeyboardInterrupt:
            if not (self.parts or self.checked):
                raise
            self._end_early()
        self.parts += self.checked

    def _end_early(self) -> None:
        """Keep what there is after Ctrl-C."""
        self.unfinished = True
        self.showing = self.showing if FAITHFUL in self.written else None
        self.notes.append(f"remark: {INTERRUPTED}: the rest was not measured; the same command goes on from there")

    def _read_maps(self, model: AnyClassifier) -> None:
        """Whether they are faithful, and the health of the attention."""
        if self.options.faithful and not model.kind.are_shares and self.options.shown:
            self.notes.append("remark: no page of images is written of a model that gives numbers")
        if self.options.faithful:
            self.showing = _begin_page(model, self.images, self.options.shown) if model.kind.are_shares else None
            self._take_away()
        if self.options.health:
            self.parts += self._read_health(model)

    def _take_away(self) -> None:
        """Measure faithfulness on some of the images, and say why not on all, where it is so."""
        from jumok.app.classify.faithful import measure_faithfulness
        from jumok.app.partial import PartialFile
        from jumok.app.progress import show_progress
        from jumok.views.pictures.faithfulness_curves import draw_curves

        plan, seed, paths = self.options.plan(OF_PLACES, early=True), self.session.seed, self.images.paths
        key = _identify(self.maps, draw_some(paths, plan.most, seed), plan.settings(seed))
        kept = PartialFile(self.out / PARTIAL, key, self.session.remark)
        with show_progress(self.session.console, "taking parts away") as tell:
            report, why = measure_faithfulness(
                self.maps, paths, plan, seed=seed, tell=tell, show=self.showing, kept=kept
            )
        self.unfinished = kept.path.exists()
        if report is None:
            line = explain_too_few(why, "images", alone=not (self.parts or self.checked))
            self.notes.append(f"remark: {line}")
            self.showing = None
            return
        if why:
            images = later_count(report.inputs, "{count} image", "{count} images")
            self.notes.append(f"remark: {explain_early_end(why, images, goes_on=self.unfinished)}")
        self.parts.append(show_faithfulness(report))
        self.written[FAITHFUL] = self.out / "faithfulness.png"
        draw_curves(report, self.written[FAITHFUL])

    def _read_health(self, model: AnyClassifier) -> list[ScoredMaps]:
        """Of the images that are measured first; nothing of a model whose patches do not attend to each other."""
        from jumok.app.classify.health import IMAGES, read_health, tell_health

        card = read_health(model, draw_some(self.images.paths, IMAGES, self.session.seed))
        return [] if card is None else [ScoredMaps(card, tell_health(card), HEALTH, table=False)]

    def _check_sanity(self) -> None:
        """Check the methods of the model on some images, and note which were not checked.

        Raises:
            KeyboardInterrupt: it ended the checks; the methods that were checked by then are kept.
        """
        from jumok.app.classify.sanity import check_methods
        from jumok.app.progress import show_progress

        seconds = self.options.plan(OF_PLACES, early=True).seconds
        most, seed, paths = self.options.sanity_images, self.session.seed, self.images.paths
        self.kept = self._keep_checks()
        with show_progress(self.session.console, "sanity checks") as tell:
            report, notes, why = check_methods(
                self.maps, paths, most=most, seconds=seconds, seed=seed, tell=tell, kept=self.kept
            )
        self.notes += [f"remark: {note}" for note in notes]
        self.checked.append(ScoredMaps(report, report.verdicts(), SANITY))
        if why:
            raise KeyboardInterrupt

    def _keep_checks(self) -> PartialFile:
        """Where checked methods are kept."""
        from jumok.app.classify.sanity import SAMPLES, STAGES
        from jumok.app.partial import PartialFile

        most, seed = self.options.sanity_images, self.session.seed
        settings = {"most": most, "samples": SAMPLES, "stages": STAGES, "seed": seed}
        key = _identify(self.maps, draw_some(self.images.paths, most, seed), settings)
        return PartialFile(self.out / "sanity.partial.npz", key, self.session.remark, "method")

    def finish(self, about: Mapping[str, Any]) -> MeasuredMaps:
        """Write the page and the figures."""
        if self.showing is not None:
            self.written["page"] = self.out / "index.html"
            self.showing.report(self.parts, self.notes)
            self.showing.page.write(self.written["page"])
        written = {"figures": self.out / "measure.json", **self.written}
        found = MeasuredMaps({**about, "health": None}, self.parts, self.notes, written)
        write_report(written["figures"], found)
        if self.kept is not None and not self.unfinished:
            self.kept.remove()
        return found


def _identify(maps: MapMaker, paths: Sequence[Path], settings: Mapping[str, Any]) -> dict[str, str]:
    """What the figures of some images depend on."""
    from jumok.app.resuming import identify
    from jumok.data.images.contents import hash_file

    assert maps.model is not None
    given = maps.model.preparation
    about = (maps.model.classes, given.described, given.size, given.mean, given.std, given.bits)
    methods = (*maps.options.methods, *maps.saliency)
    return identify(maps.model.model, about, {"images": map(hash_file, paths)}, methods, settings)


def _begin_page(model: AnyClassifier, images: ImageSet, shown: int) -> Showing | None:
    """The page of some images; None where none is wanted."""
    from jumok.app.classify.faithful_page import Showing
    from jumok.views.pages.faithful_page import FaithfulPage

    title = translate("Can the maps of {name} be believed?", name=model.name)
    return Showing(FaithfulPage(title), model, images, shown) if shown else None


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
    from jumok.app.classify.chosen import choose_images

    options = options or Options()
    folder = None if options.images is None else Path(options.images)
    return choose_images(_open_judge(model), images, split, unseen=options.unseen, images=folder, labelled=False)


def _open_judge(model: str) -> Judge:
    """What a run was trained on; of other models nothing is known."""
    from jumok.app.classify.chosen import Judge

    return Judge.of_run(Path(model)) if Path(model).is_dir() and model else Judge()


def _find_truth(model: str, images: ImageSet, options: Options) -> ImageMasks | None:
    """The masks of a folder, or those beside the images; None where there are none and the model is measured."""
    from jumok.data.images.masks import find_masks

    truth = find_masks(images, options.masks)
    if truth is None and not model:
        raise JumokError(
            f"without a model there is nothing to measure but masks, and none lie beside the images of {images.root}: "
            "give them, as in jumok measure photos --masks masks, or a model, as in jumok measure RUN photos"
        )
    if truth is None and not (options.faithful or options.sanity):
        raise JumokError(
            f"no masks lie beside the images of {images.root}: give them with --masks, or leave out --no-faithful"
        )
    return truth


def _score_images(
    maps: MapMaker, images: ImageSet, truth: ImageMasks, options: Options, session: Session
) -> tuple[Report, int]:
    """Look at every image that has a mask, batch by batch; only scores are kept. Also says how many were looked at.

    Raises:
        KeyboardInterrupt: before there was enough to tell.
    """
    import torch

    from jumok.app.progress import show_progress
    from jumok.data.images.batches import take_turns
    from jumok.data.images.reading import read_image
    from jumok.measures.localisation_meter import LocalisationMeter

    meter = LocalisationMeter(tolerance=options.tolerance, seed=session.seed, blank_is_chance=True)
    done = masked = 0
    with show_progress(session.console, "measuring") as count:
        try:
            for every in take_turns(images.paths, options.batch_size):
                paths = [path for path in every if truth.find(path) is not None]
                for _ in range(len(every) - len(paths)):
                    meter.add(torch.empty(0), None, {})
                pictures = [read_image(path, bits=maps.bits) for path in paths]
                marks = [truth.get(path, *picture.shape[1:]) for path, picture in zip(paths, pictures, strict=True)]
                found = maps.make(pictures)
                for path, picture, mask, heats in zip(paths, pictures, marks, found, strict=True):
                    meter.add(picture, mask, heats, name=str(path))
                done, masked = done + len(every), masked + len(paths)
                count(done, len(images))
        except KeyboardInterrupt:
            if masked < FEWEST:
                raise
    for method, blank in meter.blank.items():
        session.remark(
            f"{method}: {write_count(blank, 'image has', 'images have')} an empty map, which counts as chance"
        )
    return meter.report(), done
