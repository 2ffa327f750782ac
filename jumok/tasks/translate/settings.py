"""What a run of a translator is made of: its settings, and what was found in the sentence pairs. No torch here."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from jumok.tasks.running.config import EPOCHS, Begun, Recorded, Strict, Training
from jumok.tasks.running.config import Settings as AnySettings

HELD_OUT = "0.05 and at most 2,000"
"""What is kept for validation, and for testing, where nobody says how much."""


class PairData(Strict):
    """Where the sentence pairs are and how they are read."""

    pairs: tuple[str, ...] = Field(
        default=(), max_length=2, description="A TSV, two line-aligned files, or a folder of train, val and test."
    )
    val_pairs: tuple[str, ...] = Field(
        default=(), max_length=2, description="Validation pairs: one TSV, or two files (repeat the option)."
    )
    test_pairs: tuple[str, ...] = Field(
        default=(), max_length=2, description="Test pairs: one TSV, or two files (repeat the option)."
    )
    languages: tuple[str, ...] = Field(
        default=(),
        max_length=2,
        description="File extensions of source and target, as in --languages de --languages en; "
        "needed if the folder has more than two.",
    )
    val_fraction: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Share held out for validation if the data has no validation part.",
        json_schema_extra={"usual": HELD_OUT},
    )
    test_fraction: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Share held out for testing if the data has no test part.",
        json_schema_extra={"usual": HELD_OUT},
    )
    backwards: bool = Field(default=False, description="Translate from the second language to the first.")
    lowercase: bool = Field(default=False, description="Make all text lower case.")
    vocabulary: Literal["unigram", "bpe", "words", "characters"] | None = Field(
        default=None,
        description="Kind of tokens for sentences: unigram | bpe | words | characters.",
        json_schema_extra={"usual": "by what the texts are like"},
    )
    vocabulary_size: int | None = Field(
        default=None,
        ge=8,
        le=1_000_000,
        description="Vocabulary size limit; default: 500 to 8,000 sub-words by the number of pairs, 30,000 words or "
        "20,000 characters.",
    )
    min_count: int | None = Field(
        default=None,
        ge=1,
        description="Rarer words or characters count as unknown; default: 2 for words, so that unknown ones "
        "are seen in training, and 1 for characters.",
    )
    shared: bool = Field(default=False, description="One vocabulary, and one embedding, for both languages.")
    longest: int = Field(
        default=256, ge=1, le=100_000, description="Longest sentence in tokens; longer pairs are skipped and counted."
    )


class PairTraining(Training):
    """How a translator is trained."""

    epochs: int = Field(
        default=30,
        ge=1,
        description=EPOCHS,
        json_schema_extra={"usual": "as many as fit into --time"},
    )
    weight_decay: float = Field(default=0.01, ge=0, le=10, description="AdamW weight decay, on matrices only.")
    label_smoothing: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Label smoothing: share of the target spread over all classes.",
        json_schema_extra={"usual": "0.1, or 0 if the texts are of a closed set of words"},
    )
    batch_tokens: int = Field(
        default=2000,
        ge=16,
        description="Batch size in tokens of the longer side, padding included, over all processes.",
        json_schema_extra={"usual": "a hundredth of the pairs, 16 to 100 of them"},
    )
    teacher_forcing: float = Field(
        default=1.0, ge=0, le=1, description="Share of sentences trained with teacher forcing."
    )
    sampling: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Scheduled sampling: final probability of feeding the model its own word.",
    )
    validate_with: int = Field(default=500, ge=1, description="Validation sentences translated after each epoch.")


class Side(Strict):
    """What was found in one language of the training pairs."""

    vocabulary: int = Field(ge=5)
    """Entries of its vocabulary, symbols included."""
    round_trip: float
    """Share of the sentences that come back unchanged from their ids."""
    coverage: float
    """Share of the characters, or words, that the vocabulary knows."""
    fingerprint: str = ""
    """Of its file, so that another one in its place is noticed; empty: it is not checked."""


class Found(Strict):
    """What the data said when the run began."""

    source: Side
    target: Side
    counts: dict[str, int]
    """Pairs of each part."""
    skipped: dict[str, int]
    """Pairs left out, by reason."""
    padding: float
    """Share of what is computed in training that is padding."""
    fingerprint: str
    """Of the sentences of the training and validation pairs."""
    train: str = ""
    """Fingerprint of the training pairs as read, too long ones among them; empty: it was not recorded."""
    begun: Begun | None = None
    """With which weights training began; None: with random ones."""


class Settings(AnySettings):
    """What a person may choose for a translator."""

    system: str = Field(default="seq2seq", description="The model to train.")
    data: PairData = PairData()
    training: PairTraining = PairTraining()

    from_data: ClassVar[tuple[str, ...]] = ("source_vocabulary", "target_vocabulary", "shared")


class RunConfig(Settings, Recorded):
    """Everything needed to build a translator again and to go on with its training."""

    task: Literal["translate"] = "translate"
    found: Found
