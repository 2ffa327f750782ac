"""`python -m jumok.locale`: put new texts into the catalogues, take out old ones, and say what is missing."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from jumok.files import write_atomically
from jumok.language import CATALOGUES, LANGUAGES
from jumok.locale.collect import Text, collect, collect_printed

FOLDER = Path(__file__).parent


COLLECTORS = dict(zip(CATALOGUES, (collect, collect_printed), strict=True))


def find_catalogue(code: str, name: str = CATALOGUES[0]) -> Path:
    """Where the texts of a language lie: of help and pages, or of what is printed."""
    return FOLDER / code / "LC_MESSAGES" / f"{name}.po"


def update(code: str, name: str = CATALOGUES[0]) -> list[tuple[Text, list[str]]]:
    """Bring a catalogue of a language up to date. Returns the texts without a translation, and where they stand."""
    path = find_catalogue(code, name)
    old = read_po(io.BytesIO(path.read_bytes()) if path.exists() else io.BytesIO(), code)
    new, missing = Catalog(code, project="jumok", charset="utf-8", fuzzy=False), []
    for text, places in sorted(COLLECTORS[name]().items(), key=lambda found: (found[1][0], found[0])):
        before = old.get(text.one)
        string = before.string if before is not None and not before.fuzzy else ""
        words = [string] if isinstance(string, str) else list(string or [""])
        if not any(words):
            missing.append((text, places))
        entry = (text.one, text.many) if text.many else text.one
        new.add(entry, tuple(words[:1]) if text.many else words[0], auto_comments=places[:1])
    stream = io.BytesIO()
    write_po(stream, new, width=0, omit_header=False, include_lineno=False)
    write_atomically(path, _without_dates(stream.getvalue().decode("utf-8")))
    return missing


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
            for text, places in update(code, name):
                status = 1
                sys.stdout.write(f"{code}: no translation of {text.one!r} ({', '.join(places)})\n")
            sys.stdout.write(f"{code}: {find_catalogue(code, name)}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
