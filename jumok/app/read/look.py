"""`jumok look TEXT --model hf:...`: what text models from elsewhere answer, and which words they read for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from jumok.app.looked import LookedAt
from jumok.app.sentences import check_is_text, find_path
from jumok.app.session import Session
from jumok.errors import JumokError
from jumok.wording import write_count

if TYPE_CHECKING:
    from jumok.tasks.read.opening import TextModel
    from jumok.tasks.read.reading import Given, Reading

__all__ = ["Asked", "ReadTexts", "look"]

MOST_TEXTS = 100
"""Texts at a time: each has a page of its own size."""
USUAL_COUNT = 64
"""Tokens that an encoder-decoder writes where no number is given."""
HINT = "a text with one word is given in a file"
MOST_LINES = 10
"""Texts up to this many get lines of their own on the terminal."""


@dataclass(frozen=True)
class Asked:
    """What is asked of every text; None where a flag was left out.

    Args:
        method: of attribution.
        target: the class to explain.
        generate: tokens to write.
        chat: put texts into the model's chat template.
    """

    method: str | None = None
    target: str | None = None
    generate: int | None = None
    chat: bool = False


@dataclass
class ReadTexts(LookedAt):
    """What a text model read of some texts.

    Args:
        kind: of the model.
        pairs: one for two sentences of a sentence encoder.
        size: of the page, in bytes.
    """

    kind: str
    pairs: list[dict[str, Any]] = field(default_factory=list)
    size: int = 0

    noun: ClassVar[str] = "text"
    results: ClassVar[str] = "results.json"

    def describe(self) -> dict[str, Any]:
        """The size of the page, and what is of all texts together."""
        size = None if self.page is None else self.size
        return {"page_bytes": size, "kind": self.kind, "pairs": self.pairs}

    def lines(self) -> Iterator[str]:
        """For the terminal; that of a long text may be a large page, so its size is told."""
        yield from (f"remark: {remark}" for remark in self.remarks)
        yield f"written: {self.folder / self.results} ({self.tell_count()})"
        if self.page is not None:
            yield f"page: {self.page} ({self.size / 1e6:.1f} MB)"

    def tell_count(self) -> str:
        """How many texts there were."""
        return write_count(len(self.rows), "text")


def look(words: Sequence[str], model: str, asked: Asked, out: Path, session: Session, *, html: bool) -> ReadTexts:
    """Ask a text model about texts, and write what it read for its answers.

    Args:
        words: texts, or one file of them.
        model: `hf:` and a folder or name.
        asked: of each text.
        out: folder for the page and results.json.
        session: of the command.
        html: write a page too.
    Raises:
        JumokError: no texts, a model that cannot be opened or does not answer so, or no text that it could read.
    """
    from jumok.app.read.pages import make_page
    from jumok.app.session import write_report
    from jumok.tasks.foreign_models import remark_unnamed
    from jumok.tasks.read.opening import open_text_model

    texts = list(_list_texts(words))
    opened = open_text_model(model, session.device)
    count = _check(opened, asked)
    found = ReadTexts(out, str(opened.kind))
    found.remarks += remark_unnamed(opened.classes)
    if len(texts) > MOST_TEXTS:
        found.remarks.append(f"the first {MOST_TEXTS} of {len(texts):,} texts are read")
    readings = _read_all(opened, texts[:MOST_TEXTS], asked, count, found, session)
    if not readings:
        raise JumokError(f"none of the {write_count(len(texts), 'text')} could be read: {found.rows[0]['error']}")
    meetings = _meet_all(opened, [reading.given for reading in readings], found, session)
    if html:
        page = make_page(opened, readings, meetings, found.remarks)
        found.page = out / "index.html"
        page.write(found.page)
        found.size = found.page.stat().st_size
    write_report(out / found.results, found)
    return found


def _list_texts(words: Sequence[str]) -> Iterator[str]:
    """Texts as they were typed, or those of a file: a table, or one with a text per line.

    Raises:
        JumokError: a folder, a file that cannot be read, or what was surely meant to be a file.
    """
    from jumok.data.images.formats import is_image_name

    places = [find_path(word) for word in words]
    if len(words) > 1 or places[0] is None:
        for word, place in zip(words, places, strict=True):
            check_is_text([word], HINT)
            if place is not None and place.is_file():
                raise JumokError(f"{word} is a file: give one file alone, or texts alone")
        return iter(words)
    if not places[0].is_file():
        raise JumokError(
            f"{words[0]} is a folder, and the model reads texts: give a text, or a file with a text per line"
        )
    if is_image_name(places[0].name):
        raise JumokError(f"{words[0]} is an image, and the model reads texts: give a text, or a file of texts")
    return _read_file(places[0])


def _read_file(path: Path) -> Iterator[str]:
    from jumok.data.labelled.text_set import stream_texts
    from jumok.data.table_heads import TABLE_SUFFIXES
    from jumok.data.texts.normal_form import read_lines

    found = stream_texts(path) if path.suffix.lower() in TABLE_SUFFIXES else read_lines(path)
    texts = list(islice((text for text in found if text.strip()), 1 << 20))
    if not texts:
        raise JumokError(f"{path} holds no text")
    return iter(texts)


def _check(model: TextModel, asked: Asked) -> int:
    """How many tokens are written; 0: none.

    Raises:
        JumokError: a number that cannot be, or a model that writes nothing.
    """
    from jumok.tasks.read.opening import Kind
    from jumok.tasks.read.writing import check_count

    if asked.generate is not None and not model.kind.writes:
        raise JumokError(
            f"hf:{model.name} is a model of the kind {model.kind}, which writes no text: leave out --generate, or give "
            "a decoder or an encoder-decoder"
        )
    if asked.target is not None and model.kind is not Kind.CLASSES:
        raise JumokError(f"no use for --target: hf:{model.name} is a model of the kind {model.kind}, without classes")
    if asked.generate is None:
        return min(USUAL_COUNT, model.longest - 1) if model.kind is Kind.PAIRS else 0
    if check_count(asked.generate) >= model.longest:
        raise JumokError(f"--generate {asked.generate}, and hf:{model.name} takes {model.longest} tokens: write fewer")
    return asked.generate


def _read_all(
    model: TextModel, texts: Sequence[str], asked: Asked, count: int, found: ReadTexts, session: Session
) -> list[Reading]:
    """What was read of each text that could be; one alone that could not is an error of the call."""
    from jumok.app.read.results import make_row, tell

    readings = []
    for number, text in enumerate(texts, 1):
        try:
            reading = _read(model, text, asked, count)
        except JumokError as error:
            if len(texts) == 1:
                raise
            found.rows.append({"number": number, "text": text, "error": str(error)})
            session.remark(f"text {number}: {error}")
            continue
        readings.append(reading)
        found.rows.append({"number": number, **make_row(reading)})
        found.remarks += [f"text {number}: {remark}" if len(texts) > 1 else remark for remark in reading.remarks]
        if len(texts) <= MOST_LINES:
            for line in tell(reading):
                session.say(f"text {number}: {line}" if len(texts) > 1 else line)
    return readings


def _read(model: TextModel, text: str, asked: Asked, count: int) -> Reading:
    from jumok.tasks.read.answering import answer
    from jumok.tasks.read.opening import Kind
    from jumok.tasks.read.reading import encode
    from jumok.tasks.read.writing import write

    given = encode(model, text, chat=asked.chat, room=count if model.kind is Kind.NEXT else 0)
    return write(model, given, count, asked.method) if count else answer(model, given, asked.method, asked.target)


def _meet_all(model: TextModel, sentences: Sequence[Given], found: ReadTexts, session: Session) -> list[Any]:
    """Every two sentences of a sentence encoder side by side."""
    from jumok.tasks.read.opening import Kind

    if model.kind is not Kind.SENTENCES or len(sentences) < 2:
        return []
    from jumok.app.read.results import make_pair
    from jumok.tasks.read.meeting import MOST_MET, check_pooling, explain_vector, meet

    check_pooling(model)
    if len(sentences) > MOST_MET:
        found.remarks.append(f"the first {MOST_MET} sentences are compared with each other")
    vectors = []
    for number, given in enumerate(sentences[:MOST_MET], 1):
        session.say(f"sentence {number}: explaining its vector")
        vectors.append(explain_vector(model, given))
    meetings = [meet(one, other) for place, one in enumerate(vectors) for other in vectors[place + 1 :]]
    found.pairs += [make_pair(meeting) for meeting in meetings]
    if len(meetings) <= MOST_LINES:
        for pair in found.pairs:
            session.say(
                f"similarity {pair['similarity']:.3f}: {pair['first']!r} and {pair['second']!r}; {pair['words']}"
            )
    return meetings
