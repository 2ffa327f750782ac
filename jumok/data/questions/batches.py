"""Questions as batches in which each image is read once, whatever is asked about it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from jumok.data.images.batches import Source
from jumok.data.sharded_batches import BatchPlan, ShardedBatches
from jumok.errors import JumokError
from jumok.special_tokens import PAD, SOS

__all__ = ["QuestionBatch", "QuestionBatches", "pad_questions"]


@dataclass(frozen=True)
class QuestionBatch:
    """Some questions about some images.

    Args:
        images: (images, 3, height, width) uint8, each once.
        questions: (questions, words) int64, each text once: <s>, its words, then <pad>.
        pairs: (asked, 2) int64, which image and which question belong together.
        scores: (asked, answers) float32 in [0, 1], how right each answer is; all 0 where the answer is not among them.
        indices: (asked,) int64, which of the set they are.
    """

    images: Tensor
    questions: Tensor
    pairs: Tensor
    scores: Tensor
    indices: Tensor

    def to(self, *args: Any, **options: Any) -> QuestionBatch:
        """Move its tensors, with the arguments of `torch.Tensor.to`."""
        return replace(self, **{name: value.to(*args, **options) for name, value in vars(self).items()})


class QuestionBatches(ShardedBatches[QuestionBatch]):
    """Batches of questions; those about one image come one after another. See `ShardedBatches`.

    Args:
        source: the images.
        of: which image each question is about.
        questions: ids of each, without symbols.
        scores: of each question, how right which answers are: {number of the answer: score in (0, 1]}.
        answers: how many there are.
        batch_size, seed, shuffle, rank, world_size: as for `BatchPlan`; no question is left out.
    Raises:
        JumokError: arguments that do not fit together.
    """

    def __init__(
        self,
        source: Source,
        of: Sequence[int],
        questions: Sequence[Sequence[int]],
        scores: Sequence[Mapping[int, float]],
        *,
        answers: int,
        batch_size: int,
        seed: int = 0,
        shuffle: bool,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if not len(of) == len(questions) == len(scores):
            raise JumokError(
                f"got {len(of)} images, {len(questions)} questions and {len(scores)} answers: "
                "wanted the same number of each"
            )
        self._source, self._answers = source, answers
        self._of = torch.tensor(of, dtype=torch.int64)
        texts: dict[tuple[int, ...], int] = {}
        self._text = torch.tensor([texts.setdefault(tuple(ids), len(texts)) for ids in questions], dtype=torch.int64)
        self._texts = list(texts)
        self._scores = [dict(score) for score in scores]
        super().__init__(BatchPlan(len(of), batch_size, seed, shuffle, False, rank, world_size), noun="questions")

    def order(self, epoch: int) -> Tensor:
        """The indices (n,) of one epoch: images in random order if shuffled, each with all of its questions."""
        if not self.deal.shuffle:
            return torch.arange(self.deal.total)
        chance = self._chance(epoch)
        place = torch.randperm(len(self._source), generator=chance)[self._of]
        shuffled = torch.randperm(self.deal.total, generator=chance)
        return shuffled[place[shuffled].argsort(stable=True)]

    def _read(self, indices: Tensor) -> QuestionBatch:
        images, image = self._of[indices].unique(return_inverse=True)
        texts, text = self._text[indices].unique(return_inverse=True)
        scores = torch.zeros(len(indices), self._answers)
        for row, index in enumerate(indices.tolist()):
            for answer, score in self._scores[index].items():
                scores[row, answer] = score
        questions = pad_questions([self._texts[number] for number in texts.tolist()])
        return QuestionBatch(self._source.get(images), questions, torch.stack([image, text], 1), scores, indices)

    def _checksum(self) -> dict[str, int]:
        return {"text": self._crc}

    @cached_property
    def _crc(self) -> int:
        """Of all that is asked; taken once, as each checkpoint tells it."""
        text = repr((self._of.tolist(), self._text.tolist(), self._texts, self._scores))
        return zlib.crc32(text.encode())


def pad_questions(questions: Sequence[Sequence[int]]) -> Tensor:
    """Ids without symbols as one block: (questions, longest + 1) int64, each <s>, its words, then <pad>."""
    block = torch.full((len(questions), 1 + max(map(len, questions), default=0)), PAD, dtype=torch.int64)
    block[:, 0] = SOS
    for row, ids in enumerate(questions):
        block[row, 1 : 1 + len(ids)] = torch.tensor(ids, dtype=torch.int64)
    return block
