"""How well a trained model answers questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from jumok.data.images.batches import PixelStore
from jumok.data.questions.batches import QuestionBatch, QuestionBatches
from jumok.data.questions.question_set import QuestionSet
from jumok.intervals import wilson
from jumok.tasks.answer.parts import scored
from jumok.tasks.answer.run import QuestionRun

__all__ = ["Answered", "Evaluation", "answer_all", "batches_of", "bootstrap_ratio", "evaluate"]

BATCH_SIZE = 256
RESAMPLES = 2000

Table = NDArray[np.float64]


@dataclass(frozen=True)
class Answered:
    """What was answered to one question.

    Args:
        number: of the question in its set.
        answer: the most probable one.
        probability: of it.
        score: how right it is, in [0, 1].
    """

    number: int
    answer: str
    probability: float
    score: float


@dataclass(frozen=True)
class Evaluation:
    """How well a model answers.

    Args:
        questions: that were asked.
        answered: what was answered to each, in their order.
        unanswerable: how many have none of the answers that the model can give; they count as wrong.
    """

    questions: QuestionSet
    answered: tuple[Answered, ...]
    unanswerable: int

    @property
    def accuracy(self) -> float:
        """The mean of how right the answers are."""
        return float(np.mean([each.score for each in self.answered]))

    @property
    def interval(self) -> tuple[float, float]:
        """Between which the accuracy lies with 95% confidence, by a bootstrap over images."""
        return bootstrap_ratio(self._sum_by_image(range(len(self.answered))))

    def by_kind(self) -> list[dict[str, Any]]:
        """Of each kind of question: its name, number and accuracy with bounds; nothing where no kinds are known."""
        rows = []
        for kind in sorted(set(self.questions.kinds) - {""}):
            numbers = [number for number, own in enumerate(self.questions.kinds) if own == kind]
            table = self._sum_by_image(numbers)
            accuracy = float(table[:, 0].sum() / table[:, 1].sum())
            rows.append(
                {"kind": kind, "questions": len(numbers), "accuracy": accuracy, "95": list(bootstrap_ratio(table))}
            )
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "questions": len(self.answered),
            "images": len(self.questions.images),
            "accuracy": self.accuracy,
            "accuracy_95": list(self.interval),
            "unanswerable": self.unanswerable,
            "by_kind": self.by_kind(),
        }

    def _sum_by_image(self, numbers: Sequence[int]) -> Table:
        """(images, 2): the sum of the scores of each image's questions, and their number."""
        table = np.zeros((len(self.questions.images), 2))
        for number in numbers:
            table[self.questions.of[number]] += (self.answered[number].score, 1)
        return table[table[:, 1] > 0]


def bootstrap_ratio(table: Table, least: float = 0.0) -> tuple[float, float]:
    """The 95% percentile interval of a ratio of sums; rows are images, whose questions hang together.

    Where all images are alike, resampling tells nothing: then Wilson's, with the images for trials.

    Args:
        table: (images, 2): what is summed, and the number of questions, at least one each.
        least: the ratio is from here to 1.
    """
    images = len(table)
    shares = table[:, 0] / table[:, 1]
    if np.ptp(shares) == 0:
        low, high = wilson(float(((shares - least) / (1 - least)).sum()), images)
        return least + low * (1 - least), least + high * (1 - least)
    drawn = np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), size=RESAMPLES) @ table
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975)).tolist()
    return low, high


def batches_of(run: QuestionRun, questions: QuestionSet, size: int = BATCH_SIZE) -> QuestionBatches:
    """The questions in the order of their images, as the run reads them; images are read as they are needed."""
    store = PixelStore(questions.images, *run.size, bits=run.config.data.bits, memory_limit=0)
    longest = run.longest
    ids = [own[:longest] for own in run.words.encode_all(questions.questions)]
    scores = scored(questions, run.answers)
    return QuestionBatches(store, questions.of, ids, scores, answers=len(run.answers), batch_size=size, shuffle=False)


@torch.inference_mode()
def answer_all(
    run: QuestionRun,
    questions: QuestionSet,
    *,
    size: int = BATCH_SIZE,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Answered]:
    """Answer questions in batches, each image of a batch looked at once.

    Args:
        run: trained.
        questions: to ask; those about one image stand best together.
        size: questions at a time.
        progress: called with how many are answered, and how many there are.
    """
    done = 0
    for batch in batches_of(run, questions, size):
        yield from _read_answers(run, batch)
        done += len(batch.indices)
        if progress:
            progress(done, len(questions))


def _read_answers(run: QuestionRun, batch: QuestionBatch) -> Iterator[Answered]:
    batch = batch.to(run.device)
    logits = run.model(run.normalise(batch.images), batch.questions, batch.pairs)
    best = logits.float().softmax(-1).max(-1)
    scores = batch.scores.gather(1, best.indices[:, None])[:, 0]
    rows = zip(batch.indices.tolist(), best.indices.tolist(), best.values.tolist(), scores.tolist(), strict=True)
    for number, answer, probability, score in rows:
        yield Answered(number, run.answers[answer], probability, score)


def evaluate(
    run: QuestionRun,
    questions: QuestionSet,
    *,
    size: int = BATCH_SIZE,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Judge a model on questions that it has not learned from.

    Args:
        run, questions, size, progress: as for `answer_all`.
    """
    order = sorted(range(len(questions)), key=lambda number: questions.of[number])
    together = questions.select(order)
    found = tuple(answer_all(run, together, size=size, progress=progress))
    unanswerable = sum(not score for score in scored(together, run.answers))
    return Evaluation(together, found, unanswerable)
