"""Questions in their three parts, as a run's settings name them, and which of them a set of answers can answer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from jumok.data.images.contents import hash_files
from jumok.data.questions.parts import find_image_folder, read_question_parts
from jumok.data.questions.question_set import DealtBy, QuestionSet, score_answers
from jumok.errors import JumokError
from jumok.tasks.answer.settings import QuestionData

__all__ = ["Scores", "find_parts", "fingerprint", "hash_parts", "keep_answerable", "scored", "settle_images"]

Scores = Mapping[int, float]
"""How right which answers are, by their numbers."""


def find_parts(data: QuestionData, seed: int, dealt_by: DealtBy = "name") -> dict[str, QuestionSet]:
    """Read the questions in their three parts.

    Args:
        data: where they are.
        seed: of the split.
        dealt_by: as a run has it noted.
    Raises:
        JumokError: no files or no folder of images were given, or they hold no questions.
    """
    if not data.questions:
        raise JumokError("no questions: give a file, as in jumok train questions.csv --images photos --out runs/first")
    data = settle_images(data)
    val, test = data.val_fraction, data.test_fraction
    if val + test >= 1:
        raise JumokError(f"val_fraction {val} and test_fraction {test} leave nothing to train on")
    return read_question_parts(
        [Path(path) for path in data.questions],
        Path(data.images or ""),
        val=[Path(path) for path in data.val_questions],
        test=[Path(path) for path in data.test_questions],
        lowercase=data.lowercase,
        shares=(1 - val - test, val, test),
        seed=seed,
        dealt_by=dealt_by,
    )


def settle_images(data: QuestionData) -> QuestionData:
    """Take the folder of images that lies beside the questions, where none is given.

    Raises:
        JumokError: there is none.
    """
    if data.images is not None:
        return data
    folder = find_image_folder([Path(path) for path in data.questions])
    if folder is None:
        raise JumokError(
            "questions are about images: give their folder with --images (none beside the questions holds them)"
        )
    return data.model_copy(update={"images": str(folder)})


def scored(questions: QuestionSet, answers: Sequence[str]) -> list[Scores]:
    """How right which of the answers are, for each question; none for one that cannot be answered by them."""
    number = {answer: index for index, answer in enumerate(answers)}
    return [
        {number[answer]: score for answer, score in score_answers(given).items() if answer in number and score > 0}
        for given in questions.answers
    ]


def keep_answerable(
    parts: Mapping[str, QuestionSet], answers: Sequence[str]
) -> tuple[dict[str, QuestionSet], dict[str, list[str]]]:
    """Leave training questions out that have none of the answers; in other parts they stay, and cannot be right.

    Returns:
        the parts, and for each the first answers of the questions that cannot be answered.
    """
    kept, lacking = {}, {}
    for part, questions in parts.items():
        scores = scored(questions, answers)
        lacking[part] = [questions.answers[row][0] for row, score in enumerate(scores) if not score]
        rows = [row for row, score in enumerate(scores) if score]
        kept[part] = questions.select(rows) if part == "train" and lacking[part] else questions
    return kept, lacking


def fingerprint(parts: Mapping[str, QuestionSet], dealt_by: DealtBy = "name") -> str:
    """What changes when a training or validation question is added, removed, changed or moved."""
    each = (parts[part].fingerprint(dealt_by) for part in ("train", "val"))
    return hashlib.sha256("".join(each).encode()).hexdigest()[:32]


def hash_parts(parts: Mapping[str, QuestionSet]) -> dict[str, list[str]]:
    """The hash of each question about an image, by part.

    Raises:
        JumokError: an image that cannot be read.
    """
    images = sorted({path for questions in parts.values() for path in questions.images})
    of_images = dict(zip(images, hash_files(images), strict=True))
    return {part: questions.hashes(of_images) for part, questions in parts.items()}
