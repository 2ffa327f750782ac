"""Whether a model looks at what a question is about, and elsewhere when it is asked something else."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from jumok.app.scored_maps import MeasuredMaps, ScoredMaps, verdicts
from jumok.app.session import Session, write_report
from jumok.errors import JumokError, suggest
from jumok.tasks.running.config import Strict

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.attention import AttentionMap
    from jumok.data.questions.masks import QuestionMasks
    from jumok.data.questions.question_set import QuestionSet
    from jumok.measures.agreement import Agreement
    from jumok.measures.localisation_meter import LocalisationMeter
    from jumok.tasks.answer.looking import Looked
    from jumok.tasks.answer.run import QuestionRun

BLIND = "question-blind"
"""The map of the same image by the same model, the mean over other questions: what it looks at whatever is asked."""
OTHER_QUESTIONS = 8
"""So many other questions are asked about an image that only one is asked about."""


class Options(Strict):
    """Options of `jumok measure` for questions."""

    masks: str | None = Field(default=None, description="Folder of masks, as the column `mask` names them.")
    images: str | None = Field(default=None, description="Folder of the images (left out: the run's own).")
    split: str = Field(default="auto", description="auto | train | val | test | all; auto: test, or else all.")
    tolerance: int = Field(default=0, ge=0, description="Slack of the pointing game, in pixels.")
    batch_size: int = Field(default=32, ge=1, description="Images or questions at a time.")


def measure(
    model: str, data: Sequence[Path], options: Options, *, methods: tuple[str, ...], out: Path, session: Session
) -> MeasuredMaps:
    """Score where a model looks for its answers against masks, beside baselines, one of them blind to the question.

    Args:
        model: folder of the run.
        data: files of questions; none for the run's own.
        options: of questions.
        methods: names of looks; none for all.
        out: folder for the figures.
        session: of the command.
    Raises:
        JumokError: questions, images or masks that cannot be read, or a model that looks at no image.
    """
    from jumok.app.answer.evaluate import remark, select
    from jumok.tasks.answer.run import QuestionRun
    from jumok.views.pictures.charts import draw_scores

    if options.masks is None:
        raise JumokError(
            f"measure needs ground truth: give masks of what is asked about, as in jumok measure {model} --masks masks"
        )
    trained = QuestionRun.load(model, session.device)
    chosen, part = select(trained, data, options.images, options.split)
    remark(chosen, session)
    measuring = Measuring.begin(trained, chosen, Path(options.masks), methods, options.tolerance, session.seed)
    measuring.go(options.batch_size, session)
    report, agreement = measuring.meter.report(noun="questions"), measuring.agreement.report()
    main = report.methods[0].method
    about: dict[str, Any] = {
        "model": model,
        "data": [str(path) for path in chosen.files],
        "split": part,
        "masks": options.masks,
    }
    about |= {"agreement": {"look": main, **agreement.to_dict()}}
    said = [*verdicts(report), f"{main}, two questions about one image: {agreement.summary()}"]
    written = {"figures": out / "measure.json", "picture": out / "measure.png"}
    found = MeasuredMaps(about, [ScoredMaps(report, said)], (), written)
    write_report(written["figures"], found)
    draw_scores(report, written["picture"])
    return found


@dataclass
class Measuring:
    """Questions that are asked one image after the other; only scores are kept."""

    run: QuestionRun
    questions: QuestionSet
    masks: QuestionMasks
    methods: tuple[str, ...]
    meter: LocalisationMeter
    agreement: Agreement

    @staticmethod
    def begin(
        run: QuestionRun, questions: QuestionSet, masks: Path, methods: tuple[str, ...], tolerance: int, seed: int
    ) -> Measuring:
        """Make sure that there is something to measure.

        Raises:
            JumokError: no folder of masks, or questions that name none.
        """
        from jumok.data.questions.masks import QuestionMasks
        from jumok.measures.agreement import Agreement
        from jumok.measures.localisation_meter import LocalisationMeter

        meter = LocalisationMeter(tolerance=tolerance, seed=seed, blank_is_chance=True)
        return Measuring(run, questions, QuestionMasks(masks, questions), methods, meter, Agreement(seed=seed))

    def go(self, size: int, session: Session) -> None:
        """Ask everything about every image, some questions at a time."""
        from jumok.app.progress import show_progress
        from jumok.data.images.reading import read_image

        by_image: dict[int, list[int]] = {}
        for number, image in enumerate(self.questions.of):
            by_image.setdefault(image, []).append(number)
        with show_progress(session.console, "measuring") as count:
            for done, (image, numbers) in enumerate(by_image.items(), 1):
                picture = read_image(self.questions.images[image], bits=self.run.config.data.bits)
                self._measure(image, picture, numbers, size)
                count(done, len(by_image))
        for method, blank in self.meter.blank.items():
            session.remark(f"{method}: {blank} questions have an empty map, which counts as chance")

    def _measure(self, image: int, picture: Tensor, numbers: Sequence[int], size: int) -> None:
        """Score all questions about one image."""
        import torch

        asked = [*numbers, *self._pick_other_questions(numbers)]
        maps = [self._select_looks(each) for each in self._look(picture, asked, size)]
        main = next(iter(maps[0]))
        name = str(self.questions.images[image])
        for place, number in enumerate(numbers):
            mask = self.masks.get(number, *picture.shape[1:])
            rest = torch.stack([each[main].weights for at, each in enumerate(maps) if at != place])
            blind = _replace_weights(maps[place][main], rest.mean(0))
            self.meter.add(picture, mask, maps[place], baselines={BLIND: blind}, name=name, group=name)
        for first, second in itertools.combinations(maps[: len(numbers)], 2):
            self.agreement.add(name, first[main], second[main])

    def _pick_other_questions(self, numbers: Sequence[int]) -> list[int]:
        """Questions about other images, for an image that only one question is about."""
        if len(numbers) > 1:
            return []
        own, total = self.questions.questions[numbers[0]], len(self.questions)
        found = [
            number
            for step in range(1, total)
            if self.questions.questions[number := (numbers[0] + step * 7919) % total] != own
        ][:OTHER_QUESTIONS]
        if not found:
            raise JumokError("all questions are the same: where a model looks cannot depend on them")
        return found

    def _look(self, picture: Tensor, numbers: Sequence[int], size: int) -> list[Looked]:
        from jumok.tasks.answer.looking import look

        questions = [self.questions.questions[number] for number in numbers]
        parts = [questions[start : start + size] for start in range(0, len(questions), size)]
        return [each for part in parts for each in look(self.run, [picture] * len(part), part, words=False)]

    def _select_looks(self, looked: Looked) -> Mapping[str, AttentionMap]:
        """The looks that were asked for, or all."""
        if not looked.looks:
            raise JumokError(f"a {self.run.config.system} does not look at the image: there is nothing to measure")
        for method in self.methods:
            if method not in looked.looks:
                raise JumokError(f"this model has no look {method!r}: {suggest(method, looked.looks)}")
        return {name: looked.looks[name] for name in self.methods or looked.looks}


def _replace_weights(found: AttentionMap, weights: Any) -> AttentionMap:
    """Other weights over the same places."""
    import dataclasses

    return dataclasses.replace(found, weights=weights, source=BLIND)
