"""Sentences that a person gives: typed, in a file, or through standard input."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from jumok.errors import JumokError

LONGEST_LINE = 1 << 20
"""In bytes."""
FILE_NAME = re.compile(r"(~|\.{1,2})?/\S+|\S+\.[A-Za-z]{2,4}")
"""What looks like the name of a file, and not like a sentence."""
BLANK = re.compile(r"\S\s+\S")
HINT = "to translate these very words, pass them on standard input"


def read_sentences(words: Sequence[str]) -> Iterator[str]:
    """Sentences, one by one: typed, of a file, or from standard input.

    Args:
        words: of one sentence; sentences, which were typed in quotes if a blank is in one; the name of a file; or "-"
            or nothing for standard input.
    Raises:
        JumokError: none were given, or a file that cannot be read; a file without a line, once it is read.
    """
    from jumok.data.texts.normal_form import read_lines

    if not words and (sys.stdin is None or sys.stdin.isatty()):
        raise JumokError("nothing to translate: give a sentence, a file with one per line, or - for standard input")
    if not words or list(words) == ["-"]:
        return stream_standard_input()
    places = [place for word in words if (place := find_path(word))]
    if len(words) > 1 or not places:
        if len(places) == len(words) and all(place.is_file() for place in places) and places:
            raise JumokError(
                f"{' and '.join(words)} are files: give one, or join them: cat ... | jumok translate RUN -"
            )
        check_is_text(words, HINT)
        return iter(words if any(map(BLANK.search, words)) else [" ".join(words)])
    if places[0].is_dir():
        raise JumokError(f"{words[0]} is a folder: give a file with a sentence per line; {HINT}")
    lines = read_lines(places[0]) if places[0].is_file() else _read_piped(places[0])
    return _refuse_nothing(lines, words[0])


def _refuse_nothing(lines: Iterator[str], name: str) -> Iterator[str]:
    """The lines as they come; an error where there are none."""
    first = next(lines, None)
    if first is None:
        raise JumokError(f"nothing to translate: {name} is empty; wanted a sentence per line")
    yield first
    yield from lines


def stream_standard_input() -> Iterator[str]:
    """Lines of standard input as they come; none where it is closed.

    Raises:
        JumokError: as `stream_lines`.
    """
    return iter(()) if sys.stdin is None else stream_lines(sys.stdin.buffer, "standard input")


def stream_lines(file: BinaryIO, name: str) -> Iterator[str]:
    """Lines of UTF-8 as they come, whatever the terminal's own encoding is.

    Raises:
        JumokError: not UTF-8, or a line of more than 1 MiB.
    """
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        yield read_line(line, name, number)


def read_line(line: bytes, name: str, number: int) -> str:
    """A line of a file as text.

    Args:
        line: with its end, or the first `LONGEST_LINE` + 1 bytes of a longer one.
        name: of the file.
        number: of the line, from 1.
    Raises:
        JumokError: as `stream_lines`.
    """
    if len(line) > LONGEST_LINE:
        raise JumokError(f"{name}, line {number}: longer than {LONGEST_LINE >> 10} KiB; wanted a sentence per line")
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        byte = line[error.start]
        raise JumokError(f"{name}, line {number}: byte 0x{byte:02x} is not valid UTF-8; convert it first") from None
    return text.rstrip("\r\n")


def _read_piped(path: Path) -> Iterator[str]:
    """Lines of what can be read once only, such as <(command)."""
    with path.open("rb") as file:
        yield from stream_lines(file, str(path))


def find_path(word: str) -> Path | None:
    """What lies under that name, if anything does."""
    try:
        return Path(word) if word and Path(word).exists() else None
    except (OSError, ValueError):  # a sentence too long for a file's name, or with a zero byte
        return None


def check_is_text(words: Sequence[str], hint: str) -> None:
    """Refuse what was surely meant to be a file.

    Args:
        words: that were typed.
        hint: what to do if they are meant as they stand.
    Raises:
        JumokError: one word that looks like a file's name, and there is no such file.
    """
    if len(words) == 1 and FILE_NAME.fullmatch(words[0]):
        raise JumokError(f"no such file: {words[0]}; {hint}")
