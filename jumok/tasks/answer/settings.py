"""What a run that answers questions is made of: its settings, and what was found in the questions. No torch here."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from jumok.data.questions.question_set import DealtBy
from jumok.tasks.image_settings import ImageSettings, Spread
from jumok.tasks.running.config import EPOCHS, Begun, Names, Recorded, Strict, Training
from jumok.tasks.running.config import Settings as AnySettings


class QuestionData(ImageSettings):
    """Where the questions and their images are, and how they are read."""

    questions: tuple[str, ...] = Field(
        default=(), description="Files of questions, the two JSON files of VQA, or a folder of train, val and test."
    )
    images: str | None = Field(
        default=None,
        description="Folder of the images that the questions are about.",
        json_schema_extra={"usual": "images beside the questions"},
    )
    val_questions: tuple[str, ...] = Field(
        default=(), description="Validation questions, as for training; may be repeated."
    )
    test_questions: tuple[str, ...] = Field(default=(), description="Test questions, as for training; may be repeated.")
    val_fraction: float = Field(
        default=0.1, gt=0, lt=1, description="Share of the images held out for validation if no file is given for it."
    )
    test_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the images held out for testing if no file is given for it."
    )
    lowercase: bool = Field(default=True, description="Make all questions lower case.")
    vocabulary: Literal["words", "unigram", "bpe", "characters"] = Field(
        default="words", description="Kind of tokens for questions."
    )
    vocabulary_size: int | None = Field(
        default=None, ge=8, le=1_000_000, description="Vocabulary size limit; default: 30,000 words or 8,000 sub-words."
    )
    min_count: int = Field(default=1, ge=1, description="Rarer words or characters count as unknown.")
    answers: int = Field(
        default=3000, ge=2, le=100_000, description="Number of answer classes, the most frequent in training."
    )


class QuestionTraining(Training):
    """How a model that answers questions is trained."""

    epochs: int = Field(
        default=30,
        ge=1,
        description=EPOCHS,
        json_schema_extra={"usual": "as many as fit into --time"},
    )
    batch_size: int = Field(
        default=256,
        ge=1,
        description="Batch size in questions, over all processes; those about one image stay together.",
        json_schema_extra={"usual": "by the number of questions, 16 to 256"},
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Label smoothing: share of the target spread over all classes."
    )


class Found(Strict):
    """What the data said when the run began."""

    answers: Names = Field(min_length=2, max_length=100_000)
    """To choose from, the most frequent first."""
    words: int = Field(ge=5)
    """Entries of the vocabulary, symbols included."""
    vocabulary: str
    """Fingerprint of the vocabulary's file, so that another one in its place is noticed."""
    mean: tuple[float, float, float]
    std: tuple[Spread, Spread, Spread]
    counts: dict[str, int]
    """Questions of each part."""
    images: dict[str, int]
    """Images of each part."""
    skipped: dict[str, int]
    """Questions left out, by reason."""
    unanswerable: dict[str, int]
    """Questions of each part none of whose answers is among those to choose from."""
    fingerprint: str
    """Of the training and validation questions."""
    dealt_by: DealtBy = "folder"
    """What images are known by; runs of earlier versions do not say so, and knew them by their folder, too."""
    begun: Begun | None = None
    """With which weights training began; None: with random ones."""


class Settings(AnySettings):
    """What a person may choose for a model that answers questions."""

    system: str = Field(default="vqa-stacked", description="The model to train.")
    data: QuestionData = QuestionData()
    training: QuestionTraining = QuestionTraining()

    from_data: ClassVar[tuple[str, ...]] = ("answers", "words", "image_size")


class RunConfig(Settings, Recorded):
    """Everything needed to build such a model again and to go on with its training."""

    task: Literal["answer"] = "answer"
    found: Found
