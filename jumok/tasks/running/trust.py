"""Which map of a run is the most faithful to its model, as it was measured when the training had ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from jumok.files import write_atomically
from jumok.language import later, put_together
from jumok.tasks.running.config import Strict, parse, read_yaml

__all__ = ["TRUST", "Trust", "read_trust", "write_trust"]

TRUST = "trust.yaml"
"""In the run's folder."""


class Trust(Strict):
    """What was measured on validation data.

    Args:
        method: the most faithful one; None where none is shown to be better than chance.
        verdict: of that method, or of the best that there was, in a sentence.
        inputs: how many were measured.
        noun: what these were.
        parts: what the verdict is made of, so that it can be told in other languages; None: not known.
    """

    method: str | None
    verdict: str
    inputs: int
    noun: str = "images"
    parts: Any = None

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        if self.parts is not None and put_together(self.parts) != self.verdict:
            raise ValueError("parts are not those of the verdict")
        return self

    def why(self) -> str:
        """Why this method is shown, or why none is chosen."""
        count, noun = f"{self.inputs:,}", later(self.noun)
        verdict = self.verdict if self.parts is None else put_together(self.parts)
        if self.method is None:
            text = later("no map was shown to be more faithful than chance on {count} validation {noun} ({verdict})")
        else:
            text = later("{method} was the most faithful map on {count} validation {noun} ({verdict})")
        return later(text, method=self.method or "", count=count, noun=noun, verdict=verdict)


def read_trust(folder: Path) -> Trust | None:
    """What a run's folder says; None where nothing was measured.

    Raises:
        JumokError: the file is damaged.
    """
    path = folder / TRUST
    return parse(Trust, read_yaml(path), str(path)) if path.is_file() else None


def write_trust(folder: Path, trust: Trust) -> None:
    """Keep it in the run's folder.

    Raises:
        JumokError: it cannot be written.
    """
    write_atomically(folder / TRUST, trust.to_yaml())
