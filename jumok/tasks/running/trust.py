"""Which map of a run is the most faithful to its model, as it was measured when the training had ended."""

from __future__ import annotations

from pathlib import Path

from jumok.files import write_atomically
from jumok.language import later
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
    """

    method: str | None
    verdict: str
    inputs: int
    noun: str = "images"

    def why(self) -> str:
        """Why this method is shown, or why none is chosen."""
        count, noun = f"{self.inputs:,}", later(self.noun)
        if self.method is None:
            text = later("no map was shown to be more faithful than chance on {count} validation {noun} ({verdict})")
        else:
            text = later("{method} was the most faithful map on {count} validation {noun} ({verdict})")
        return later(text, method=self.method or "", count=count, noun=noun, verdict=self.verdict)


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
