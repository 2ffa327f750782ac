"""Sentences in another language, and which of their words belong together, as rows of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from jumok.app.engine.fingerprints import add_weights
from jumok.app.engine.verb import Column
from jumok.errors import JumokError
from jumok.wording import readable

if TYPE_CHECKING:
    from jumok.attention.word_alignment import Links
    from jumok.tasks.translate.run import PairRun, TranslatedSentence

__all__ = ["TranslatedRow", "Translator"]

MAPS_AT_ONCE = 64
"""Sentences whose maps are in memory at once."""


@dataclass(frozen=True)
class TranslatorAbout:
    """What all rows have in common.

    Args:
        model: the run.
        method: the reading that links were read off; empty: no links are wanted.
    """

    model: str
    method: str

    def columns(self) -> dict[str, Column]:
        """The sentence, its translation, and the links between their words where they are wanted."""
        found = {"source": Column("text"), "translation": Column("text"), "score": Column("float32")}
        found |= {"unknown": Column("text", many=True)}
        return found | ({"links": Column("int32", 2, many=True)} if self.method else {})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class TranslatedRow:
    """A sentence and its best translation.

    Args:
        source: the sentence as it was given.
        translation: empty of an empty sentence.
        score: log probability in nats, divided by what the length penalty says.
        unknown: what of the sentence is not in the vocabulary.
        links: source and target word of each link, numbers from 0.
        error: why something is missing.
    """

    source: str | None = None
    translation: str | None = None
    score: float | None = None
    unknown: Sequence[str] | None = None
    links: Sequence[tuple[int, int]] | None = None
    error: str | None = None


@dataclass(frozen=True)
class Translator:
    """Translates sentences with a run.

    Args:
        run: its folder.
        search: options of `PairRun.translate`.
        reading: that links between words are read off; None: no links.
        device: to compute on.
    """

    run: str
    search: Mapping[str, Any] = field(default_factory=dict)
    reading: str | None = None
    device: str = "auto"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_opened"}

    @cached_property
    def _opened(self) -> PairRun:
        from jumok.tasks.translate.run import PairRun

        return PairRun.load(self.run, self.device)

    @cached_property
    def about(self) -> TranslatorAbout:
        """What all rows have in common.

        Raises:
            JumokError: no such run or reading, or options of the search that are out of range.
        """
        from jumok.tasks.translate.aligning import choose_reading, list_readings

        self._opened.translate([], **self.search)  # refuses what is out of range
        if self.reading is None:
            return TranslatorAbout(self.run, "")
        known = list_readings(self._opened, heads="head" in self.reading)
        return TranslatorAbout(self.run, choose_reading(self.reading, known))

    @property
    def fingerprint(self) -> str:
        """Of the weights and the vocabularies."""
        found = hashlib.sha256()
        add_weights(found, self._opened.model)
        for path in sorted(Path(self.run).glob("*.vocabulary")):
            found.update(path.read_bytes())
        return found.hexdigest()

    def on(self, device: str) -> Translator:
        """The same on another device."""
        return Translator(self.run, self.search, self.reading, device)

    def settings(self) -> dict[str, Any]:
        """What rows depend on, by what a person calls it."""
        named = {f"--{name.replace('_', '-')}": value for name, value in self.search.items()}
        return {"model": readable(self.run), "--reading": self.reading, **named}

    def look(self, inputs: Iterable[Any]) -> list[TranslatedRow]:
        """As many rows as sentences, in their order."""
        given = list(inputs)
        texts = [text for text in given if isinstance(text, str)]
        with torch.inference_mode():
            found = iter(self._translate(texts))
        return [next(found) if isinstance(text, str) else TranslatedRow(error=readable(str(text))) for text in given]

    def _translate(self, texts: Sequence[str]) -> list[TranslatedRow]:
        wanted = bool(self.about.method)
        found = self._opened.translate_each(texts, in_pieces=wanted, **self.search)
        linked: Sequence[Links | None] = [None] * len(found)
        if wanted:
            linked = [
                links
                for start in range(0, len(found), MAPS_AT_ONCE)
                for links in self._link(found[start : start + MAPS_AT_ONCE])
            ]
        return [self._to_row(one, links) for one, links in zip(found, linked, strict=True)]

    def _link(self, sentences: Sequence[TranslatedSentence]) -> list[Links]:
        """The links of sentences that were translated in pieces; none of empty ones."""
        from jumok.tasks.translate.aligning import align

        method = self.about.method
        pairs = [one.pair for one in sentences if one.pair]
        found = iter(align(self._opened, pairs, heads="head" in method))
        return [next(found).links(method) if one.pair else frozenset() for one in sentences]

    def _to_row(self, one: TranslatedSentence, links: Links | None) -> TranslatedRow:
        if one.too_long:
            why = f"not translated: more than {self._opened.longest:,} tokens; wanted one sentence in a row"
            return TranslatedRow(readable(one.source), error=str(JumokError(why)))
        best = one.best[0]
        unknown = [readable(each) for each in one.unknown]
        pairs = None if links is None else sorted(links)
        return TranslatedRow(readable(one.source), readable(best.text), best.score, unknown, pairs)
