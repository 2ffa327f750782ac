"""`jumok translate`: sentences in another language, and what each word looked at."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jumok.errors import JumokError, suggest

if TYPE_CHECKING:
    from jumok.tasks.translate.aligning import Aligned
    from jumok.tasks.translate.run import PairRun, Translation

AT_ONCE = 2000
"""Sentences that are read, translated and written before the next are read."""
PICTURES = 50
"""Sentences that are drawn as PNG, one file each, at most."""
ON_A_PAGE = 500
"""Sentences on one HTML page, at most."""


def command(
    run: Annotated[Path, typer.Argument(help="Folder of the run.", show_default=False)],
    text: Annotated[
        list[str] | None,
        typer.Argument(help="A sentence, a file with one per line (plain or .gz), or - for standard input."),
    ] = None,
    beam: Annotated[int, typer.Option(help="Hypotheses that are followed; 1: greedy.", min=1)] = 5,
    n_best: Annotated[int, typer.Option(help="Translations of each sentence, with their scores.", min=1)] = 1,
    length_penalty: Annotated[
        float, typer.Option(help="The larger, the longer the translations: scores are divided by length to its power.")
    ] = 1.0,
    max_length: Annotated[
        int | None, typer.Option(help="Target tokens at most (default twice the source's and 20).", min=1)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File for the translations (default standard output).", show_default=False)
    ] = None,
    show: Annotated[
        Path | None, typer.Option(help="Picture (.png, .svg) or page (.html) of what each word looked at.")
    ] = None,
    align: Annotated[
        Path | None, typer.Option(help="File for the alignments, as Pharaoh links source-target, a line per sentence.")
    ] = None,
    reading: Annotated[
        str | None,
        typer.Option(help="Of --align and of pictures: attention; or mean, layer N, each also with ', next step'."),
    ] = None,
    heads: Annotated[bool, typer.Option(help="Each head by itself, too, on the page.")] = False,
    pieces: Annotated[bool, typer.Option(help="Show the vocabulary's pieces instead of whole words.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1, show_default=False)] = None,
) -> None:
    """Translate sentences with a trained model, and show which source word each target word looked at."""
    from jumok.memory import keep_freed
    from jumok.tasks.fit import device_name, set_threads
    from jumok.tasks.translate.run import PairRun

    sentences = read_sentences(text or [])
    if show is not None and show.suffix.lower() not in (".png", ".svg", ".html"):
        raise JumokError(f"--show writes .png, .svg or .html, got {show.name}")
    set_threads(threads)
    keep_freed()
    trained = PairRun.load(run, device_name(device))
    work = _Work(trained, want_maps=bool(show or align), reading=reading, heads=heads, pieces=pieces)
    search = {"beam": beam, "n_best": n_best, "length_penalty": length_penalty, "max_length": max_length}
    lines = work.lines(sentences, search)
    if out is None:
        for line in lines:
            sys.stdout.write(line + "\n")
    else:
        _write(out, lines)
    work.finish(show, align)


def read_sentences(words: Sequence[str]) -> Iterator[str]:
    """Sentences, one by one: typed, of a file, or from standard input.

    Raises:
        JumokError: none were given, or a file that cannot be read.
    """
    from jumok.data.text import read_lines

    if not words and sys.stdin.isatty():
        raise JumokError("nothing to translate: give a sentence, a file with one per line, or - for standard input")
    if not words or list(words) == ["-"]:
        return (line.rstrip("\n") for line in _standard_input())
    if len(words) == 1 and _is_file(words[0]):
        return read_lines(Path(words[0]))
    return iter([" ".join(words)])


def _is_file(word: str) -> bool:
    try:
        return Path(word).is_file()
    except OSError:  # a sentence too long for a file's name
        return False


def _standard_input() -> Iterator[str]:
    """Lines of UTF-8, whatever the terminal's own encoding is."""
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise JumokError(f"standard input, line {number}: not UTF-8 ({error.reason}): convert it first") from error


def _write(path: Path, lines: Iterator[str]) -> None:
    from jumok.files import replacing

    with replacing(path) as fresh, fresh.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(line + "\n" for line in lines)


@dataclass
class _Work:
    """What one call does: translations line by line, and alignments of what was translated at the end."""

    run: PairRun
    want_maps: bool
    reading: str | None
    heads: bool
    pieces: bool

    def __post_init__(self) -> None:
        self._pairs: list[tuple[str, str]] = []
        self._unknown: dict[str, None] = {}

    def lines(self, sentences: Iterator[str], search: Mapping[str, float | int | None]) -> Iterator[str]:
        """A line for each translation; an empty one for an empty sentence."""
        number = 0
        while some := list(islice(sentences, AT_ONCE)):
            found = self.run.translate(some, **search)  # type: ignore[arg-type]
            for sentence, best in zip(some, found, strict=True):
                number += 1
                self._note(sentence, best)
                yield from _lines(number, best, several=search["n_best"] != 1)

    def _note(self, sentence: str, best: Sequence[Translation]) -> None:
        self._unknown.update(dict.fromkeys(self.run.source.unknown(self.run.cased(sentence))))
        if self.want_maps:
            self._pairs.append((sentence, best[0].text))

    def finish(self, show: Path | None, align: Path | None) -> None:
        """Write pictures and alignments, and say what was not known."""
        if self._unknown:
            shown = ", ".join(list(self._unknown)[:20])
            more = f" and {len(self._unknown) - 20} more" if len(self._unknown) > 20 else ""
            sys.stderr.write(f"jumok: not in the vocabulary, read as unknown: {shown}{more}\n")
        if not self.want_maps:
            return
        found = self._aligned()
        if align is not None:
            self._write_links(align, found)
        if show is not None:
            self._show(show, [(number, one) for number, one in enumerate(found, 1) if one is not None])

    def _aligned(self) -> list[Aligned | None]:
        """What each pair looked at; None where a side is empty."""
        from jumok.tasks.translate.aligning import align

        full = [number for number, (source, target) in enumerate(self._pairs) if source.split() and target.split()]
        sources, targets = ([self._pairs[number][side] for number in full] for side in (0, 1))
        read = align(self.run, sources, targets, heads=self.heads, pieces=self.pieces)
        found: list[Aligned | None] = [None] * len(self._pairs)
        for number, aligned in zip(full, read, strict=True):
            found[number] = aligned
        return found

    def _reading(self, aligned: Aligned) -> str:
        """The name of the reading that was asked for, or of the usual one.

        Raises:
            JumokError: there is no such reading.
        """
        from jumok.tasks.translate.aligning import usual_reading

        name = self.reading or usual_reading(aligned.maps)
        if name not in aligned.maps:
            raise JumokError(f"no reading {name!r}: {suggest(name, aligned.maps)}")
        return name

    def _write_links(self, path: Path, found: Sequence[Aligned | None]) -> None:
        from jumok.alignment import links
        from jumok.data.alignments import Links, write_links

        write_links(path, [Links() if one is None else Links(links(one.maps[self._reading(one)])) for one in found])

    def _show(self, path: Path, found: Sequence[tuple[int, Aligned]]) -> None:
        if not found:
            raise JumokError("nothing to show: every sentence, or its translation, is empty")
        if path.suffix.lower() == ".html":
            _write_page(path, found[:ON_A_PAGE], str(self.run.folder))
        else:
            self._draw(path, found[:PICTURES])
        left = len(found) - (ON_A_PAGE if path.suffix.lower() == ".html" else PICTURES)
        if left > 0:
            sys.stderr.write(f"jumok: {left} sentences are not shown: give fewer at once\n")

    def _draw(self, path: Path, found: Sequence[tuple[int, Aligned]]) -> None:
        from jumok.views.alignment import draw_alignment

        for number, aligned in found:
            place = path if len(found) == 1 else path.with_stem(f"{path.stem}-{number}")
            name = self._reading(aligned)
            draw_alignment(aligned.maps[name], place, title="What each word looked at", subtitle=f"reading: {name}")


def _lines(number: int, best: Sequence[Translation], *, several: bool) -> Iterator[str]:
    """The translation alone, or with the sentence's number and the scores where several are wanted."""
    if not several:
        yield best[0].text
        return
    yield from (f"{number}\t{one.score:.4f}\t{one.text}" for one in best)


def _write_page(path: Path, found: Sequence[tuple[int, Aligned]], name: str) -> None:
    from jumok.views.alignment_page import AlignmentEntry, AlignmentPage

    page = AlignmentPage(f"What each word looked at: {name}")
    for number, aligned in found:
        page.add(AlignmentEntry(aligned.source, aligned.target, aligned.maps, f"sentence {number}"))
    page.write(path)
