"""Lines of text from plain or gzipped files, in one normal form."""

from __future__ import annotations

import gzip
import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from jumok.errors import JumokError
from jumok.files import regular_file

MOST_BYTES = 8 * 1024**3
"""So much of one file is read, counted after unpacking."""
LONGEST_LINE = 1024**2
"""In bytes."""
BLOCK = 1024**2
GZIP = b"\x1f\x8b"
LONE = re.compile("[\ud800-\udfff]")
RETURN = re.compile("\r(?!\n)")
"""A carriage return that ends no line; it is white space."""
BOM = b"\xef\xbb\xbf"


def clean(text: str, *, lowercase: bool = False) -> str:
    """Bring a sentence into the form that everything here works on.

    Composed characters (NFC), runs of white space of any kind made one space, none at the ends. Lone surrogates, which
    no file can hold, become question marks.

    >>> clean("\u1112\u1161\u11ab\u00a0 글 ")
    '한 글'
    """
    return " ".join(fold(LONE.sub("?", text), lowercase=lowercase).split())


def fold(text: str, *, lowercase: bool = False) -> str:
    """Compose characters (NFC) and, if wanted, lower their case; white space stays as it is."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if lowercase:
        text = unicodedata.normalize("NFC", text.lower())
    return text


def read_lines(path: Path, *, lowercase: bool = False, folded: bool = True) -> Iterator[str]:
    r"""Give the lines of a file one by one, folded unless said otherwise, without their ends.

    Only "\n" ends a line, so that files stay aligned whatever else they hold; a "\r" before it is white space. A byte
    order mark is passed over. Gzip is known by its first bytes, not by the file's name.

    Raises:
        JumokError: no such file, not UTF-8, not text, damaged gzip, a line of more than 1 MiB, more than 8 GiB, or
            lines that end in "\r" alone.
    """
    number = 0  # lines given so far
    for block in _read_blocks(path):
        text = _decode(block, path, number)
        lines = (fold(text, lowercase=lowercase) if folded else text).split("\n")
        if not lines[-1]:
            lines.pop()
        yield from lines
        number += len(lines)


def _read_blocks(path: Path) -> Iterator[bytes]:
    """The file in pieces that end where a line ends, none of them much larger than a block and a line."""
    rest, total, number = b"", 0, 0
    with _explain_errors(path), _open(path) as file:
        while block := file.read(BLOCK):
            if not total:
                block = block.removeprefix(BOM)
                refuse_returns(block, path)
            total += len(block)
            if total > MOST_BYTES:
                raise JumokError(f"{path} holds more than {MOST_BYTES / (1 << 30):g} GiB of text: give a part of it")
            whole, end, rest = (rest + block).rpartition(b"\n")
            _check_lines(whole + end + rest, path, number)
            if end:
                yield whole + end
                number += whole.count(b"\n") + 1
    if rest:
        yield rest


def refuse_returns(text: bytes, path: Path) -> None:
    """Refuse a text without a line feed that has carriage returns between others: it would be one long line.

    Raises:
        JumokError: it is such a text.
    """
    if b"\n" not in text and b"\r" in text.strip():
        raise JumokError(f"{path} ends its lines with CR alone, as old Macs did: save it with LF or CR LF line ends")


def _check_lines(block: bytes, path: Path, before: int) -> None:
    """Refuse lines that are too long, and bytes that no text holds."""
    lengths = [len(line) for line in block.split(b"\n")]
    if max(lengths) > LONGEST_LINE:
        line = before + next(number for number, length in enumerate(lengths, 1) if length > LONGEST_LINE)
        raise JumokError(
            f"{path}, line {line}: longer than {LONGEST_LINE >> 10} KiB; wanted a line for each sentence or row"
        )
    if b"\0" in block:
        line = before + block[: block.index(b"\0")].count(b"\n") + 1
        raise JumokError(f"{path}, line {line}: holds a zero byte, so this is not UTF-8 text; save it as UTF-8")


def _decode(block: bytes, path: Path, before: int) -> str:
    try:
        return block.decode()
    except UnicodeDecodeError as error:
        line = before + block[: error.start].count(b"\n") + 1
        raise JumokError(
            f"{path}, line {line}: byte 0x{block[error.start]:02x} is not valid UTF-8; save the file as UTF-8"
        ) from None


def _open(path: Path) -> gzip.GzipFile | BufferedReader:
    with regular_file(path).open("rb") as file:
        packed = file.read(len(GZIP)) == GZIP
    return gzip.open(path, "rb") if packed else path.open("rb")


@contextmanager
def _explain_errors(path: Path) -> Iterator[None]:
    """Say what went wrong with a file in one line."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise JumokError(f"{path} is damaged or cut short ({error}): compress or download it again") from None
    except FileNotFoundError:
        raise JumokError(f"no such file: {path}") from None
    except OSError as error:
        raise JumokError(f"cannot read {path}: {error.strerror or error}") from None


def count_lines(lines: Iterable[str]) -> int:
    """How many lines are left to come."""
    return sum(1 for _ in lines)
