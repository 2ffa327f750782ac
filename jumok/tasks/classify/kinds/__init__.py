"""What models of images answer: one class, several labels or a number. Each kind is an `AnswerKind` in a file."""

from __future__ import annotations

from pathlib import Path

from jumok.tasks.classify.kinds.kind import AnswerKind, Choice, Report, Said
from jumok.tasks.classify.kinds.one_class import OneClass
from jumok.tasks.classify.kinds.one_number import OneNumber
from jumok.tasks.classify.kinds.several_labels import SeveralLabels
from jumok.tasks.classify.settings import RunConfig

__all__ = ["KINDS", "AnswerKind", "Choice", "OneClass", "OneNumber", "Report", "Said", "SeveralLabels", "kind_of"]

KINDS: dict[str, type[AnswerKind]] = {kind.name: kind for kind in (OneClass, SeveralLabels, OneNumber)}
"""By the name that a set of images has for it, see `jumok.data.images.label_cells`."""


def kind_of(config: RunConfig, folder: Path | None = None) -> AnswerKind:
    """What the model of a run answers.

    Args:
        config: of the run.
        folder: of the run, for what was settled when its training had ended; None: not settled yet.
    Raises:
        JumokError: what was settled is damaged.
    """
    return KINDS[config.found.kind].of(config, folder)
