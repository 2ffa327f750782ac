"""Where a model looks for the answers to questions about one image, and where it looks whatever is asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from jumok.errors import JumokError, suggest

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.attention import AttentionMap
    from jumok.data.questions.question_set import QuestionSet
    from jumok.tasks.answer.looking import Looked
    from jumok.tasks.answer.run import QuestionRun

__all__ = ["BLIND", "AskedLook", "QuestionLooks", "group_by_image"]

BLIND = "question-blind"
"""The map of the same image by the same model, the mean over other questions: what it looks at whatever is asked."""
OTHER_QUESTIONS = 8
"""So many other questions are asked about an image that only one is asked about."""


class AskedLook(NamedTuple):
    """One question and where the model looked for its answer.

    Args:
        number: of the question.
        looked: all of it.
        looks: those of its looks that were asked for; empty where no image is attended.
        blind: the mean of the first of them over the other questions; None where there are none.
    """

    number: int
    looked: Looked
    looks: Mapping[str, AttentionMap]
    blind: AttentionMap | None


class QuestionLooks:
    """Asks a model about images, some questions at a time.

    Args:
        run: trained.
        questions: all of them.
        methods: names of looks, or of how words are weighed; none for all.
        size: questions at a time.
    """

    def __init__(self, run: QuestionRun, questions: QuestionSet, methods: Sequence[str] = (), size: int = 32) -> None:
        self.run, self.questions, self.methods, self.size = run, questions, tuple(methods), size
        self.alike = len(set(questions.questions)) == 1

    def read(self, image: int) -> Tensor:
        """The picture of that number, (3, any, any) uint8."""
        from jumok.data.images.reading import read_image

        return read_image(self.questions.images[image], bits=self.run.config.data.bits)

    def look(self, picture: Tensor, numbers: Sequence[int], others: Sequence[int] = ()) -> list[AskedLook]:
        """Ask questions about one image.

        Args:
            picture: of the image.
            numbers: of the questions.
            others: of further ones, which serve to know where the model looks whatever is asked.
        Returns:
            one for each of `numbers`.
        Raises:
            JumokError: a look that this model has not.
        """
        asked = [*numbers, *others]
        asked += self._pick_other_questions(numbers) if len(asked) == 1 and not self.alike else []
        found = self.ask(picture, asked)
        maps = [self._select(each) for each in found]
        blinds = [_average_others(maps, place) for place in range(len(numbers))]
        return [AskedLook(*each) for each in zip(numbers, found, maps, blinds, strict=False)]

    def ask(self, picture: Tensor, numbers: Sequence[int], rank: int = 1) -> list[Looked]:
        """Look for the answer of that rank to each question about one image."""
        from jumok.tasks.answer.looking import look

        texts = [self.questions.questions[number] for number in numbers]
        parts = [texts[start : start + self.size] for start in range(0, len(texts), self.size)]
        return [each for part in parts for each in look(self.run, [picture] * len(part), part, words=False, rank=rank)]

    def wants(self, name: str) -> bool:
        """Whether a look, or how words are weighed, was asked for."""
        return not self.methods or name in self.methods

    def _pick_other_questions(self, numbers: Sequence[int]) -> list[int]:
        """Questions about other images, for an image that only one question is about."""
        own, total = self.questions.questions[numbers[0]], len(self.questions)
        steps = ((numbers[0] + step * 7919) % total for step in range(1, total))
        return [number for number in steps if self.questions.questions[number] != own][:OTHER_QUESTIONS]

    def _select(self, looked: Looked) -> Mapping[str, AttentionMap]:
        """The looks that were asked for, or all."""
        weighing = () if looked.weights is None else (looked.weights.source,)
        known = (*looked.looks, *weighing)
        for method in self.methods:
            if method not in known:
                raise JumokError(f"this model has no look {method!r}: {suggest(method, known)}")
        return {name: heat for name, heat in looked.looks.items() if self.wants(name)}


def group_by_image(questions: QuestionSet, numbers: Sequence[int] | None = None) -> dict[int, list[int]]:
    """The numbers of questions, or of some of them, by the image that they are about."""
    found: dict[int, list[int]] = {}
    for number in range(len(questions)) if numbers is None else numbers:
        found.setdefault(questions.of[number], []).append(number)
    return found


def _average_others(maps: Sequence[Mapping[str, AttentionMap]], place: int) -> AttentionMap | None:
    """The mean over all others of the first look."""
    import torch

    if len(maps) < 2 or not maps[place]:
        return None
    main = next(iter(maps[place]))
    rest = torch.stack([each[main].weights for at, each in enumerate(maps) if at != place])
    return _replace_weights(maps[place][main], rest.mean(0))


def _replace_weights(found: AttentionMap, weights: Any) -> AttentionMap:
    """Other weights over the same places."""
    return dataclasses.replace(found, weights=weights, source=BLIND)
