"""Whether looks can be believed: whether they are faithful to the model, and go where a question is about."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from jumok.app.answer.looks import BLIND, QuestionLooks, group_by_image
from jumok.app.faithful import (
    FAITHFUL,
    PARTIAL,
    FaithfulOptions,
    choose_fillings,
    count_inputs,
    draw_some,
    explain_early_end,
    explain_too_few,
    show_faithfulness,
)
from jumok.app.measuring import FEWEST, INTERRUPTED
from jumok.app.scored_maps import MeasuredMaps, ScoredMaps, verdicts
from jumok.app.session import Session, write_report
from jumok.errors import JumokError
from jumok.language import later, later_count
from jumok.wording import write_count

if TYPE_CHECKING:
    from jumok.app.measuring import Plan
    from jumok.app.partial import PartialFile
    from jumok.data.questions.masks import QuestionMasks
    from jumok.measures.agreement import Agreement
    from jumok.measures.localisation_meter import LocalisationMeter

FAITHFUL_WORDS = "word_faithfulness"
"""Of the report's key."""
TITLES = {FAITHFUL: later("places of the image"), FAITHFUL_WORDS: later("words of the question")}


class Options(FaithfulOptions):
    """Options of `jumok measure` for questions."""

    masks: str | None = Field(
        default=None, description="Folder of masks, named as the images; questions: as the column `mask` names them."
    )
    images: str | None = Field(default=None, description="Folder of the images (left out: the run's own).")
    split: str = Field(default="auto", description="auto | train | val | test | all; auto: test, or else all.")
    tolerance: int = Field(default=0, ge=0, description="Slack of the pointing game, in pixels.")
    batch_size: int = Field(default=32, ge=1, description="Images or questions at a time.")


def measure(
    model: str, data: Sequence[Path], options: Options, *, methods: tuple[str, ...], out: Path, session: Session
) -> MeasuredMaps:
    """Measure looks beside baselines, one of them blind to the question: against the model, and masks if given.

    Args:
        model: folder of the run.
        data: files of questions; none for the run's own.
        options: of questions.
        methods: names of looks; none for all.
        out: folder for the figures.
        session: of the command.
    Raises:
        JumokError: questions, images or masks that cannot be read, or a model of which nothing can be measured.
    """
    from jumok.app.answer.evaluate import remark, select
    from jumok.tasks.answer.run import QuestionRun

    if options.masks is None and not options.faithful:
        raise JumokError("without --masks there is nothing to measure but faithfulness: leave out --no-faithful")
    choose_fillings(options.fillings)  # refuses what there is not before anything is read
    trained = QuestionRun.load(model, session.device)
    chosen, part = select(trained, data, options.images, options.split)
    remark(chosen, session)
    looks = QuestionLooks(trained, chosen, methods, options.batch_size)
    about: dict[str, Any] = {"model": model, "data": [str(path) for path in chosen.files], "split": part}
    about["masks"] = options.masks
    parts: list[ScoredMaps] = []
    notes: list[str] = []
    if options.masks is not None:
        scored, about["agreement"], notes = _score_against_masks(looks, Path(options.masks), options, session)
        parts.append(scored)
    if options.faithful and not notes:
        faithful, notes = _measure_faithfulness(looks, options, out, session, alone=not parts)
        parts += faithful
    written = {"figures": out / "measure.json"} | {_NAMES[part.key]: out / _PICTURES[part.key] for part in parts}
    found = MeasuredMaps(about, parts, notes, written)
    write_report(written["figures"], found)
    _draw(parts, out)
    return found


_PICTURES = {"": "measure.png", FAITHFUL: "faithfulness.png", FAITHFUL_WORDS: "word-faithfulness.png"}
_NAMES = {"": "picture", FAITHFUL: FAITHFUL, FAITHFUL_WORDS: FAITHFUL_WORDS}


def _draw(parts: Sequence[ScoredMaps], out: Path) -> None:
    """Write a picture of each kind of score."""
    from jumok.views.pictures.charts import draw_scores
    from jumok.views.pictures.faithfulness_curves import draw_curves

    for part in parts:
        (draw_curves if part.key else draw_scores)(part.scores, out / _PICTURES[part.key])


def _score_against_masks(
    looks: QuestionLooks, masks: Path, options: Options, session: Session
) -> tuple[ScoredMaps, dict[str, Any], list[str]]:
    """Score where the model looks against masks.

    Returns:
        the scores, how far two questions' looks agree, and a remark where Ctrl-C ended it.
    """
    scoring = _AgainstMasks.begin(looks, masks, options.tolerance, session.seed)
    done, images = scoring.go(session)
    report, agreement = scoring.meter.report(noun="questions"), scoring.agreement.report()
    main = report.methods[0].method
    told = later("{look}, two questions about one image: {agreement}", look=main, agreement=agreement.summary())
    scored = ScoredMaps(report, [*verdicts(report), told])
    count = f"{done:,} of {write_count(images, 'image')} were asked about"
    notes = [f"remark: {INTERRUPTED}: {count}, and nothing else was measured"] if done < images else []
    return scored, {"look": main, **agreement.to_dict()}, notes


def _measure_faithfulness(
    looks: QuestionLooks, options: Options, out: Path, session: Session, *, alone: bool
) -> tuple[list[ScoredMaps], list[str]]:
    """Measure some of the questions. Returns the scores of places and of words, and what to know of them."""
    from jumok.app.answer.faithful import measure_faithfulness
    from jumok.app.progress import show_progress

    plan, seed = options.plan((), early=True), session.seed
    kept = _keep(looks, plan, out, session)
    with show_progress(session.console, "taking parts away") as tell:
        found = measure_faithfulness(looks, plan, seed=seed, tell=tell, kept=kept)
    reports = {FAITHFUL: found.places, FAITHFUL_WORDS: found.words}
    images = later_count(found.images, "{count} image", "{count} images")
    parts = [
        show_faithfulness(report, key, count_inputs(TITLES[key], images))
        for key, report in reports.items()
        if report is not None
    ]
    if not parts:
        return [], [f"remark: {explain_too_few(found.why, 'images', alone=alone)}"]
    early = explain_early_end(found.why, images, goes_on=kept.path.exists())
    notes = [f"remark: {early}"] if found.why else []
    notes += (
        [f"remark: words: {write_count(found.short, 'question of one word is', 'questions of one word are')} left out"]
        if found.short
        else []
    )
    return parts, notes


def _keep(looks: QuestionLooks, plan: Plan, out: Path, session: Session) -> PartialFile:
    """Where what was measured of some questions is kept."""
    from jumok.app.partial import PartialFile
    from jumok.app.resuming import identify
    from jumok.data.images.contents import hash_file

    run, questions = looks.run, looks.questions
    chosen = draw_some(range(len(questions)), plan.most, session.seed)
    inputs = {
        "questions": (f"{image} {text}" for image, text in zip(questions.of, questions.questions, strict=True)),
        "images": (hash_file(questions.images[image]) for image in group_by_image(questions, chosen)),
    }
    settings = {**plan.settings(session.seed), "size": looks.size}
    about = (run.config, run.words.fingerprint())
    return PartialFile(
        out / PARTIAL, identify(run.model, about, inputs, looks.methods, settings), session.remark, "question"
    )


@dataclass
class _AgainstMasks:
    """Questions that are asked one image after the other; only scores are kept."""

    looks: QuestionLooks
    masks: QuestionMasks
    meter: LocalisationMeter
    agreement: Agreement

    @staticmethod
    def begin(looks: QuestionLooks, masks: Path, tolerance: int, seed: int) -> _AgainstMasks:
        """Make sure that there is something to measure.

        Raises:
            JumokError: no folder of masks, questions that name none, or that are all the same.
        """
        from jumok.data.questions.masks import QuestionMasks
        from jumok.measures.agreement import Agreement
        from jumok.measures.localisation_meter import LocalisationMeter

        meter = LocalisationMeter(tolerance=tolerance, seed=seed, blank_is_chance=True)
        scoring = _AgainstMasks(looks, QuestionMasks(masks, looks.questions), meter, Agreement(seed=seed))
        if looks.alike:
            raise JumokError("all questions are the same: where a model looks cannot depend on them")
        return scoring

    def go(self, session: Session) -> tuple[int, int]:
        """Ask everything about every image, until Ctrl-C ends it.

        Returns:
            how many images were asked about, and of how many.
        Raises:
            KeyboardInterrupt: before there was enough to tell.
        """
        from jumok.app.progress import show_progress

        by_image, done = group_by_image(self.looks.questions), 0
        with show_progress(session.console, "measuring") as count:
            try:
                for done, (image, numbers) in enumerate(by_image.items()):
                    self._measure(image, numbers)
                    count(done + 1, len(by_image))
                done = len(by_image)
            except KeyboardInterrupt:
                if done < FEWEST:
                    raise
        for method, blank in self.meter.blank.items():
            session.remark(
                f"{method}: {write_count(blank, 'question has', 'questions have')} an empty map, which counts as chance"
            )
        return done, len(by_image)

    def _measure(self, image: int, numbers: Sequence[int]) -> None:
        """Score all questions about one image."""
        picture, name = self.looks.read(image), str(self.looks.questions.images[image])
        asked = self.looks.look(picture, numbers)
        if not asked[0].looks:
            system = self.looks.run.config.system
            raise JumokError(f"a {system} does not look at the image: there is nothing to measure against masks")
        main = next(iter(asked[0].looks))
        for each in asked:
            mask = self.masks.get(each.number, *picture.shape[1:])
            assert each.blind is not None  # not all questions are alike
            self.meter.add(picture, mask, each.looks, baselines={BLIND: each.blind}, name=name, group=name)
        for first, second in itertools.combinations(asked, 2):
            self.agreement.add(name, first.looks[main], second.looks[main])
