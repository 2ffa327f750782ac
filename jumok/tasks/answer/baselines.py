"""What a model that answers questions is held against: what can be answered without looking at the image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jumok.data.questions.question_set import QuestionSet, score_answers
from jumok.data.texts.nearest import find_nearest
from jumok.data.texts.vocabulary import pick_evenly
from jumok.errors import JumokError
from jumok.intervals import Interval
from jumok.language import later
from jumok.tasks.answer.evaluation import Evaluation, Table, bootstrap_ratio
from jumok.tasks.answer.parts import find_parts, fingerprint, keep_answerable
from jumok.tasks.answer.settings import RunConfig

__all__ = ["Baseline", "compare_with_baselines", "find_training_questions", "judge_guesses"]

COMMONEST, NEAREST = later("the commonest answer"), later("the commonest answer to the nearest question")
MOST_JUDGED, MOST_KNOWN = 2_000, 50_000
"""So many validation questions, and so many training questions, taken evenly, tell what guesses reach in a training."""


@dataclass(frozen=True)
class Baseline:
    """How a baseline did, and by how much the model is better.

    Args:
        name: what it answers.
        accuracy: of that.
        better_by: the model's accuracy less the baseline's, paired by image.
    """

    name: str
    accuracy: Interval
    better_by: Interval

    @property
    def beaten(self) -> bool:
        """Whether the model is significantly better."""
        return self.better_by.low > 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        gaps = {"accuracy": self.accuracy.value, "accuracy_95": [self.accuracy.low, self.accuracy.high]}
        return {"baseline": self.name, **gaps, "better_by": self.better_by.to_dict(), "beaten": self.beaten}


def find_training_questions(config: RunConfig) -> tuple[QuestionSet | None, str]:
    """Read the questions that a run was trained on.

    Returns:
        the questions, or None; and why there are none.
    """
    try:
        found = find_parts(config.data, config.training.seed, config.found.dealt_by)
        parts, _ = keep_answerable(found, config.found.answers)
    except JumokError as error:
        return None, f"the training questions cannot be read ({error})"
    if fingerprint(parts, config.found.dealt_by) != config.found.fingerprint:
        return None, "the training or validation questions have changed since"
    return parts["train"], ""


def compare_with_baselines(report: Evaluation, train: QuestionSet) -> list[Baseline]:
    """Score what the baselines answer beside the model.

    Args:
        report: the model's answers.
        train: the questions that it was trained on.
    """
    asked = report.questions
    model = [each.score for each in report.answered]
    return [_compare(name, model, _score(asked, said), asked) for name, said in _guess(asked, train).items()]


def judge_guesses(train: QuestionSet, val: QuestionSet) -> dict[str, float]:
    """The accuracy of each baseline on validation questions, by its name; of many questions some are taken, evenly."""
    known, asked = (
        questions.select(pick_evenly(range(len(questions)), most))
        for questions, most in ((train, MOST_KNOWN), (val, MOST_JUDGED))
    )
    return {name: sum(_score(asked, said)) / len(asked) for name, said in _guess(asked, known).items()}


def _guess(asked: QuestionSet, train: QuestionSet) -> dict[str, list[str]]:
    """What each baseline answers."""
    return {
        COMMONEST: [_take_commonest(map(score_answers, train.answers))] * len(asked),
        NEAREST: _look_up(asked.questions, train),
    }


def _take_commonest(scored: Iterable[dict[str, float]]) -> str:
    """The answer that is right most often; of equal ones, the lesser by code points."""
    total: Counter[str] = Counter()
    for scores in scored:
        for answer, score in scores.items():
            total[answer] += score  # type: ignore[assignment]
    return min(total, key=lambda answer: (-total[answer], answer))


def _look_up(questions: Sequence[str], train: QuestionSet) -> list[str]:
    """For each question, the commonest answer to the nearest training question, about whatever image."""
    scored: dict[str, list[dict[str, float]]] = {}
    for question, answers in zip(train.questions, train.answers, strict=True):
        scored.setdefault(question, []).append(score_answers(answers))
    known, different = list(scored), list(dict.fromkeys(questions))
    commonest = {
        question: _take_commonest(scored[known[place]])
        for question, place in zip(different, find_nearest(different, known).tolist(), strict=True)
    }
    return [commonest[question] for question in questions]


def _score(questions: QuestionSet, answers: Sequence[str]) -> list[float]:
    """How right each answer is."""
    return [score_answers(given).get(answer, 0.0) for given, answer in zip(questions.answers, answers, strict=True)]


def _compare(name: str, model: Sequence[float], baseline: Sequence[float], questions: QuestionSet) -> Baseline:
    table: Table = np.zeros((len(questions.images), 3))
    for image, one, other in zip(questions.of, model, baseline, strict=True):
        table[image] += (one - other, other, 1)
    accuracy, gap = (float(total / len(model)) for total in (table[:, 1].sum(), table[:, 0].sum()))
    return Baseline(
        name, Interval(accuracy, *bootstrap_ratio(table[:, 1:])), Interval(gap, *bootstrap_ratio(table[:, ::2], -1.0))
    )
