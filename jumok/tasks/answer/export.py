"""A model that answers questions as a graph: pixels and words to the logits of all answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from jumok.special_tokens import PAD, SOS
from jumok.tasks.answer.run import QuestionRun
from jumok.tasks.exporting import Graph

__all__ = ["make_graph", "prepare_batches"]

BATCH = 8
"""Questions of a batch that the graph is checked on."""
LEAST_WORDS = 3
"""A question is <s> and two words, or padding."""


def make_graph(run: QuestionRun) -> Graph:
    """The graph of a run's model: the first question is asked of the first image, and so on."""
    example = {"pixels": torch.zeros(2, 3, *run.size), "questions": torch.tensor([[SOS, 4, 4, 4], [SOS, 4, PAD, PAD]])}
    axes = {"pixels": {0: "batch"}, "questions": {0: "batch", 1: "words"}}
    if run.fusion == "image":
        del example["questions"], axes["questions"]
    limits = {"words": (LEAST_WORDS, run.longest + 1)}
    return Graph("model", _Asked(run), example, ("logits",), axes, limits if "questions" in axes else {})


class _Asked(torch.nn.Module):
    """The model; one that reads no question is given none."""

    def __init__(self, run: QuestionRun) -> None:
        super().__init__()
        self.model = run.model

    def forward(self, pixels: Tensor, questions: Tensor | None = None) -> Tensor:
        """(batch, 3, height, width) and (batch, words) to logits (batch, answers)."""
        if questions is None:
            questions = torch.full((pixels.shape[0], LEAST_WORDS), SOS)
        logits: Tensor = self.model(pixels, questions)
        return logits


def prepare_batches(run: QuestionRun, asked: Sequence[tuple[Path, str]]) -> list[dict[str, Tensor]]:
    """Real images and questions as the graph takes them, in batches of two sizes."""
    return [_prepare(run, part) for part in (asked[:BATCH], asked[BATCH:]) if part]


def _prepare(run: QuestionRun, asked: Sequence[tuple[Path, str]]) -> dict[str, Tensor]:
    pixels, questions = run.prepare([image for image, _ in asked]), run.encode([question for _, question in asked])
    short = LEAST_WORDS - questions.shape[1]
    questions = torch.nn.functional.pad(questions, (0, max(short, 0)), value=PAD)
    return {"pixels": pixels} if run.fusion == "image" else {"pixels": pixels, "questions": questions}
