"""What a text classifier says of many texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from jumok.app.label.chosen import TextOptions, stream_inputs
from jumok.app.predictions import Predicted
from jumok.app.session import Session
from jumok.errors import JumokError

if TYPE_CHECKING:
    from jumok.tasks.label.run import TextRun


class Options(TextOptions):
    """Options of `jumok predict` for texts."""

    batch_size: int = Field(default=64, ge=1, description="Images, questions or texts at a time.")


@dataclass(frozen=True)
class TextPredictor:
    """A text classifier and files of texts."""

    run: TextRun
    files: Sequence[Path]
    options: Options
    about: Mapping[str, type] = field(default_factory=lambda: {"file": str, "number": int, "text": str})
    predicts: type = str
    figure: str | None = "probability"
    total: int | None = None

    @property
    def classes(self) -> Sequence[str]:
        """Names, in the order of the logits."""
        return self.run.classes

    def predict(self) -> Iterator[Predicted]:
        """Each text, in batches."""
        rows = stream_inputs(self.files, self.run, self.options)
        while some := list(islice(rows, self.options.batch_size)):
            readable = [text for _, _, text in some if text.strip()]
            shares = iter(self.run.probabilities(readable).tolist() if readable else ())
            for path, number, text in some:
                about = {"file": str(path), "number": number, "text": text}
                if text.strip():
                    yield Predicted.best_of(about, self.classes, next(shares))
                else:
                    yield Predicted(about, error=f"{path}, text {number}: empty")


def open_predictor(model: str, inputs: Sequence[Path], options: Options, session: Session) -> TextPredictor:
    """Open a text classifier, and check that the files are there.

    Args:
        model: folder of a run.
        inputs: tables with a column of texts, or files with a text per line.
        options: of texts.
        session: of the command.
    Raises:
        JumokError: no such file, or a run that cannot be opened.
    """
    from jumok.tasks.label.run import TextRun

    for path in inputs:
        if not path.is_file():
            raise JumokError(f"no file {path}: wanted a table with a column of texts, or a file with a text per line")
    return TextPredictor(TextRun.load(model, session.device), inputs, options)
