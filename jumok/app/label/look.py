"""Which words of texts spoke for the class that a text classifier gives them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.app.label.chosen import TextOptions, stream_inputs
from jumok.app.look_request import LookRequest, MapSettings
from jumok.app.looked import LookedAt, write_rows
from jumok.app.session import Session
from jumok.errors import JumokError, suggest
from jumok.language import translate
from jumok.wording import write_count

if TYPE_CHECKING:
    from jumok.tasks.label.looking import Explained
    from jumok.tasks.label.run import TextRun
    from jumok.views.pages.text_page import ShadedText

__all__ = ["LookedAtTexts", "look"]

MOST_TEXTS = 500
"""Texts on one page."""
MOST_LINES = 10
"""Texts up to this many get a line each on the terminal."""
TOP_WORDS = 5
MOST_CLASSES = 5
COLUMNS = ("number", "text", "predicted", "probability", "target", "method", "words", "error")


class LookedAtTexts(LookedAt):
    """What a text classifier told about some texts."""

    noun = "text"
    results = "results.csv"

    def tell_count(self) -> str:
        """How many texts there were."""
        return write_count(len(self.rows), "text")


def look(asked: LookRequest, model: str, session: Session) -> LookedAtTexts:
    """Classify texts, and show which words spoke for the class.

    Args:
        asked: what is looked at, and how: a table with a column of texts, or a file with a text per line.
        model: folder of a run.
        session: of the command.
    Raises:
        JumokError: no texts there, no such class or method, or a run that cannot be opened.
    """
    from jumok.tasks.label.run import TextRun

    source = asked.take_path()
    if not source.is_file():
        raise JumokError(f"no file {source}: wanted a table with a column of texts, or a file with a text per line")
    run = TextRun.load(Path(model), session.device)
    reader = _Reader.of(run, asked.maps)
    rows = list(islice(stream_inputs([source], run, TextOptions()), MOST_TEXTS + 1))
    if not rows:
        raise JumokError(f"{source} holds no text")
    found = LookedAtTexts(asked.out)
    if len(rows) > MOST_TEXTS:
        found.remarks.append(f"the first {MOST_TEXTS} texts are shown: jumok predict classifies all of them")
    shaded = list(_read_all(reader, [row[1:] for row in rows], found, session))
    if not shaded:
        raise JumokError(f"none of the {write_count(len(rows), 'text')} could be read: {found.rows[0]['error']}")
    write_rows(asked.out / found.results, COLUMNS, found.rows)
    if asked.files.html:
        found.page = asked.out / "index.html"
        _write_page(found.page, reader, shaded)
    return found


def _read_all(
    reader: _Reader, texts: Sequence[tuple[int, str]], found: LookedAtTexts, session: Session
) -> Iterator[ShadedText]:
    """As many texts as a page has, each as it stands there; one that cannot be read is told and left out."""
    for place, text in texts[:MOST_TEXTS]:
        try:
            row, shaded = reader.read(place, text)
        except JumokError as error:
            found.rows.append({"number": place, "text": text, "error": str(error)})
            session.remark(f"text {place}: {error}")
            continue
        found.rows.append(row)
        if len(texts) <= MOST_LINES:
            session.say(f"text {place}: {row['predicted']}; {row['words']}")
        yield shaded


def _write_page(path: Path, reader: _Reader, texts: Sequence[ShadedText]) -> None:
    from jumok.views.pages.text_page import write_text_page

    note = translate("Relevance of each word by {method}; shades are scaled within each text.", method=reader.method)
    write_text_page(path, translate("What {name} reads", name=reader.run.folder.name), note, texts)


@dataclass(frozen=True)
class _Reader:
    """A run that explains texts, by that method, for that class or the predicted one."""

    run: TextRun
    method: str
    target: int | None

    @classmethod
    def of(cls, run: TextRun, maps: MapSettings) -> _Reader:
        from jumok.tasks.label.looking import USUAL, check_method

        method = check_method(maps.method or USUAL)
        return cls(run, method, None if maps.target is None else _find_class(run, maps.target))

    def read(self, place: int, text: str) -> tuple[dict[str, Any], ShadedText]:
        """A text's row of the table, and the text as pages show it."""
        from jumok.tasks.label.looking import explain
        from jumok.views.pages.text_page import ShadedText

        one = explain(self.run, text, [self.method], self.target)
        best = self._list_best(one)
        name = translate("text {number}", number=place)
        shaded = ShadedText(" ".join(text.split()), one.maps[self.method], best, name=name)
        return self._make_row(place, text, one, best[0]), shaded

    def _list_best(self, one: Explained) -> list[tuple[str, float]]:
        """The most probable classes."""
        best = one.probabilities.topk(min(MOST_CLASSES, len(self.run.classes)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [(self.run.classes[number], value) for number, value in pairs]

    def _make_row(self, place: int, text: str, one: Explained, best: tuple[str, float]) -> dict[str, Any]:
        return {
            "number": place,
            "text": text,
            "predicted": best[0],
            "probability": best[1],
            "target": self.run.classes[one.target],
            "method": one.maps[self.method].source,
            "words": _list_words(one, self.method),
        }


def _find_class(run: TextRun, name: str) -> int:
    if name not in run.classes:
        raise JumokError(f"the model has no class {name!r}: {suggest(name, run.classes)}")
    return run.classes.index(name)


def _list_words(one: Explained, method: str) -> str:
    """The words that spoke most for the class, with their share of all that spoke for it."""
    values = one.maps[method].weights[0]
    whole = float(values.clamp_min(0).sum())
    if not whole:
        return ""
    best = values.topk(min(TOP_WORDS, len(values)))
    told = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return ", ".join(f"{one.cut.words[number]} {value / whole:.0%}" for number, value in told if value > 0)
