"""Settings that all classifiers share: balance of classes, and which of the weights learn. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from jumok.errors import JumokError
from jumok.tasks.running.config import Training

__all__ = ["EVEN_RATIO", "TuningTraining", "is_uneven", "settle_balance"]

EVEN_RATIO, REPEATED_FROM = 1.5, 3.0
"""How many times the examples of the smallest class the largest has: up to the first, classes count as even; from the
second on, rare ones are shown more often. Between them that would cost more right answers than it brings."""


class TuningTraining(Training):
    """How a classifier is trained, whatever it classifies."""

    balance: Literal["auto", "none", "weights", "sampler"] = Field(
        default="auto",
        description="Uneven classes: weigh their examples, or show the rare ones more often; auto: sampler where the "
        "largest class has over 3 times the examples of the smallest; several labels: weights where one is rare.",
    )
    freeze: str = Field(
        default="none",
        pattern="^(none|backbone|0*[1-9][0-9]{0,4})$",
        description="Weights to keep as they are: none, backbone (only the head learns; the features of each "
        "image or text are computed once), or the first N layers.",
    )
    layer_decay: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Factor on the learning rate from each layer to the one before it; 1 = the same for all.",
    )
    lora: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Rank of LoRA adapters; all other weights but the head's are kept as they are (needs peft); "
        "default: no adapters.",
    )

    def check_tuning(self, *, begun: bool) -> None:
        """See that what is asked of the weights goes together.

        Args:
            begun: whether they were trained before.
        Raises:
            JumokError: weights are to stay as they are that were never trained, or in two ways.
        """
        if not begun and (self.lora or self.freeze != "none"):
            raise JumokError(
                "--freeze and --lora keep weights that were trained before: name a model with --system hf:NAME or "
                "timm:NAME, or a run with --init"
            )
        if self.lora and self.freeze != "none":
            raise JumokError("--lora keeps all weights but its own and the head's as they are: leave --freeze out")


def is_uneven(counts: Sequence[int]) -> bool:
    """Whether the largest class has clearly more examples than the smallest."""
    return bool(counts) and max(counts) > EVEN_RATIO * min(counts)


def settle_balance(classes: Sequence[str], counts: Sequence[int], noun: str) -> tuple[str, list[str]]:
    """How classes are balanced where no one said.

    Args:
        classes: their names.
        counts: of the training examples of each.
        noun: of what is counted, as "images".
    Returns:
        none or sampler, and what to say of it.
    """
    if not is_uneven(counts):
        return "none", []
    most, least = (classes[counts.index(pick(counts))] for pick in (max, min))
    repeated = max(counts) > REPEATED_FROM * min(counts)
    often = "rare ones are shown more often, and " if repeated else ""
    return "sampler" if repeated else "none", [
        f"uneven classes: {most!r} has {max(counts):,} training {noun}, {least!r} {min(counts):,}; {often}the epoch to "
        "keep is chosen by balanced accuracy"
    ]
