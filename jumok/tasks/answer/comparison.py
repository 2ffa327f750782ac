"""Several systems that answer the same questions: how each is prepared and judged. See `running.comparison`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jumok.data.questions.question_set import QuestionSet
from jumok.errors import JumokError
from jumok.tasks.answer import prepare
from jumok.tasks.answer.evaluation import batches_of, evaluate
from jumok.tasks.answer.parts import find_parts
from jumok.tasks.answer.prepare import PreparedQuestions, system_options
from jumok.tasks.answer.run import QuestionRun
from jumok.tasks.answer.settings import Settings
from jumok.tasks.running.comparison import USE_BATCH, Comparison, Result, use_rate
from jumok.tasks.running.config import Strict

__all__ = ["KindResult", "QuestionComparison", "QuestionResult", "begin"]


class KindResult(Strict):
    """How right one system is on one kind of question, with its 95% interval.

    Args:
        questions: of that kind in the test.
    """

    accuracy: float
    low: float
    high: float
    questions: int


class QuestionResult(Result):
    """What became of a system that answers questions.

    Args:
        questions: of the test.
        kinds: by kind of question, where the file says the kind.
    """

    questions: int
    kinds: dict[str, KindResult]

    unit = "questions"

    @property
    def tested(self) -> int:
        return self.questions


@dataclass(frozen=True)
class QuestionComparison(Comparison[PreparedQuestions]):
    """Systems that are compared on the same questions.

    Args:
        test: the questions to judge on.
    """

    test: QuestionSet

    result = QuestionResult

    def options(self, name: str) -> dict[str, Any]:
        config = self.base.config
        bare = Settings(system=name, data=config.data, training=config.training)
        return system_options(bare, len(config.found.answers), config.found.words, config.data.size)

    def judge(self, place: Path) -> Mapping[str, Any]:
        run = QuestionRun.load(place, self.device)
        judged = evaluate(run, self.test)
        low, high = judged.interval
        return {
            "use_rate": round(_use_rate(run, self.test), 1),
            "accuracy": judged.accuracy,
            "low": low,
            "high": high,
            "questions": len(judged.answered),
            "kinds": {row["kind"]: _kind(row) for row in judged.by_kind()},
        }


def _kind(row: Mapping[str, Any]) -> dict[str, Any]:
    low, high = row["95"]
    return {"accuracy": row["accuracy"], "low": low, "high": high, "questions": row["questions"]}


def _use_rate(run: QuestionRun, questions: QuestionSet) -> float:
    """Questions per second in use, in batches of 64 that lie in memory; each image is looked at once."""
    batch = next(iter(batches_of(run, questions, USE_BATCH))).to(run.device)
    pixels = run.normalise(batch.images)
    return use_rate(lambda: run.model(pixels, batch.questions, batch.pairs), len(batch.indices), run.device)


def begin(
    settings: Settings,
    budget: float,
    folder: Path,
    device: str,
    progress: Callable[[int, int], None] | None = None,
) -> QuestionComparison:
    """Read the questions and their images once for all systems.

    Args:
        settings: for any one of the systems.
        budget, folder, device: of the comparison.
        progress: as for `prepare`.
    Raises:
        JumokError: questions, images or settings that do not do, or nothing to test on.
    """
    test = find_parts(settings.data, settings.training.seed)["test"]
    if not len(test):
        raise JumokError("no questions to evaluate on: give some with --test-questions, or a --test-fraction above 0")
    return QuestionComparison(
        prepare.prepare(settings, progress), budget, frozenset(settings.training.model_fields_set), folder, device, test
    )
