"""Translations of many sentences, as rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from jumok.app.predictions import Predicted
from jumok.app.session import Session
from jumok.app.translate.lines import SENTENCES_AT_ONCE
from jumok.errors import JumokError
from jumok.tasks.running.config import Strict

if TYPE_CHECKING:
    from jumok.tasks.translate.run import PairRun, TranslatedSentence


class Options(Strict):
    """Options of `jumok predict` for sentence pairs."""

    beam: int = Field(default=5, ge=1, description="Beam size; 1 = greedy.")
    length_penalty: float = Field(default=1.0, description="Length-penalty exponent; larger favours longer output.")


@dataclass(frozen=True)
class SentencePredictor:
    """A translator and files of sentences."""

    run: PairRun
    files: Sequence[Path]
    search: Mapping[str, Any]
    about: Mapping[str, type] = field(default_factory=lambda: {"file": str, "line": int, "source": str})
    predicts: type = str
    figure: str | None = "score"
    classes: Sequence[str] = ()
    total: int | None = None

    def predict(self) -> Iterator[Predicted]:
        """Each line of each file."""
        from jumok.data.texts.normal_form import read_lines

        for file in self.files:
            lines, number = read_lines(file), 1
            while some := list(islice(lines, SENTENCES_AT_ONCE)):
                for one in self.run.translate_each(some, **self.search):
                    yield self._make_row(file, number, one)
                    number += 1

    def _make_row(self, file: Path, number: int, one: TranslatedSentence) -> Predicted:
        about = {"file": str(file), "line": number, "source": one.source}
        if one.too_long:
            return Predicted(about, error=f"{file}, line {number}: more than {self.run.longest:,} tokens")
        if not one.source.strip():
            return Predicted(about, error=f"{file}, line {number}: empty")
        return Predicted(about, one.best[0].text, one.best[0].score)


def open_predictor(model: str, inputs: Sequence[Path], options: Options, session: Session) -> SentencePredictor:
    """Open a translator, and check that the files are there.

    Args:
        model: folder of a run.
        inputs: files of a sentence per line, plain or .gz.
        options: of sentence pairs.
        session: of the command.
    Raises:
        JumokError: no such file, or a run that cannot be opened.
    """
    from jumok.tasks.translate.run import PairRun

    for path in inputs:
        if not path.is_file():
            raise JumokError(f"no file {path}: wanted files with a sentence per line")
    run = PairRun.load(model, session.device)
    search = options.model_dump()
    run.translate([], **search)  # refuses what is out of range before anything is read
    return SentencePredictor(run, inputs, search)
