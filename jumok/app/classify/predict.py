"""What a model of images says of many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from jumok.app.image_inputs import find_inputs, read_each
from jumok.app.predictions import Predicted
from jumok.app.session import Session
from jumok.errors import JumokError
from jumok.tasks.running.config import Strict

if TYPE_CHECKING:
    from torch import Tensor

    from jumok.tasks.classify.any_classifier import AnyClassifier


class Options(Strict):
    """Options of `jumok predict` for images."""

    batch_size: int = Field(default=64, ge=1, description="Images or questions at a time.")


@dataclass(frozen=True)
class ImagePredictor:
    """A classifier and images."""

    model: AnyClassifier
    paths: Sequence[Path]
    batch_size: int
    root: Path | None = None
    """The folder that names are relative to; None: names as they were given."""
    about: Mapping[str, type] = field(default_factory=lambda: {"image": str})

    @property
    def predicts(self) -> type:
        """Classes and labels are text, numbers are not."""
        return self.model.kind.answer_type

    @property
    def figure(self) -> str | None:
        """Of one class its probability; labels have one each, and a number has none."""
        return self.model.kind.figure

    @property
    def classes(self) -> Sequence[str]:
        """Names that have probabilities, in the order of the logits."""
        return self.model.classes if self.model.kind.are_shares else ()

    @property
    def total(self) -> int:
        """How many images there are."""
        return len(self.paths)

    def predict(self) -> Iterator[Predicted]:
        """Each image, in batches."""
        for start in range(0, len(self.paths), self.batch_size):
            yield from self._predict(self.paths[start : start + self.batch_size])

    def _predict(self, paths: Sequence[Path]) -> Iterator[Predicted]:
        prepared, wrong = self._read(paths)
        every = iter(self.model.predict_prepared(prepared).tolist() if prepared else ())
        for path, error in zip(paths, wrong, strict=True):
            about = {"image": str(path if self.root is None else path.relative_to(self.root))}
            if error is not None:
                yield Predicted(about, error=str(error))
            else:
                values = next(every)
                said = self.model.kind.say(values)
                yield Predicted(about, said.answer, said.share, values if self.model.kind.are_shares else ())

    def _read(self, paths: Sequence[Path]) -> tuple[list[Tensor], list[JumokError | None]]:
        """Those that can be read, as the model takes them, and what is wrong with each; none stays whole in memory."""
        prepared: list[Tensor] = []
        wrong: list[JumokError | None] = []
        for _, image in read_each(paths, self.model.reading_size, bits=self.model.bits):
            wrong.append(image if isinstance(image, JumokError) else None)
            if not isinstance(image, JumokError):
                prepared += self.model.prepare_each([image])
            del image  # before the next one is read
        return prepared, wrong


def open_predictor(model: str, inputs: Sequence[Path], options: Options, session: Session) -> ImagePredictor:
    """Open a classifier, and find the images.

    Args:
        model: folder of a run, or the name of a model from elsewhere.
        inputs: images and folders of them.
        options: of images.
        session: of the command.
    Raises:
        JumokError: nothing there, or a model that cannot be opened.
    """
    from jumok.data.images.how_read import describe_reading
    from jumok.tasks.classify.any_classifier import open_model

    paths = find_inputs(inputs, may_be_missing=len(inputs) > 1, tell=session.remark)
    root = inputs[0] if len(inputs) == 1 and inputs[0].is_dir() else None
    opened = open_model(model, session.device)
    for line in describe_reading(paths, opened.bits):
        session.remark(line)
    return ImagePredictor(opened, paths, options.batch_size, root)
