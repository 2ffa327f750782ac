"""What a person names as a source of sentences: a file with one per line, a folder of such files, Parquet files."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jumok.app.engine.addresses import is_address, list_address, open_bytes
from jumok.app.engine.shards import Item, Source, WholeFiles
from jumok.app.sentences import LONGEST_LINE, read_line
from jumok.errors import JumokError, foreign
from jumok.files import list_visible, regular_file
from jumok.wording import join_names

__all__ = ["LineShard", "open_texts"]

PARQUET, PACKED = ".parquet", (".gz", ".bz2", ".xz", ".zst", ".zip")
WANTED = "a file with a sentence per line, a folder of .txt files, a pattern such as 'corpus/*.txt', or .parquet files"
BYTES_AT_A_TIME = 1 << 20


@dataclass(frozen=True)
class LineShard:
    """Some lines of a file.

    Args:
        file: that they are in.
        offset: of the first, in bytes.
        inside: number of the first in the file, from 0.
        begin: its number among all inputs.
        count: how many they are.
    """

    file: str
    offset: int
    inside: int
    begin: int
    count: int

    @property
    def labelled(self) -> bool:
        """No: nothing says what is true of a line."""
        return False

    def items(self) -> Iterator[Item]:
        """Each of them; of a line that cannot be read the reason."""
        with open_bytes(self.file) as file:
            file.seek(self.offset)
            for number in range(self.inside + 1, self.inside + self.count + 1):
                name, line = f"{self.file}#{number}", file.readline(LONGEST_LINE + 1)
                if not line:
                    return
                try:
                    yield Item(name, read_line(line, self.file, number))
                except JumokError as error:
                    yield Item(name, error)
                while len(line) > LONGEST_LINE and not line.endswith(b"\n"):  # the rest of one that is too long
                    line = file.readline(LONGEST_LINE + 1)


class Lines(WholeFiles):
    """The lines of files: where each shard begins is noted as they are counted, and of their bytes a hash is kept."""

    def __init__(self, files: Sequence[str], size: int) -> None:
        told = hashlib.sha256()
        self._offsets: dict[str, list[int]] = {}
        counts = []
        for name in files:
            count, self._offsets[name], digest = _count_lines(name, size)
            counts.append(count)
            told.update(f"{name} {count} {digest}\n".encode("utf-8", "surrogateescape"))
        self._hash = told.hexdigest()
        super().__init__(files, counts, size, partial(self._cut, size))

    @property
    def digest(self) -> str:
        """Of the names and of what the files hold."""
        return self._hash

    def _cut(self, size: int, file: str, inside: int, begin: int, count: int) -> LineShard:
        return LineShard(file, self._offsets[file][inside // size], inside, begin, count)


def _count_lines(name: str, size: int) -> tuple[int, list[int], str]:
    """The lines of a file, where every so many of them begin, in bytes, and a hash of all bytes."""
    told, lines, place, ended = hashlib.sha256(), 0, 0, True
    offsets = [0]
    with foreign(f"cannot read {name}", "check that it is a file that this machine may read"), open_bytes(name) as file:
        while block := file.read(BYTES_AT_A_TIME):
            told.update(block)
            at = block.find(b"\n")
            while at >= 0:
                lines += 1
                if lines % size == 0:
                    offsets.append(place + at + 1)
                at = block.find(b"\n", at + 1)
            place, ended = place + len(block), block.endswith(b"\n")
    return lines + (not ended), offsets, told.hexdigest()


def open_texts(name: str, size: int, column: str | None, _tell: Callable[[str], None]) -> Source:
    """Find the sentences that a name stands for, and cut them into shards.

    Args:
        name: as the user gave it.
        size: sentences in a shard.
        column: of Parquet files, that holds sentences.
    Raises:
        JumokError: nothing there, files of several kinds, packed files, or no sentence.
    """
    files = _list_files(name)
    packed = [file for file in files if file.lower().endswith(PACKED)]
    if packed:
        raise JumokError(f"{packed[0]} is packed, and --engine begins at any of its lines: unpack it first")
    tables = [file for file in files if file.lower().endswith(PARQUET)]
    if tables and len(tables) < len(files):
        raise JumokError(f"{name} stands for files of several kinds: wanted {WANTED}")
    if tables:
        from jumok.app.engine.parquet_rows import find_parquet_inputs

        return find_parquet_inputs(files, column, size, texts=True)
    if column is not None:
        raise JumokError(f"no use for --column {column}: {name} holds no Parquet files")
    found = Lines(files, size)
    if not found.total:
        raise JumokError(f"nothing to translate: {join_names(files, 'or')} is empty; wanted a sentence per line")
    return found


def _list_files(name: str) -> list[str]:
    """The files that a name stands for, in order.

    Raises:
        JumokError: nothing there.
    """
    if is_address(name):
        return list_address(name, _holds_texts)
    path = Path(name)
    if path.is_dir():
        found = [str(each) for each in list_visible(path) if _holds_texts(each.name)]
    elif path.exists():
        found = [str(path)]
    else:
        found = sorted(each for each in glob.iglob(name, recursive=True) if Path(each).is_file())  # noqa: PTH207 (as given)
    if not found:
        raise JumokError(f"no sentences are at {name}: wanted {WANTED}")
    return [str(regular_file(Path(each))) for each in found]


def _holds_texts(name: str) -> bool:
    return name.lower().endswith((".txt", PARQUET))
