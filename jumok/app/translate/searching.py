"""Options of the search for a translation."""

from __future__ import annotations

from pydantic import Field

from jumok.tasks.running.config import Strict

__all__ = ["Searching"]


class Searching(Strict):
    """How a translation is looked for; see `jumok.tasks.translate.run.Search`."""

    beam: int = Field(default=5, ge=1, description="Beam size; 1 = greedy.")
    n_best: int = Field(
        default=1, ge=1, description="Translations of each sentence, as lines of number, score and text."
    )
    length_penalty: float = Field(default=1.0, description="Length-penalty exponent; larger favours longer output.")
    max_length: int | None = Field(
        default=None, ge=1, description="Target tokens at most (default twice the source's and 20)."
    )
    precision: str | None = Field(
        default=None, description="Numeric precision: 32, bf16 or 16 (default as in training)."
    )
