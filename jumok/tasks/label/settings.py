"""What a run of a text classifier is made of: its settings, and what was found in the texts. No torch here."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from jumok.tasks.running.config import Begun, Names, Recorded, Strict
from jumok.tasks.running.config import Settings as AnySettings
from jumok.tasks.running.tuning_settings import TuningTraining, is_uneven


class TextData(Strict):
    """Where the texts are and how they are read."""

    texts: str | None = Field(
        default=None, description="Table of text,label, or a folder of such tables for train, val and test."
    )
    text_column: str | None = Field(default=None, description="Column of the texts, where it has another name.")
    label_column: str | None = Field(default=None, description="Column of the classes, where it has another name.")
    max_tokens: int | None = Field(
        default=None,
        ge=4,
        le=1 << 16,
        description="Tokens of a text that are read; default: as many as the encoder takes, at most 512.",
    )
    val_fraction: float = Field(
        default=0.15, gt=0, lt=1, description="Share held out for validation if the data has no validation part."
    )
    test_fraction: float = Field(
        default=0.15, gt=0, lt=1, description="Share held out for testing if the data has no test part."
    )


class TextTraining(TuningTraining):
    """How a text classifier is trained."""

    batch_size: int = Field(
        default=32,
        ge=1,
        description="Batch size in texts, over all processes.",
        json_schema_extra={"usual": "16 or 32, by the number of texts"},
    )


class Found(Strict):
    """What the data and the encoder said when the run began."""

    classes: Names = Field(min_length=2, max_length=100_000)
    counts: dict[str, int]
    per_class: dict[str, tuple[int, ...]]
    """Texts of each part in each class."""
    fingerprint: str
    """Of the training and validation texts."""
    tokenizer: str
    """Hash of the tokenizer's file."""
    padding: int = Field(ge=0)
    """The token behind shorter texts."""
    mask: int = Field(ge=0)
    """The token that stands for a word taken away."""
    longest: int = Field(ge=1)
    """Tokens that the encoder takes."""
    begun: Begun | None = None
    """With which weights training began."""


class Settings(AnySettings):
    """What a person may choose for a text classifier."""

    system: str = Field(description="The model to train.")
    data: TextData = TextData()
    training: TextTraining = TextTraining()

    from_data: ClassVar[tuple[str, ...]] = ("classes",)


class RunConfig(Settings, Recorded):
    """Everything needed to build a text classifier again and to go on with its training."""

    task: Literal["label"] = "label"
    found: Found

    @property
    def uneven(self) -> bool:
        """Whether the largest class has clearly more training texts than the smallest."""
        return is_uneven(self.found.per_class["train"])
