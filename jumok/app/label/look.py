"""Which words of texts spoke for the class that a text classifier gives them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.app.label.chosen import TextOptions, stream_inputs
from jumok.app.session import Session
from jumok.errors import JumokError, suggest
from jumok.files import write_atomically
from jumok.language import translate
from jumok.wording import write_count

if TYPE_CHECKING:
    from jumok.tasks.label.looking import Explained
    from jumok.tasks.label.run import TextRun

__all__ = ["LookedAtTexts", "look"]

MOST_TEXTS = 500
"""Texts on one page."""
MOST_LINES = 10
"""Texts up to this many get a line each on the terminal."""
TOP_WORDS = 5
MOST_CLASSES = 5
COLUMNS = ("number", "text", "predicted", "probability", "target", "method", "words", "error")


@dataclass
class LookedAtTexts:
    """What was written about some texts.

    Args:
        folder: for everything that is written.
        rows: of results.csv.
        remarks: what the user should know.
        page: whether there is one.
    """

    folder: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    page: bool = True

    @property
    def status(self) -> int:
        """The exit status: 1 if a text was left out."""
        return 1 if any("error" in row for row in self.rows) else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        page = self.folder / "index.html" if self.page else None
        return {"folder": str(self.folder), "page": page, "texts": self.rows, "remarks": self.remarks}

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        yield from (f"remark: {remark}" for remark in self.remarks)
        yield f"written: {self.folder / 'results.csv'} ({write_count(len(self.rows), 'text')})"
        if self.page:
            yield f"page: {self.folder / 'index.html'}"


def look(
    source: Path, model: str, method: str | None, target: str | None, out: Path, session: Session, *, html: bool
) -> LookedAtTexts:
    """Classify texts, and show which words spoke for the class.

    Args:
        source: a table with a column of texts, or a file with a text per line.
        model: folder of a run.
        method: of attribution; None: the usual one.
        target: the class to explain; None: the predicted one of each text.
        out: folder for the page and results.csv.
        session: of the command.
        html: write a page too.
    Raises:
        JumokError: no texts there, no such class or method, or a run that cannot be opened.
    """
    from jumok.tasks.label.looking import USUAL, check_method, explain
    from jumok.tasks.label.run import TextRun
    from jumok.views.pages.text_page import ShadedText, write_text_page

    if not source.is_file():
        raise JumokError(f"no file {source}: wanted a table with a column of texts, or a file with a text per line")
    run = TextRun.load(model, session.device)
    chosen = check_method(method or USUAL)
    number = None if target is None else _find_class(run, target)
    rows = list(islice(stream_inputs([source], run, TextOptions()), MOST_TEXTS + 1))
    if not rows:
        raise JumokError(f"{source} holds no text")
    found = LookedAtTexts(out, page=html)
    if len(rows) > MOST_TEXTS:
        found.remarks.append(f"the first {MOST_TEXTS} texts are shown: jumok predict classifies all of them")
    shaded = []
    for _, place, text in rows[:MOST_TEXTS]:
        try:
            one = explain(run, text, [chosen], number)
        except JumokError as error:
            found.rows.append({"number": place, "text": text, "error": str(error)})
            session.remark(f"text {place}: {error}")
            continue
        found.rows.append(_make_row(run, place, text, one, chosen))
        shaded.append(
            ShadedText(
                " ".join(text.split()), one.maps[chosen], _best(run, one), name=translate("text {number}", number=place)
            )
        )
        if len(rows) <= MOST_LINES:
            session.say(f"text {place}: {_best(run, one)[0][0]}; {found.rows[-1]['words']}")
    if not shaded:
        raise JumokError(f"none of the {write_count(len(rows), 'text')} could be read: {found.rows[0]['error']}")
    _write_table(out / "results.csv", found.rows)
    if html:
        note = translate("Relevance of each word by {method}; shades are scaled within each text.", method=chosen)
        write_text_page(out / "index.html", translate("What {name} reads", name=run.folder.name), note, shaded)
    return found


def _find_class(run: TextRun, name: str) -> int:
    if name not in run.classes:
        raise JumokError(f"the model has no class {name!r}: {suggest(name, run.classes)}")
    return run.classes.index(name)


def _best(run: TextRun, one: Explained) -> list[tuple[str, float]]:
    """The most probable classes."""
    best = one.probabilities.topk(min(MOST_CLASSES, len(run.classes)))
    return [
        (run.classes[number], value) for number, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def _make_row(run: TextRun, place: int, text: str, one: Explained, method: str) -> dict[str, Any]:
    predicted, probability = _best(run, one)[0]
    return {
        "number": place,
        "text": text,
        "predicted": predicted,
        "probability": probability,
        "target": run.classes[one.target],
        "method": one.maps[method].source,
        "words": _list_words(one, method),
    }


def _list_words(one: Explained, method: str) -> str:
    """The words that spoke most for the class, with their share of all that spoke for it."""
    values = one.maps[method].weights[0]
    whole = float(values.clamp_min(0).sum())
    if not whole:
        return ""
    best = values.topk(min(TOP_WORDS, len(values)))
    told = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return ", ".join(f"{one.cut.words[number]} {value / whole:.0%}" for number, value in told if value > 0)


def _write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()} for row in rows
    )
    write_atomically(path, table.getvalue())
