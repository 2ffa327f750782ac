"""What each word of a translation looked at: as a file of links, as pictures, or on a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from jumok.errors import JumokError
from jumok.language import translate

if TYPE_CHECKING:
    from jumok.attention.word_alignment import Aligned
    from jumok.data.pairs.alignment_files import Links
    from jumok.tasks.translate.run import PairRun, TranslatedSentence

MAPS_AT_ONCE = 64
"""Sentences whose maps are in memory at once."""
MOST_PICTURES = 50
"""Sentences that are drawn as PNG or SVG, one file each, at most."""
MOST_ON_PAGE = 500
"""Sentences on one HTML page, at most."""
MOST_WORDS = 200
"""Words a side that are drawn."""


@dataclass(frozen=True)
class Wanted:
    """What the user wants to see of it.

    Args:
        show: picture or page to write.
        align: file of links to write.
        reading: of both; None for the usual one of the model.
        heads: each head by itself, too, on the page.
        pieces: the vocabulary's pieces instead of whole words.
    """

    show: Path | None
    align: Path | None
    reading: str | None
    heads: bool
    pieces: bool

    def __bool__(self) -> bool:
        """Whether anything is to be written."""
        return self.show is not None or self.align is not None

    @property
    def on_page(self) -> bool:
        """Whether sentences are shown on one page, and not in a picture each."""
        return self.show is not None and self.show.suffix.lower() == ".html"

    def check(self) -> None:
        """Refuse what cannot be shown.

        Raises:
            JumokError: another kind of file, or a choice of what to show where nothing is shown.
        """
        if self.show is not None and self.show.suffix.lower() not in (".png", ".svg", ".html"):
            raise JumokError(f"--show writes .png, .svg or .html, got {self.show.name}")
        extras = {"--reading": self.reading, "--heads": self.heads, "--pieces": self.pieces}
        given = [name for name, value in extras.items() if value]
        if given and not self:
            raise JumokError(f"{', '.join(given)}: nothing is shown or aligned: add --show FILE or --align FILE")


@dataclass
class Looks:
    """Links of all sentences, and as many maps as are drawn.

    Args:
        run: a translator with attention.
        wanted: what is to be written.
        reading: that is drawn and linked.
        heads: whether each head is read, too.
        why: this reading was taken, where none was named and the run tells which is the most faithful.
    """

    run: PairRun
    wanted: Wanted
    reading: str
    heads: bool
    why: str = ""
    _links: list[Links] = field(default_factory=list)
    _shown: list[tuple[int, Aligned]] = field(default_factory=list)
    _left: int = 0

    @classmethod
    def of(cls, run: PairRun, wanted: Wanted) -> Looks:
        """Of no sentence yet.

        Raises:
            JumokError: the model has no attention to its source, or there is no such reading.
        """
        from jumok.tasks.running.trust import read_trust
        from jumok.tasks.translate.aligning import choose_reading, list_readings

        heads = wanted.heads or "head" in (wanted.reading or "")
        known = list_readings(run, heads=heads)
        trust = read_trust(run.folder) if wanted.reading is None and run.folder is not None else None
        reading = choose_reading(wanted.reading or (trust.method if trust else None), known)
        return cls(run, wanted, reading, heads, f"reading: {trust.why()}" if trust else "")

    @property
    def complete(self) -> bool:
        """Whether no other sentence needs to be aligned: no links are wanted, and as many are shown as may be."""
        return self.wanted.align is None and self._room <= 0

    @property
    def _room(self) -> int:
        """Sentences that may still be shown."""
        most = 0 if self.wanted.show is None else MOST_ON_PAGE if self.wanted.on_page else MOST_PICTURES
        return most - len(self._shown)

    def add(self, first: int, sentences: Sequence[TranslatedSentence]) -> None:
        """Align sentences, of which the first has that number, with their best translations.

        Args:
            first: number of the first.
            sentences: translated `in_pieces`, unless these looks are `complete`.
        """
        for start in range(0, len(sentences), MAPS_AT_ONCE):
            if self.complete:
                self._left += len(sentences) - start
                return
            self._add(first + start, sentences[start : start + MAPS_AT_ONCE])

    def _add(self, first: int, sentences: Sequence[TranslatedSentence]) -> None:
        from jumok.data.pairs.alignment_files import Links
        from jumok.tasks.translate.aligning import align

        pairs = {number: one.pair for number, one in enumerate(sentences, first) if one.pair}
        found = align(self.run, list(pairs.values()), heads=self.heads, pieces=self.wanted.pieces)
        aligned = dict(zip(pairs, found, strict=True))
        if self.wanted.align is not None:
            numbers = range(first, first + len(sentences))  # a line for each, those that were not aligned too
            self._links += [Links(aligned[n].links(self.reading)) if n in aligned else Links() for n in numbers]
        if self.wanted.show is not None:
            for number, one in aligned.items():
                self._keep(number, one)

    def _keep(self, number: int, one: Aligned) -> None:
        """Remember a sentence that is to be drawn; a picture shows one reading, so the others can go."""
        if self._room <= 0 or max(len(one.source), len(one.target)) > MOST_WORDS:
            self._left += 1
            return
        maps = {self.reading: one.maps[self.reading]}  # the first is shown first
        self._shown.append((number, replace(one, maps=maps | dict(one.maps) if self.wanted.on_page else maps)))

    def write(self) -> list[str]:
        """Write the links, and the pictures or the page. Returns what the user should know.

        Raises:
            JumokError: a file cannot be written, or there is nothing to show.
        """
        from jumok.data.pairs.alignment_files import write_links

        if self.wanted.align is not None:
            write_links(self.wanted.align, self._links)
        told = [self.why] if self.why else []
        if self.wanted.show is None:
            return told
        if not self._shown:
            raise JumokError(
                f"nothing to show: every sentence, or its translation, is empty or above {MOST_WORDS} words"
            )
        (self._write_page if self.wanted.on_page else self._draw)(self.wanted.show)
        if not self._left:
            return told
        return [*told, f"{self._left:,} sentences are not shown: give fewer at once, of at most {MOST_WORDS} words"]

    def _draw(self, path: Path) -> None:
        from jumok.views.pictures.alignment_matrix import draw_alignment

        for number, one in self._shown:
            place = path if len(self._shown) == 1 else path.with_stem(f"{path.stem}-{number}")
            title, subtitle = "What each word looked at", f"reading: {self.reading}"
            draw_alignment(one.maps[self.reading], place, title=title, subtitle=subtitle)

    def _write_page(self, path: Path) -> None:
        from jumok.views.pages.alignment_page import AlignmentEntry, AlignmentPage

        page = AlignmentPage(translate("What each word looked at: {name}", name=self.run.folder))
        for number, one in self._shown:
            page.add(AlignmentEntry(one.source, one.target, one.maps, translate("sentence {number}", number=number)))
        page.write(path)
