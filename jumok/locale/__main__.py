"""`python -m jumok.locale`: put new texts into the catalogues, take out old ones, and say what is missing."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po, write_po

from jumok.files import write_atomically
from jumok.language import CATALOGUES, LANGUAGES
from jumok.locale.collect import NAMES, Text, collect, collect_printed

FOLDER = Path(__file__).parent


COLLECTORS = dict(zip(CATALOGUES, (collect, collect_printed), strict=True))


def find_catalogue(code: str, name: str = CATALOGUES[0]) -> Path:
    """Where the texts of a language lie: of help and pages, or of what is printed."""
    return FOLDER / code / "LC_MESSAGES" / f"{name}.po"


class Updated(NamedTuple):
    """What became of a catalogue: texts without a translation and where they stand; and the entries taken out."""

    missing: list[tuple[Text, list[str]]]
    dropped: list[tuple[str, str]]


def update(code: str, name: str = CATALOGUES[0]) -> Updated:
    """Bring a catalogue of a language up to date.

    A text of which only {names} changed keeps its translation, with the new names.

    Returns:
        what has no translation now, and the translated texts that no code has any more, with their translations.
    """
    path = find_catalogue(code, name)
    old = read_po(io.BytesIO(path.read_bytes()) if path.exists() else io.BytesIO(), code)
    new, missing = Catalog(code, project="jumok", charset="utf-8", fuzzy=False), []
    needed = COLLECTORS[name]()
    gone, kept = _find_gone(old, {text.one for text in needed}), set[str]()
    for text, places in sorted(needed.items(), key=lambda found: (found[1][0], found[0])):
        before = old.get(text.one)
        words, renamed = (_words_of(before), "") if before is not None else _take_renamed(text.one, gone)
        kept.add(renamed)
        if not any(words):
            missing.append((text, places))
        entry = (text.one, text.many) if text.many else text.one
        new.add(entry, tuple(words[:1]) if text.many else words[0], auto_comments=places[:1])
    stream = io.BytesIO()
    write_po(stream, new, width=0, omit_header=False, include_lineno=False)
    write_atomically(path, _without_dates(stream.getvalue().decode("utf-8")))
    return Updated(missing, [(_id_of(each), _words_of(each)[0]) for each in gone if _id_of(each) not in kept])


def _id_of(message: Message) -> str:
    """The text of an entry; of one with a plural, the singular."""
    return message.id if isinstance(message.id, str) else message.id[0]


def _words_of(message: Message) -> list[str]:
    """Its translations, [""] where it has none."""
    string = "" if message.fuzzy else message.string
    return [string] if isinstance(string, str) else list(string or [""])


def _bare(text: str) -> str:
    """A text whatever its names are."""
    return NAMES.sub("{}", text)


def _find_gone(old: Catalog, needed: set[str]) -> list[Message]:
    """Translated entries that are needed no more."""
    return [message for message in old if message.id and any(_words_of(message)) and _id_of(message) not in needed]


def _take_renamed(text: str, gone: Sequence[Message]) -> tuple[list[str], str]:
    """The translations of the one entry that differs in its names alone, with the new ones; and that entry's text."""
    alike = [message for message in gone if _bare(_id_of(message)) == _bare(text)]
    if len(alike) != 1:
        return [""], ""
    before = _id_of(alike[0])
    pairs = list(zip(NAMES.findall(before), NAMES.findall(text), strict=True))
    names = dict(pairs)
    if any(names[one] != other for one, other in pairs):  # one name has become two: who can say which is meant
        return [""], ""
    return [_rename(words, names) for words in _words_of(alike[0])], before


def _rename(words: str, names: Mapping[str, str]) -> str:
    return NAMES.sub(lambda found: names.get(found[0], found[0]), words)


def _without_dates(text: str) -> str:
    """The catalogue without what would change with each call."""
    changing = ("POT-Creation-Date", "PO-Revision-Date", "Last-Translator", "Language-Team", "Report-Msgid-Bugs-To")
    lines = [line for line in text.splitlines() if not line.startswith(tuple(f'"{name}' for name in changing))]
    return "\n".join(line for line in lines if not line.startswith("# ")).lstrip("#\n") + "\n"


def main() -> int:
    """Update all catalogues. Returns 1 where a text has no translation."""
    status = 0
    for code in LANGUAGES:
        for name in CATALOGUES if code != "en" else ():
            updated = update(code, name)
            for english, words in updated.dropped:
                sys.stdout.write(f"{code}: taken out, for nothing says it any more: {english!r}, {words!r}\n")
            for text, places in updated.missing:
                status = 1
                sys.stdout.write(f"{code}: no translation of {text.one!r} ({', '.join(places)})\n")
            sys.stdout.write(f"{code}: {find_catalogue(code, name)}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
