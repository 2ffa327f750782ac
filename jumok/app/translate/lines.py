"""Translations as lines, in the order of the sentences, and what the user should know of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.app.naming import name_some
from jumok.wording import printable

if TYPE_CHECKING:
    from jumok.app.translate.looks import Looks
    from jumok.tasks.translate.run import PairRun, TranslatedSentence, Translation

SENTENCES_AT_ONCE = 2000
"""Sentences that are read, translated and written before the next are read."""


@dataclass
class TranslatedLines:
    """Translations line by line, and what is worth telling of the sentences.

    Args:
        run: the translator.
        search: options of `PairRun.translate`.
        looks: where translated sentences go on to, if what their words looked at is wanted.
        keep: whether to keep the translations for the report.
        kept: those that were, each with its sentence.
    """

    run: PairRun
    search: Mapping[str, Any]
    looks: Looks | None
    keep: bool = False
    kept: list[dict[str, Any]] = field(default_factory=list)
    _read: int = 0
    _unknown: dict[str, None] = field(default_factory=dict)
    _long: list[int] = field(default_factory=list)

    def of(self, sentences: Iterator[str]) -> Iterator[str]:
        """A line for each translation; an empty one for an empty sentence, so that lines stay aligned."""
        while some := list(islice(sentences, SENTENCES_AT_ONCE)):
            in_pieces = self.looks is not None and not self.looks.complete
            found = self.run.translate_each(some, in_pieces=in_pieces, **self.search)
            for number, one in enumerate(found, self._read + 1):
                self._note(number, one)
                yield from _format_lines(number, one.best, several=self.search["n_best"] != 1)
            if self.looks:
                self.looks.add(self._read + 1, found)
            self._read += len(found)

    def _note(self, number: int, one: TranslatedSentence) -> None:
        """Keep what is told of a sentence when all are translated."""
        self._unknown.update(dict.fromkeys(one.unknown))
        self._long += [number] if one.too_long else []
        if self.keep:
            texts = [{"text": best.text, "score": best.score} for best in one.best]
            self.kept.append({"source": one.source, "translations": texts})

    def remarks(self) -> Iterator[str]:
        """What was not known and what was not translated; an empty pipe is no error, as for other filters."""
        if not self._read:
            yield "nothing to translate: no sentence came on standard input"
        if self._unknown:
            yield f"not in the vocabulary, read as unknown: {name_some(list(self._unknown))}"
        if self._long:
            many = "lines" if len(self._long) > 1 else "line"
            yield (
                f"not translated (more than {self.run.longest:,} tokens): {many} {name_some(self._long)}; "
                "wanted one sentence per line"
            )


def write_lines(path: Path | None, lines: Iterator[str]) -> None:
    """Write lines of UTF-8: to a file, whole or not at all, or to standard output as they come.

    Raises:
        JumokError: the file cannot be written.
    """
    from jumok.files import replacing

    if path is not None:
        with replacing(path) as fresh, fresh.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(line + "\n" for line in lines)
        return
    if hasattr(sys.stdout, "reconfigure"):  # pipes take UTF-8, as files do; a terminal what it can write
        sys.stdout.reconfigure(encoding=None if sys.stdout.isatty() else "utf-8", errors="replace")
    show = printable if sys.stdout.isatty() else str  # a pipe takes texts as they are
    for line in lines:
        sys.stdout.write(show(line) + "\n")


def _format_lines(number: int, best: Sequence[Translation], *, several: bool) -> Iterator[str]:
    """The translation alone, or with the sentence's number and the scores where several are wanted."""
    if not several:
        yield best[0].text
        return
    yield from (f"{number}\t{one.score:.4f}\t{one.text}" for one in best)
