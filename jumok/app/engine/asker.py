"""What a run answers to the same questions about each image, and where it looked, as rows of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jumok.app.engine.fingerprints import add_weights
from jumok.app.engine.images import read_content
from jumok.app.engine.verb import Column
from jumok.errors import JumokError
from jumok.wording import readable

if TYPE_CHECKING:
    from jumok.tasks.answer.looking import Looked
    from jumok.tasks.answer.run import QuestionRun

__all__ = ["AskedRow", "Asker"]

PAIRS_AT_ONCE = 64
"""Questions about images that go through the model together."""


@dataclass(frozen=True)
class AskerAbout:
    """What all rows have in common.

    Args:
        model: the run.
        questions: in the order of the answers in each row.
        method: the look that maps are; empty where there are none.
        scale, keys: of every map; see `AttentionMap` and `Axis.to_dict`.
    """

    model: str
    questions: tuple[str, ...]
    method: str
    scale: str = ""
    keys: dict[str, Any] | None = None
    places: int = 0

    def columns(self) -> dict[str, Column]:
        """An answer to each question, and the maps, one question after the other."""
        found = {"answers": Column("text", many=True), "probabilities": Column("float32", len(self.questions))}
        return found | ({"maps": Column("float32", len(self.questions) * self.places)} if self.method else {})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class AskedRow:
    """What was answered about one image.

    Args:
        answers: the most probable one to each question.
        probabilities: of these, (questions,) float32.
        maps: (questions * places,) float32.
        error: why something is missing.
    """

    answers: Sequence[str] | None = None
    probabilities: NDArray[np.float32] | None = None
    maps: NDArray[np.float32] | None = None
    error: str | None = None


@dataclass(frozen=True)
class Asker:
    """Asks a run questions about images.

    Args:
        run: its folder.
        questions: that are asked about each image.
        maps: also give maps.
        device: to compute on.
    """

    run: str
    questions: tuple[str, ...]
    maps: bool = True
    device: str = "auto"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_opened"}

    @cached_property
    def _opened(self) -> QuestionRun:
        from jumok.tasks.answer.run import QuestionRun

        return QuestionRun.load(self.run, self.device)

    @cached_property
    def about(self) -> AskerAbout:
        """What all rows have in common, as an image of noise shows it.

        Raises:
            JumokError: no such run, or a question that it cannot read.
        """
        from jumok.tasks.running.trust import read_trust

        opened = self._opened
        opened.encode(self.questions)
        if not self.maps:
            return AskerAbout(self.run, self.questions, "")
        noise = torch.randint(0, 256, (3, *opened.size), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
        trust = None if opened.folder is None else read_trust(opened.folder)
        (found,) = self._look([noise], self.questions[:1])
        looks = found.put_first(trust.method if trust else None).looks
        if not looks:
            return AskerAbout(self.run, self.questions, "")
        name, heat = next(iter(looks.items()))
        return AskerAbout(self.run, self.questions, name, str(heat.scale), heat.keys.to_dict(), len(heat.keys))

    @property
    def fingerprint(self) -> str:
        """Of the weights, the words and the answers."""
        opened = self._opened
        found = hashlib.sha256(repr((opened.answers, opened.size, opened.config.data.bits)).encode())
        found.update(repr(opened.encode(self.questions).tolist()).encode())
        add_weights(found, opened.model)
        return found.hexdigest()

    def on(self, device: str) -> Asker:
        """The same on another device."""
        return Asker(self.run, self.questions, self.maps, device)

    def settings(self) -> dict[str, Any]:
        """What rows depend on, by what a person calls it."""
        return {"model": readable(self.run), "questions": list(map(readable, self.questions)), "--maps": self.maps}

    def look(self, inputs: Iterable[Any]) -> list[AskedRow]:
        """As many rows as images, in their order."""
        rows: list[AskedRow] = []
        waiting: list[Tensor | JumokError] = []
        for content in inputs:
            waiting.append(self._read(content))
            if len(waiting) * len(self.questions) >= PAIRS_AT_ONCE:
                rows += self._answer(waiting)
                waiting = []
        return rows + self._answer(waiting)

    def _read(self, content: Any) -> Tensor | JumokError:
        try:
            return read_content(content, bits=self._opened.config.data.bits)
        except JumokError as error:
            return error

    def _answer(self, images: Sequence[Tensor | JumokError]) -> list[AskedRow]:
        good = [image for image in images if isinstance(image, Tensor)]
        count = len(self.questions)
        found = self._look([image for image in good for _ in range(count)], self.questions * len(good)) if good else []
        answered = iter(found[start : start + count] for start in range(0, len(found), count))
        return [
            self._to_row(next(answered)) if isinstance(image, Tensor) else AskedRow(error=readable(str(image)))
            for image in images
        ]

    def _look(self, images: Sequence[Tensor], questions: Sequence[str]) -> list[Looked]:
        from jumok.tasks.answer.looking import look

        return look(self._opened, images, questions, words=False)

    def _to_row(self, found: Sequence[Looked]) -> AskedRow:
        best = [each.reply.answers[0] for each in found]
        shares = np.array([share for _, share in best], np.float32)
        said, method = [readable(name) for name, _ in best], self.about.method
        if not method:
            return AskedRow(said, shares)
        maps = np.stack([each.looks[method].weights[0].float().numpy() for each in found])
        if empty := [each.question for each, heat in zip(found, maps, strict=True) if not heat.any()]:
            why = f"{method} found no evidence for the answer to {empty[0]!r}: its map is zero everywhere"
            return AskedRow(said, shares, error=readable(why))
        return AskedRow(said, shares, maps.reshape(-1))
