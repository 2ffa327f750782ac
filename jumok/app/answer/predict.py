"""Answers to many questions about images, as rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from jumok.app.predictions import Predicted
from jumok.app.session import Session
from jumok.errors import JumokError
from jumok.tasks.running.config import Strict

if TYPE_CHECKING:
    from jumok.data.questions.files import QuestionRow
    from jumok.tasks.answer.run import QuestionRun


class Options(Strict):
    """Options of `jumok predict` for questions."""

    images: str | None = Field(default=None, description="Folder of the images (left out: the run's own).")
    batch_size: int = Field(default=256, ge=1, description="Images or questions at a time.")


@dataclass(frozen=True)
class QuestionPredictor:
    """A model that answers, and files of questions."""

    run: QuestionRun
    files: Sequence[Path]
    images: Path
    batch_size: int
    about: Mapping[str, type] = field(default_factory=lambda: {"image": str, "question": str})
    predicts: type = str
    figure: str | None = "probability"
    total: int | None = None

    @property
    def classes(self) -> Sequence[str]:
        """All answers."""
        return self.run.answers

    def predict(self) -> Iterator[Predicted]:
        """Each question; an image that several in a row ask about is looked at once."""
        from jumok.data.questions.files import read_files

        for name, rows in groupby(read_files(self.files, answered=False), key=lambda row: row.image):
            while some := list(islice(rows, self.batch_size)):
                yield from self._ask(name, some)

    def _ask(self, name: str, rows: Sequence[QuestionRow]) -> Iterator[Predicted]:
        from jumok.data.questions.image_places import find_images

        try:
            place = find_images({name}, self.images)[name]
            if place is None:
                raise JumokError(f"no image {name} in {self.images}")
            scene = self.run.see(place)
        except JumokError as error:
            yield from (Predicted({"image": name, "question": row.question}, error=str(error)) for row in rows)
            return
        faults = [self._find_fault(row.question) for row in rows]
        readable = [row.question for row, fault in zip(rows, faults, strict=True) if fault is None]
        shares = iter(self.run.answer_shares(scene, readable).tolist() if readable else ())
        for row, fault in zip(rows, faults, strict=True):
            about = {"image": name, "question": row.question}
            yield Predicted(about, error=fault) if fault else Predicted.best_of(about, self.classes, next(shares))

    def _find_fault(self, question: str) -> str | None:
        """Why a question cannot be read; None: it can."""
        try:
            self.run.encode([question])
        except JumokError as error:
            return str(error)
        return None


def open_predictor(model: str, inputs: Sequence[Path], options: Options, session: Session) -> QuestionPredictor:
    """Open a model that answers questions, and check that files and images are there.

    Args:
        model: folder of a run.
        inputs: files with the columns image and question.
        options: of questions.
        session: of the command.
    Raises:
        JumokError: no such file or folder, or a run that cannot be opened.
    """
    from jumok.data.questions.image_places import check_image_folder
    from jumok.tasks.answer.run import QuestionRun

    run = QuestionRun.load(model, session.device)
    images = Path(options.images or run.config.data.images or "")
    check_image_folder(images)
    for path in inputs:
        if not path.is_file():
            raise JumokError(f"no file {path}: wanted .csv, .tsv or .jsonl with the columns image and question")
    return QuestionPredictor(run, inputs, images, options.batch_size)
