"""`jumok translate`: sentences in another language, and what each word looked at."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jumok.app.sentences import read_sentences
from jumok.app.session import Session, in_session
from jumok.errors import JumokError

if TYPE_CHECKING:
    from jumok.data.pairs.alignment_files import Links
    from jumok.tasks.translate.aligning import Aligned
    from jumok.tasks.translate.run import PairRun, TranslatedSentence, Translation

SENTENCES_AT_ONCE = 2000
"""Sentences that are read, translated and written before the next are read."""
MAPS_AT_ONCE = 64
"""Sentences whose maps are in memory at once."""
MOST_PICTURES = 50
"""Sentences that are drawn as PNG or SVG, one file each, at most."""
MOST_ON_PAGE = 500
"""Sentences on one HTML page, at most."""
MOST_WORDS = 200
"""Words a side that are drawn."""
MOST_NAMED = 20
"""Unknown characters, and numbers of lines, that are named before it is said how many more there are."""


@dataclass(frozen=True)
class Translated:
    """Translations that were made; on a terminal they were printed as they came.

    Args:
        run: of the model.
        translations: of each sentence; empty where no one asked to keep them.
        remarks: what the user should know.
        written: files, by what they hold.
    """

    run: str
    translations: Sequence[Mapping[str, Any]]
    remarks: Sequence[str]
    written: Mapping[str, Path | None]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "run": self.run,
            "sentences": list(self.translations),
            "remarks": list(self.remarks),
            "files": {name: path for name, path in self.written.items() if path is not None},
        }

    def lines(self) -> Iterator[str]:
        """Nothing more: the translations are there already."""
        return iter(())


@in_session("translate", "device", "threads")
def command(
    run: Annotated[Path, typer.Argument(help="Folder of the run.", show_default=False)],
    text: Annotated[
        list[str] | None,
        typer.Argument(help="A sentence, a file with one per line (plain or .gz), or - for standard input."),
    ] = None,
    beam: Annotated[int, typer.Option(help="Beam size; 1 = greedy.", min=1)] = 5,
    n_best: Annotated[
        int, typer.Option(help="Translations of each sentence, as lines of number, score and text.", min=1)
    ] = 1,
    length_penalty: Annotated[float, typer.Option(help="Length-penalty exponent; larger favours longer output.")] = 1.0,
    max_length: Annotated[
        int | None, typer.Option(help="Target tokens at most (default twice the source's and 20).", min=1)
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="Numeric precision: 32, bf16 or 16 (default as in training).", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File for the translations (default standard output).", show_default=False)
    ] = None,
    show: Annotated[
        Path | None,
        typer.Option(help="Picture (.png, .svg) or page (.html) of what each word looked at.", show_default=False),
    ] = None,
    align: Annotated[
        Path | None,
        typer.Option(
            help="File for the alignments, as Pharaoh links source-target, a line per sentence.", show_default=False
        ),
    ] = None,
    reading: Annotated[
        str | None,
        typer.Option(
            help="Of --align and --show: attention (seq2seq); mean, layer N, or layer N, head M (Transformer); each "
            "also with ', next step'. Default: attention, or mean.",
            show_default=False,
        ),
    ] = None,
    heads: Annotated[bool, typer.Option("--heads", help="Show each head by itself, too, on the page.")] = False,
    pieces: Annotated[
        bool, typer.Option("--pieces", help="Show and align the vocabulary's pieces instead of whole words.")
    ] = False,
    *,
    session: Session,
) -> Translated:
    """Translate sentences with a trained model, and show which source word each target word looked at."""
    from jumok.tasks.running.precision import precision_remarks
    from jumok.tasks.translate.run import PairRun

    _check(show, looks=bool(show or align), extras={"--reading": reading, "--heads": heads, "--pieces": pieces})
    sentences = read_sentences(text or [])
    trained = PairRun.load(run, session.device)
    search: dict[str, Any] = {"beam": beam, "n_best": n_best, "length_penalty": length_penalty}
    search |= {"max_length": max_length, "precision": precision}
    trained.translate([], **search)  # refuses what is out of range before anything is read
    for line in precision_remarks(trained.model, precision or trained.config.training.precision, session.device):
        _say(line)
    looks = _Looks(trained, show, align, reading, heads, pieces) if show or align else None
    work = _Work(trained, search, looks, keep=session.json)
    if session.json and out is None:
        deque(work.lines(sentences), maxlen=0)
    else:
        _write(out, work.lines(sentences))
    remarks = [*work.remarks(), *(looks.write() if looks else ())]
    for line in remarks:
        _say(line)
    return Translated(str(run), work.kept, remarks, {"translations": out, "shown": show, "alignments": align})


def _check(show: Path | None, *, looks: bool, extras: Mapping[str, object]) -> None:
    """Refuse what cannot be shown.

    Raises:
        JumokError: another kind of file, or a choice of what to show where nothing is shown.
    """
    if show is not None and show.suffix.lower() not in (".png", ".svg", ".html"):
        raise JumokError(f"--show writes .png, .svg or .html, got {show.name}")
    given = [name for name, value in extras.items() if value]
    if given and not looks:
        raise JumokError(f"{', '.join(given)}: nothing is shown or aligned: add --show FILE or --align FILE")


def _write(path: Path | None, lines: Iterator[str]) -> None:
    """Lines of UTF-8: to a file, whole or not at all, or to standard output as they come."""
    from jumok.files import replacing

    if path is not None:
        with replacing(path) as fresh, fresh.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(line + "\n" for line in lines)
        return
    if hasattr(sys.stdout, "reconfigure"):  # pipes take UTF-8, as files do; a terminal what it can write
        sys.stdout.reconfigure(encoding=None if sys.stdout.isatty() else "utf-8", errors="replace")
    for line in lines:
        sys.stdout.write(line + "\n")


@dataclass
class _Work:
    """Translations line by line, and what is worth telling of the sentences."""

    run: PairRun
    search: Mapping[str, Any]
    looks: _Looks | None
    keep: bool = False
    kept: list[dict[str, Any]] = field(default_factory=list)
    _unknown: dict[str, None] = field(default_factory=dict)
    _long: list[int] = field(default_factory=list)

    def lines(self, sentences: Iterator[str]) -> Iterator[str]:
        """A line for each translation; an empty one for an empty sentence, so that lines stay aligned."""
        first = 1
        while some := list(islice(sentences, SENTENCES_AT_ONCE)):
            found = self.run.translate_each(some, **self.search)
            for number, one in enumerate(found, first):
                self._note(number, one)
                yield from _format_lines(number, one.best, several=self.search["n_best"] != 1)
            if self.looks:
                self.looks.add(first, found)
            first += len(found)

    def _note(self, number: int, one: TranslatedSentence) -> None:
        """Keep what is told of a sentence when all are translated."""
        self._unknown.update(dict.fromkeys(one.unknown))
        self._long += [number] if one.too_long else []
        if self.keep:
            texts = [{"text": best.text, "score": best.score} for best in one.best]
            self.kept.append({"source": one.source, "translations": texts})

    def remarks(self) -> Iterator[str]:
        """What was not known and what was not translated."""
        if self._unknown:
            pieces = _join_some([_make_printable(piece) for piece in self._unknown])
            yield f"not in the vocabulary, read as unknown: {pieces}"
        if self._long:
            many = "lines" if len(self._long) > 1 else "line"
            yield (
                f"not translated (more than {self.run.longest:,} tokens): {many} {_join_some(self._long)}; "
                "wanted one sentence per line"
            )


@dataclass
class _Looks:
    """What the words looked at: links of all sentences, and as many maps as are drawn."""

    run: PairRun
    show: Path | None
    align: Path | None
    reading: str | None
    heads: bool
    pieces: bool
    _links: list[Links] = field(default_factory=list)
    _shown: list[tuple[int, Aligned]] = field(default_factory=list)
    _left: int = 0

    def __post_init__(self) -> None:
        from jumok.tasks.translate.aligning import choose_reading, list_readings

        self.heads = self.heads or "head" in (self.reading or "")
        self.reading = choose_reading(self.reading, list_readings(self.run, heads=self.heads))
        self._page = self.show is not None and self.show.suffix.lower() == ".html"
        self._room = 0 if self.show is None else MOST_ON_PAGE if self._page else MOST_PICTURES

    def add(self, first: int, sentences: Sequence[TranslatedSentence]) -> None:
        """Align sentences, of which the first has that number, with their best translations."""
        for start in range(0, len(sentences), MAPS_AT_ONCE):
            if self.align is None and len(self._shown) >= self._room:
                self._left += len(sentences) - start
                return
            self._add(first + start, sentences[start : start + MAPS_AT_ONCE])

    def _add(self, first: int, sentences: Sequence[TranslatedSentence]) -> None:
        from jumok.attention.word_alignment import links
        from jumok.data.pairs.alignment_files import Links
        from jumok.tasks.translate.aligning import align

        numbered = enumerate(sentences, first)
        full = {number: one for number, one in numbered if one.source.split() and one.best[0].text.split()}
        sources, targets = [one.source for one in full.values()], [one.best[0].ids for one in full.values()]
        aligned = dict(zip(full, align(self.run, sources, targets, heads=self.heads, pieces=self.pieces), strict=True))
        for number in range(first, first + len(sentences)):
            one = aligned.get(number)
            if self.align is not None:
                self._links.append(Links(links(one.maps[str(self.reading)])) if one else Links())
            if one and self.show is not None:
                self._keep(number, one)

    def _keep(self, number: int, one: Aligned) -> None:
        """Remember a sentence that is to be drawn; a picture shows one reading, so the others can go."""
        if len(self._shown) >= self._room or max(len(one.source), len(one.target)) > MOST_WORDS:
            self._left += 1
            return
        name = str(self.reading)
        maps = {name: one.maps[name], **(one.maps if self._page else {})}  # the first is shown first
        self._shown.append((number, type(one)(one.source, one.target, maps)))

    def write(self) -> list[str]:
        """Write the links, and the pictures or the page. Returns what the user should know.

        Raises:
            JumokError: a file cannot be written, or there is nothing to show.
        """
        from jumok.data.pairs.alignment_files import write_links

        if self.align is not None:
            write_links(self.align, self._links)
        if self.show is None:
            return []
        if not self._shown:
            raise JumokError(
                f"nothing to show: every sentence, or its translation, is empty or above {MOST_WORDS} words"
            )
        (self._write_page if self._page else self._draw)(self.show)
        if not self._left:
            return []
        return [f"{self._left:,} sentences are not shown: give fewer at once, of at most {MOST_WORDS} words"]

    def _draw(self, path: Path) -> None:
        from jumok.views.pictures.alignment_matrix import draw_alignment

        for number, one in self._shown:
            place = path if len(self._shown) == 1 else path.with_stem(f"{path.stem}-{number}")
            title, subtitle = "What each word looked at", f"reading: {self.reading}"
            draw_alignment(one.maps[str(self.reading)], place, title=title, subtitle=subtitle)

    def _write_page(self, path: Path) -> None:
        from jumok.views.pages.alignment_page import AlignmentEntry, AlignmentPage

        page = AlignmentPage(f"What each word looked at: {self.run.folder}")
        for number, one in self._shown:
            page.add(AlignmentEntry(one.source, one.target, one.maps, f"sentence {number}"))
        page.write(path)


def _format_lines(number: int, best: Sequence[Translation], *, several: bool) -> Iterator[str]:
    """The translation alone, or with the sentence's number and the scores where several are wanted."""
    if not several:
        yield best[0].text
        return
    yield from (f"{number}\t{one.score:.4f}\t{one.text}" for one in best)


def _make_printable(piece: str) -> str:
    """A character or word as it may be written to a terminal."""
    return "".join(sign if sign.isprintable() else f"U+{ord(sign):04X}" for sign in piece)


def _join_some(items: Sequence[object]) -> str:
    """The first items, and how many more there are."""
    more = f" and {len(items) - MOST_NAMED:,} more" if len(items) > MOST_NAMED else ""
    return ", ".join(map(str, items[:MOST_NAMED])) + more


def _say(message: str) -> None:
    sys.stderr.write(f"jumok: {message}\n")
