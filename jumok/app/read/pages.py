"""The page of `jumok look` for text models."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

from jumok.language import later, translate
from jumok.views.pages.reading_page import ReadingEntry, ReadingPage, ReadingSheet, Shown, Told

if TYPE_CHECKING:
    from jumok.tasks.read.meeting import Meeting
    from jumok.tasks.read.opening import TextModel
    from jumok.tasks.read.pieces import Piece
    from jumok.tasks.read.reading import Reading, Sheet

__all__ = ["make_page"]

LONGEST_NAME = 120
ASKED = {
    "class": later("Predicted class"),
    "score": later("Score"),
    "masked word": later("Behind the mask"),
    "next word": later("Next word"),
    "words": later("Written"),
}
NAMES = {
    "self-attention": later("Self-attention"),
    "encoder": later("Encoder"),
    "decoder": later("Decoder"),
    "cross-attention": later("Cross-attention: what is written reads the source"),
}
MET = later("Words that met")
LATE = later("Last states (exact)")


def make_page(
    model: TextModel, readings: Sequence[Reading], meetings: Sequence[Meeting], remarks: list[str]
) -> ReadingPage:
    """The page of some texts; those that find no room any more are left out, which a remark says.

    Args:
        model: that read them.
        readings: of the texts.
        meetings: of every two sentences, which come first.
        remarks: to add to.
    """
    page = ReadingPage(translate("What {name} reads", name=model.name.rstrip("/").rpartition("/")[2]))
    count = len(meetings) + len(readings)
    for number, entry in enumerate(chain(map(_make_pair, meetings), map(_make_entry, readings))):
        if page.is_full:
            remarks.append(f"the page shows the first {number} of {count} texts: it would grow beyond 30 MB")
            break
        page.add(entry)
    return page


def _make_entry(reading: Reading) -> ReadingEntry:
    answers = [
        Told(answer.name, answer.share, answer.best, None if answer.relevance is None else answer.relevance.tolist())
        for answer in reading.answers
    ]
    return ReadingEntry(
        _shorten(reading.given.text),
        _show(reading.given.pieces),
        [_make_sheet(sheet) for sheet in reading.sheets],
        translate(_name_asked(reading)),
        answers,
        _show(reading.output),
        reading.method,
        " ".join(f"{remark[:1].upper()}{remark[1:]}." for remark in reading.remarks),
    )


def _name_asked(reading: Reading) -> str:
    """What the page calls the answer; a class that is not the most probable one was asked for by name."""
    first = next(iter(reading.answers), None)
    chosen = first is not None and reading.asked == "class" and first.name != first.best[0][0]
    return later("Class that was asked for") if chosen else ASKED.get(reading.asked, "")


def _make_sheet(sheet: Sheet) -> ReadingSheet:
    return ReadingSheet(
        translate(NAMES[sheet.name]),
        _show(sheet.queries),
        _show(sheet.keys),
        sheet.calls,
        sheet.maps(),
        None if sheet.unrolled else sheet.roll(),
        translate("No rollout: {reason}.", reason=sheet.unrolled) if sheet.unrolled and sheet.rolls else "",
    )


def _make_pair(meeting: Meeting) -> ReadingEntry:
    sheet = ReadingSheet(
        translate(MET),
        _show(meeting.first.given.pieces),
        _show(meeting.second.given.pieces),
        [translate(MET), translate(LATE)],
        [meeting.relevance, meeting.late],
        scores=True,
    )
    name = f"{_shorten(meeting.first.given.text, 56)} ↔ {_shorten(meeting.second.given.text, 56)}"
    return ReadingEntry(name, sheet.queries, [sheet], note=_tell_similarity(meeting), pair=True)


def _tell_similarity(meeting: Meeting) -> str:
    return translate(
        "Cosine similarity {similarity}. “{met}” shares it out over pairs of words by {method} (LibraGrad for each "
        "value of the vectors, combined as in BiLRP); the pairs sum to {explained}, and the difference lies with "
        "positions and biases. “{late}” sums to the similarity exactly, but each state has already read its "
        "whole sentence.",
        similarity=f"{meeting.similarity:.3f}",
        met=translate(MET),
        method=meeting.relevance.source,
        explained=f"{meeting.explained:.3f}",
        late=translate(LATE),
    )


def _show(pieces: Sequence[Piece]) -> list[Shown]:
    return [Shown(piece.text, piece.gap, piece.special) for piece in pieces]


def _shorten(text: str, most: int = LONGEST_NAME) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"
